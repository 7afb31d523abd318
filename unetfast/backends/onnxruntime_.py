"""ONNX files through onnxruntime, on the CPU or an NVIDIA GPU. Needs neither torch nor onnx."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from unetfast.backends.artifact import onnx_spec
from unetfast.backends.device import parse_device
from unetfast.backends.tensors import check_answer, check_images
from unetfast.errors import ArtifactError, BackendError, MissingDependencyError
from unetfast.spec import SPEC_KEY, ModelSpec

__all__ = ["OnnxRuntimeBackend", "has_cuda", "load", "load_bytes"]

log = logging.getLogger(__name__)

_PROVIDERS = {
    "CPUExecutionProvider": "CPU",
    "CUDAExecutionProvider": "CUDA",
    "TensorrtExecutionProvider": "TensorRT",
}


class OnnxRuntimeBackend:
    """An open onnxruntime session; see :class:`unetfast.backends.base.Backend`."""

    name = "onnxruntime"

    def __init__(self, session: ort.InferenceSession, spec: ModelSpec, threads: int) -> None:
        self._session: ort.InferenceSession | None = session
        self._input = session.get_inputs()[0].name
        self._output = session.get_outputs()[0].name
        self.spec = spec
        provider = session.get_providers()[0]
        where = _PROVIDERS.get(provider, provider)
        if provider == "CPUExecutionProvider":
            where += f", {threads or 'all'} threads"
        self.description = f"onnxruntime {ort.__version__}, {where}, {spec.precision}"

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.uint8] | NDArray[np.float32]:
        """Run the model on (N, H, W, C) uint8; safe to call from several threads at once."""
        images = check_images(images, self.spec)
        if self._session is None:
            raise BackendError("onnxruntime: the backend is closed")
        try:
            (answer,) = self._session.run([self._output], {self._input: images})
        except Exception as exc:  # onnxruntime's own errors have no common base but Exception
            raise BackendError(f"onnxruntime failed on images of shape {images.shape}: {exc}") from exc
        return check_answer(answer, images, self.spec)

    def close(self) -> None:
        """Release the session's memory."""
        self._session = None


def load(path: Path | str, *, device: str = "auto", threads: int = 0) -> OnnxRuntimeBackend:
    """Open an ``.onnx`` artifact.

    Parameters
    ----------
    path : Path or str
        The file; weights kept beside it are read only from its own folder.
    device : str
        "cpu", "cuda", "cuda:N", "tensorrt", "tensorrt:N", or "auto": CUDA where this onnxruntime has
        it, else the CPU. TensorRT keeps its plans in a folder beside the model.
    threads : int
        Threads within one call on the CPU; 0 takes all physical cores.

    Raises
    ------
    ArtifactError
        When the file is truncated, foreign, from a newer unetfast, holds no spec, keeps weights
        outside its folder, or was made for another runtime.
    ConfigError
        For an unknown device.
    MissingDependencyError
        When a GPU is asked for and this onnxruntime has none.
    BackendError
        When the runtime did not take the provider asked for.
    """
    path = Path(path)
    spec = onnx_spec(path)
    providers = _providers(device, path)
    first = next(iter(providers))
    if spec.target == "tensorrt" and first != "TensorrtExecutionProvider":
        raise ArtifactError(
            f"{path}: made for TensorRT (signed int8); onnxruntime on {_PROVIDERS[first]} "
            "needs the CPU kind: unetfast export CHECKPOINT.pt --int8 --data FOLDER"
        )
    if spec.target == "cpu" and first == "TensorrtExecutionProvider":
        raise ArtifactError(
            f"{path}: made for CPUs (unsigned int8); TensorRT needs: "
            "unetfast export CHECKPOINT.pt --int8 --trt --data FOLDER"
        )
    try:
        session = ort.InferenceSession(str(path), _options(threads), providers=list(providers.items()))
    except Exception as exc:  # onnxruntime's own errors have no common base but Exception
        raise ArtifactError(f"{path}: onnxruntime cannot open it: {exc}") from exc
    # onnxruntime falls back to the CPU with no more than a warning.
    if session.get_providers()[0] != first:
        raise BackendError(
            f"{path}: onnxruntime did not start {first} (it took {session.get_providers()[0]}); "
            "is the driver or a library of that provider missing? --device cpu runs it on the CPU"
        )
    backend = OnnxRuntimeBackend(session, spec, threads)
    log.info("%s: %s", path, backend.description)
    return backend


def load_bytes(model: bytes) -> OnnxRuntimeBackend:
    """Open an ONNX model held in memory, on the CPU; for exports that are not written yet."""
    session = ort.InferenceSession(model, _options(0), providers=["CPUExecutionProvider"])
    text = session.get_modelmeta().custom_metadata_map[SPEC_KEY]
    return OnnxRuntimeBackend(session, ModelSpec.from_json(text, "model in memory"), threads=0)


def has_cuda() -> bool:
    """Say whether this onnxruntime has CUDA."""
    return "CUDAExecutionProvider" in ort.get_available_providers()


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors only; they are raised as well
    # A plan of all buffers, made by the first call of a shape, is kept beside what that call used: 63 bytes
    # per pixel of the bundled model instead of 37, and no faster.
    options.enable_mem_pattern = False
    return options


def _providers(device: str, path: Path) -> dict[str, dict[str, str]]:
    """Return the providers to ask for, the wanted one first, and the options of each."""
    kind, number = parse_device(device, "auto", "cpu", "cuda", "tensorrt")
    device_id = str(number or 0)
    if kind == "cpu" or (kind == "auto" and not has_cuda()):
        return {"CPUExecutionProvider": {}}
    wanted = {"CUDAExecutionProvider": {"device_id": device_id}, "CPUExecutionProvider": {}}
    if kind == "tensorrt":
        cache = str(path.with_name(path.name + ".tensorrt"))
        kept = {"trt_engine_cache_enable": "1", "trt_engine_cache_path": cache}
        kept |= {"trt_timing_cache_enable": "1", "trt_timing_cache_path": cache}
        wanted = {"TensorrtExecutionProvider": {"device_id": device_id, **kept}, **wanted}
    here = ort.get_available_providers()
    if missing := [name for name in wanted if name not in here]:
        raise MissingDependencyError(
            f"this onnxruntime has no {', '.join(missing)} (it has: {', '.join(here)}); install the other "
            "one: pip uninstall onnxruntime; pip install onnxruntime-gpu"
        )
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # finds the CUDA libraries that pip packages or torch brought
    return wanted
