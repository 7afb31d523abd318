"""The masked median in Numba, for machines without the compiled extension."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import require
from unetfast.inpainting.mask import hole
from unetfast.inpainting.window import shares

numba: Any = require("numba", "numba")

__all__ = ["fill"]

log = logging.getLogger(__name__)


def _is_kept() -> bool:
    """Tell whether Numba finds a folder that it may keep compiled functions in."""
    try:
        numba.njit(cache=True)(_is_kept)
    except RuntimeError:  # a read-only installation, and no home folder: as in containers
        log.warning("Numba compiles anew in each process (half a minute): NUMBA_CACHE_DIR can name a folder")
        return False
    return True


_CACHE = _is_kept()


def fill(
    image: NDArray[Any], mask: NDArray[Any], out: NDArray[Any], window_px: int, dilate_px: int, threads: int
) -> None:
    """Fill the masked pixels of image into out, as ``unetfast.inpainting.methods.METHODS`` says."""
    masked = hole(image, mask, dilate_px)
    # Of each dtype one form, since every other one (strided, read-only) is seconds of compiling.
    source, target = (np.require(array, requirements=("C", "W")) for array in (image, out))
    target[...] = source
    fill_rows, samples, filled = _slide, source, target
    if image.dtype == np.float32:
        # Floats are ranked by their bits: for them IEEE 754 totalOrder is an order of integers.
        fill_rows, samples, filled = _sort, source.view(np.uint32), target.view(np.uint32)
    threads = threads or numba.config.NUMBA_NUM_THREADS
    bands = -(-image.shape[0] // BAND_ROWS)
    parts = min(bands, 8 * threads)  # few, since the histograms of 16 bits are large
    edges = [min(bands * part // parts * BAND_ROWS, image.shape[0]) for part in range(parts + 1)]
    # Threads of Python: to compile a parallel loop of Numba takes as long as all that is in it, and
    # one of its threading layers ends the process when two threads call at once.
    with ThreadPoolExecutor(threads) as pool:
        for side, todo in shares(masked, window_px):
            fill_part = partial(fill_rows, samples, masked, todo, filled, side // 2)
            list(pool.map(fill_part, edges[:-1], edges[1:]))
    if target is not out:
        out[...] = target


@numba.njit(cache=_CACHE, nogil=True)  # type: ignore[untyped-decorator]
def _sort(source: Any, masked: Any, todo: Any, target: Any, radius: int, y0: int, y1: int) -> None:
    for y in range(y0, y1):
        for x in range(source.shape[1]):
            if todo[y, x]:
                _fill_pixel(source, masked, target, y, x, radius, False, True)


# Integers: a histogram of the window slides from one masked pixel to the next (Huang 1979), in two
# levels, so that a rank is found in two short scans. Tiles are walked to and fro, since there the
# next masked pixel is near.
BAND_ROWS = 32
TILE_PX = 64


@numba.njit(cache=_CACHE, nogil=True)  # type: ignore[untyped-decorator]
def _slide(source: Any, masked: Any, todo: Any, target: Any, radius: int, y0: int, y1: int) -> None:
    height, width, channels = source.shape
    bits = 8 * source.itemsize
    fine = np.zeros((channels, 1 << bits), np.int32)
    coarse = np.zeros((channels, 1 << (bits // 2)), np.int32)
    place = np.full(2, -2 * (radius + 1) - height - width)  # y, x of the window: nowhere yet
    count = 0
    for top in range(y0, y1, BAND_ROWS):
        for left in range(0, width, TILE_PX):
            for y in range(top, min(top + BAND_ROWS, y1)):
                right = min(left + TILE_PX, width)
                # Many pixels at once, since LLVM makes vector instructions of it; most rows hold none.
                any_todo = False
                for x in range(left, right):
                    any_todo |= todo[y, x]
                if not any_todo:
                    continue
                for i in range(right - left):
                    x = left + i if y % 2 == 0 else right - 1 - i
                    if not todo[y, x]:
                        continue
                    count += _move(source, masked, fine, coarse, place, y, x, radius)
                    if count == 0:
                        _fill_pixel(source, masked, target, y, x, radius + 1, True, False)
                        continue
                    for c in range(channels):
                        target[y, x, c] = _rank(fine[c], coarse[c], (count - 1) // 2)


@numba.njit(cache=_CACHE, nogil=True)  # type: ignore[untyped-decorator]
def _move(source: Any, masked: Any, fine: Any, coarse: Any, place: Any, y: int, x: int, radius: int) -> Any:
    """Move the window to (y, x) and return by how much the count of its intact samples grows."""
    v, u = place
    place[0], place[1] = y, x
    grown = 0
    if abs(v - y) + abs(u - x) > radius:  # as dear as a new window
        grown += _add(source, masked, fine, coarse, v - radius, v + radius, u - radius, u + radius, -1)
        return grown + _add(source, masked, fine, coarse, y - radius, y + radius, x - radius, x + radius, 1)
    while u != x:
        step = 1 if u < x else -1
        leaves, enters = u - step * radius, u + step * (radius + 1)
        grown += _add(source, masked, fine, coarse, v - radius, v + radius, leaves, leaves, -1)
        grown += _add(source, masked, fine, coarse, v - radius, v + radius, enters, enters, 1)
        u += step
    while v != y:
        step = 1 if v < y else -1
        leaves, enters = v - step * radius, v + step * (radius + 1)
        grown += _add(source, masked, fine, coarse, leaves, leaves, u - radius, u + radius, -1)
        grown += _add(source, masked, fine, coarse, enters, enters, u - radius, u + radius, 1)
        v += step
    return grown


@numba.njit(cache=_CACHE, nogil=True)  # type: ignore[untyped-decorator]
def _add(
    source: Any, masked: Any, fine: Any, coarse: Any, top: int, bottom: int, left: int, right: int, sign: int
) -> int:
    """Add the intact samples of a rectangle, its last row and column included, `sign` times."""
    height, width, channels = source.shape
    half_bits = 4 if coarse.shape[1] == 16 else 8
    count = 0
    for v in range(max(0, top), min(height - 1, bottom) + 1):
        for u in range(max(0, left), min(width - 1, right) + 1):
            if masked[v, u]:
                continue
            for c in range(channels):
                sample = np.intp(source[v, u, c])
                fine[c, sample] += sign
                coarse[c, sample >> half_bits] += sign
            count += sign
    return count


@numba.njit(cache=_CACHE, nogil=True)  # type: ignore[untyped-decorator]
def _rank(fine: Any, coarse: Any, rank: int) -> int:
    """Return the value of that rank in a histogram of two levels."""
    group = 0
    while coarse[group] <= rank:
        rank -= coarse[group]
        group += 1
    value = group * len(coarse)
    while fine[value] <= rank:
        rank -= fine[value]
        value += 1
    return value


@numba.njit(cache=_CACHE, nogil=True)  # type: ignore[untyped-decorator]
def _fill_pixel(
    source: Any, masked: Any, target: Any, y: int, x: int, radius: int, grown: bool, is_float: bool
) -> None:
    """Fill one pixel from all the samples of its window, or, `grown`, of the rim of one that grows."""
    height, width, channels = source.shape
    samples = np.empty((channels, 8 * radius if grown else (2 * radius + 1) ** 2), source.dtype)
    count = 0
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


@numba.njit(cache=_CACHE, nogil=True)  # type: ignore[untyped-decorator]
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


@numba.njit(cache=_CACHE, nogil=True)  # type: ignore[untyped-decorator]
def _key(sample: Any, is_float: bool) -> Any:
    bits = np.uint32(sample)
    if not is_float:
        return bits
    return ~bits if bits & np.uint32(0x80000000) else bits | np.uint32(0x80000000)


@numba.njit(cache=_CACHE, nogil=True)  # type: ignore[untyped-decorator]
def _unkey(key: Any, is_float: bool) -> Any:
    if not is_float:
        return key
    return key & np.uint32(0x7FFFFFFF) if key & np.uint32(0x80000000) else ~key
