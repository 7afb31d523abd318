"""An image becomes the network's inputs (`fit`), and its answers a whole map again (`unfit`).

A tile list always: an image that needs no tiling is a list of one. Cores of tiles cover the
image once; each is read with a margin of at least ``spec.halo_px``, and windows begin and end on
multiples of ``spec.stride_px`` (or at the image's edge), so that every core pixel sees exactly
what it would see in the whole image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import InputError
from unetfast.imaging.convert import resize
from unetfast.spec import ModelSpec

__all__ = [
    "ACTIVATIONS_BYTES",
    "SMALLEST_DEFAULT_PX",
    "Tile",
    "default_tile_px",
    "fit",
    "labels_of",
    "read_px",
    "tiles_of",
    "unfit",
    "with_halo",
]

SMALLEST_DEFAULT_PX = 1024
ACTIVATIONS_BYTES = 800 * 10**6
# What a network holds at once, for each channel of its finest level: its skip, the two inputs that
# meet there and what becomes of them. Measured: 45 bytes a pixel with 3 channels (`fast`), and 36 with 2
# that also look at smaller sizes, once or twice.
BYTES_A_CHANNEL = 16
# Channels of the finest level, and side in px of the blocks that it works on.
_BLOCKS = {"fast": (48, 4), "fast-fine": (16, 2)}


class Tile(NamedTuple):
    """One piece of an image, in px.

    Attributes
    ----------
    y, x, height, width : int
        The core: the part of the image this tile answers for.
    top, left, bottom, right : int
        The window that is read for it, ends excluded.
    """

    y: int
    x: int
    height: int
    width: int
    top: int
    left: int
    bottom: int
    right: int

    def core_of(self, window: NDArray[Any]) -> NDArray[Any]:
        """Cut the core out of an array of the window, (h, w, ...)."""
        return window[self.y - self.top :, self.x - self.left :][: self.height, : self.width]


def default_tile_px(spec: ModelSpec, memory_bytes: int = ACTIVATIONS_BYTES, held_bytes: int = 0) -> int:
    """Return the side of tiles' cores, in px, that keep a network's memory at about so many bytes.

    Larger tiles overlap less: in 0.5 GB, what `run` gives each of two photos, the bundled model with its halo
    of 576 px takes 12 megapixels as a whole; 24 it reads 1.54 times, in four tiles, and in 1 GB 1.19
    times. The classic U-Net, wide at full resolution, has room for 1024 px, and no side is smaller.
    `held_bytes` is what is held for each pixel beside the network.
    """
    args = spec.arch_args
    if spec.arch in _BLOCKS:
        width, stem_px = _BLOCKS[spec.arch]
        channels = max(1.0, args.get("widths", (width,))[0] / args.get("stem_px", stem_px) ** 2)
    else:
        channels = float(args.get("width", 16 if spec.arch == "unet-small" else 64))
    channels *= 1.25 if args.get("views", 1) > 1 else 1.0
    window = math.sqrt(memory_bytes / (BYTES_A_CHANNEL * channels + held_bytes))
    return max(SMALLEST_DEFAULT_PX, int(window) - 2 * spec.halo_px)


def tiles_of(
    height: int,
    width: int,
    spec: ModelSpec,
    tile_px: int,
    *,
    at_once: int = 1,
    longest_px: int | None = None,
) -> list[Tile]:
    """Return the tiles of an image in reading order.

    Parameters
    ----------
    height, width : int
        Of the image.
    spec : ModelSpec
        Gives stride and halo.
    tile_px : int
        No window has more pixels than a square core of this side, rounded down to a multiple of the stride,
        has with its margins. Of all cuts into equal cores that keep to it, the one is taken that reads the
        fewest pixels: windows need no margin towards the image's edge.
    at_once : int
        How many tiles are computed at the same time; then a cut is taken that is done sooner, if it does not
        read much more.
    longest_px : int, optional
        No window is longer or wider; at least the side of that square.

    Raises
    ------
    InputError
        When `tile_px` is smaller than the model's stride.
    """
    if spec.preprocess.resize_px is not None:
        return [Tile(0, 0, height, width, 0, 0, height, width)]
    stride = spec.stride_px
    most = tile_px // stride * stride
    if most < 1:
        raise InputError(f"the tile must be at least the model's stride of {stride} px; got {tile_px}")
    margin = spec.margin_px
    rows, columns = (_cuts(length, most, margin, stride, longest_px) for length in (height, width))
    most_px = (most + 2 * margin) ** 2
    fitting = [(r, c) for r in rows for c in columns if r.window * c.window <= most_px]

    def cost(cut: tuple[_Cut, _Cut]) -> float:
        read = cut[0].read * cut[1].read
        done = max(read / at_once, cut[0].window * cut[1].window)
        return done + read / 4  # to be done a little sooner is not worth half the work again

    tall, wide = (side.core for side in min(fitting, key=cost))
    return [
        Tile(
            y,
            x,
            min(tall, height - y),
            min(wide, width - x),
            max(y - margin, 0),
            max(x - margin, 0),
            min(y + tall + margin, height),
            min(x + wide + margin, width),
        )
        for y in range(0, height, tall)
        for x in range(0, width, wide)
    ]


def read_px(tiles: Sequence[Tile]) -> int:
    """Return how many pixels the windows of some tiles have."""
    return sum((tile.bottom - tile.top) * (tile.right - tile.left) for tile in tiles)


class _Cut(NamedTuple):
    """One side of an image in equal cores: their length, that of the longest window, and of all together."""

    core: int
    window: int
    read: int


def _cuts(length: int, most: int, margin: int, stride: int, longest: int | None) -> list[_Cut]:
    """Return the ways to cut a side, from one piece to as many as cores of `most` px need."""
    cuts = []
    for wanted in range(1, -(-length // most) + 1):
        core = -(-length // (wanted * stride)) * stride
        count = -(-length // core)
        window = min(length, core + min(count - 1, 2) * margin)
        if longest is None or window <= longest:
            cuts.append(_Cut(core, window, length + 2 * margin * (count - 1)))
    return cuts


def with_halo(top: int, bottom: int, height: int, spec: ModelSpec) -> tuple[int, int]:
    """Return the rows that a network must see to answer for some rows as it does in the whole image."""
    stride, halo = spec.stride_px, spec.halo_px
    return max(0, (top - halo) // stride * stride), min(height, -(-(bottom + halo) // stride) * stride)


def fit(
    image: NDArray[np.uint8], spec: ModelSpec, tile_px: int, at_once: int = 1
) -> list[tuple[Tile, NDArray[np.uint8]]]:
    """Cut an image into the network's inputs.

    Parameters
    ----------
    image : (H, W, C) uint8
        C as ``spec.preprocess.channels``.
    spec : ModelSpec
    tile_px, at_once : int
        See :func:`tiles_of`.

    Returns
    -------
    list of (Tile, (h, w, C) uint8)
        The window of each tile, a view of the image; or the image resized to a square of
        ``spec.preprocess.resize_px``.
    """
    height, width = image.shape[:2]
    tiles = tiles_of(height, width, spec, tile_px, at_once=at_once)
    side = spec.preprocess.resize_px
    if side is not None:
        return [(tiles[0], resize(image, side, side))]
    return [(tile, image[tile.top : tile.bottom, tile.left : tile.right]) for tile in tiles]


def unfit(outputs: Sequence[NDArray[Any]], tiles: Sequence[Tile], shape: tuple[int, int]) -> NDArray[Any]:
    """Put the answers of the tiles together; the inverse of :func:`fit`.

    Parameters
    ----------
    outputs : sequence of (h, w) uint8 class ids or (h, w, K) float32 probabilities
        One per tile, of its window's size, or of the square it was resized to.
    tiles : sequence of Tile
        As `fit` gave them.
    shape : (int, int)
        Height and width of the image.

    Returns
    -------
    (H, W) uint8 or (H, W, K) float32
        Resized class ids take the nearest value, probabilities are interpolated.
    """
    first = outputs[0]
    if len(tiles) == 1:
        return resize(first, *shape, labels=first.ndim == 2)
    whole = np.empty(shape + first.shape[2:], first.dtype)
    for output, tile in zip(outputs, tiles, strict=True):
        whole[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] = tile.core_of(output)
    return whole


def labels_of(answer: NDArray[Any], spec: ModelSpec) -> NDArray[np.uint8]:
    """Turn a network's answer into class ids.

    Parameters
    ----------
    answer : (H, W) uint8 class ids or (H, W, K) float32 probabilities
        Class ids are returned as they are.
    spec : ModelSpec
        Gives task and threshold.

    Returns
    -------
    (H, W) uint8
    """
    if answer.ndim == 2:
        return answer
    if spec.task == "binary":
        return (answer[:, :, 0] > np.float32(spec.threshold)).astype(np.uint8)
    return np.asarray(answer.argmax(axis=2), np.uint8)
