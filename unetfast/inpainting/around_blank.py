"""Fill a mask in a picture that is blank in places: what holds no data is no surrounding to fill from."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from unetfast.imaging.convert import distance_to_clear
from unetfast.inpainting.fill import inpaint
from unetfast.inpainting.window import LARGEST_PX

__all__ = ["inpaint_around"]


def inpaint_around(
    image: NDArray[Any],
    mask: NDArray[np.bool_],
    blank: NDArray[np.bool_] | None,
    window_px: int,
    *,
    method: str,
    threads: int,
    grain: bool,
    seed: int = 0,
    first_row: int = 0,
) -> NDArray[Any]:
    """Return the image with its masked pixels filled from those that are neither masked nor blank.

    Parameters
    ----------
    image : (H, W, C) uint8, uint16 or float32
    mask, blank : (H, W) bool
        No pixel is in both; `blank` None: everything holds data. Blank pixels keep their bits.
    window_px, method, threads, grain, seed
        As of :func:`unetfast.inpainting.inpaint`.
    first_row : int
        As of :func:`unetfast.inpainting.grain.add_grain`.
    """
    unfit = mask if blank is None else _unfit(mask, blank, window_px)
    filled = inpaint(image, unfit, window_px, method=method, threads=threads)
    if unfit is not mask:
        np.copyto(filled, image, where=(unfit & ~mask)[:, :, None])
    if grain:
        from unetfast.inpainting.grain import add_grain

        add_grain(filled, mask, window_px, seed, first_row=first_row, blank=blank)
    return filled


def _unfit(mask: NDArray[np.bool_], blank: NDArray[np.bool_], window_px: int) -> NDArray[np.bool_]:
    """Return the mask and the blank pixels around it that its filling could reach.

    Not all of them: the kernel fills whatever it is given, and half of a survey may be blank.
    """
    if not blank.any() or not mask.any():
        return mask
    reach = (window_px or LARGEST_PX) // 2 + 16
    while True:
        square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
        near = np.asarray(cv2.dilate(mask.view(np.uint8), square)).view(np.bool_)
        unfit = np.asarray(mask | (near & blank), np.bool_)
        # Nothing blank within the reach is left out, so what is clear that near holds data.
        if reach >= max(mask.shape) or float(distance_to_clear(unfit)[mask].max()) <= reach:
            return unfit
        reach *= 4
