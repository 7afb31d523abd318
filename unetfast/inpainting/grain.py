"""Give filled pixels the grain of their surroundings, which a median takes away."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["STRIP_ROWS", "add_grain", "reach_of"]

WINDOW_PX = 15  # where the windows of the median follow the width
CELL_PX = 16  # pixels that take their grain from one place, as texture; 8 tear stones apart
STRIP_ROWS = 256  # handled at once, which bounds the memory
TRIES = 8


def reach_of(window_px: int) -> int:
    """Return how many rows around a strip its grain depends on."""
    return (window_px or WINDOW_PX) // 2 + (CELL_PX << (TRIES - 1) // 2)


def add_grain(
    filled: NDArray[Any],
    masked: NDArray[Any],
    window_px: int,
    seed: int,
    *,
    first_row: int = 0,
    blank: NDArray[Any] | None = None,
) -> None:
    """Add to each masked pixel, in place, the residual of an intact pixel near it.

    The residual of an intact pixel is its difference to the mean of the intact pixels in its
    window. Cells of 16 x 16 masked pixels copy them from one place, drawn at random and further
    away with each try, as far as that is intact; what still has none takes that of a pixel of
    the same rows.

    Parameters
    ----------
    filled : (H, W, C) array of uint8, uint16 or float32
        An image whose masked pixels have been filled.
    masked : (H, W) bool array
        Which those are.
    window_px : int
        The side of the window, odd; or 0: 15.
    seed : int
        The same seed gives the same grain.
    first_row : int
        Where the arrays are a part of a larger image, which of its rows they begin with: a multiple
        of :data:`STRIP_ROWS`, or one within a strip that is not of interest. Strips around which they
        hold :func:`reach_of` rows, or all that there are, get the grain of the whole image.
    blank : (H, W) bool array, optional
        Which pixels hold no data: none takes its grain from them.
    """
    intact = ~masked if blank is None else ~(masked | blank)
    window_px = window_px or WINDOW_PX
    last_row = first_row + len(masked)
    # Strips read intact pixels of one another and write masked ones alone: no order matters.
    reach = reach_of(window_px)
    for start in range(first_row // STRIP_ROWS * STRIP_ROWS, last_row, STRIP_ROWS):
        y0, y1 = max(0, start - first_row), min(last_row, start + STRIP_ROWS) - first_row
        if masked[y0:y1].any():
            top, bottom = max(0, y0 - reach), min(len(masked), y1 + reach)
            rng = np.random.default_rng([seed, start])
            rows = slice(top, bottom)
            _add_to_strip(filled[rows], masked[rows], intact[rows], y0 - top, y1 - top, window_px, rng)


def _add_to_strip(
    filled: NDArray[Any],
    masked: NDArray[Any],
    intact: NDArray[Any],
    y0: int,
    y1: int,
    window_px: int,
    rng: np.random.Generator,
) -> None:
    if not intact.any():
        return
    ys, xs = np.nonzero(masked[y0:y1])
    ys += y0
    source = _sources(intact, ys, xs, window_px, rng)
    values = filled[ys, xs] + _residuals(filled, intact, window_px, source)  # float32
    if filled.dtype != np.float32:
        np.clip(np.rint(values), 0, np.iinfo(filled.dtype).max, out=values)
    filled[ys, xs] = values.astype(filled.dtype)


def _residuals(
    filled: NDArray[Any], intact: NDArray[Any], window_px: int, at: tuple[NDArray[Any], NDArray[Any]]
) -> NDArray[Any]:
    """Return (N, C) float32: the intact pixels at those rows and columns less the mean around each."""
    shown = cv2.copyTo(filled, intact.view(np.uint8))  # and zeros elsewhere
    side = (window_px, window_px)
    plain = cv2.BORDER_CONSTANT  # zeros: nothing intact outside
    sums = cv2.boxFilter(shown, cv2.CV_32F, side, normalize=False, borderType=plain).reshape(filled.shape)
    counts = cv2.boxFilter(intact.view(np.uint8), cv2.CV_32F, side, normalize=False, borderType=plain)
    residuals: NDArray[Any] = filled[at] - sums[at] / counts[at][:, np.newaxis]
    return residuals


def _sources(
    intact: NDArray[Any], ys: NDArray[Any], xs: NDArray[Any], window_px: int, rng: np.random.Generator
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return for each pixel the row and column of an intact one."""
    height, width = intact.shape
    rows, columns = ys.copy(), xs.copy()
    todo = np.arange(len(ys))
    for attempt in range(TRIES):
        far = window_px // 2 + CELL_PX * 2 ** (attempt // 2)
        cells = (height // CELL_PX + 1, width // CELL_PX + 1)
        dy, dx = rng.integers(-far, far, (2, *cells), endpoint=True)
        cell = ys[todo] // CELL_PX, xs[todo] // CELL_PX
        y, x = ys[todo] + dy[cell], xs[todo] + dx[cell]
        good = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        good[good] = intact[y[good], x[good]]
        rows[todo[good]], columns[todo[good]] = y[good], x[good]
        todo = todo[~good]
    if len(todo):
        anywhere = np.flatnonzero(intact)
        rows[todo], columns[todo] = np.divmod(rng.choice(anywhere, len(todo)), width)
    return rows, columns
