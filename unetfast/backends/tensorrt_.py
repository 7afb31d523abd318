"""TensorRT plans on NVIDIA GPUs.

Two slots, each with its own stream and buffers: while one call computes, another's images travel.
Within a slot every shape of batch has its own execution context and, from its second use on, its
own CUDA graph, because a graph is only valid while nothing changes in the context it was recorded
from. Contexts of a slot share one piece of GPU memory: a slot does one call at a time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import queue
import re
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetfast.backends.artifact import read_sidecar
from unetfast.backends.cuda import Cuda, cuda
from unetfast.backends.device import parse_device
from unetfast.backends.tensors import check_answer, check_images
from unetfast.errors import ArtifactError, BackendError, UnetfastError, require
from unetfast.preprocess import Tile, tiles_of, unfit
from unetfast.spec import ModelSpec

__all__ = ["TensorRtBackend", "device_index", "gpu", "inspected_types", "load", "runtime", "stale"]

log = logging.getLogger(__name__)

_SLOTS = 2
_SHAPES = 16  # contexts and graphs a slot keeps; those used longest ago go first


def runtime() -> Any:
    """Return the ``tensorrt`` module; raises MissingDependencyError where it is not installed."""
    return require("tensorrt", "trt")


def gpu(index: int = 0) -> str:
    """Return the GPU's name and compute capability, such as ``"NVIDIA A100-SXM4-80GB (8.0)"``.

    Raises
    ------
    BackendError, MissingDependencyError
        When there is none, or nothing to reach it with.
    """
    return cuda(index).name()


def stale(sidecar: dict[str, Any], version: str, gpu_name: str) -> str | None:
    """Say why a plan with this sidecar cannot run here, or return None if it can.

    `version` is that of TensorRT here, `gpu_name` what :func:`gpu` says.
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
    return f"built {' and '.join(differences)}"


# How the inspector of TensorRT 10 and 11 writes types, by the name of tensorrt.DataType.
_TYPES = {
    "FLOAT": r"fp32|float\b|float32",
    "HALF": r"(?<!b)fp16|half|(?<!b)float16",
    "BF16": r"bf16|bfloat16",
    "INT8": r"(?<!u)int8",
    "UINT8": r"uint8",
}


def inspected_types(text: str) -> dict[str, int]:
    """Count layers by the type of their first output, a name of ``tensorrt.DataType``, if they say it.

    `text` is what the engine inspector gives as JSON of a plan built with detailed verbosity.
    """
    found: Counter[str] = Counter()
    for entry in json.loads(text).get("Layers", []):
        outputs = entry.get("Outputs") if isinstance(entry, dict) else None
        if not outputs:
            continue
        said = " ".join(str(value) for key, value in outputs[0].items() if "atatype" in key).lower()
        found.update(name for name, pattern in _TYPES.items() if re.search(pattern, said))
    return dict(found)


def device_index(device: str) -> int:
    """Return N of "cuda:N", 0 of "cuda" and "auto"; raises ConfigError for all else."""
    return parse_device(device, "auto", "cuda")[1] or 0


class _Execution:
    """How batches of one shape go through an engine."""

    def __init__(self, cuda: Cuda, stream: int, context: Any, answer_shape: tuple[int, ...]) -> None:
        self._cuda, self._stream, self._context = cuda, stream, context
        self.answer_shape = answer_shape
        self._uses = 0
        self._graph: Callable[[], None] | None = None

    def enqueue(self) -> None:
        """Put the computation into the stream."""
        self._uses += 1
        if self._uses == 2:  # TensorRT settles a context at its first run; only then can it be recorded
            self._graph = self._recorded()
        if self._graph is None:
            self._execute()
        else:
            self._graph()

    def _recorded(self) -> Callable[[], None] | None:
        try:
            return self._cuda.record(self._stream, self._execute)
        except (BackendError, RuntimeError) as exc:  # torch raises RuntimeError for CUDA's errors
            log.warning("TensorRT: going on without a CUDA graph, which could not be recorded: %s", exc)
            return None

    def _execute(self) -> None:
        if not self._context.execute_async_v3(self._stream):
            raise BackendError("TensorRT: execution failed")


class _Slot:
    """A stream with buffers for the largest batch; one call at a time."""

    def __init__(self, trt: Any, engine: Any, cuda: Cuda, names: tuple[str, str], sizes: tuple[int, int]):
        self._engine, self._cuda, self._names = engine, cuda, names
        self._strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        self._stream = cuda.stream()
        self._given, self._wanted = (cuda.buffer(size) for size in sizes)
        self._scratch_bytes = int(engine.device_memory_size_v2)
        self._scratch = cuda.memory(self._scratch_bytes)
        self._executions: OrderedDict[tuple[int, ...], _Execution] = OrderedDict()

    def run(self, images: NDArray[np.uint8], dtype: Any) -> NDArray[Any]:
        self._cuda.enter()
        execution = self._executions.pop(images.shape, None) or self._execution(images.shape)
        self._executions[images.shape] = execution
        if len(self._executions) > _SHAPES:
            self._executions.popitem(last=False)
        count = int(np.prod(execution.answer_shape)) * np.dtype(dtype).itemsize
        self._given.host[: images.nbytes] = images.reshape(-1)
        self._given.upload(images.nbytes, self._stream)
        execution.enqueue()
        self._wanted.download(count, self._stream)
        self._cuda.wait(self._stream)
        answer: NDArray[Any] = np.array(self._wanted.host[:count]).view(dtype).reshape(execution.answer_shape)
        return answer

    def _execution(self, shape: tuple[int, ...]) -> _Execution:
        context = self._engine.create_execution_context(self._strategy)
        if context is None:
            raise BackendError("TensorRT: not enough GPU memory for an execution context")
        context.set_device_memory(self._scratch.pointer, self._scratch_bytes)
        name_in, name_out = self._names
        if not context.set_input_shape(name_in, shape):
            raise BackendError(f"TensorRT: shape {shape} does not fit the plan's profile")
        context.set_tensor_address(name_in, self._given.pointer)
        context.set_tensor_address(name_out, self._wanted.pointer)
        return _Execution(self._cuda, self._stream, context, tuple(context.get_tensor_shape(name_out)))


class TensorRtBackend:
    """A TensorRT engine; see :class:`unetfast.backends.base.Backend`.

    Images larger than the plan's profile are cut into tiles that fit it, with the model's halo;
    smaller ones are padded by repeating their edge.
    """

    name = "tensorrt"

    def __init__(self, trt: Any, plan: bytes, spec: ModelSpec, cuda: Cuda) -> None:
        self.spec = spec
        self._trt = trt
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise BackendError("TensorRT cannot read the plan")
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        modes = {name: engine.get_tensor_mode(name) for name in names}
        given = next(name for name in names if modes[name] == trt.TensorIOMode.INPUT)
        wanted = next(name for name in names if modes[name] == trt.TensorIOMode.OUTPUT)
        low, _, high = engine.get_tensor_profile_shape(given, 0)
        self._low, self._high = tuple(low)[:3], tuple(high)[:3]
        self._dtype = np.dtype(np.uint8 if spec.output == "mask" else np.float32)
        pixels = int(np.prod(self._high))
        channels = 1 if spec.output == "mask" else spec.logit_channels
        sizes = pixels * spec.preprocess.channels, pixels * channels * self._dtype.itemsize
        self._engine: Any = engine
        self._idle: queue.Queue[_Slot] = queue.Queue()
        for _ in range(_SLOTS):
            self._idle.put(_Slot(trt, engine, cuda, (given, wanted), sizes))
        self.description = f"TensorRT {trt.__version__}, {cuda.name()}, {spec.precision}"

    def layer_types(self) -> dict[str, int]:
        """Count what the engine's own layers answer in, by TensorRT's engine inspector."""
        inspector = self._engine.create_engine_inspector()
        return inspected_types(inspector.get_engine_information(self._trt.LayerInformationFormat.JSON))

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
        core = min(self._high[1:]) - 2 * self.spec.margin_px
        if core < self.spec.stride_px:
            raise BackendError(
                f"images of {width}x{height} do not fit the plan (up to {self._high[2]}x{self._high[1]}), "
                f"which is too small for tiles with a halo of {self.spec.halo_px} px; rebuild with --shapes"
            )
        return tiles_of(height, width, self.spec, core, longest_px=min(self._high[1:]))

    def _padded(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        n, height, width, _ = images.shape
        low_n, low_h, low_w = self._low
        extra = max(0, low_n - n), max(0, low_h - height), max(0, low_w - width)
        if any(extra):
            images = np.pad(images, (*((0, more) for more in extra), (0, 0)), mode="edge")
        slot = self._idle.get()
        try:
            answer = slot.run(np.ascontiguousarray(images), self._dtype)
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
    index = device_index(device)
    sidecar = read_sidecar(path)
    spec = ModelSpec.from_dict(sidecar["spec"], path)
    plan = path.read_bytes()
    if hashlib.sha256(plan).hexdigest() != sidecar.get("plan_sha256"):
        raise ArtifactError(
            f"{path}: not the plan that {path.name}.json describes (truncated, or replaced); "
            f"rebuild it with: {sidecar.get('rebuild')}"
        )
    trt = runtime()
    here = cuda(index)
    problem = stale(sidecar, trt.__version__, here.name())
    if problem is not None:
        raise ArtifactError(f"{path}: {problem}; add --rebuild, or: {sidecar.get('rebuild')}")
    try:
        backend = TensorRtBackend(trt, plan, spec, here)
    except UnetfastError as exc:
        raise BackendError(f"{path}: {exc}") from exc
    log.info("%s: %s", path, backend.description)
    return backend
