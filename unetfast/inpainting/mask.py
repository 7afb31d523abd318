"""The forms in which a mask may come, and what every method but the native one does to it."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from unetfast.errors import InputError

__all__ = ["as_mask", "dilate", "hole"]


def as_mask(mask: Any, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return any accepted form of mask as (H, W) uint8, non-zero masked, rows packed.

    Parameters
    ----------
    mask : (H, W) array of bool or uint8, or tuple (rows, starts, ends)
        See :func:`unetfast.inpainting.inpaint`.
    shape : tuple of int
        The image's (H, W).

    Raises
    ------
    InputError
        For another type, dtype or shape, or a run that leaves the image.
    """
    if isinstance(mask, tuple):
        return _from_runs(mask, shape)
    if isinstance(mask, np.ma.MaskedArray):
        raise InputError(
            "mask must be a plain array: of a NumPy masked array its own mask, mask.mask, or mask.data"
        )
    if not isinstance(mask, np.ndarray) or mask.dtype not in (np.bool_, np.uint8):
        got = mask.dtype if isinstance(mask, np.ndarray) else type(mask).__name__
        raise InputError(
            "mask must be a bool or uint8 array, as numpy.asarray(mask) > 0, or a tuple (rows, starts, "
            f"ends); got {got}"
        )
    if mask.shape != shape:
        one = "; of one channel: mask[:, :, 0]" if mask.ndim == 3 else ""
        raise InputError(f"mask must have the image's height and width {shape}; got {mask.shape}{one}")
    if mask.shape[1] > 1 and mask.strides[1] != 1:
        mask = np.ascontiguousarray(mask)
    stored: NDArray[np.uint8] = mask.view(np.uint8)
    return stored


def _from_runs(runs: tuple[Any, ...], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    try:
        rows, starts, ends = (np.asarray(part) for part in runs)
    except ValueError as exc:
        raise InputError("a run list must be (rows, starts, ends)") from exc
    if any(part.ndim != 1 or part.shape != rows.shape for part in (rows, starts, ends)):
        raise InputError("rows, starts and ends of a run list must be one-dimensional and of one length")
    if rows.size and any(part.dtype.kind not in "iu" for part in (rows, starts, ends)):
        raise InputError("rows, starts and ends of a run list must be integers")
    height, width = shape
    inside = (rows >= 0) & (rows < height) & (starts >= 0) & (starts <= ends) & (ends <= width)
    if not inside.all():
        bad = int(np.argmin(inside))
        raise InputError(f"run {bad} leaves the image: row {rows[bad]}, x {starts[bad]} to {ends[bad]}")
    mask = np.zeros((height, width), np.uint8)
    for row, start, end in zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True):
        mask[row, start:end] = 1
    return mask


def dilate(mask: NDArray[Any], radius_px: int) -> NDArray[np.bool_]:
    """Return the (H, W) bool mask of all pixels within `radius_px` (Euclidean) of a masked one."""
    grown: NDArray[np.bool_] = mask != 0
    if radius_px == 0:
        return grown
    disc = np.zeros((2 * radius_px + 1, 2 * radius_px + 1), np.uint8)
    for dy in range(-radius_px, radius_px + 1):
        half = math.isqrt(radius_px * radius_px - dy * dy)
        disc[radius_px + dy, radius_px - half : radius_px + half + 1] = 1
    return np.asarray(cv2.dilate(grown.view(np.uint8), disc)).view(np.bool_)


def hole(image: NDArray[Any], mask: NDArray[Any], dilate_px: int) -> NDArray[np.bool_]:
    """Return what is to be filled, (H, W) bool: the dilated mask and every pixel with a NaN.

    Raises
    ------
    InputError
        When that is the whole image.
    """
    masked = dilate(mask, dilate_px)
    if image.dtype == np.float32:
        masked |= np.isnan(image).any(axis=2)
    if masked.all():
        raise InputError("every pixel is masked: there is nothing to take a median of")
    return masked
