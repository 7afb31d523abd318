"""Colours to indices of a palette."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["nearest"]

_AT_ONCE = 4096  # colours compared with a palette at once: 4 MB of differences


def nearest(values: NDArray[np.uint8], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the index of the palette's colour that lies nearest to each value, (n, 1 or 3)."""
    colours, which = np.unique(values, axis=0, return_inverse=True)
    indices = np.empty(len(colours), np.uint8)
    for first in range(0, len(colours), _AT_ONCE):
        part = colours[first : first + _AT_ONCE, None].astype(np.int32)
        distances = ((part - palette[None].astype(np.int32)) ** 2).sum(axis=2)
        indices[first : first + _AT_ONCE] = distances.argmin(axis=1)
    return indices[which.reshape(-1)]
