"""The window of each masked pixel, by the width of what is masked around it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGEST_PX", "by_width", "shares"]

# About twice the width of a crack: from half as much, what lies at its very rim (the shadow, a lit edge,
# a single stone) is drawn across it as streaks; from more, a surface that changes is flattened.
_SIDES_PX = (15, 31, 63, 127)
LARGEST_PX = _SIDES_PX[-1]

Shares = list[tuple[int, NDArray[np.bool_]]]


def shares(masked: NDArray[np.bool_], window_px: int) -> Shares:
    """Return :func:`by_width` for a `window_px` of 0, else that side and all that is masked."""
    return [(window_px, masked)] if window_px else by_width(masked)


def by_width(masked: NDArray[np.bool_]) -> Shares:
    """Share the masked pixels among windows, as the C++ kernel does on bits (csrc/median.h).

    A masked pixel is as deep as its Chebyshev distance to the nearest intact one: a crack of `w` pixels is
    about `w / 2`. A window of side `s` serves where nothing within `s / 2` pixels is deeper than `s / 4`,
    and the largest elsewhere. What lies outside the image counts as masked.

    Returns
    -------
    list of (int, (H, W) bool array)
        Sides and which masked pixels are theirs; each pixel is in one of them. Which one depends on the mask
        within 48 pixels alone.
    """
    left = masked.view(np.uint8)
    served: Shares = []
    for side in _SIDES_PX[:-1]:
        depth = (side + 1) // 4
        deep = cv2.erode(left, np.ones((2 * depth + 1, 2 * depth + 1), np.uint8))
        if not deep.any():
            return [*served, (side, left.view(np.bool_))]
        near = cv2.dilate(deep, np.ones((4 * depth + 1, 4 * depth + 1), np.uint8))
        wide = np.bitwise_and(near, left, dtype=np.uint8)
        served.append((side, (left ^ wide).view(np.bool_)))
        left = wide
    return [*served, (LARGEST_PX, left.view(np.bool_))]
