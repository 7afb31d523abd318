"""The window of each masked pixel, by the width of what is masked around it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

__all__ = ["LARGEST_PX", "SIDES_PX", "by_width"]

# About twice the width of a crack: from half as much, what lies at its very rim (the shadow, a lit edge,
# a single stone) is drawn across it as streaks; from more, a surface that changes is flattened.
SIDES_PX = (15, 31, 63, 127)
LARGEST_PX = SIDES_PX[-1]


def by_width(
    masked: np.ndarray[Any, np.dtype[np.bool_]],
) -> list[tuple[int, np.ndarray[Any, np.dtype[np.uint8]] | None]]:
    """Share the masked pixels among windows.

    A masked pixel is as deep as its Chebyshev distance to the nearest intact one: a crack of `w` pixels is
    about `w / 2`. A window of side `s` serves where nothing within `s / 2` pixels is deeper than `s / 4`,
    and the largest elsewhere. What lies outside the image counts as masked.

    Parameters
    ----------
    masked : (H, W) bool array

    Returns
    -------
    list of (int, (H, W) uint8 array or None)
        Sides and which masked pixels are theirs; each pixel is in one of them. None is all of them. Which one
        depends on the mask within 48 pixels alone.
    """
    left = masked.view(np.uint8)
    shares: list[tuple[int, np.ndarray[Any, np.dtype[np.uint8]] | None]] = []
    for side in SIDES_PX[:-1]:
        depth = (side + 1) // 4
        deep = cv2.erode(left, np.ones((2 * depth + 1, 2 * depth + 1), np.uint8))
        if not deep.any():
            break
        near = cv2.dilate(deep, np.ones((4 * depth + 1, 4 * depth + 1), np.uint8))
        wide = np.bitwise_and(near, left, dtype=np.uint8)
        shares.append((side, left ^ wide))
        left = wide
    if not shares:
        return [(SIDES_PX[0], None)]
    return [*shares, (SIDES_PX[len(shares)], left)]
