"""Batches of training images: the same for the same seed, whoever reads them and in how many processes."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from unetfast.data.augment import NONE, Augmentation
from unetfast.data.dataset import Crops
from unetfast.data.encoding import LabelEncoding
from unetfast.machine import available_cores
from unetfast.spec import ModelSpec, Sample
from unetfast.train.ddp import Team
from unetfast.train.settings import TrainSettings

__all__ = ["Batches"]

_AUGMENTATIONS = {"full": Augmentation(), "upright": Augmentation(turn=False), "none": NONE}


class Batches:
    """Batches of every epoch, on the device.

    An item depends only on the seed, the epoch and its place in the epoch, so there is no sampler
    state to save: a run that stopped after step s goes on with the items of step s + 1. Under
    torchrun each process takes its part of what one process would put into one large batch.

    Attributes
    ----------
    steps : int
        Batches of an epoch, all of one size; the last is filled up from the epoch's beginning.
    cached : bool
        Whether the decoded images are in memory.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        encoding: LabelEncoding,
        spec: ModelSpec,
        settings: TrainSettings,
        team: Team,
        device: torch.device,
    ) -> None:
        crops = Crops(
            samples,
            encoding,
            spec.preprocess.channels,
            settings.imgsz,
            whole=settings.resize,
            crops=settings.crops,
            foreground=settings.foreground,
            augmentation=_AUGMENTATIONS[settings.augment],
            seed=settings.seed,
            cache=settings.cache,
        )
        self.cached = crops.cached
        self.steps = -(-len(crops) // (settings.batch * team.size))
        self._plan = _Plan(len(crops), self.steps, settings.batch, team)
        self._device = device
        workers = settings.workers if settings.workers >= 0 else min(8, available_cores() - 1)
        self._loader = DataLoader(
            crops,
            batch_sampler=self._plan,
            collate_fn=_collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=_quiet_worker,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # so that it draws nothing from the generator that is saved
        )

    def of_epoch(self, epoch: int, first_step: int = 0) -> Iterator[tuple[int, tuple[Tensor, Tensor]]]:
        """Iterate over an epoch from a step on.

        Yields
        ------
        int
            The step.
        (N, H, W, C) uint8 Tensor, (N, H, W) uint8 Tensor
            Images and class ids, 255 where a pixel does not count.
        """
        self._plan.epoch, self._plan.first_step = epoch, first_step
        for step, (images, target) in enumerate(self._loader, first_step):
            moved = (x.to(self._device, non_blocking=True) for x in (images, target))
            yield step, (next(moved), next(moved))


class _Plan:
    """Which items make the batches of an epoch: a sampler for DataLoader."""

    def __init__(self, items: int, steps: int, batch: int, team: Team) -> None:
        self._items, self._steps, self._batch, self._team = items, steps, batch, team
        self.epoch = self.first_step = 0

    def __len__(self) -> int:
        return self._steps - self.first_step

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in range(self.first_step, self._steps):
            first = (step * self._team.size + self._team.rank) * self._batch
            yield [(self.epoch, place % self._items) for place in range(first, first + self._batch)]


def _collate(items: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    return torch.stack([image for image, _ in items]), torch.stack([labels for _, labels in items])


def _quiet_worker(_: int) -> None:
    """Leave it to the loop what signals to the whole process group mean: it still needs batches.

    Ctrl-C is ignored. So is the first SIGTERM, say of a batch system that stops the job; the second
    is torch's own, for a worker that has not ended when it should.
    """

    def once(number: int, frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, once)
