"""Outlines drawn as label maps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unetfast.data.user_values import is_background, is_void
from unetfast.errors import DatasetError
from unetfast.imaging import Picture, orient
from unetfast.spec import IGNORE, Sample

__all__ = ["Outline", "Rings", "Runs", "Starts", "class_names", "decode_runs", "drawn"]

Ring = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Rings:
    """Polygons around an object.

    Attributes
    ----------
    rings : tuple of tuple of (float, float)
        Points (x, y) in px; pixel (0, 0) covers 0..1.
    holes : bool
        A ring inside another one is a hole; otherwise it is filled as well.
    relative : bool
        The points are fractions of the image's width and height, not px.
    size : (int, int) or None
        Height and width of the image that was drawn on, where the tool says so.
    """

    rings: tuple[Ring, ...]
    holes: bool = False
    relative: bool = False
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Runs:
    """A mask of an image of this height and width, run-length encoded as :func:`decode_runs` reads it."""

    size: tuple[int, int]
    counts: str | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Starts:
    """Start and length of each run of the object, in turn, counted from 1 down the image's columns.

    Or along its rows, where `by_rows` says so.
    """

    runs: tuple[int, ...]
    by_rows: bool = False


Outline = Rings | Runs | Starts


def class_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the classes that outlines of these names make, the background first.

    As in masks, a name such as "void" or LabelMe's "__ignore__" means that its pixels do not count.
    """
    return ("background", *(name for name in names if not is_background(name) and not is_void(name)))


def drawn(sample: Sample, classes: Sequence[str], picture: Picture) -> tuple[NDArray[np.uint8], int]:
    """Draw a sample's outlines, and count those that mark no pixel.

    Large areas are drawn before small ones, so that what lies on something stays visible.

    Returns
    -------
    (H, W) uint8
        Class ids at the image's size; 255 where a pixel does not count.
    int
        Outlines inside which no pixel has its centre: they are thinner than a pixel, or lie outside.

    Raises
    ------
    DatasetError
        When a class is unknown, a point lies far outside the image, or the image is not of the size
        that was drawn on.
    """
    height, width = picture.pixels.shape[:2]
    shapes = [(name, _shape(outline, picture, str(sample.image))) for name, outline in sample.polygons]
    reach = np.array([shape.reach for _, shape in shapes] or [(0, 0)]).max(axis=0)
    # Tools that ignore EXIF draw on the photo as it is stored: then x runs along the upright height.
    as_stored = picture.orientation >= 5 and (reach[0] > width + 1 or reach[1] > height + 1)
    labels = np.zeros((width, height) if as_stored else (height, width), np.uint8)
    lost = 0
    for name, shape in sorted(shapes, key=lambda item: -item[1].area):
        if max(shape.reach) > 4 * max(height, width) + 16:
            raise DatasetError(f"{sample.image}: a polygon of {name!r} lies far outside the image")
        lost += not shape.fill(labels, _class_id(name, classes, sample))
    return np.ascontiguousarray(orient(labels, picture.orientation)) if as_stored else labels, lost


def _class_id(name: str, classes: Sequence[str], sample: Sample) -> int:
    if name in classes:
        return classes.index(name)
    if is_background(name) or is_void(name):
        return IGNORE if is_void(name) else 0
    raise DatasetError(f"{sample.image}: a polygon of class {name!r}; known are {', '.join(classes)}")


def _shape(outline: Outline, picture: Picture, source: str) -> _Polygons | _Mask:
    """Return an outline ready to be drawn on its image."""
    height, width = picture.pixels.shape[:2]
    if isinstance(outline, Starts):
        return _Mask((height, width), _counts(outline.runs, height * width), source, by_rows=outline.by_rows)
    sizes = ((height, width), (width, height)) if picture.orientation >= 5 else ((height, width),)
    if outline.size and outline.size not in sizes:  # before memory is taken for a mask
        raise DatasetError(
            f"{source}: {width}x{height} px, but its outlines were drawn on {outline.size[1]}x"
            f"{outline.size[0]} px; take the images that were annotated, or scale the outlines with them"
        )
    if isinstance(outline, Runs):
        return _Mask(outline.size, outline.counts, source)
    scale = (width, height) if outline.relative else (1, 1)
    rings = [np.asarray(ring, np.float64) * scale for ring in outline.rings if len(ring) >= 3]
    return _Polygons(rings, outline.holes, source)


def _counts(runs: Sequence[int], pixels: int) -> tuple[int, ...]:
    """Turn starts and lengths into lengths of 0 and 1 in turn; what does not fit is refused by its sum."""
    counts, at = [], 0
    for start, length in sorted(zip(runs[::2], runs[1::2], strict=True)):
        counts += [start - 1 - at, length]
        at = start - 1 + length
    return (*counts, pixels - at)


class _Polygons:
    """Rings of (N, 2) float64 in px."""

    def __init__(self, rings: list[NDArray[np.float64]], holes: bool, source: str) -> None:
        if not all(np.isfinite(ring).all() for ring in rings):
            raise DatasetError(f"{source}: a polygon has coordinates that are not numbers")
        self.together = [rings] if holes and rings else [[ring] for ring in rings]
        points = np.concatenate(rings) if rings else np.zeros((1, 2))
        self.reach = (float(np.abs(points[:, 0]).max()), float(np.abs(points[:, 1]).max()))
        self.area = sum(map(_area, rings))

    def fill(self, labels: NDArray[np.uint8], class_id: int) -> int:
        """Write the class id into the pixels inside; returns how many they are."""
        return sum(_fill(labels, rings, class_id) for rings in self.together)


class _Mask:
    """The pixels of a run-length encoding."""

    def __init__(
        self, size: tuple[int, int], counts: str | Sequence[int], source: str, *, by_rows: bool = False
    ) -> None:
        self.source = source
        self.inside = (
            decode_runs(*size[::-1], counts, source).T if by_rows else decode_runs(*size, counts, source)
        )
        self.reach = (float(size[1]), float(size[0]))
        self.area = float(self.inside.sum())

    def fill(self, labels: NDArray[np.uint8], class_id: int) -> int:
        """Write the class id into the pixels inside; returns how many they are."""
        if self.inside.shape != labels.shape:  # outlines beside it are drawn on the photo as it is stored
            raise DatasetError(f"{self.source}: a run-length mask has another size than the image")
        labels[self.inside] = class_id
        return int(self.area)


def _fill(labels: NDArray[np.uint8], rings: Sequence[NDArray[np.float64]], class_id: int) -> int:
    """Fill the pixels whose centres lie inside rings, by the even-odd rule.

    OpenCV's fillPoly also fills what the outline touches: an outline of 25 px is 26 px wide there.
    """
    height, width = labels.shape
    here = np.concatenate(rings) - 0.5
    there = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings]) - 0.5
    upwards = here[:, 1:] > there[:, 1:]
    low, high = np.where(upwards, there, here), np.where(upwards, here, there)
    first, last = (np.ceil(end[:, 1]).clip(0, height).astype(np.int64) for end in (low, high))
    rows = last - first  # that an edge crosses
    edge = np.repeat(np.arange(len(here)), rows)
    row = np.arange(len(edge)) - np.repeat(rows.cumsum() - rows, rows) + first[edge]
    low, high = low[edge], high[edge]
    x = low[:, 0] + (row - low[:, 1]) * (high[:, 0] - low[:, 0]) / (high[:, 1] - low[:, 1])
    column = np.ceil(x).clip(0, width).astype(np.int64)
    if not len(row) or column.min() == column.max():
        return 0
    box = slice(row.min(), row.max() + 1), slice(column.min(), column.max())
    shape = box[0].stop - box[0].start, box[1].stop - box[1].start + 1
    crossed = np.bincount(
        (row - box[0].start) * shape[1] + column - box[1].start, minlength=shape[0] * shape[1]
    )
    inside = np.logical_xor.accumulate((crossed & 1).reshape(shape).astype(bool), axis=1)[:, :-1]
    labels[box][inside] = class_id
    return int(inside.sum())


def decode_runs(height: int, width: int, counts: str | Sequence[int], source: str) -> NDArray[np.bool_]:
    """Decode a COCO run-length mask: runs of 0 and 1 in turn, down the columns.

    Parameters
    ----------
    height, width : int
    counts : str or sequence of int
        Lengths; a string holds differences to the length before the last, in units of 5 bits, low
        first, each a character from 48 on, bit 5 saying that more follow (pycocotools' maskApi).
    source : str
        For messages.

    Returns
    -------
    (height, width) bool

    Raises
    ------
    DatasetError
        When the runs do not fill the mask.
    """
    lengths = _run_lengths(counts) if isinstance(counts, str) else list(counts)
    if min(lengths, default=0) < 0 or sum(lengths) != height * width:
        raise DatasetError(f"{source}: a run-length mask does not fill its {width}x{height} pixels")
    values = np.arange(len(lengths)) % 2 == 1
    return np.ascontiguousarray(np.repeat(values, lengths).reshape(width, height).T)


def _run_lengths(text: str) -> list[int]:
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    return lengths


def _area(ring: NDArray[np.float64]) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)
