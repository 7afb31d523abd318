"""The training loss and score of an epoch, summed on the device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from unetfast.metrics import scores
from unetfast.spec import IGNORE
from unetfast.train.ddp import Team

__all__ = ["Tally"]


class Tally:
    """Sums over the steps of an epoch."""

    def __init__(self, classes: int, device: torch.device) -> None:
        self._classes = classes
        self._loss = torch.zeros((), dtype=torch.float64, device=device)
        self._confusion = torch.zeros(classes**2, dtype=torch.int64, device=device)

    def add(self, logits: Tensor, target: Tensor, loss: Tensor) -> None:
        """Take in a step: (N, K, H, W) logits, (N, H, W) uint8 class ids, its loss."""
        labels = (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(dim=1)
        # Ignored pixels are counted behind the others: picking them out would wait for the device.
        cells = self._classes**2
        pairs = torch.where(target == IGNORE, cells, target.long() * self._classes + labels)
        self._confusion += torch.bincount(pairs.flatten(), minlength=cells + 1)[:cells]
        self._loss += loss

    def close(self, team: Team, steps: int) -> dict[str, float]:
        """Return the epoch's mean loss and pooled scores over all processes, and start anew."""
        state = self.state(team)
        self._loss.zero_()
        self._confusion.zero_()
        counts = state["confusion"].numpy().reshape(self._classes, self._classes)
        found = scores(counts)
        # Two classes are a binary task, whose score is the foreground's.
        counted = slice(1, 2) if self._classes == 2 else slice(None)
        return {
            "train_loss": float(state["loss"].numpy()) / steps / team.size,
            "train_dice": float(np.nanmean(found["dice"][counted])),
            "train_iou": float(np.nanmean(found["iou"][counted])),
        }

    def state(self, team: Team) -> dict[str, Tensor]:
        """Return the sums over all processes."""
        return {
            "loss": team.total(self._loss.clone()).cpu(),
            "confusion": team.total(self._confusion.clone()).cpu(),
        }

    def load(self, state: dict[str, Tensor], team: Team) -> None:
        """Go on from sums over all processes: rank 0 takes them."""
        if team.leads:
            self._loss.copy_(state["loss"])
            self._confusion.copy_(state["confusion"])
