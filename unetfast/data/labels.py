"""Mask values become class ids: the encoding that a data set was found to use, and its reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from unetfast.data.masks import code_text, codes, distances, read_masks
from unetfast.errors import DatasetError, ImageError, InputError
from unetfast.imaging import MaskFile, Picture, network_input, orient, read, resize
from unetfast.spec import IGNORE, ModelSpec, Sample

__all__ = ["IGNORE", "NEAR", "LabelEncoding", "fit_to_image", "read_labels", "read_pair", "size_relation"]

_OFF_BY_PX = 2  # masks may be so much larger or smaller than their image; both are cut to what they share
NEAR = 24  # largest distance per channel between a smeared value and the value that is meant


@dataclass(frozen=True)
class LabelEncoding:
    """How the values of masks are read as class ids.

    Attributes
    ----------
    domain : {"grey", "index", "colour", "alpha", "polygons"}
        What a code is, see ``unetfast.data.masks``.
    rule : {"exact", "threshold", "nearest"}
        "threshold": two codes, a pixel takes the one on its side of the middle (anti-aliased and
        JPEG masks). "nearest": codes within a small distance count as the code itself, and pixels
        in between take the id of the nearest pixel that is clear (the smeared edges of more than
        two classes).
    table : tuple of (int, int)
        Code and class id; id 255 means that such pixels do not count.
    other : int or None
        Class id of codes not in the table; None: such a code is an error.
    classes : tuple of str
        Names by class id; id 0 is the background.
    """

    domain: str = "grey"
    rule: str = "threshold"
    table: tuple[tuple[int, int], ...] = ((0, 0), (255, 1))
    other: int | None = None
    classes: tuple[str, ...] = ("background", "foreground")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as they are stored in an artifact."""
        return {**asdict(self), "table": [list(row) for row in self.table], "classes": list(self.classes)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> LabelEncoding:
        """Read what :meth:`to_dict` wrote.

        Raises
        ------
        InputError
            When it is not that.
        """
        try:
            table = tuple((int(code), int(id_)) for code, id_ in raw["table"])
            other = raw.get("other")
            return cls(
                str(raw["domain"]),
                str(raw["rule"]),
                table,
                None if other is None else int(other),
                tuple(str(name) for name in raw["classes"]),
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise InputError(f"not a label encoding: {exc!r}") from exc

    @classmethod
    def of(cls, spec: ModelSpec) -> LabelEncoding | None:
        """Return the encoding that a model was trained with, None where its spec does not say.

        Raises
        ------
        InputError
            When what the spec says is no encoding.
        """
        return cls.from_dict(spec.label_encoding) if spec.label_encoding else None

    def apply(self, mask: MaskFile, name: str) -> NDArray[np.uint8]:
        """Return the class id of every pixel of a mask.

        Parameters
        ----------
        mask : MaskFile
        name : str
            Its path, for messages.

        Returns
        -------
        (H, W) uint8
            Class ids; 255 where a pixel does not count.

        Raises
        ------
        DatasetError
            When the mask holds a value that the encoding does not know.
        """
        found = codes(mask, self.domain)
        if self.rule == "threshold":
            return self.ids_of(found).astype(np.uint8)
        if self.rule == "nearest":
            return self._nearest(found, name)
        return self._exact(found, name)

    def ids_of(self, found: NDArray[np.int32]) -> NDArray[np.int16]:
        """Return the class id of each code, wherever it stands; -1 for unknown codes.

        Parameters
        ----------
        found : (...) int32

        Returns
        -------
        (...) int16
        """
        table = np.array(sorted(self.table), np.int32).reshape(-1, 2)
        codes_, ids = table[:, 0], table[:, 1].astype(np.int16)
        if self.rule == "threshold":
            return np.asarray(np.where(found > (codes_[0] + codes_[1]) // 2, ids[1], ids[0]))
        values, back = np.unique(found, return_inverse=True)
        if self.rule == "nearest":
            apart = distances(self.domain, values, self._codes)
            by_row = np.array([id_ for _, id_ in self.table], np.int16)
            return np.asarray(by_row[apart.argmin(axis=1)][back].reshape(found.shape))
        at = np.searchsorted(codes_, values).clip(0, len(codes_) - 1)
        unknown = np.int16(-1 if self.other is None else self.other)
        return np.asarray(np.where(codes_[at] == values, ids[at], unknown)[back].reshape(found.shape))

    @property
    def _codes(self) -> list[int]:
        return [code for code, _ in self.table]

    def _exact(self, found: NDArray[np.int32], name: str) -> NDArray[np.uint8]:
        labels = _lookup_table(self)[found]
        if labels.min() < 0:
            self._unknown(found[labels < 0], name)
        return labels.astype(np.uint8)

    def _nearest(self, found: NDArray[np.int32], name: str) -> NDArray[np.uint8]:
        values, back = np.unique(found, return_inverse=True)
        clear = (distances(self.domain, values, self._codes).min(axis=1) <= NEAR)[back].reshape(found.shape)
        labels = self.ids_of(found).astype(np.uint8)
        if clear.all() or len(self.table) == 2:  # between two nothing else can be meant
            return labels
        if not clear.any():
            self._unknown(found[~clear], name)
        _, zone = cv2.distanceTransformWithLabels(
            (~clear).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
        )
        by_zone = np.zeros(int(zone.max()) + 1, np.uint8)
        by_zone[zone[clear]] = labels[clear]
        return np.asarray(by_zone[zone], np.uint8)

    def _unknown(self, bad: NDArray[np.int32], name: str) -> None:
        shown = [code_text(self.domain, value) for value in np.unique(bad)[:6].tolist()]
        known = [code_text(self.domain, code) for code in self._codes[:16]]
        raise DatasetError(
            f"{name}: {bad.size} pixels hold {', '.join(shown)}; known mask values are {', '.join(known)}; "
            f"say what they mean, such as --mask-values {shown[0]}=ignore"
        )


@lru_cache(maxsize=4)
def _lookup_table(encoding: LabelEncoding) -> NDArray[np.int16]:
    """Return the class id of every code there can be; sorting a mask's pixels is twenty times slower."""
    size = 1 << 24 if encoding.domain == "colour" else 1 << 16
    table = np.full(size, -1 if encoding.other is None else encoding.other, np.int16)
    for code, id_ in encoding.table:
        table[code] = id_
    return table


def read_labels(sample: Sample, encoding: LabelEncoding) -> NDArray[np.uint8]:
    """Return the class ids of a sample at the size of its mask; several masks are merged.

    Where masks overlap the higher class id wins, and any class wins over "does not count".

    Returns
    -------
    (H, W) uint8
    """
    if sample.reader == "classes":
        return _layered(sample, encoding)
    merged: NDArray[np.uint8] | None = None
    for ref, mask in zip(sample.masks, read_masks(sample), strict=True):
        labels = encoding.apply(mask, str(ref))
        if merged is None:
            merged = labels
            continue
        if labels.shape != merged.shape:
            raise DatasetError(f"{ref}: {_size(labels)}, but the masks before it are {_size(merged)}")
        # 255 + 1 wraps to 0: "does not count" sorts below every class.
        merged = (np.maximum(merged + np.uint8(1), labels + np.uint8(1)) - np.uint8(1)).astype(np.uint8)
    if merged is None:
        raise DatasetError(f"{sample.image}: has no mask")
    return merged


def _layered(sample: Sample, encoding: LabelEncoding) -> NDArray[np.uint8]:
    """Lay masks of single classes over each other, the last on top; what does not count lies below all."""
    labels: NDArray[np.uint8] | None = None
    for ref, mask, (name, reading) in zip(sample.masks, read_masks(sample), sample.layers, strict=True):
        marked = reading.apply(mask, str(ref))
        if labels is None:
            labels = np.zeros_like(marked)
        if marked.shape != labels.shape:
            raise DatasetError(f"{ref}: {_size(marked)}, but the masks before it are {_size(labels)}")
        if name not in encoding.classes:
            raise DatasetError(f"{ref}: a mask of {name!r}; known are {', '.join(encoding.classes)}")
        labels[(marked == IGNORE) & (labels == 0)] = IGNORE
        labels[marked == 1] = encoding.classes.index(name)
    if labels is None:
        raise DatasetError(f"{sample.image}: has no mask")
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
    have = picture.pixels.shape[2]
    if have != channels and (picture.stack or channels not in (1, 3)):
        raise ImageError(f"{sample.image}: has {have} channels; {channels} are expected")
    if sample.reader == "polygons":
        from unetfast.data.polygons import draw

        labels = draw(sample, encoding.classes, picture)
    elif not sample.masks:
        labels = np.zeros(picture.pixels.shape[:2], np.uint8)
    else:
        labels = fit_to_image(read_labels(sample, encoding), picture, sample)
    image = network_input(picture.pixels, channels)
    height, width = labels.shape
    return np.ascontiguousarray(image[:height, :width]), labels


def fit_to_image(labels: NDArray[np.uint8], picture: Picture, sample: Sample) -> NDArray[np.uint8]:
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
        return _shrunk(labels, labels.shape[0] // height)
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


def _shrunk(labels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Make labels smaller by a whole factor; a thin line survives, since the highest class id wins."""
    h, w = labels.shape[0] // factor, labels.shape[1] // factor
    blocks = (labels + np.uint8(1)).reshape(h, factor, w, factor)  # 255 becomes 0, below every class
    return np.ascontiguousarray(blocks.max(axis=(1, 3)) - np.uint8(1))


def _size(array: NDArray[Any]) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
