"""A model that takes whole images of any size: what `unetfast.load` returns."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetfast.backends import ASSETS, PLANS, bundled, read_spec
from unetfast.backends import load as load_backend
from unetfast.backends.base import Backend
from unetfast.errors import ArtifactError, BackendError, ConfigError, InputError, is_memory_error
from unetfast.imaging.convert import check_array, network_input
from unetfast.machine import available_cores
from unetfast.preprocess import (
    ACTIVATIONS_BYTES,
    SMALLEST_DEFAULT_PX,
    Tile,
    default_tile_px,
    fit,
    labels_of,
    unfit,
)
from unetfast.scaled import segment_rows
from unetfast.settings import check_threads, check_whole
from unetfast.spec import ModelSpec

__all__ = ["Segmenter", "load"]

log = logging.getLogger(__name__)

SMALLEST_TILE_PX = 256


def load(
    model: str | Path = "crack",
    *,
    backend: str = "auto",
    device: str = "auto",
    threads: int = 0,
    tile_px: int = 0,
    batch: int = 1,
    rebuild: bool = False,
    memory_bytes: int = ACTIVATIONS_BYTES,
    streams: int = 1,
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
        as `memory_bytes` holds.
    batch : int
        How many inputs of one size go through the network at once, where all of them have no more
        pixels than one tile.
    rebuild : bool
        Build a TensorRT plan again, from the ONNX beside it, if it is of another GPU or TensorRT.
    memory_bytes : int
        What the tiles that are computed at once may take, about.
    streams : int
        On a CPU with onnxruntime: how many tiles are computed at once, each on a part of the
        threads. More photos per second where there are many, and less use of the cores for a
        single small one. A network whose tiles take too much memory for it gets 1.

    Returns
    -------
    Segmenter

    Raises
    ------
    ArtifactError, ConfigError, MissingDependencyError, BackendError
        As :func:`unetfast.backends.load`.
    InputError
        When `model` is neither a name nor a path.

    Examples
    --------
    >>> import unetfast
    >>> mask = unetfast.load("crack").segment(image)                # doctest: +SKIP
    """
    for name, value, least in (("tile_px", tile_px, 0), ("batch", batch, 1), ("streams", streams, 1)):
        check_whole(value, name, least)
    check_whole(memory_bytes, "memory_bytes", 0)
    check_threads(threads)
    path = _path(model)
    again = partial(
        load,
        path.absolute(),
        backend=backend,
        device=device,
        threads=threads,
        tile_px=tile_px,
        batch=batch,
        memory_bytes=memory_bytes,
        streams=streams,
    )
    if rebuild and path.suffix.lower() in PLANS:
        from unetfast.export.tensorrt import rebuild_if_stale

        rebuild_if_stale(path, device)
    cores = threads or available_cores()
    streams = _streams(path, backend, device, min(streams, cores), memory_bytes) if streams > 1 else 1
    if streams > 1:
        # The callers work too: with so many threads within a call, all cores are busy and no more.
        threads = cores - streams + 1
    opened = load_backend(path, backend=backend, device=device, threads=threads)
    if 0 < tile_px < opened.spec.stride_px:
        opened.close()
        raise ConfigError(
            f"{path}: tiles of this model have {opened.spec.stride_px} px or more; got {tile_px}"
        )
    tile_px = tile_px or default_tile_px(opened.spec, memory_bytes // streams)
    return Segmenter(opened, tile_px, batch, streams, again, cores)


def _path(model: str | Path) -> Path:
    if not isinstance(model, (str, Path)) or not str(model):
        raise InputError(
            f"a model is the name of a bundled one, such as 'crack', or an artifact's path; got {model!r}"
        )
    path = bundled(model) or Path(model)
    if str(model).isidentifier() and not path.exists():
        known = ", ".join(sorted(file.stem for file in ASSETS.glob("*.onnx")))
        raise ArtifactError(f"{model}: no such model file, and none of the bundled models ({known})")
    return path


def _streams(path: Path, backend: str, device: str, wanted: int, memory_bytes: int) -> int:
    """Return how many calls at once pay off: on CPUs, where the memory holds so many large tiles."""
    onnx = path.suffix.lower() == ".onnx" and backend in ("auto", "onnxruntime")
    if not onnx or device not in ("auto", "cpu") or not path.is_file():
        return 1
    if device == "auto":
        from unetfast.backends.onnxruntime_ import has_cuda

        if has_cuda():
            return 1
    spec = read_spec(path)
    while wanted > 1 and default_tile_px(spec, memory_bytes // wanted) <= _roomy_px(spec):
        wanted -= 1
    return wanted


def _roomy_px(spec: ModelSpec) -> int:
    """Return the side of cores below which more is read twice than several at once bring."""
    return max(SMALLEST_DEFAULT_PX, 4 * spec.halo_px)


class Segmenter:
    """A loaded model with its tiling.

    Threads may share one. Pickled, to another process, it is opened there again from its file. At
    the end of a ``with`` block it is closed.

    Attributes
    ----------
    backend : Backend
    spec : ModelSpec
    tile_px, batch : int
        As given to :func:`load`; both shrink when memory runs out, with a warning.
    streams, cores : int
        How many calls of the backend run at once, and on how many cores all of them together.
    """

    def __init__(
        self,
        backend: Backend,
        tile_px: int = 1024,
        batch: int = 1,
        streams: int = 1,
        again: Callable[[], Segmenter] | None = None,
        cores: int = 1,
    ) -> None:
        if not hasattr(backend, "infer"):
            raise InputError(f"a Segmenter is made by unetfast.load(model); got {backend!r}")
        self.backend = backend
        self.spec: ModelSpec = backend.spec
        self.tile_px = tile_px
        self.batch = batch
        self.streams = streams
        self._again = again
        self.cores = max(cores, streams)
        self._callers = 0
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(streams, "network") if streams > 1 else None

    def __repr__(self) -> str:
        return f"<Segmenter of {', '.join(self.spec.classes)}: {self.description}>"

    def __reduce__(self) -> tuple[Callable[[], Segmenter], tuple[()]]:
        if self._again is None:
            raise TypeError("a Segmenter that unetfast.load did not make cannot be pickled")
        return self._again, ()

    def __enter__(self) -> Segmenter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def description(self) -> str:
        """One line for people: what runs the model, and how much of it at once."""
        return self.backend.description + (f", {self.streams} tiles at once" if self.streams > 1 else "")

    def segment(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the class of every pixel.

        Parameters
        ----------
        image : (H, W) or (H, W, C) uint8, uint16, or float32 in [0, 1]
            Grey or RGB, with or without alpha; converted to what the model takes.

        Returns
        -------
        (H, W) uint8
            Class ids; 0 is the background.

        Raises
        ------
        InputError
            For another type, dtype or shape.
        BackendError
            When the runtime fails, after smaller tiles were tried where memory was short.
        """
        return self.segment_all([image])[0]

    def segment_all(self, images: Sequence[NDArray[Any]]) -> list[NDArray[np.uint8]]:
        """Segment several images; inputs of one size share a call to the network.

        Parameters
        ----------
        images : sequence of (H, W) or (H, W, C) uint8, uint16, or float32 in [0, 1]

        Returns
        -------
        list of (H, W) uint8
        """
        shape: tuple[int, ...] = getattr(images, "shape", ())
        if len(shape) == 3 and shape[2] <= 4:  # its rows would be taken for images
            raise InputError(f"segment_all takes several images; this seems to be one: {shape}")
        if not isinstance(images, Iterable):
            raise InputError(f"segment_all takes several images, such as a list; got {type(images).__name__}")
        inputs = [network_input(image, self.spec.preprocess.channels) for image in images]
        with self._calling():
            return self._tried(inputs)

    @contextlib.contextmanager
    def _calling(self) -> Iterator[None]:
        with self._lock:
            self._callers += 1
        try:
            yield
        finally:
            with self._lock:
                self._callers -= 1

    def _tried(self, inputs: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        """Segment with smaller and smaller tiles, until the memory suffices."""
        while True:
            used = (self.tile_px, self.batch)
            try:
                return self._attempt(inputs)
            except (BackendError, MemoryError) as exc:
                if not is_memory_error(exc):
                    raise
                # Another thread may have made them smaller meanwhile.
                if used == (self.tile_px, self.batch) and not self._shrink():
                    raise
                log.warning("memory is short; going on with --tile %d --batch %d", self.tile_px, self.batch)

    def segment_scaled(self, image: NDArray[Any], scale: float) -> NDArray[np.uint8]:
        """Look at a smaller picture; the full resolution decides around the edges of what it shows.

        Within two pixels of the smaller picture around each edge between classes the answer is that
        of the full resolution; elsewhere it is that of the smaller one. So a crack gets its exact
        outline, one that only the smaller picture shows keeps its inside, and what only the full
        resolution shows is not found.

        Parameters
        ----------
        image : (H, W) or (H, W, C) uint8, uint16, or float32 in [0, 1]
        scale : float
            Of the smaller picture, 0.05 .. 1; rounded to a fraction of a denominator up to 64.

        Returns
        -------
        (H, W) uint8
        """
        check_array(image)
        height, width = image.shape[:2]
        return segment_rows(
            self, lambda top, bottom: image[top:bottom], (height, width), (0, height), scale, height
        )

    def _attempt(self, inputs: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        # A lone image is cut for all streams; where others keep them busy, what overlaps is time lost.
        at_once = self.streams if self._callers * len(inputs) == 1 else 1
        fitted = [fit(image, self.spec, self.tile_px, at_once) for image in inputs]
        by_shape: dict[tuple[int, ...], list[tuple[int, int]]] = defaultdict(list)
        for i, pieces in enumerate(fitted):
            for j, (_, array) in enumerate(pieces):
                by_shape[array.shape].append((i, j))
        groups = [
            places[start : start + count]
            for shape, places in by_shape.items()
            for count in [self._together(shape)]
            for start in range(0, len(places), count)
        ]

        def infer(group: list[tuple[int, int]]) -> NDArray[Any]:
            return self.backend.infer(_stack([fitted[i][j][1] for i, j in group]))

        answers: dict[tuple[int, int], NDArray[Any]] = {}
        for group, answer in zip(groups, self._each(infer, groups), strict=True):
            answers.update(zip(group, answer, strict=True))
        return [
            self._whole([answers[i, j] for j in range(len(pieces))], [t for t, _ in pieces], inputs[i])
            for i, pieces in enumerate(fitted)
        ]

    def _together(self, shape: tuple[int, ...]) -> int:
        """Return how many inputs of a shape share a call: no more pixels than one tile may have."""
        most_px = (self.tile_px + 2 * self.spec.halo_px) ** 2
        return max(1, min(self.batch, most_px // (shape[0] * shape[1])))

    def _whole(
        self, outputs: list[NDArray[Any]], tiles: list[Tile], image: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        return labels_of(unfit(outputs, tiles, (image.shape[0], image.shape[1])), self.spec)

    def _each(
        self, infer: Callable[[list[tuple[int, int]]], NDArray[Any]], groups: list[list[tuple[int, int]]]
    ) -> Iterable[NDArray[Any]]:
        # One group needs no other thread: the caller's own is as good.
        if self._pool is None or len(groups) == 1:
            return map(infer, groups)
        return self._pool.map(infer, groups)

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
        if self._pool is not None:
            self._pool.shutdown()
        self.backend.close()


def _stack(arrays: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    if len(arrays) == 1:
        return np.ascontiguousarray(arrays[0])[None]
    return np.stack(arrays)
