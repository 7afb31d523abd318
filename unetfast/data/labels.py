"""An image and the class ids of its pixels, as its sample's masks or outlines say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetfast.data.encoding import LabelEncoding
from unetfast.data.masks import read_masks
from unetfast.data.polygons import drawn
from unetfast.errors import DatasetError
from unetfast.imaging import Picture, orient, read, resize
from unetfast.spec import IGNORE, Sample

__all__ = ["read_labels", "read_pair", "shrunk", "size_relation"]

_OFF_BY_PX = 2  # masks may be so much larger or smaller than their image; both are cut to what they share


def read_labels(sample: Sample, encoding: LabelEncoding) -> NDArray[np.uint8]:
    """Return the class ids of a sample at the size of its masks, of which it has some; several are merged.

    Of masks of single classes the last lies on top; where others overlap the higher class id wins. Any
    class wins over "does not count".

    Returns
    -------
    (H, W) uint8
    """
    maps = _maps(sample, encoding)
    return _layered(sample, list(maps), encoding) if sample.reader == "classes" else reduce(_merged, maps)


def _maps(sample: Sample, encoding: LabelEncoding) -> Iterator[NDArray[np.uint8]]:
    """Yield the class ids that each mask says, all of one size: there may be hundreds, of an object each."""
    of_classes = sample.reader == "classes"
    readings = [reading for _, reading in sample.layers] if of_classes else [encoding] * len(sample.masks)
    before: NDArray[np.uint8] | None = None
    for ref, mask, reading in zip(sample.masks, read_masks(sample), readings, strict=True):
        labels = reading.apply(mask, str(ref))
        if before is not None and labels.shape != before.shape:
            raise DatasetError(f"{ref}: {_size(labels)}, but the masks before it are {_size(before)}")
        yield labels
        before = labels


def _merged(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    # 255 + 1 wraps to 0: "does not count" sorts below every class.
    return np.asarray(np.maximum(one + np.uint8(1), other + np.uint8(1)) - np.uint8(1), np.uint8)


def _layered(sample: Sample, maps: Sequence[NDArray[np.uint8]], encoding: LabelEncoding) -> NDArray[np.uint8]:
    labels = np.zeros_like(maps[0])
    for ref, (name, _), marked in zip(sample.masks, sample.layers, maps, strict=True):
        if name not in encoding.classes:
            raise DatasetError(f"{ref}: a mask of {name!r}; known are {', '.join(encoding.classes)}")
        labels[(marked == IGNORE) & (labels == 0)] = IGNORE
        labels[marked == 1] = encoding.classes.index(name)
    return labels


def read_pair(
    sample: Sample, encoding: LabelEncoding, channels: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read one sample as a network sees it.

    Parameters
    ----------
    sample : Sample
    encoding : LabelEncoding
    channels : int
        1 (grey), 3 (RGB), or as many as the image has.

    Returns
    -------
    image : (H, W, channels) uint8
        Upright.
    labels : (H, W) uint8
        Class ids; 255 where a pixel does not count.

    Raises
    ------
    ImageError
        When a file cannot be read, or has other channels.
    DatasetError
        When the mask does not fit the image or holds unknown values.
    """
    picture = read(sample.image, pages=True)
    image = picture.input_of(channels)
    if sample.reader == "polygons":
        labels, _ = drawn(sample, encoding.classes, picture)
    elif not sample.masks:
        labels = np.zeros(picture.pixels.shape[:2], np.uint8)
    else:
        labels = _fit_to_image(read_labels(sample, encoding), picture, sample)
    height, width = labels.shape
    return np.ascontiguousarray(image[:height, :width]), labels


def _fit_to_image(labels: NDArray[np.uint8], picture: Picture, sample: Sample) -> NDArray[np.uint8]:
    """Bring labels to the size of their image.

    A mask drawn on a photo as it is stored, not as it is shown, is turned with it. One that is
    smaller or larger by a whole factor is resized. One that is a pixel or two larger or smaller
    is cut, and so is the image.

    Returns
    -------
    (H, W) uint8
        At most so much smaller than the image as the mask was.

    Raises
    ------
    DatasetError
        When the sizes have nothing to do with each other.
    """
    height, width = picture.pixels.shape[:2]
    relation = size_relation(labels.shape, (height, width), picture.orientation)
    if relation == "same":
        return labels
    if relation == "turned":
        return np.ascontiguousarray(orient(labels, picture.orientation))
    if relation == "larger":
        return resize(labels, height, width, labels=True)
    if relation == "smaller":
        return shrunk(labels, labels.shape[0] // height)
    if relation == "cut":
        return np.ascontiguousarray(labels[:height, :width])
    mask = (
        sample.masks[0] if len(sample.masks) == 1 else f"{sample.masks[0]} and {len(sample.masks) - 1} more"
    )
    raise DatasetError(
        f"{mask}: {_size(labels)}, but its image {sample.image.name} is {width}x{height}; "
        "a mask must have its image's size or a whole multiple or part of it"
    )


def size_relation(mask: tuple[int, ...], image: tuple[int, int], orientation: int = 1) -> str:
    """Return how a mask's size fits its image's.

    Parameters
    ----------
    mask, image : (int, int)
        Heights and widths, the image's upright.
    orientation : int
        The EXIF orientation the image was stored with.

    Returns
    -------
    {"same", "turned", "larger", "smaller", "cut", "unrelated"}
        What has to be done to the mask: nothing, turn it, make it larger or smaller by a whole
        factor, cut it.
    """
    (mh, mw), (h, w) = (mask[0], mask[1]), image
    if (mh, mw) == (h, w):
        return "same"
    if orientation >= 5 and (mh, mw) == (w, h):
        return "turned"
    if h % mh == 0 and w % mw == 0 and h // mh == w // mw:
        return "larger"
    if mh % h == 0 and mw % w == 0 and mh // h == mw // w:
        return "smaller"
    return "cut" if abs(mh - h) <= _OFF_BY_PX and abs(mw - w) <= _OFF_BY_PX else "unrelated"


def shrunk(labels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Make labels smaller by a factor of both sides; thin lines survive, since the highest class id wins."""
    h, w = labels.shape[0] // factor, labels.shape[1] // factor
    blocks = (labels + np.uint8(1)).reshape(h, factor, w, factor)  # 255 becomes 0, below every class
    return np.ascontiguousarray(blocks.max(axis=(1, 3)) - np.uint8(1))


def _size(array: NDArray[Any]) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
