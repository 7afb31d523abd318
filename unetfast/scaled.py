"""``--scale``: a smaller picture tells what is there, the full resolution where exactly it ends.

Written for a part of the rows, so that pictures larger than memory get what a whole one gets: rows
are shrunk in blocks of their own, and the network sees each row with its halo, at both sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import ConfigError
from unetfast.imaging.convert import near_edges, network_input, resize
from unetfast.preprocess import Tile, read_px, tiles_of, with_halo
from unetfast.spec import ModelSpec

if TYPE_CHECKING:
    from unetfast.segment import Segmenter

__all__ = ["segment_rows"]

# Px of the smaller picture around its edges in which the full resolution decides. With 1 cracks keep
# the smaller picture's width; with 4 those that only it sees are lost again (docs/scale.md).
REACH_PX = 2
TILES_PX = (256, 512, 1024, 2048)  # small ones follow a crack closely, large ones overlap less
BLOCK_PX = 64  # rows that are shrunk at once, at most


def segment_rows(
    segmenter: Segmenter,
    read: Callable[[int, int], NDArray[Any]],
    shape: tuple[int, int],
    rows: tuple[int, int],
    scale: float,
    at_once: int,
) -> NDArray[np.uint8]:
    """Return the class ids of some rows of a picture, as all of its rows together would have them.

    Parameters
    ----------
    segmenter : Segmenter
    read : callable
        Returns the pixels of the rows `top` to `bottom`, (h, W, C).
    shape : (int, int)
        Height and width of the picture.
    rows : (int, int)
        The first of the wanted rows, and the one after the last.
    scale : float
        Of the smaller picture, 0.05 .. 1.
    at_once : int
        How many rows to read at once to shrink them.

    Returns
    -------
    (rows, W) uint8
    """
    if not isinstance(scale, (int, float, np.number)) or not 0.05 <= scale <= 1:
        raise ConfigError(f"the scale must be in 0.05 .. 1; got {scale!r}")
    smaller = _Smaller(*shape, scale)
    (top, bottom), reach = rows, smaller.reach
    first, last = max(0, top - reach), min(shape[0], bottom + reach)
    coarse = _coarse(segmenter, read, smaller, first, last, at_once)
    edges = near_edges(coarse, reach)[top - first : bottom - first]
    labels = np.ascontiguousarray(coarse[top - first : bottom - first])
    if edges.any():
        _refine(segmenter, read, shape, top, labels, edges)
    return labels


class _Smaller:
    """Which rows of a picture become which of its smaller copy.

    The scale is rounded to a fraction whose denominator divides a block: then each block is shrunk
    by itself, and a part of the picture gives a part of the copy.
    """

    def __init__(self, height: int, width: int, scale: float) -> None:
        ratio = Fraction(scale).limit_denominator(BLOCK_PX)
        self.block = BLOCK_PX // ratio.denominator * ratio.denominator
        self.small_block = int(self.block * ratio)
        self.blocks = -(-height // self.block)
        self.height, self.width = height, width
        rest = height - (self.blocks - 1) * self.block
        self.small_height = (self.blocks - 1) * self.small_block + max(1, round(rest * ratio))
        self.small_width = max(1, round(width * ratio))
        self.reach = -(-REACH_PX * ratio.denominator // ratio.numerator)

    def size(self, number: int) -> tuple[int, int]:
        """Return how many rows a block has, and how many they become."""
        if number < self.blocks - 1:
            return self.block, self.small_block
        return self.height - number * self.block, self.small_height - number * self.small_block


def _coarse(
    segmenter: Segmenter,
    read: Callable[[int, int], NDArray[Any]],
    smaller: _Smaller,
    first: int,
    last: int,
    at_once: int,
) -> NDArray[np.uint8]:
    """Return what the smaller picture says of some rows, at full size."""
    spec = segmenter.spec
    begin, end = first // smaller.block, -(-last // smaller.block)
    wanted = begin * smaller.small_block, min(smaller.small_height, end * smaller.small_block)
    seen = with_halo(*wanted, smaller.small_height, spec)
    begin_seen, end_seen = seen[0] // smaller.small_block, -(-seen[1] // smaller.small_block)
    small = _shrunk(read, smaller, begin_seen, end_seen, at_once, spec.preprocess.channels)
    skipped = begin_seen * smaller.small_block
    answer = segmenter.segment(small[seen[0] - skipped : seen[1] - skipped])
    parts, row = [], wanted[0] - seen[0]
    for number in range(begin, end):
        height, small_height = smaller.size(number)
        parts.append(resize(answer[row : row + small_height], height, smaller.width, labels=True))
        row += small_height
    near: NDArray[np.uint8] = np.concatenate(parts)
    return near[first - begin * smaller.block : last - begin * smaller.block]


def _shrunk(
    read: Callable[[int, int], NDArray[Any]],
    smaller: _Smaller,
    begin: int,
    end: int,
    at_once: int,
    channels: int,
) -> NDArray[np.uint8]:
    """Return the smaller copy of some blocks."""
    parts = []
    together = -(-at_once // smaller.block)
    for group in range(begin, end, together):
        top, bottom = group * smaller.block, min((group + together) * smaller.block, smaller.height)
        pixels = network_input(read(top, bottom), channels)
        for number in range(group, min(group + together, end)):
            height, small_height = smaller.size(number)
            start = number * smaller.block - top
            parts.append(resize(pixels[start : start + height], small_height, smaller.small_width))
    return np.concatenate(parts)


def _refine(
    segmenter: Segmenter,
    read: Callable[[int, int], NDArray[Any]],
    shape: tuple[int, int],
    top: int,
    labels: NDArray[np.uint8],
    edges: NDArray[np.bool_],
) -> None:
    """Put what the full resolution says where `edges` is set; in place, of the rows from `top` on."""
    spec = segmenter.spec
    first, last = with_halo(top, top + len(labels), shape[0], spec)
    pixels = network_input(read(first, last), spec.preprocess.channels)
    seen = np.zeros((last - first, shape[1]), np.bool_)
    seen[top - first : top - first + len(labels)] = edges
    sizes = [size for size in TILES_PX if size >= spec.stride_px] + [max(seen.shape)]
    tiles = min((_needed(seen, spec, size) for size in sizes), key=read_px)
    windows = [pixels[tile.top : tile.bottom, tile.left : tile.right] for tile in tiles]
    for tile, answer in zip(tiles, segmenter.segment_all(windows), strict=True):
        columns = slice(tile.x, tile.x + tile.width)
        y = tile.y + first - top
        part = labels[y : y + tile.height, columns]
        np.copyto(part, tile.core_of(answer), where=seen[tile.y : tile.y + tile.height, columns])


def _needed(seen: NDArray[np.bool_], spec: ModelSpec, tile_px: int) -> list[Tile]:
    """Return what is to be looked at, cut along tiles of this size, each piece as small as it can be."""
    height, width = seen.shape
    if spec.preprocess.resize_px is not None:
        return tiles_of(height, width, spec, tile_px)
    pieces = []
    for tile in tiles_of(height, width, spec, tile_px):
        part = seen[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
        ys, xs = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
        if len(ys):
            y, bottom = tile.y + int(ys[0]), tile.y + int(ys[-1]) + 1
            x, right = tile.x + int(xs[0]), tile.x + int(xs[-1]) + 1
            rows = with_halo(y, bottom, height, spec)
            columns = with_halo(x, right, width, spec)
            pieces.append(Tile(y, x, bottom - y, right - x, rows[0], columns[0], rows[1], columns[1]))
    return pieces
