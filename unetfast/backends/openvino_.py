"""OpenVINO on CPUs: the fastest of the CPU runtimes, most of all in int8 and bf16."""

from __future__ import annotations

import logging
import queue
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetfast.backends.artifact import onnx_spec, openvino_spec
from unetfast.backends.tensors import check_answer, check_images
from unetfast.errors import ArtifactError, BackendError, ConfigError, require
from unetfast.spec import ModelSpec

__all__ = ["OpenVinoBackend", "load", "runtime"]

log = logging.getLogger(__name__)

# What the CPU may compute in. Without it OpenVINO takes bf16 by itself on machines that have it, and
# an artifact would answer differently from machine to machine.
_HINTS = {"fp32": "f32", "fp16": "f32", "bf16": "bf16", "int8": "f32"}


def runtime() -> Any:
    """Import OpenVINO, without the report that its import sends.

    Raises
    ------
    MissingDependencyError
        When it is not installed.
    """
    # Its import tells Google Analytics that it was imported, unless this package cannot be.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None is what Python documents
    return require("openvino", "openvino")


class OpenVinoBackend:
    """A compiled OpenVINO model; see :class:`unetfast.backends.base.Backend`.

    Attributes
    ----------
    widened : bool
        The file is for bf16, but this CPU computes it in fp32.
    """

    name = "openvino"

    def __init__(self, compiled: Any, spec: ModelSpec, version: str, threads: int) -> None:
        self._compiled: Any = compiled
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()  # requests nobody is using
        self.spec = spec
        # OpenVINO takes the hint to compute in bf16 without a word where the CPU cannot.
        self.widened = spec.precision == "bf16" and "bf16" not in _computes_in(compiled)
        computed = " computed in fp32, as this CPU has no bf16" if self.widened else ""
        self.description = f"OpenVINO {version}, CPU, {threads or 'all'} threads, {spec.precision}{computed}"

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.uint8] | NDArray[np.float32]:
        """Run the model on (N, H, W, C) uint8; safe to call from several threads at once."""
        images = check_images(images, self.spec)
        if self._compiled is None:
            raise BackendError("openvino: the backend is closed")
        try:
            request = self._idle.get_nowait()
        except queue.Empty:
            request = self._compiled.create_infer_request()
        try:
            # share_inputs: no copy of the images. The answer is copied: the request owns its memory.
            answer = np.array(request.infer([images], share_inputs=True)[0])
        except Exception as exc:  # OpenVINO raises RuntimeError and its own kin
            raise BackendError(f"OpenVINO failed on images of shape {images.shape}: {exc}") from exc
        self._idle.put(request)
        return check_answer(answer, images, self.spec)

    def close(self) -> None:
        """Release the compiled model."""
        self._compiled = None
        self._idle = queue.SimpleQueue()


def _computes_in(compiled: Any) -> str:
    return str(compiled.get_property("INFERENCE_PRECISION_HINT").to_string())


def load(path: Path | str, *, device: str = "auto", threads: int = 0) -> OpenVinoBackend:
    """Open an OpenVINO ``.xml`` with its ``.bin``, or an ``.onnx``.

    Parameters
    ----------
    path : Path or str
    device : str
        "auto" or "cpu".
    threads : int
        Threads within one call; 0 takes all cores.

    Raises
    ------
    ArtifactError
        When the file is damaged, foreign, holds no spec, or was made for another runtime.
    ConfigError
        For a device OpenVINO is not used on here.
    MissingDependencyError
        When OpenVINO is not installed.
    """
    path = Path(path)
    if device not in ("auto", "cpu"):
        raise ConfigError(f"device must be auto or cpu for OpenVINO; got {device!r}")
    ov = runtime()
    spec = onnx_spec(path) if path.suffix.lower() == ".onnx" else openvino_spec(path)
    if spec.target == "tensorrt":
        raise ArtifactError(
            f"{path}: made for TensorRT; its signed int8 would be computed wrongly by OpenVINO. "
            "Make the CPU kind with: unetfast export CHECKPOINT.pt --openvino --int8 --data FOLDER"
        )
    try:
        core = ov.Core()
        model = core.read_model(str(path))
        compiled = core.compile_model(model, "CPU", _properties(spec, threads))
    except Exception as exc:  # OpenVINO raises RuntimeError and its own kin
        raise ArtifactError(f"{path}: OpenVINO cannot open it: {exc}") from exc
    version = ov.get_version().split("-")[0]
    backend = OpenVinoBackend(compiled, spec, version, threads)
    log.info("%s: %s", path, backend.description)
    return backend


def _properties(spec: ModelSpec, threads: int) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": _HINTS[spec.precision],
    }
    if threads:
        properties["INFERENCE_NUM_THREADS"] = threads
    return properties
