"""TensorRT plans on NVIDIA GPUs.

Two slots, each with its own context, stream and buffers: while one call computes, another's images
travel. CUDA memory comes through torch where it is installed, else through ``cuda-python``.
"""

from __future__ import annotations

import hashlib
import logging
import queue
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unetfast.backends.artifact import read_sidecar
from unetfast.backends.tensors import check_answer, check_images
from unetfast.errors import (
    ArtifactError,
    BackendError,
    ConfigError,
    MissingDependencyError,
    UnetfastError,
    require,
)
from unetfast.preprocess import Tile, tiles_of, unfit
from unetfast.spec import ModelSpec

__all__ = ["TensorRtBackend", "gpu", "load", "runtime", "stale"]

log = logging.getLogger(__name__)

_SLOTS = 2


def runtime() -> Any:
    """Return the ``tensorrt`` module.

    Raises
    ------
    MissingDependencyError
    """
    return require("tensorrt", "trt")


class _Buffer(Protocol):
    """A piece of pinned host memory and a piece of GPU memory of one size."""

    size: int
    host: NDArray[np.uint8]
    pointer: int

    def upload(self, count: int, stream: int) -> None: ...
    def download(self, count: int, stream: int) -> None: ...


class _Cuda(Protocol):
    """What this backend needs of CUDA."""

    def gpu(self) -> str: ...
    def buffer(self, size: int) -> _Buffer: ...
    def stream(self) -> int: ...
    def wait(self, stream: int) -> None: ...


class _TorchBuffer:
    def __init__(self, torch: Any, device: Any, size: int) -> None:
        self._torch = torch
        self._host = torch.empty(size, dtype=torch.uint8, pin_memory=True)
        self._device = torch.empty(size, dtype=torch.uint8, device=device)
        self.size, self.host, self.pointer = size, self._host.numpy(), self._device.data_ptr()

    def upload(self, count: int, stream: int) -> None:
        with self._torch.cuda.stream(self._torch.cuda.ExternalStream(stream)):
            self._device[:count].copy_(self._host[:count], non_blocking=True)

    def download(self, count: int, stream: int) -> None:
        with self._torch.cuda.stream(self._torch.cuda.ExternalStream(stream)):
            self._host[:count].copy_(self._device[:count], non_blocking=True)


class _TorchCuda:
    def __init__(self, torch: Any, index: int) -> None:
        self._torch = torch
        self._device = torch.device("cuda", index)
        torch.cuda.set_device(self._device)
        self._streams: list[Any] = []  # a stream dies with its object

    def gpu(self) -> str:
        found = self._torch.cuda.get_device_properties(self._device)
        return f"{found.name} ({found.major}.{found.minor})"

    def buffer(self, size: int) -> _Buffer:
        return _TorchBuffer(self._torch, self._device, size)

    def stream(self) -> int:
        self._streams.append(self._torch.cuda.Stream(self._device))
        return int(self._streams[-1].cuda_stream)

    def wait(self, stream: int) -> None:
        self._torch.cuda.ExternalStream(stream).synchronize()


class _CudaPythonBuffer:
    def __init__(self, cuda: _CudaPython, size: int) -> None:
        import ctypes

        self._cuda = cuda
        self._host = cuda.call("cudaMallocHost", size)
        self.size, self.pointer = size, int(cuda.call("cudaMalloc", size))
        array = (ctypes.c_uint8 * size).from_address(int(self._host))
        self.host: NDArray[np.uint8] = np.ctypeslib.as_array(array)

    def upload(self, count: int, stream: int) -> None:
        kind = self._cuda.api.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._cuda.call("cudaMemcpyAsync", self.pointer, self._host, count, kind, stream)

    def download(self, count: int, stream: int) -> None:
        kind = self._cuda.api.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._cuda.call("cudaMemcpyAsync", self._host, self.pointer, count, kind, stream)

    def __del__(self) -> None:
        self._cuda.call("cudaFree", self.pointer)
        self._cuda.call("cudaFreeHost", self._host)


class _CudaPython:
    def __init__(self, api: Any, index: int) -> None:
        self.api, self._index = api, index
        self.call("cudaSetDevice", index)

    def call(self, name: str, *arguments: Any) -> Any:
        error, *values = getattr(self.api, name)(*arguments)
        if int(error) != 0:
            raise BackendError(f"CUDA: {name} failed: {error}")
        return values[0] if values else None

    def gpu(self) -> str:
        found = self.call("cudaGetDeviceProperties", self._index)
        return f"{found.name.decode()} ({found.major}.{found.minor})"

    def buffer(self, size: int) -> _Buffer:
        return _CudaPythonBuffer(self, size)

    def stream(self) -> int:
        return int(self.call("cudaStreamCreate"))

    def wait(self, stream: int) -> None:
        self.call("cudaStreamSynchronize", stream)


def _cuda(index: int = 0) -> _Cuda:
    try:
        import torch

        if torch.cuda.device_count() > index:
            return _TorchCuda(torch, index)
    except ModuleNotFoundError:
        pass
    try:
        from cuda.bindings import runtime as api
    except ModuleNotFoundError as exc:
        raise MissingDependencyError(
            "TensorRT needs CUDA memory from a torch with CUDA, or from: pip install cuda-python"
        ) from exc
    return _CudaPython(api, index)


def gpu(index: int = 0) -> str:
    """Return the GPU's name and compute capability, such as ``"NVIDIA A100-SXM4-80GB (8.0)"``.

    Raises
    ------
    BackendError, MissingDependencyError
        When there is none, or nothing to reach it with.
    """
    return _cuda(index).gpu()


def stale(sidecar: dict[str, Any], version: str, gpu_name: str) -> str | None:
    """Say why a plan cannot run here, or return None if it can.

    Parameters
    ----------
    sidecar : dict
        What ``read_sidecar`` gave.
    version : str
        Of TensorRT here.
    gpu_name : str
        Of the GPU here, as :func:`gpu` says it.
    """
    built_version, built_gpu = str(sidecar.get("tensorrt")), str(sidecar.get("gpu"))
    differences = []
    if version != built_version and not sidecar.get("version_compatible"):
        differences.append(f"by TensorRT {built_version}, and here is {version}")
    capability, here = (name.rpartition("(")[2].rstrip(")") for name in (built_gpu, gpu_name))
    ampere_and_newer = sidecar.get("hardware_compatible") and here.split(".")[0].isdigit()
    if capability != here and not (ampere_and_newer and int(here.split(".")[0]) >= 8):
        differences.append(f"for {built_gpu}, and here is {gpu_name}")
    if not differences:
        return None
    return f"built {' and '.join(differences)}; rebuild it with: {sidecar.get('rebuild')}"


class _Slot:
    """An execution context with its own stream and buffers; one call at a time."""

    def __init__(self, engine: Any, cuda: _Cuda) -> None:
        self._context = engine.create_execution_context()
        if self._context is None:
            raise BackendError("TensorRT: not enough GPU memory for an execution context")
        self._cuda = cuda
        self._stream = cuda.stream()
        self._buffers: dict[str, _Buffer] = {}

    def run(self, images: NDArray[np.uint8], name_in: str, name_out: str, dtype: Any) -> NDArray[Any]:
        if not self._context.set_input_shape(name_in, images.shape):
            raise BackendError(f"TensorRT: shape {images.shape} does not fit the plan's profile")
        shape = tuple(self._context.get_tensor_shape(name_out))
        count = int(np.prod(shape)) * np.dtype(dtype).itemsize
        given, wanted = self._buffer(name_in, images.nbytes), self._buffer(name_out, count)
        given.host[: images.nbytes] = images.reshape(-1)
        given.upload(images.nbytes, self._stream)
        if not self._context.execute_async_v3(self._stream):
            raise BackendError(f"TensorRT: execution failed for shape {images.shape}")
        wanted.download(count, self._stream)
        self._cuda.wait(self._stream)
        answer: NDArray[Any] = np.array(wanted.host[:count]).view(dtype).reshape(shape)
        return answer

    def _buffer(self, name: str, size: int) -> _Buffer:
        known = self._buffers.get(name)
        if known is None or known.size < size:
            known = self._buffers[name] = self._cuda.buffer(size)
            self._context.set_tensor_address(name, known.pointer)
        return known


class TensorRtBackend:
    """A TensorRT engine; see :class:`unetfast.backends.base.Backend`.

    Images larger than the plan's profile are cut into tiles that fit it, with the model's halo;
    smaller ones are padded by repeating their edge.
    """

    name = "tensorrt"

    def __init__(self, trt: Any, plan: bytes, spec: ModelSpec, cuda: _Cuda) -> None:
        self.spec = spec
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise BackendError("TensorRT cannot read the plan")
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        modes = {name: engine.get_tensor_mode(name) for name in names}
        self._in = next(name for name in names if modes[name] == trt.TensorIOMode.INPUT)
        self._out = next(name for name in names if modes[name] == trt.TensorIOMode.OUTPUT)
        low, _, high = engine.get_tensor_profile_shape(self._in, 0)
        self._low, self._high = tuple(low)[:3], tuple(high)[:3]
        self._engine: Any = engine
        self._idle: queue.Queue[_Slot] = queue.Queue()
        for _ in range(_SLOTS):
            self._idle.put(_Slot(engine, cuda))
        self.description = f"TensorRT {trt.__version__}, {cuda.gpu()}, {spec.precision}"

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.uint8] | NDArray[np.float32]:
        """Run the model on (N, H, W, C) uint8; safe to call from several threads at once."""
        images = check_images(images, self.spec)
        if self._engine is None:
            raise BackendError("tensorrt: the backend is closed")
        step = self._high[0]
        parts = [self._sized(images[i : i + step]) for i in range(0, len(images), step)]
        return check_answer(np.concatenate(parts), images, self.spec)

    def _sized(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """Run a batch that the profile takes, of images of any size."""
        height, width = images.shape[1:3]
        tiles = self._tiles(height, width)
        outputs = [self._padded(images[:, t.top : t.bottom, t.left : t.right]) for t in tiles]
        return np.stack(
            [unfit([output[i] for output in outputs], tiles, (height, width)) for i in range(len(images))]
        )

    def _tiles(self, height: int, width: int) -> list[Tile]:
        if height <= self._high[1] and width <= self._high[2]:
            return [Tile(0, 0, height, width, 0, 0, height, width)]
        margin = -(-self.spec.halo_px // self.spec.stride_px) * self.spec.stride_px
        core = min(self._high[1:]) - 2 * margin
        if core < self.spec.stride_px:
            raise BackendError(
                f"images of {width}x{height} do not fit the plan (up to {self._high[2]}x{self._high[1]}), "
                f"which is too small for tiles with a halo of {self.spec.halo_px} px; rebuild with --shapes"
            )
        return tiles_of(height, width, self.spec, core)

    def _padded(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        n, height, width, _ = images.shape
        low_n, low_h, low_w = self._low
        extra = max(0, low_n - n), max(0, low_h - height), max(0, low_w - width)
        if any(extra):
            images = np.pad(images, (*((0, more) for more in extra), (0, 0)), mode="edge")
        dtype = np.uint8 if self.spec.output == "mask" else np.float32
        slot = self._idle.get()
        try:
            answer = slot.run(np.ascontiguousarray(images), self._in, self._out, dtype)
        finally:
            self._idle.put(slot)
        return answer[:n, :height, :width]

    def close(self) -> None:
        """Release the engine, its contexts and their GPU memory."""
        self._engine = None
        self._idle = queue.Queue()


def load(path: Path | str, *, device: str = "auto", threads: int = 0) -> TensorRtBackend:
    """Open a TensorRT plan.

    A plan can run native code while it is being read: open only plans you built or trust.

    Parameters
    ----------
    path : Path or str
        ``.engine`` or ``.plan``, with its ``.json`` beside it.
    device : str
        "auto", "cuda" or "cuda:N".
    threads : int
        Not used on a GPU.

    Raises
    ------
    ArtifactError
        When the sidecar is missing, the plan is not the one it describes, or it was built for
        another GPU or TensorRT; the message then holds the command that rebuilds it.
    BackendError, ConfigError, MissingDependencyError
    """
    path = Path(path)
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cuda") or (index and not index.isdigit()):
        raise ConfigError(f"device must be auto, cuda or cuda:N for TensorRT; got {device!r}")
    sidecar = read_sidecar(path)
    spec = ModelSpec.from_dict(sidecar["spec"], path)
    plan = path.read_bytes()
    if hashlib.sha256(plan).hexdigest() != sidecar.get("plan_sha256"):
        raise ArtifactError(
            f"{path}: not the plan that {path.name}.json describes (truncated, or replaced); "
            f"rebuild it with: {sidecar.get('rebuild')}"
        )
    trt = runtime()
    cuda = _cuda(int(index or 0))
    problem = stale(sidecar, trt.__version__, cuda.gpu())
    if problem is not None:
        raise ArtifactError(f"{path}: {problem}")
    try:
        backend = TensorRtBackend(trt, plan, spec, cuda)
    except UnetfastError as exc:
        raise BackendError(f"{path}: {exc}") from exc
    log.info("%s: %s", path, backend.description)
    return backend
