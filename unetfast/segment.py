"""A model that takes whole images of any size: what `unetfast.load` returns."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetfast.backends import load as load_backend
from unetfast.backends.base import Backend
from unetfast.errors import BackendError, ConfigError
from unetfast.imaging.convert import network_input, resize
from unetfast.preprocess import Tile, default_tile_px, fit, labels_of, tiles_of, unfit
from unetfast.spec import ModelSpec

__all__ = ["Segmenter", "bundled", "load"]

log = logging.getLogger(__name__)

ASSETS = Path(__file__).parent / "assets"
SMALLEST_TILE_PX = 256
REFINED_TILE_PX = 512


def bundled(name: Path | str) -> Path | None:
    """Return the file of a model that ships with the package, such as ``"crack"``, or None."""
    path = ASSETS / f"{name}.onnx"
    return path if str(name).isidentifier() and path.is_file() else None


def load(
    model: str | Path = "crack",
    *,
    backend: str = "auto",
    device: str = "auto",
    threads: int = 0,
    tile_px: int = 0,
    batch: int = 1,
) -> Segmenter:
    """Open a model for whole images.

    Parameters
    ----------
    model : str or Path
        The name of a bundled model ("crack"), or an artifact's file.
    backend, device, threads
        As :func:`unetfast.backends.load`.
    tile_px : int
        Images larger than this are cut into tiles whose cores are at most this long; 0: as large
        as keeps the network's memory at about half a gigabyte.
    batch : int
        How many inputs of one size go through the network at once.

    Returns
    -------
    Segmenter

    Raises
    ------
    ArtifactError, ConfigError, MissingDependencyError, BackendError
        As :func:`unetfast.backends.load`.

    Examples
    --------
    >>> import unetfast
    >>> mask = unetfast.load("crack").segment(image)                # doctest: +SKIP
    """
    if tile_px < 0 or batch < 1:
        raise ConfigError(f"tile_px must be at least 0 and batch at least 1; got {tile_px} and {batch}")
    path = bundled(model) or Path(model)
    opened = load_backend(path, backend=backend, device=device, threads=threads)
    return Segmenter(opened, tile_px or default_tile_px(opened.spec), batch)


class Segmenter:
    """A loaded model with its tiling.

    Attributes
    ----------
    backend : Backend
    spec : ModelSpec
    tile_px, batch : int
        As given to :func:`load`; both shrink when memory runs out, with a warning.
    """

    def __init__(self, backend: Backend, tile_px: int = 1024, batch: int = 1) -> None:
        self.backend = backend
        self.spec: ModelSpec = backend.spec
        self.tile_px = tile_px
        self.batch = batch

    def segment(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the class of every pixel.

        Parameters
        ----------
        image : (H, W) or (H, W, C) uint8 or uint16
            Grey or RGB, with or without alpha; converted to what the model takes.

        Returns
        -------
        (H, W) uint8
            Class ids; 0 is the background.

        Raises
        ------
        InputError
            For another dtype or shape.
        BackendError
            When the runtime fails, after smaller tiles were tried where memory was short.
        """
        return self.segment_all([image])[0]

    def segment_all(self, images: Sequence[NDArray[Any]]) -> list[NDArray[np.uint8]]:
        """Segment several images; inputs of one size share a call to the network.

        Parameters
        ----------
        images : sequence of (H, W) or (H, W, C) uint8 or uint16

        Returns
        -------
        list of (H, W) uint8
        """
        inputs = [network_input(image, self.spec.preprocess.channels) for image in images]
        while True:
            try:
                return self._attempt(inputs)
            except (BackendError, MemoryError) as exc:
                if not _is_memory(exc) or not self._shrink():
                    raise
                log.warning("memory is short; going on with --tile %d --batch %d", self.tile_px, self.batch)

    def segment_scaled(self, image: NDArray[Any], scale: float) -> NDArray[np.uint8]:
        """Look for something at lower resolution first, and only there at full resolution.

        A tile of :data:`REFINED_TILE_PX` in which the coarse pass sees something but background
        gets the answer of the full resolution, exactly; the others keep that of the coarse pass.

        Parameters
        ----------
        image : (H, W) or (H, W, C) uint8 or uint16
        scale : float
            Of the coarse pass, in (0, 1).

        Returns
        -------
        (H, W) uint8
        """
        pixels = network_input(image, self.spec.preprocess.channels)
        height, width = pixels.shape[:2]
        small = resize(pixels, max(1, round(height * scale)), max(1, round(width * scale)))
        labels = resize(self.segment(small), height, width, labels=True)
        reach = round(4 / scale)  # the coarse edge may be off by a few of its pixels
        tiles = [
            tile
            for tile in tiles_of(height, width, self.spec, max(REFINED_TILE_PX, self.spec.stride_px))
            if labels[
                max(tile.y - reach, 0) : tile.y + tile.height + reach,
                max(tile.x - reach, 0) : tile.x + tile.width + reach,
            ].any()
        ]
        windows = [pixels[tile.top : tile.bottom, tile.left : tile.right] for tile in tiles]
        for tile, answer in zip(tiles, self.segment_all(windows), strict=True):
            inside = answer[tile.y - tile.top :, tile.x - tile.left :][: tile.height, : tile.width]
            labels[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] = inside
        return labels

    def _attempt(self, inputs: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        fitted = [fit(image, self.spec, self.tile_px) for image in inputs]
        by_shape: dict[tuple[int, ...], list[tuple[int, int]]] = defaultdict(list)
        for i, pieces in enumerate(fitted):
            for j, (_, array) in enumerate(pieces):
                by_shape[array.shape].append((i, j))
        answers: dict[tuple[int, int], NDArray[Any]] = {}
        for places in by_shape.values():
            for start in range(0, len(places), self.batch):
                group = places[start : start + self.batch]
                answer = self.backend.infer(_stack([fitted[i][j][1] for i, j in group]))
                answers.update(zip(group, answer, strict=True))
        return [
            self._whole([answers[i, j] for j in range(len(pieces))], [t for t, _ in pieces], inputs[i])
            for i, pieces in enumerate(fitted)
        ]

    def _whole(
        self, outputs: list[NDArray[Any]], tiles: list[Tile], image: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        return labels_of(unfit(outputs, tiles, (image.shape[0], image.shape[1])), self.spec)

    def _shrink(self) -> bool:
        if self.batch > 1:
            self.batch = max(1, self.batch // 2)
            return True
        if self.tile_px >= 2 * SMALLEST_TILE_PX:
            self.tile_px //= 2
            return True
        return False

    def close(self) -> None:
        """Release the runtime's memory."""
        self.backend.close()


def _stack(arrays: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    if len(arrays) == 1:
        return np.ascontiguousarray(arrays[0])[None]
    return np.stack(arrays)


def _is_memory(exc: BaseException) -> bool:
    text = str(exc).lower()
    return isinstance(exc, MemoryError) or any(
        word in text for word in ("out of memory", "failed to allocate", "bad_alloc", "bad allocation")
    )
