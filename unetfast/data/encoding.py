"""LabelEncoding: how the values that a data set's masks store become class ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from unetfast.data.masks import code_text, codes, distances, flag_text
from unetfast.errors import DatasetError, InputError
from unetfast.imaging import MaskFile
from unetfast.spec import ModelSpec

__all__ = ["NEAR", "LabelEncoding"]

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

    def counts_of(self, pixels: Mapping[int, int]) -> dict[int, int]:
        """Return how many pixels each class id has where each code has so many; unknown codes have none."""
        found: Counter[int] = Counter()
        ids = self.ids_of(np.array(list(pixels), np.int32)).tolist()
        for id_, count in zip(ids, pixels.values(), strict=True):
            if id_ >= 0:
                found[id_] += count
        return dict(found)

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
            f"say what they mean, such as --mask-values {flag_text(shown[0] + '=ignore')}"
        )


@lru_cache(maxsize=4)
def _lookup_table(encoding: LabelEncoding) -> NDArray[np.int16]:
    """Return the class id of every code there can be; sorting a mask's pixels is twenty times slower."""
    size = 1 << 24 if encoding.domain == "colour" else 1 << 16
    table = np.full(size, -1 if encoding.other is None else encoding.other, np.int16)
    for code, id_ in encoding.table:
        table[code] = id_
    return table
