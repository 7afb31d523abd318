"""The masked median in Numba, for machines without the compiled extension."""

from __future__ import annotations

from typing import Any

import numpy as np

from unetfast.errors import require
from unetfast.inpainting.mask import hole

numba: Any = require("numba", "numba")

__all__ = ["fill"]


def fill(
    image: np.ndarray[Any, Any],
    mask: np.ndarray[Any, Any],
    out: np.ndarray[Any, Any],
    window_px: int,
    dilate_px: int,
    threads: int,
) -> None:
    """Fill the masked pixels of image into out, as ``unetfast.inpainting.inpaint.METHODS`` says."""
    masked = hole(image, mask, dilate_px)
    out[...] = image
    # Floats are ranked by their bits: for them IEEE 754 totalOrder is an order of integers.
    source = image.view(np.uint32) if image.dtype == np.float32 else image
    target = out.view(np.uint32) if image.dtype == np.float32 else out
    previous = numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS) or previous)
    try:
        _fill_rows(source, masked, target, window_px // 2, image.dtype == np.float32)
    finally:
        numba.set_num_threads(previous)


@numba.njit(cache=True, parallel=True, nogil=True)  # type: ignore[untyped-decorator]
def _fill_rows(source: Any, masked: Any, target: Any, radius: int, is_float: bool) -> None:
    height, width, _ = source.shape
    for y in numba.prange(height):
        for x in range(width):
            if masked[y, x]:
                _fill_pixel(source, masked, target, y, x, radius, is_float)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _fill_pixel(source: Any, masked: Any, target: Any, y: int, x: int, radius: int, is_float: bool) -> None:
    height, width, channels = source.shape
    samples = np.empty((channels, (2 * radius + 1) ** 2), source.dtype)
    count = 0
    grown = False
    while True:
        for v in range(max(0, y - radius), min(height, y + radius + 1)):
            # A window that has grown holds intact pixels on its rim alone.
            inner = grown and abs(v - y) < radius
            for u in range(x - radius, x + radius + 1, 2 * radius if inner else 1):
                if 0 <= u < width and not masked[v, u]:
                    for c in range(channels):
                        samples[c, count] = _key(source[v, u, c], is_float)
                    count += 1
        if count:
            break
        radius += 1
        grown = True
        if samples.shape[1] < 8 * radius:
            samples = np.empty((channels, 16 * radius), source.dtype)
    for c in range(channels):
        found = _select(samples[c, :count], (count - 1) // 2, 8 * source.itemsize)
        target[y, x, c] = _unkey(found, is_float)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _select(keys: Any, rank: int, bits: int) -> Any:
    """Return the key of that rank, bit by bit: the largest t with at most `rank` keys below it."""
    found = np.uint32(0)
    for bit in range(bits - 1, -1, -1):
        trial = np.uint32(found | np.uint32(1 << bit))
        below = np.uint32(0)
        for key in keys:
            below = np.uint32(below + np.uint32(key < trial))
        if below <= rank:
            found = trial
    return found


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _key(sample: Any, is_float: bool) -> Any:
    bits = np.uint32(sample)
    if not is_float:
        return bits
    return ~bits if bits & np.uint32(0x80000000) else bits | np.uint32(0x80000000)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _unkey(key: Any, is_float: bool) -> Any:
    if not is_float:
        return key
    return key & np.uint32(0x7FFFFFFF) if key & np.uint32(0x80000000) else ~key
