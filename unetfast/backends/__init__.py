"""Inference backends: one file each, one line here each."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from unetfast.backends.artifact import ASSETS, CHECKPOINTS, PLANS, SUFFIXES, able_backends, bundled, read_spec
from unetfast.errors import ConfigError
from unetfast.registry import Registry
from unetfast.settings import check_threads

if TYPE_CHECKING:
    from unetfast.backends.base import Backend

__all__ = [
    "ASSETS",
    "BACKENDS",
    "CHECKPOINTS",
    "DEVICES",
    "PLANS",
    "SUFFIXES",
    "bundled",
    "chosen",
    "load",
    "read_spec",
]

log = logging.getLogger(__name__)

# name -> a function load(path, *, device, threads) -> Backend
BACKENDS = Registry(
    "backend",
    {
        "torch": "unetfast.backends.torch_:load",
        "onnxruntime": "unetfast.backends.onnxruntime_:load",
        "openvino": "unetfast.backends.openvino_:load",
        "tensorrt": "unetfast.backends.tensorrt_:load",
    },
)

# What --device takes, for help; each backend refuses what it cannot run on.
DEVICES = "auto, cpu, cuda or cuda:N; of onnxruntime also tensorrt or tensorrt:N."


def load(path: Path | str, *, backend: str = "auto", device: str = "auto", threads: int = 0) -> Backend:
    """Open an artifact.

    Parameters
    ----------
    path : Path or str
        ``.pt``, ``.safetensors``, ``.onnx``, ``.xml`` (OpenVINO), ``.engine`` or ``.plan`` (TensorRT).
    backend : str
        A key of :data:`BACKENDS`, or "auto": the fastest one here of those that the file was certified
        on. That is OpenVINO for int8 on a CPU; for all else the first that opens this kind of file.
    device : str
        "auto", "cpu", "cuda" or "cuda:N"; of onnxruntime also "tensorrt" or "tensorrt:N".
    threads : int
        Threads of the runtime on the CPU; 0 takes all cores.

    Raises
    ------
    ArtifactError
        When the file is missing, of an unknown kind, unsafe or damaged.
    ConfigError
        When the backend cannot open this kind of file, or for too many threads.
    MissingDependencyError
        When the backend's package is not installed.
    """
    check_threads(threads)
    path = Path(path)
    loaded: Backend = BACKENDS[chosen(path, backend, device)](path, device=device, threads=threads)
    return loaded


def chosen(path: Path, backend: str, device: str) -> str:
    """Return the key of the backend that :func:`load` takes; it raises the first two errors named there."""
    able = able_backends(path)
    key = _fastest(path, able, device) if backend == "auto" else backend
    if key in BACKENDS and key not in able:
        raise ConfigError(f"{path}: backend {key} cannot open it (backends that can: {', '.join(able)})")
    return key


def _fastest(path: Path, able: tuple[str, ...], device: str) -> str:
    """Choose by what `unetfast bench` measured on x86-64 (docs/export.md).

    fp32 is as fast in onnxruntime as in OpenVINO, and then the five lines of plain onnxruntime in the
    README give the same mask to the bit.
    """
    if "openvino" not in able[1:] or device not in ("auto", "cpu") or not find_spec("openvino"):
        return able[0]
    spec = read_spec(path)
    certified = (spec.certificate or {}).get("also", {})
    if spec.precision != "int8" or not certified.get("openvino", {}).get("passed"):
        return able[0]
    from unetfast.backends.onnxruntime_ import has_cuda

    if device == "auto" and has_cuda():
        return able[0]
    log.info("%s: auto takes openvino, the fastest here for int8 (onnxruntime is here too)", path)
    return "openvino"
