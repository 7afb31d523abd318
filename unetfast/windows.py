"""Pictures larger than memory: the network sees them window by window, each read when its turn comes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import BackendError, is_memory_error
from unetfast.imaging.convert import network_input
from unetfast.preprocess import Tile, default_tile_px, labels_of, read_px, tiles_of

if TYPE_CHECKING:
    from unetfast.segment import Segmenter

__all__ = ["cut", "segment_windows"]

log = logging.getLogger(__name__)


def segment_windows(
    segmenter: Segmenter, read: Callable[[Tile], NDArray[Any]], tiles: list[Tile], at_once: int
) -> Iterator[tuple[Tile, NDArray[np.uint8]]]:
    """Yield the class ids of a picture, tile by tile, as the whole of it would have them.

    Parameters
    ----------
    segmenter : Segmenter
        Of a model that does not resize its input.
    read : callable
        Returns the pixels of a tile's window, (h, w, C) as `segment` takes them; threads call it.
    tiles : list of Tile
    at_once : int
        So many are in memory: as :func:`cut` gives them.

    Yields
    ------
    Tile, (h, w) uint8
        The class ids of its core.
    """

    def labels(tile: Tile) -> NDArray[np.uint8]:
        return tile.core_of(_segment(segmenter, read(tile)))

    pool = ThreadPoolExecutor(at_once, "windows")
    try:
        yield from zip(tiles, pool.map(labels, tiles), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


def cut(
    segmenter: Segmenter, shape: tuple[int, int], memory_bytes: int, held_bytes: int, tile_px: int = 0
) -> tuple[list[Tile], int]:
    """Return the tiles of a picture that are done soonest, and how many of them at once.

    Parameters
    ----------
    segmenter : Segmenter
    shape : (int, int)
        Height and width of the picture.
    memory_bytes : int
        What the windows that are computed at once may take, about.
    held_bytes : int
        What each of their pixels takes beside the network.
    tile_px : int
        Side of the cores; 0: as large as `memory_bytes` holds.
    """
    spec = segmenter.spec

    def tiles(at_once: int) -> list[Tile]:
        px = tile_px or default_tile_px(spec, memory_bytes // at_once, held_bytes)
        return tiles_of(*shape, spec, px, at_once=at_once)

    def duration(at_once: int) -> float:
        # A call works on the cores that no stream has, and on its caller's.
        return read_px(cuts[at_once]) / (segmenter.cores - segmenter.streams + at_once)

    cuts = {at_once: tiles(at_once) for at_once in range(1, segmenter.streams + 1)}
    soonest = min(cuts, key=duration)
    return cuts[soonest], soonest


def _segment(segmenter: Segmenter, pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Segment one window, as it is where the memory suffices."""
    window = network_input(pixels, segmenter.spec.preprocess.channels)
    try:
        return labels_of(segmenter.backend.infer(window[None])[0], segmenter.spec)
    except (BackendError, MemoryError) as exc:
        if not is_memory_error(exc):
            raise
        log.warning("memory is short for a window of %d x %d px; it is cut", *window.shape[1::-1])
        return segmenter.segment(window)
