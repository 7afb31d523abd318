"""What a training loop draws its batches from."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from unetfast.data.augment import NONE, Augmentation, crop_at, recolour
from unetfast.data.encoding import LabelEncoding
from unetfast.data.labels import read_pair
from unetfast.data.threads import in_threads
from unetfast.errors import ConfigError
from unetfast.imaging import resize
from unetfast.spec import IGNORE, Sample

__all__ = ["Crops"]

_RAM_SHARE = 0.4  # of the free memory that "auto" may fill
_POINTS = 256  # kept of each class and image, to centre crops on

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


class Crops(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Square training crops of samples, the same for the same seed, epoch and index.

    ``crops[epoch, place]`` depends on nothing else, so it does not matter which process makes which
    crop, and an interrupted run continues exactly. The order of an epoch is drawn here, too: place
    0, 1, 2, … of an epoch are its crops in random order.

    Parameters
    ----------
    samples : sequence of Sample
    encoding : LabelEncoding
    channels : int
    size_px : int
        Side of the crops.
    whole : bool
        Resize whole images to `size_px` in place of cropping.
    crops : int
        Crops an image and epoch; 0: as many as cover an image of average size, 1 to 64.
    foreground : float
        Share of crops that are centred on a pixel of a class other than the background. Every
        such class of the image is as likely, so that rare ones are seen.
    augmentation : Augmentation
    seed : int
    cache : {"auto", "ram", "none"}
        Keep decoded images in memory. "auto" does where they take less than 40 % of what is free.

    Raises
    ------
    ConfigError
        For an unknown cache, or no samples.
    ImageError, DatasetError
        When a sample cannot be read.

    Attributes
    ----------
    cached : bool
        Whether the decoded images are in memory.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        encoding: LabelEncoding,
        channels: int,
        size_px: int,
        *,
        whole: bool = False,
        crops: int = 0,
        foreground: float = 0.5,
        augmentation: Augmentation = NONE,
        seed: int = 0,
        cache: str = "auto",
    ) -> None:
        if cache not in ("auto", "ram", "none"):
            raise ConfigError(f"cache must be auto, ram or none; got {cache!r}")
        if not samples:
            raise ConfigError("a training set needs at least one sample")
        self.samples, self.encoding, self.channels = list(samples), encoding, channels
        self.size_px, self.whole, self.foreground, self.seed = size_px, whole, foreground, seed
        self.augmentation = augmentation
        probe = [self._read(sample) for sample in self.samples[:: max(1, len(samples) // 8)][:8]]
        pixels = float(np.mean([labels.size for _, labels in probe]))
        needed = pixels * (channels + 1) * len(samples)
        self.cached = cache == "ram" or (cache == "auto" and needed < _RAM_SHARE * _free_bytes())
        covering = max(1, min(64, round(pixels / size_px**2)))
        self.crops = 1 if whole else crops or covering
        # Of one epoch; made again where it is missing.
        self._order: tuple[int, NDArray[np.int64]] | None = None
        self._pairs = list(in_threads(self._read, self.samples)) if self.cached else None
        self._points = [_class_points(labels) for _, labels in self._pairs] if self._pairs else None

    def _read(self, sample: Sample) -> Pair:
        image, labels = read_pair(sample, self.encoding, self.channels)
        if not self.whole:
            return image, labels
        side = self.size_px
        return resize(image, side, side), resize(labels, side, side, labels=True)

    def __len__(self) -> int:
        """Return the number of crops per epoch."""
        return len(self.samples) * self.crops

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return one crop.

        Parameters
        ----------
        key : (int, int)
            Epoch, and place in the epoch's order.

        Returns
        -------
        image : (size_px, size_px, C) uint8
        labels : (size_px, size_px) uint8
            Class ids; 255 where a pixel does not count.
        """
        epoch, place = key
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, np.random.default_rng((self.seed, epoch)).permutation(len(self))
        item = int(self._order[1][place])
        at = item // self.crops
        rng = np.random.default_rng((self.seed, epoch, item))
        image, labels = self._pairs[at] if self._pairs else self._read(self.samples[at])
        points = self._points[at] if self._points else None
        centre = self._centre(labels, points, rng)
        image, labels = crop_at(image, labels, centre, self.size_px, self.augmentation, rng)
        image = recolour(image, self.augmentation, rng)
        return torch.from_numpy(np.ascontiguousarray(image)), torch.from_numpy(labels)

    def _centre(
        self, labels: NDArray[np.uint8], points: NDArray[np.int64] | None, rng: np.random.Generator
    ) -> tuple[float, float]:
        height, width = labels.shape
        side = self.size_px
        if self.whole:
            return height / 2, width / 2
        if rng.random() < self.foreground:
            points = _class_points(labels) if points is None else points
            if len(points):
                choices = points[rng.integers(len(points))]
                y, x = divmod(int(choices[rng.integers(len(choices))]), width)
                # Anywhere in the middle half of the crop, so that nothing is learnt from the place.
                y, x = (
                    y + rng.integers(-side // 4, side // 4 + 1),
                    x + rng.integers(-side // 4, side // 4 + 1),
                )
                return _inside(y, height, side), _inside(x, width, side)
        return _anywhere(height, side, rng), _anywhere(width, side, rng)


def _anywhere(extent: int, side: int, rng: np.random.Generator) -> float:
    return extent / 2 if extent <= side else float(rng.integers(0, extent - side + 1)) + side / 2


def _inside(middle: float, extent: int, side: int) -> float:
    """Move a crop's centre so that the crop lies inside the image, where that is large enough."""
    if extent <= side:
        return extent / 2
    start = min(max(int(middle) - side // 2, 0), extent - side)
    return start + side / 2


def _class_points(labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return flat indices of pixels of each class but the background.

    Returns
    -------
    (K, P) int64
        One row per class that is there; P evenly spread pixels, repeated where a class has fewer.
    """
    flat = labels.ravel()
    at = np.flatnonzero((flat != 0) & (flat != IGNORE))
    if not at.size:
        return np.empty((0, _POINTS), np.int64)
    ids = flat[at]
    rows = []
    for class_id in np.unique(ids):
        of_class = at[ids == class_id]
        rows.append(of_class[np.linspace(0, len(of_class) - 1, _POINTS).astype(np.int64)])
    return np.stack(rows)


def _free_bytes() -> float:
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # not on this system: be careful
        return 2.0 * 2**30
