"""The training, read from top to bottom."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from unetfast.data import DataSet
from unetfast.errors import is_memory_error
from unetfast.report import plots
from unetfast.train import ddp, prepare, run_folder
from unetfast.train.loggers import Loggers
from unetfast.train.progress import Display, stop_on_signal
from unetfast.train.run import Run, open_run
from unetfast.train.schedule import learning_rate
from unetfast.train.settings import TrainSettings
from unetfast.train.state import settle_norms
from unetfast.train.validate import draw_samples, save_best, validate

__all__ = ["train"]

SETTLED_SHARE = 0.3  # of the epochs, the last ones, train with the batch norms' running statistics
SETTLED_STEPS = 100  # updates must come before: 14 steps left statistics with which a loss of 0.59 rose to 64
REDRAWN_S = 15.0  # drawing the curves takes half a second


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
        run = open_run(settings, data, resume, team)
        if team.leads:
            run_folder.write_settings(run.folder, run.settings)
            plots.class_frequencies(run.folder / "labels.png", run.spec.classes, run.pixels)
        _all_epochs(run)
    except (RuntimeError, MemoryError) as exc:
        if not is_memory_error(exc):
            raise
        raise prepare.memory_error(settings.batch, settings.imgsz, settings.device) from exc
    finally:
        team.leave()
    return run.folder


def _all_epochs(run: Run) -> None:
    settings, team, folder = run.settings, run.team, run.folder
    images = settings.batch * team.size  # a step
    display = Display(team.leads, settings.epochs, run.batches.steps, images, run.at)
    loggers = Loggers(
        settings.logger if team.leads else (), folder, dataclasses.asdict(settings), display.say
    )
    data = run.spec.training["data"]
    display.say(
        f"{run.spec.arch}{f' that starts from {settings.weights}' if settings.weights else ''}, "
        f"{prepare.parameters(run.state.model):,} parameters, on {run.device}"
        f"{' in ' + str(run.amp)[6:] if run.amp else ''}; {data['train_images']} images to train, "
        f"{data['val_images']} to validate; an epoch is {run.batches.steps} steps of {images} images; "
        f"{folder}/"
    )
    if run.at["epoch"] >= settings.epochs:
        display.say(f"all {settings.epochs} epochs are done; for more: --epochs {2 * settings.epochs}")
    drawn = time.monotonic()
    with contextlib.ExitStack() as at_the_end, stop_on_signal() as stopping, display:
        at_the_end.callback(loggers.close)
        if team.leads:
            # Also of a run that stopped early, or was stopped.
            at_the_end.callback(plots.curves, folder / "curves.png", run.rows)
            at_the_end.callback(draw_samples, folder, run.truths.few(4), run.device)
        for epoch in range(run.at["epoch"], settings.epochs):
            row = _one_epoch(run, epoch, display, stopping)
            better = _keep(run, row)
            if team.leads:
                if time.monotonic() - drawn > REDRAWN_S:
                    plots.curves(folder / "curves.png", run.rows)
                    drawn = time.monotonic()
                if settings.samples_every and (epoch + 1) % settings.samples_every == 0:
                    draw_samples(folder, run.truths.few(4), run.device)
                loggers.epoch(epoch + 1, {k: v for k, v in row.items() if k != "epoch"})
            run.save_last()  # after the rest: a run killed before it does the epoch again
            display.epoch(row, better=better)
            if epoch + 1 < settings.epochs and team.any(stopping()):
                display.stopped(folder)
            if settings.patience and run.at["since_best"] >= settings.patience:
                display.say(f"stopped early: no better validation Dice for {settings.patience} epochs")
                break
        display.say(_what_next(run))


def _what_next(run: Run) -> str:
    """Say which epoch was the best, and what can be done with its weights."""
    best = run.folder / "best.pt"
    epoch = run.at["epoch"] - run.at["since_best"]
    score = f", validation Dice {run.at['best']:.3f}" if run.at["best"] >= 0 else ""
    return (
        f"{best} has the weights of epoch {epoch}{score}; to measure them: unetfast eval {best} DATA; "
        f"to use them: unetfast run PHOTOS --model {best}"
    )


def _one_epoch(run: Run, epoch: int, display: Display, stopping: Callable[[], bool]) -> dict[str, Any]:
    """Train and validate; returns the epoch's numbers."""
    settings, state, at, steps = run.settings, run.state, run.at, run.batches.steps
    start, rate = time.monotonic() - at["seconds"], settings.lr
    updates = -(-steps // settings.accumulate)  # an epoch
    settled_epoch = max(
        settings.epochs - round(SETTLED_SHARE * settings.epochs), -(-SETTLED_STEPS // updates)
    )
    state.model.train()
    if epoch >= settled_epoch:
        # Not "is it that epoch": a run that goes on with fewer epochs may be past it already.
        settle_norms(state.model, state.average, first=not at["settled"])
    at["settled"] = epoch >= settled_epoch
    for step, (images, target) in run.batches.of_epoch(epoch, first_step=at["step"]):
        logits, loss = run.gradients(images, target)
        run.tally.add(logits, target, loss)
        display.step(epoch, step, loss)
        # The last batches of an epoch may be fewer than `accumulate`; they make a step too.
        if (step + 1) % settings.accumulate and step + 1 < steps:
            continue
        rate = _update(run, epoch * steps + step)
        if step + 1 < steps and run.team.any(stopping()):
            at |= {"epoch": epoch, "step": step + 1, "seconds": time.monotonic() - start}
            run.save_last()
            display.stopped(run.folder)

    # Measure the averaged weights on whole images; they are what is kept.
    seconds = time.monotonic() - start
    run.team.share_buffers(state.average.model)
    scored, val_loss = validate(state.average.model, run.truths, run.spec, run.loss_of, run.device, run.team)
    return {
        "epoch": epoch + 1,
        "lr": rate,
        **run.tally.close(run.team, steps),
        "val_loss": val_loss,
        **{f"val_{name}": value for name, value in scored.headline().items()},
        "threshold": scored.threshold,
        "images_per_s": steps * settings.batch * run.team.size / seconds,
        "seconds": time.monotonic() - start,
    }


def _update(run: Run, step: int) -> float:
    """Move the weights along the gradients that have been gathered; returns the learning rate."""
    settings, state = run.settings, run.state
    rate = learning_rate(
        step,
        settings.epochs * run.batches.steps,
        peak=settings.lr,
        warmup=settings.warmup,
        kind=settings.schedule,
    )
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.scaler.unscale_(state.optimizer)
    if settings.clip:
        torch.nn.utils.clip_grad_norm_(state.model.parameters(), settings.clip)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    run.at["updates"] += 1
    state.average.update(state.model, run.at["updates"])
    return rate


def _keep(run: Run, row: dict[str, Any]) -> bool:
    """Write an epoch's numbers, and the weights where they are the best so far; returns whether they are."""
    run.rows.append(row)
    # NaN, where there is nothing to validate on: the newest is the best.
    better = not row["val_dice"] <= run.at["best"]
    run.at |= {
        "epoch": row["epoch"],
        "step": 0,
        "seconds": 0.0,
        "since_best": 0 if better else run.at["since_best"] + 1,
    }
    if better:
        run.at["best"] = row["val_dice"]
    if run.team.leads:
        run_folder.write_table(run.folder / run_folder.RESULTS, run.rows)
        if better:
            save_best(run.folder / "best.pt", run.state.average.model, run.spec, row, run.truths.few(4))
    return better
