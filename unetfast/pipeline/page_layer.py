"""A value of a byte for each pixel of a page that is larger than memory."""

from __future__ import annotations

import zlib
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

__all__ = ["PageLayer"]

BLOCK_ROWS = 256  # packed together; so many are unpacked at once, whatever the windows' height


class PageLayer:
    """Class ids, or which pixels hold no data, of a whole page: packed, and 0 where nothing was put.

    Of 400 megapixels of cracks that is about a megabyte.

    Parameters
    ----------
    width : int
        Of the page, in px.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._parts: dict[int, list[tuple[int, int, tuple[int, int], bytes]]] = defaultdict(list)

    def put(self, top: int, left: int, values: NDArray[np.uint8]) -> None:
        """Keep the (h, w) values of a part of the page. No two parts overlap."""
        bottom = top + len(values)
        for block in range(top // BLOCK_ROWS, -(-bottom // BLOCK_ROWS)):
            first, last = max(top, block * BLOCK_ROWS), min(bottom, (block + 1) * BLOCK_ROWS)
            part = values[first - top : last - top]
            if part.any():
                packed = zlib.compress(np.ascontiguousarray(part).data, 1)
                self._parts[block].append((first, left, part.shape, packed))

    def rows(self, top: int, bottom: int) -> NDArray[np.uint8]:
        """Return the values of some rows, (h, W)."""
        found = np.zeros((bottom - top, self._width), np.uint8)
        for block in range(top // BLOCK_ROWS, -(-bottom // BLOCK_ROWS)):
            for first, left, shape, packed in self._parts.get(block, ()):
                part = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(shape)
                begin, end = max(first, top), min(first + shape[0], bottom)
                if begin < end:
                    found[begin - top : end - top, left : left + shape[1]] = part[begin - first : end - first]
        return found
