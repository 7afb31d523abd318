"""The training, read from top to bottom."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import time
from pathlib import Path
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from unetfast import checkpoint
from unetfast.data import DataSet
from unetfast.errors import ArtifactError, DatasetError
from unetfast.evaluate import read_pairs
from unetfast.losses import loss_function
from unetfast.models.deployable import Deployable
from unetfast.report import plots
from unetfast.train import ddp, prepare, run_folder
from unetfast.train import start as starting
from unetfast.train.batches import Batches
from unetfast.train.loggers import Loggers
from unetfast.train.progress import Display, stop_on_signal
from unetfast.train.schedule import learning_rate
from unetfast.train.settings import TrainSettings
from unetfast.train.state import Average, make_optimizer, restore, settle_norms, snapshot
from unetfast.train.tally import Tally
from unetfast.train.validate import Truths, draw_samples, save_best, validate

__all__ = ["train"]

SETTLED_SHARE = 0.3  # of the epochs, the last ones, train with the batch norms' running statistics


def train(settings: TrainSettings, data: DataSet, *, resume: Path | None = None) -> Path:
    """Train a network.

    Parameters
    ----------
    settings : TrainSettings
    data : DataSet
        What ``settings.data`` holds.
    resume : Path, optional
        The folder of a stopped run to go on with; `settings` are then its own.

    Returns
    -------
    Path
        The folder of the run, with ``best.pt`` and ``last.pt``.

    Raises
    ------
    ConfigError
        For settings that do not fit together.
    BackendError
        When memory runs out.
    KeyboardInterrupt
        After Ctrl-C, when ``last.pt`` is written.
    """
    team = ddp.join(settings.device)
    try:
        return _train(settings, data, resume, team)
    except (RuntimeError, MemoryError) as exc:
        if not prepare.is_memory_error(exc):
            raise
        raise prepare.memory_error(settings.batch, settings.imgsz, settings.device) from exc
    finally:
        team.leave()


def _train(settings: TrainSettings, data: DataSet, resume: Path | None, team: ddp.Team) -> Path:
    # What to train, on what, with what.
    device = prepare.device_of(settings.device, team.local_rank)
    amp = prepare.amp_type(settings.amp, device)
    data = data.keeping(team.agreed(data.together))  # rank 0 alone has looked for near twins
    train_samples, val_samples = data.split(settings.val_fraction, settings.seed)
    torch.manual_seed(settings.seed)
    saved = checkpoint.load(resume / "last.pt") if resume is not None else None
    start = starting.read(settings) if settings.weights and saved is None else None
    before = saved or start
    spec = prepare.describe(
        settings, data, train_samples, val_samples, before.spec if before is not None else None
    )
    pixels = prepare.count_pixels(train_samples, data.encoding, spec)
    model = prepare.build(spec)
    few = train_samples[:: -(-len(train_samples) // 16)]
    starting.begin(model, spec, start, pixels, read_pairs(few, data.encoding, spec.preprocess.channels))
    model.to(device, memory_format=torch.channels_last)
    average = Average(model, settings.ema)
    optimizer = make_optimizer(model, settings.optimizer, lr=settings.lr, weight_decay=settings.weight_decay)
    scaler = torch.amp.GradScaler(device.type, enabled=amp is torch.float16)
    loss_of = loss_function(settings.loss, len(spec.classes))
    weight = prepare.class_weights(settings.class_weights, pixels, device)

    # Where it stopped, if it did.
    at: dict[str, Any] = {"epoch": 0, "step": 0, "updates": 0, "best": -1.0, "since_best": 0, "seconds": 0.0}
    tally = Tally(len(spec.classes), device)
    if saved is not None:
        if saved.training_state is None:
            raise ArtifactError(f"{resume}/last.pt: holds no training state to go on with")
        if saved.spec.training["data"] != spec.training["data"]:
            raise DatasetError(f"{data.root}: is not what {resume} was trained on; start a new run for it")
        at = restore(saved.training_state, model, optimizer, scaler)
        average.model.load_state_dict(saved.model_state)
        tally.load(at.pop("tally"), team)
    rows = run_folder.read_results(resume, at["epoch"]) if resume is not None else []

    # The same weights as they are run: compiled, over several processes, from uint8 to logits.
    network: torch.nn.Module = torch.compile(model) if settings.compile else model  # type: ignore[assignment]
    if team.size > 1:
        network = DistributedDataParallel(network, device_ids=[device] if device.type == "cuda" else None)
    logits_of = Deployable(network, spec).to(device).logits

    def gradients(images: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast(device.type, amp or torch.bfloat16, enabled=amp is not None):
            logits = logits_of(images)
        loss = loss_of(logits, target, weight)
        scaler.scale(loss / settings.accumulate).backward()  # type: ignore[no-untyped-call]
        return logits.detach(), loss.detach()

    if settings.batch == 0:
        untouched = copy.deepcopy(model.state_dict())
        found = prepare.largest_batch(gradients, spec, settings.imgsz, device)
        settings = dataclasses.replace(settings, batch=team.agreed(found))
        model.load_state_dict(untouched)  # the attempts moved the batch norms
        optimizer.zero_grad(set_to_none=True)
    batches = Batches(train_samples, data.encoding, spec, settings, team, device)
    truths = Truths(val_samples, data.encoding, spec.preprocess.channels, team, cached=batches.cached)
    steps, total = batches.steps, settings.epochs * batches.steps
    settled_epoch = settings.epochs - round(SETTLED_SHARE * settings.epochs)
    folder: Path = team.agreed((resume or run_folder.new_folder(settings.output)) if team.leads else None)
    if team.leads:
        run_folder.write_settings(folder, settings)
        plots.class_frequencies(folder / "labels.png", spec.classes, pixels)

    def save_last() -> None:
        at["tally"] = tally.state(team)
        if team.leads:
            state = snapshot(model, optimizer, scaler, at)
            weights = average.model.state_dict()
            checkpoint.save(folder / "last.pt", model_state=weights, spec=spec, training_state=state)

    display = Display(team.leads, settings.epochs, steps, settings.batch * team.size, at)
    loggers = Loggers(
        settings.logger if team.leads else (), folder, dataclasses.asdict(settings), display.say
    )
    display.say(
        f"{spec.arch}, {prepare.parameters(model):,} parameters, on {device}"
        f"{' in ' + str(amp)[6:] if amp else ''}; {len(train_samples)} images to train, {len(val_samples)} "
        f"to validate; {steps} steps of {settings.batch * team.size} an epoch; {folder}/"
    )
    if at["epoch"] >= settings.epochs:
        display.say(f"all {settings.epochs} epochs are done; for more: --epochs {2 * settings.epochs}")
    drawn = time.monotonic()
    with contextlib.ExitStack() as at_the_end, stop_on_signal() as stopping, display:
        at_the_end.callback(loggers.close)
        if team.leads:
            # Also of a run that stopped early, or was stopped.
            at_the_end.callback(plots.curves, folder / "curves.png", rows)
            at_the_end.callback(draw_samples, folder, truths.few(4), device)
        for epoch in range(at["epoch"], settings.epochs):
            start, rate = time.monotonic() - at["seconds"], settings.lr
            model.train()
            if epoch >= settled_epoch:
                settle_norms(model, average, first=epoch == settled_epoch and at["step"] == 0)
            for step, (images, target) in batches.of_epoch(epoch, first_step=at["step"]):
                logits, loss = gradients(images, target)
                tally.add(logits, target, loss)
                display.step(epoch, step, loss)
                # The last batches of an epoch may be fewer than `accumulate`; they make a step too.
                if (step + 1) % settings.accumulate and step + 1 < steps:
                    continue
                rate = learning_rate(
                    epoch * steps + step,
                    total,
                    peak=settings.lr,
                    warmup=settings.warmup,
                    kind=settings.schedule,
                )
                for group in optimizer.param_groups:
                    group["lr"] = rate
                scaler.unscale_(optimizer)
                if settings.clip:
                    torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad(set_to_none=True)
                at["updates"] += 1
                average.update(model, at["updates"])
                if step + 1 < steps and team.any(stopping()):
                    at |= {"epoch": epoch, "step": step + 1, "seconds": time.monotonic() - start}
                    save_last()
                    display.stopped(folder)

            # Measure the averaged weights on whole images; they are what is kept.
            seconds = time.monotonic() - start
            team.share_buffers(average.model)
            scored, val_loss = validate(average.model, truths, spec, loss_of, device, team)
            row = {
                "epoch": epoch + 1,
                "lr": rate,
                **tally.close(team, steps),
                "val_loss": val_loss,
                **{f"val_{name}": value for name, value in scored.headline().items()},
                "threshold": scored.threshold,
                "images_per_s": steps * settings.batch * team.size / seconds,
                "seconds": time.monotonic() - start,
            }
            rows.append(row)
            # NaN, where there is nothing to validate on: the newest is the best.
            better = not row["val_dice"] <= at["best"]
            since_best = 0 if better else at["since_best"] + 1
            at |= {"epoch": epoch + 1, "step": 0, "seconds": 0.0, "since_best": since_best}
            if better:
                at["best"] = row["val_dice"]
            if team.leads:
                run_folder.write_results(folder, rows)
                if better:
                    save_best(folder / "best.pt", average.model, spec, row, truths.few(4))
                if time.monotonic() - drawn > 15:  # drawing takes half a second
                    plots.curves(folder / "curves.png", rows)
                    drawn = time.monotonic()
                if settings.samples_every and (epoch + 1) % settings.samples_every == 0:
                    draw_samples(folder, truths.few(4), device)
                loggers.epoch(epoch + 1, {k: v for k, v in row.items() if k != "epoch"})
            save_last()  # after the rest: a run killed before it does the epoch again
            display.epoch(row, better=better)
            if epoch + 1 < settings.epochs and team.any(stopping()):
                display.stopped(folder)
            if settings.patience and at["since_best"] >= settings.patience:
                display.say(f"stopped early: no better validation Dice for {settings.patience} epochs")
                break
    return folder
