"""OpenCV's two inpainting methods behind the same door."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from unetfast.inpainting.mask import hole

__all__ = ["fill_ns", "fill_telea"]


def fill_telea(
    image: NDArray[Any], mask: NDArray[Any], out: NDArray[Any], window_px: int, dilate_px: int, threads: int
) -> None:
    """Fill by fast marching, radius ``window_px // 2``, or 7."""
    _fill(image, hole(image, mask, dilate_px), out, window_px, cv2.INPAINT_TELEA)


def fill_ns(
    image: NDArray[Any], mask: NDArray[Any], out: NDArray[Any], window_px: int, dilate_px: int, threads: int
) -> None:
    """Fill by Navier-Stokes, radius ``window_px // 2``, or 7."""
    _fill(image, hole(image, mask, dilate_px), out, window_px, cv2.INPAINT_NS)


def _fill(image: NDArray[Any], masked: NDArray[Any], out: NDArray[Any], window_px: int, method: int) -> None:
    holes = masked.astype(np.uint8)
    radius = max(1, (window_px or 15) // 2)
    # OpenCV takes three channels for uint8 only, and no NaN anywhere.
    together = image.dtype == np.uint8 and image.shape[2] == 3
    groups = [slice(0, 3)] if together else [slice(c, c + 1) for c in range(image.shape[2])]
    for group in groups:
        plane = np.ascontiguousarray(image[:, :, group])
        if plane.dtype == np.float32:
            filled = _fill_float(plane, holes, radius, method)
        else:
            filled = cv2.inpaint(plane, holes, radius, method)
        # OpenCV leaves what lies outside the mask alone; so does this, even if it ever should not.
        out[:, :, group] = np.where(masked[:, :, np.newaxis], filled.reshape(plane.shape), plane)


def _fill_float(plane: NDArray[Any], holes: NDArray[Any], radius: int, method: int) -> NDArray[Any]:
    """Fill at the scale of 16-bit integers: TELEA adds steps of 1 and a rounding half to floats too."""
    intact = plane[holes == 0]
    low, span = intact.min(), intact.max() - intact.min()
    scale = np.float32(1)
    if not np.isfinite(span):
        low = np.float32(0)
    elif span > 0:
        scale = np.float32(65535) / span
    scaled = np.where(holes[:, :, np.newaxis], np.float32(0), (plane - low) * scale)
    filled: NDArray[Any] = cv2.inpaint(scaled, holes, radius, method) / scale + low
    return filled
