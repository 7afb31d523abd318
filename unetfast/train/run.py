"""What a session of training works with, from its first step to its last."""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from unetfast import checkpoint
from unetfast.data import DataSet
from unetfast.errors import ArtifactError, DatasetError
from unetfast.evaluate import read_pairs
from unetfast.losses import Loss, loss_function
from unetfast.models.deployable import Deployable
from unetfast.spec import ModelSpec, Sample
from unetfast.train import prepare, run_folder
from unetfast.train import start as starting
from unetfast.train.batches import Batches
from unetfast.train.ddp import Team
from unetfast.train.settings import TrainSettings
from unetfast.train.state import TrainState
from unetfast.train.tally import Tally
from unetfast.train.validate import Truths

__all__ = ["Run", "open_run"]

log = logging.getLogger(__name__)

# Forward and backward of a batch, (N, H, W, C) uint8 and (N, H, W) uint8; gives logits and loss.
Gradients = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass
class Run:
    """A training under way.

    Attributes
    ----------
    settings : TrainSettings
    folder : Path
        Where everything is written.
    team : Team
        The processes that train together.
    device : torch.device
    amp : torch.dtype or None
        Of mixed precision.
    spec : ModelSpec
    state : TrainState
        The network, its average and the optimiser.
    loss_of : Loss
    gradients : callable
        Forward and backward of a batch.
    batches : Batches
    truths : Truths
        What to validate on.
    tally : Tally
        Of the epoch in hand.
    pixels : (K,) int64
        Of each class in the training labels.
    at : dict
        How far it is: epoch, step, updates, the best validation Dice, epochs since then, the seconds
        that the epoch in hand has taken so far, and whether the batch norms have settled.
    rows : list of dict
        The finished epochs' numbers.
    """

    settings: TrainSettings
    folder: Path
    team: Team
    device: torch.device
    amp: torch.dtype | None
    spec: ModelSpec
    state: TrainState
    loss_of: Loss
    gradients: Gradients
    batches: Batches
    truths: Truths
    tally: Tally
    pixels: NDArray[np.int64]
    at: dict[str, Any]
    rows: list[dict[str, Any]]

    def save_last(self) -> None:
        """Write ``last.pt``, from which training goes on exactly where it is now."""
        self.at["tally"] = self.tally.state(self.team)
        if self.team.leads:
            checkpoint.save(
                self.folder / "last.pt",
                model_state=self.state.average.model.state_dict(),
                spec=self.spec,
                training_state=self.state.snapshot(self.at),
            )


def open_run(settings: TrainSettings, data: DataSet, resume: Path | None, team: Team) -> Run:
    """Make everything ready for the next step of a new run, or of the stopped one in the folder `resume`.

    Raises
    ------
    ConfigError
        For settings that do not fit together.
    ArtifactError, DatasetError
        When a run cannot go on, or weights cannot be trained on.
    """
    device = prepare.device_of(settings.device, team.local_rank)
    amp = prepare.amp_type(settings.amp, device)
    data = data.keeping(team.agreed(data.together))  # rank 0 alone has looked for near twins
    samples, val_samples = data.split(settings.val_fraction, settings.seed)
    torch.manual_seed(settings.seed)
    saved = checkpoint.load(resume / "last.pt") if resume is not None else None
    before = saved or (starting.read(settings) if settings.weights else None)
    if before is not None:
        settings = dataclasses.replace(settings, arch=before.spec.arch)  # what args.toml is to say
    source = settings.weights if resume is None else resume / "last.pt"
    spec, pixels, model = _network(settings, data, samples, val_samples, before, source)
    state = TrainState(model, settings, device, amp)
    weight = prepare.class_weights(settings.class_weights, pixels, device)
    loss_of = loss_function(settings.loss, len(spec.classes), weighted=weight is not None)
    tally, at = Tally(len(spec.classes), device), dict(_BEGINNING)
    if resume is not None and saved is not None:
        at |= state.restore(_state_of_same(resume, saved, spec, data), saved.model_state)
        tally.load(at.pop("tally"), team)
        if team.leads:
            _say_other_length(resume, saved.spec, settings)
    gradients = _forward_and_backward(state, spec, settings, loss_of, weight, team, device, amp)
    if settings.batch == 0:
        found = _largest_batch(gradients, state, spec, settings.imgsz, device)
        settings = dataclasses.replace(settings, batch=team.agreed(found))
    batches = Batches(samples, data.encoding, spec, settings, team, device)
    truths = Truths(val_samples, data.encoding, spec.preprocess.channels, team, cached=batches.cached)
    return Run(
        settings=settings,
        folder=team.agreed((resume or run_folder.new_folder(settings.output)) if team.leads else None),
        team=team,
        device=device,
        amp=amp,
        spec=spec,
        state=state,
        loss_of=loss_of,
        gradients=gradients,
        batches=batches,
        truths=truths,
        tally=tally,
        pixels=pixels,
        at=at,
        rows=run_folder.read_results(resume, at["epoch"]) if resume is not None else [],
    )


# How far a new run is; see Run.
_BEGINNING: dict[str, Any] = {
    **{"epoch": 0, "step": 0, "updates": 0, "best": -1.0, "since_best": 0, "seconds": 0.0},
    "settled": False,
}


def _state_of_same(
    folder: Path, saved: checkpoint.Checkpoint, spec: ModelSpec, data: DataSet
) -> dict[str, Any]:
    """Return the training state of a stopped run; raise where it cannot go on exactly as it would have."""
    if saved.training_state is None:
        raise ArtifactError(f"{folder}/last.pt: holds no training state to go on with")
    before, now = saved.spec.training["data"], spec.training["data"]
    if before | {"name": now["name"]} != now:  # it may lie in another folder by now
        raise DatasetError(
            f"{data.root}: is not what {folder} was trained on: files were added, taken away or changed in "
            "size; start a new run for it"
        )
    return saved.training_state


def _say_other_length(folder: Path, saved: ModelSpec, settings: TrainSettings) -> None:
    """Say that a run of another length follows another learning rate than one that had it from the start."""
    before = saved.training["settings"]["epochs"]
    if settings.epochs != before:
        log.warning(
            "%s: %d epochs in place of %d: the learning rate, and when batch norms settle, follow the new "
            "number from here on, so this is not what %d epochs from the start would give",
            folder,
            settings.epochs,
            before,
            settings.epochs,
        )


def _network(
    settings: TrainSettings,
    data: DataSet,
    train: Sequence[Sample],
    val: Sequence[Sample],
    before: checkpoint.Checkpoint | None,
    source: Path | str | None,
) -> tuple[ModelSpec, NDArray[np.int64], Any]:
    """Build the network with the weights to go on from; `source` is where they were read."""
    spec = prepare.describe(settings, data, train, val, before.spec if before is not None else None)
    pixels = prepare.count_pixels(train, data.encoding, spec)
    model = prepare.build(spec)
    few = train[:: -(-len(train) // 16)]
    pairs = read_pairs(few, data.encoding, spec.preprocess.channels)
    starting.begin(model, spec, before, pixels, pairs, source)
    return spec, pixels, model


def _forward_and_backward(
    state: TrainState,
    spec: ModelSpec,
    settings: TrainSettings,
    loss_of: Loss,
    weight: Tensor | None,
    team: Team,
    device: torch.device,
    amp: torch.dtype | None,
) -> Gradients:
    """Return forward and backward of a batch; gradients add up over ``settings.accumulate`` of them."""
    # The same weights as they are trained: compiled, over several processes, from uint8 to logits.
    network: nn.Module = torch.compile(state.model) if settings.compile else state.model  # type: ignore[assignment]
    if team.size > 1:
        network = DistributedDataParallel(network, device_ids=[device] if device.type == "cuda" else None)
    logits_of = Deployable(network, spec).to(device).logits

    def gradients(images: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(device.type, amp or torch.bfloat16, enabled=amp is not None):
            logits = logits_of(images)
        loss = loss_of(logits, target, weight)
        state.scaler.scale(loss / settings.accumulate).backward()  # type: ignore[no-untyped-call]
        return logits.detach(), loss.detach()

    return gradients


def _largest_batch(
    gradients: Gradients, state: TrainState, spec: ModelSpec, imgsz: int, device: torch.device
) -> int:
    """Find the largest batch that fits, and leave the network as it was."""
    untouched = copy.deepcopy(state.model.state_dict())
    found = prepare.largest_batch(gradients, spec, imgsz, device)
    state.model.load_state_dict(untouched)  # the attempts moved the batch norms
    state.optimizer.zero_grad(set_to_none=True)
    return found
