"""Thinning: from a mask to lines one pixel wide with the same topology."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["skeletonize"]


def skeletonize(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Thin a mask to its centre lines; connected parts stay connected and none vanishes.

    Parameters
    ----------
    mask : (H, W) bool

    Returns
    -------
    (H, W) bool
        A subset of the mask.

    References
    ----------
    Z. Guo, R. W. Hall, "Parallel thinning with two-subiteration algorithms", Communications of the
    ACM 32(3), 1989: algorithm A1.
    """
    padded = np.pad(mask, 1)
    row = padded.shape[1]
    flat = padded.ravel()
    pixels = np.flatnonzero(flat)  # only these are looked at: thin structures are few pixels
    clockwise = np.array([-row, 1 - row, 1, 1 + row, row, row - 1, -1, -1 - row])  # from north
    idle = 0
    while idle < 2:
        for half in (0, 1):
            gone = _removable(flat[pixels[:, None] + clockwise], half)
            flat[pixels[gone]] = False
            pixels = pixels[~gone]
            idle = 0 if gone.any() else idle + 1
    return padded[1:-1, 1:-1].copy()


def _removable(neighbours: NDArray[np.bool_], half: int) -> NDArray[np.bool_]:
    """Which pixels this half of an iteration deletes; neighbours: (P, 8) bool, clockwise from north."""
    n, ne, e, se, s, sw, w, nw = neighbours.T
    crossings = (
        (~n & (ne | e)).astype(np.int8)
        + (~e & (se | s)).astype(np.int8)
        + (~s & (sw | w)).astype(np.int8)
        + (~w & (nw | n)).astype(np.int8)
    )
    ahead = (nw | n).astype(np.int8) + (ne | e) + (se | s) + (sw | w)
    behind = (n | ne).astype(np.int8) + (e | se) + (s | sw) + (w | nw)
    fewest = np.minimum(ahead, behind)
    kept_side = (s | sw | ~nw) & w if half == 0 else (n | ne | ~se) & e
    removable: NDArray[np.bool_] = (crossings == 1) & (fewest >= 2) & (fewest <= 3) & ~kept_side
    return removable
