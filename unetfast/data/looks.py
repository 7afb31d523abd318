"""Every sample of a data set read once: what the doctor judges by."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from unetfast.data.collection import DataSet
from unetfast.data.encoding import LabelEncoding
from unetfast.data.labels import read_labels
from unetfast.data.lookalikes import Fingerprint, fingerprint
from unetfast.data.polygons import drawn
from unetfast.data.survey import MaskStats
from unetfast.data.threads import Progress, counted, in_threads
from unetfast.errors import UnetfastError
from unetfast.imaging import Picture, narrow_range, read
from unetfast.spec import Sample

__all__ = ["Look", "look_at_all"]


@dataclass(frozen=True)
class Look:
    """What reading one sample told.

    Attributes
    ----------
    shape, mask_shape : (int, int)
    channels : int
    stack : bool
        The channels are measurements of their own.
    partly : bool
        Most of it is half transparent, if its last channel is alpha.
    orientation : int
        Of EXIF, 1 .. 8.
    narrow : (int, int) or None
        The least and greatest sample of 16 bits, where a network sees little of so few.
    digest : str
        Of the pixels.
    print : Fingerprint or None
    counts : dict of int to int
        Pixels of each class id.
    lost : int
        Outlines that mark no pixel.
    error : str or None
        Why it cannot be read.
    """

    shape: tuple[int, int] = (0, 0)
    channels: int = 0
    stack: bool = False
    partly: bool = False
    orientation: int = 1
    narrow: tuple[int, int] | None = None
    digest: str = ""
    print: Fingerprint | None = None
    counts: dict[int, int] = field(default_factory=dict)
    mask_shape: tuple[int, int] = (0, 0)
    lost: int = 0
    error: str | None = None


def look_at_all(dataset: DataSet, progress: Progress | None) -> list[Look]:
    """Read every sample, in order; `progress` is called with the number of those read and their total."""
    stats = dataset.survey.stats if dataset.survey else [MaskStats() for _ in dataset.samples]
    pairs = zip(dataset.samples, stats, strict=True)
    looks = in_threads(lambda pair: _look_at(*pair, dataset.encoding), pairs)
    return list(counted(looks, len(dataset.samples), progress))


def _look_at(sample: Sample, stat: MaskStats, encoding: LabelEncoding) -> Look:
    try:
        picture = read(sample.image, pages=True)
        counts, mask_shape, lost = _truth(sample, stat, encoding, picture)
    except UnetfastError as exc:
        return Look(error=str(exc))
    pixels = picture.pixels
    return Look(
        shape=(pixels.shape[0], pixels.shape[1]),
        channels=pixels.shape[2],
        stack=picture.stack,
        partly=_partly_transparent(picture),
        orientation=picture.orientation,
        narrow=narrow_range(pixels),
        digest=hashlib.blake2b(pixels.tobytes(), digest_size=16).hexdigest(),
        print=fingerprint(pixels),
        counts=counts,
        mask_shape=mask_shape,
        lost=lost,
    )


def _partly_transparent(picture: Picture) -> bool:
    """Whether alpha takes most pixels between 0 and all, as a channel that was measured would."""
    pixels = picture.pixels
    if picture.stack or pixels.shape[2] not in (2, 4):
        return False
    alpha = pixels[:, :, -1]
    full = 1 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max
    return bool(2 * np.count_nonzero((alpha > 0) & (alpha < full)) > alpha.size)


def _truth(
    sample: Sample, stat: MaskStats, encoding: LabelEncoding, picture: Picture
) -> tuple[dict[int, int], tuple[int, int], int]:
    if sample.reader == "polygons":
        labels, lost = drawn(sample, encoding.classes, picture)
    elif not sample.masks:
        return {0: picture.pixels.shape[0] * picture.pixels.shape[1]}, (0, 0), 0
    elif sample.reader == "classes":
        labels, lost = read_labels(sample, encoding), 0
    else:
        return encoding.counts_of(stat.counts), stat.shape, 0
    numbers = np.bincount(labels.ravel())
    counts = {int(i): int(numbers[i]) for i in np.flatnonzero(numbers)}
    return counts, (labels.shape[0], labels.shape[1]), lost
