"""What TensorRT needs of CUDA: memory, streams and graphs, through torch or through ``cuda-python``."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import BackendError, MissingDependencyError

__all__ = ["Buffer", "Cuda", "cuda"]

# While one thread records a graph, no other may: some of CUDA's calls then fail in every thread.
_RECORDING = threading.Lock()


class Buffer(Protocol):
    """Pinned memory of the host and memory of the GPU, of one size."""

    host: NDArray[np.uint8]
    pointer: int

    def upload(self, count: int, stream: int) -> None:
        """Let a stream copy the first `count` bytes to the GPU."""
        ...

    def download(self, count: int, stream: int) -> None:
        """Let a stream copy the first `count` bytes from the GPU."""
        ...


class Cuda(Protocol):
    """One GPU."""

    def name(self) -> str:
        """Return the GPU's name and compute capability, such as ``"NVIDIA A100-SXM4-80GB (8.0)"``."""
        ...

    def enter(self) -> None:
        """Make this the calling thread's GPU."""
        ...

    def memory(self, size: int) -> Any:
        """Return an object whose ``pointer`` is memory of the GPU, freed with the object."""
        ...

    def buffer(self, size: int) -> Buffer:
        """Return memory of the host and of the GPU, freed with the object."""
        ...

    def stream(self) -> int:
        """Return the handle of a new stream."""
        ...

    def wait(self, stream: int) -> None:
        """Wait until a stream has done everything put into it."""
        ...

    def record(self, stream: int, work: Callable[[], None]) -> Callable[[], None]:
        """Record what `work` puts into a stream, without doing it; return what does all of it at once."""
        ...


class _TorchMemory:
    def __init__(self, torch: Any, device: Any, size: int) -> None:
        self._kept = torch.empty(max(1, size), dtype=torch.uint8, device=device)
        self.pointer = int(self._kept.data_ptr())


class _TorchBuffer:
    def __init__(self, owner: _TorchCuda, size: int) -> None:
        torch = owner.torch
        self._owner = owner
        self._host = torch.empty(size, dtype=torch.uint8, pin_memory=True)
        self._device = torch.empty(size, dtype=torch.uint8, device=owner.device)
        self.host, self.pointer = self._host.numpy(), int(self._device.data_ptr())

    def upload(self, count: int, stream: int) -> None:
        with self._owner.on(stream):
            self._device[:count].copy_(self._host[:count], non_blocking=True)

    def download(self, count: int, stream: int) -> None:
        with self._owner.on(stream):
            self._host[:count].copy_(self._device[:count], non_blocking=True)


class _TorchCuda:
    def __init__(self, torch: Any, index: int) -> None:
        self.torch, self.device = torch, torch.device("cuda", index)
        self._streams: dict[int, Any] = {}  # a stream dies with its object
        self.enter()

    def name(self) -> str:
        found = self.torch.cuda.get_device_properties(self.device)
        return f"{found.name} ({found.major}.{found.minor})"

    def enter(self) -> None:
        self.torch.cuda.set_device(self.device)

    def memory(self, size: int) -> _TorchMemory:
        return _TorchMemory(self.torch, self.device, size)

    def buffer(self, size: int) -> Buffer:
        return _TorchBuffer(self, size)

    def stream(self) -> int:
        made = self.torch.cuda.Stream(self.device)
        self._streams[int(made.cuda_stream)] = made
        return int(made.cuda_stream)

    def on(self, stream: int) -> Any:
        return self.torch.cuda.stream(self._streams[stream])

    def wait(self, stream: int) -> None:
        self._streams[stream].synchronize()

    def record(self, stream: int, work: Callable[[], None]) -> Callable[[], None]:
        recorded = self.torch.cuda.CUDAGraph()
        with (
            _RECORDING,
            self.torch.cuda.graph(recorded, stream=self._streams[stream], capture_error_mode="thread_local"),
        ):
            work()

        def launch() -> None:
            with self.on(stream):
                recorded.replay()

        return launch


class _PlainMemory:
    def __init__(self, owner: _PlainCuda, size: int) -> None:
        self._owner = owner
        self.pointer = int(owner.call("cudaMalloc", max(1, size)))

    def __del__(self) -> None:
        if hasattr(self, "pointer"):
            self._owner.call("cudaFree", self.pointer)


class _PlainBuffer:
    def __init__(self, owner: _PlainCuda, size: int) -> None:
        self._owner = owner
        self._memory = _PlainMemory(owner, size)
        self._host = int(owner.call("cudaMallocHost", size))
        self.pointer = self._memory.pointer
        array = (ctypes.c_uint8 * size).from_address(self._host)
        self.host: NDArray[np.uint8] = np.ctypeslib.as_array(array)

    def upload(self, count: int, stream: int) -> None:
        kind = self._owner.api.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._owner.call("cudaMemcpyAsync", self.pointer, self._host, count, kind, stream)

    def download(self, count: int, stream: int) -> None:
        kind = self._owner.api.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._owner.call("cudaMemcpyAsync", self._host, self.pointer, count, kind, stream)

    def __del__(self) -> None:
        if hasattr(self, "_host"):
            self._owner.call("cudaFreeHost", self._host)


class _PlainGraph:
    def __init__(self, owner: _PlainCuda, stream: int, graph: Any) -> None:
        self._owner, self._stream = owner, stream
        self._ready = owner.call("cudaGraphInstantiate", graph, 0)
        owner.call("cudaGraphDestroy", graph)

    def __call__(self) -> None:
        self._owner.call("cudaGraphLaunch", self._ready, self._stream)

    def __del__(self) -> None:
        if hasattr(self, "_ready"):
            self._owner.call("cudaGraphExecDestroy", self._ready)


class _PlainCuda:
    """Through ``cuda-python``: every function returns its error first."""

    def __init__(self, api: Any, index: int) -> None:
        self.api, self._index = api, index
        self.enter()

    def call(self, name: str, *arguments: Any) -> Any:
        error, *values = getattr(self.api, name)(*arguments)
        if int(error) != 0:
            raise BackendError(f"CUDA: {name} failed: {error}")
        return values[0] if values else None

    def name(self) -> str:
        found = self.call("cudaGetDeviceProperties", self._index)
        return f"{found.name.decode()} ({found.major}.{found.minor})"

    def enter(self) -> None:
        self.call("cudaSetDevice", self._index)

    def memory(self, size: int) -> _PlainMemory:
        return _PlainMemory(self, size)

    def buffer(self, size: int) -> Buffer:
        return _PlainBuffer(self, size)

    def stream(self) -> int:
        return int(self.call("cudaStreamCreate"))

    def wait(self, stream: int) -> None:
        self.call("cudaStreamSynchronize", stream)

    def record(self, stream: int, work: Callable[[], None]) -> Callable[[], None]:
        with _RECORDING:
            mode = self.api.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
            self.call("cudaStreamBeginCapture", stream, mode)
            try:
                work()
            finally:
                graph = self.call("cudaStreamEndCapture", stream)
        return _PlainGraph(self, stream, graph)


def cuda(index: int = 0) -> Cuda:
    """Return a GPU.

    Raises
    ------
    MissingDependencyError
        When neither torch sees CUDA nor ``cuda-python`` is there.
    BackendError
        When CUDA has no such GPU.
    """
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
    return _PlainCuda(api, index)
