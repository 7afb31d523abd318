"""What happens between two epochs: measure the averaged weights, keep the best, draw."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unetfast import checkpoint
from unetfast.backends import torch_
from unetfast.backends.torch_ import TorchBackend
from unetfast.backends.whole import label_predictor, predictor
from unetfast.data.encoding import LabelEncoding
from unetfast.evaluate import Evaluation, Pair, read_pairs, score
from unetfast.losses import Loss
from unetfast.preprocess import fit
from unetfast.report import plots
from unetfast.spec import ModelSpec, Sample
from unetfast.train.ddp import Team

__all__ = ["Truths", "draw_samples", "save_best", "validate"]

TILE_PX = 1024
PARITY_PX = 640  # of each side of the images kept in a checkpoint, so that it stays small


class Truths:
    """The validation images, kept in memory where `cached`.

    Iterating gives this process's share of (id, image, truth).
    """

    def __init__(
        self, samples: Sequence[Sample], encoding: LabelEncoding, channels: int, team: Team, *, cached: bool
    ) -> None:
        self._samples, self._encoding, self._channels = samples, encoding, channels
        self._mine = samples[team.rank :: team.size]
        self._kept = list(self._read(self._mine)) if cached else None

    def _read(self, samples: Sequence[Sample]) -> Iterator[Pair]:
        return read_pairs(samples, self._encoding, self._channels)

    def __iter__(self) -> Iterator[Pair]:
        return self._read(self._mine) if self._kept is None else iter(self._kept)

    def few(self, count: int) -> list[Pair]:
        """Return some pairs, spread over the whole set."""
        step = max(1, len(self._samples) // count)
        return list(self._read(self._samples[::step][:count]))


def validate(
    model: nn.Module, truths: Truths, spec: ModelSpec, loss_of: Loss, device: torch.device, team: Team
) -> tuple[Evaluation, float]:
    """Measure a network that is in eval mode on whole images.

    Returns
    -------
    Evaluation
        Of the images of all processes; a binary one at the threshold of its best pooled Dice.
    float
        The mean of the images' losses; NaN without images.
    """
    predict = predictor(TorchBackend(model, spec.replace(output="prob"), str(device)), TILE_PX)
    mine = []
    for id_, image, truth in truths:
        answer = predict(image)
        loss = loss_of(_logits(answer), torch.from_numpy(truth)[None]).item()
        mine.append((score(id_, truth, answer, spec), loss))
    everyone = team.gather(mine)
    binary = spec.task == "binary"
    found = Evaluation([image for image, _ in everyone], spec.classes, binary, spec.threshold)
    if binary and everyone:
        found = found.at(found.best_threshold())
    return found, float(np.mean([loss for _, loss in everyone])) if everyone else float("nan")


def _logits(answer: NDArray[np.float32]) -> Tensor:
    """Logits that have these probabilities: (1, K, H, W); of (H, W, K)."""
    prob = torch.from_numpy(answer).permute(2, 0, 1)[None].clamp(1e-6, 1 - 1e-6)
    return prob.logit() if prob.shape[1] == 1 else prob.log()


def save_best(
    path: Path, model: nn.Module, spec: ModelSpec, row: dict[str, Any], pairs: Sequence[Pair]
) -> None:
    """Write the checkpoint to run and export: the weights, and what they answer on a few real images.

    The answers are computed on the CPU, where exports are compared with them. `row` has the epoch's numbers:
    they are stored, and their threshold becomes the model's.
    """
    metrics = {name: value for name, value in row.items() if not math.isnan(value)}  # JSON has no NaN
    spec = spec.replace(threshold=row["threshold"], training={**spec.training, "metrics": metrics})
    model = copy.deepcopy(model)
    backend = TorchBackend(model, spec.replace(output="mask"), "cpu")
    images, labels = [], []
    for _, image, _ in pairs:
        fitted = np.ascontiguousarray(fit(image[:PARITY_PX, :PARITY_PX], spec, PARITY_PX)[0][1])
        images.append(torch.from_numpy(fitted))
        labels.append(torch.from_numpy(backend.infer(fitted[None])[0].astype(np.uint8)))
    checkpoint.save(
        path, model_state=model.state_dict(), spec=spec, parity_images=images, parity_labels=labels
    )


def draw_samples(folder: Path, pairs: Sequence[Pair], device: torch.device) -> None:
    """Draw images, truths and the best checkpoint's predictions side by side: ``val_samples.png``."""
    weights = folder / "best.pt"
    if not pairs or not weights.exists():
        return
    backend = torch_.load(weights, device=str(device))
    predict = label_predictor(backend, TILE_PX)
    rows = [(id_, image, truth, predict(image)) for id_, image, truth in pairs]
    metrics = backend.spec.training.get("metrics", {})
    epoch, dice = metrics.get("epoch", "?"), metrics.get("val_dice", float("nan"))
    plots.compare(
        folder / "val_samples.png",
        rows,
        backend.spec.classes,
        f"{weights}, epoch {epoch}, validation Dice {dice:.3f}",
    )
