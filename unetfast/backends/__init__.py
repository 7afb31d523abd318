"""Inference backends: one file each, one line here each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from unetfast.backends.artifact import read_spec
from unetfast.errors import ArtifactError, ConfigError
from unetfast.registry import Registry

if TYPE_CHECKING:
    from unetfast.backends.base import Backend

__all__ = ["BACKENDS", "PLANS", "SUFFIXES", "load", "read_spec"]

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

# Which backends can open a file, the default first.
SUFFIXES = {
    ".pt": ("torch",),
    ".onnx": ("onnxruntime", "openvino"),
    ".xml": ("openvino",),
    ".engine": ("tensorrt",),
    ".plan": ("tensorrt",),
}

PLANS = (".engine", ".plan")  # files of TensorRT, which belong to one kind of GPU


def load(path: Path | str, *, backend: str = "auto", device: str = "auto", threads: int = 0) -> Backend:
    """Open an artifact.

    Parameters
    ----------
    path : Path or str
        ``.pt``, ``.onnx``, ``.xml`` (OpenVINO), ``.engine`` or ``.plan`` (TensorRT).
    backend : str
        A key of :data:`BACKENDS`, or "auto": the first that opens this kind of file.
    device : str
        "auto", "cpu", "cuda" or "cuda:N".
    threads : int
        Threads of the runtime on the CPU; 0 takes all cores.

    Raises
    ------
    ArtifactError
        When the file is missing, of an unknown kind, unsafe or damaged.
    ConfigError
        When the backend cannot open this kind of file.
    MissingDependencyError
        When the backend's package is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise ArtifactError(f"{path}: no such model file")
    able = SUFFIXES.get(path.suffix.lower())
    if able is None:
        raise ArtifactError(f"{path}: not a model file this tool knows ({', '.join(SUFFIXES)})")
    chosen = able[0] if backend == "auto" else backend
    if chosen in BACKENDS and chosen not in able:
        raise ConfigError(f"{path}: backend {chosen} cannot open it (backends that can: {', '.join(able)})")
    loaded: Backend = BACKENDS[chosen](path, device=device, threads=threads)
    return loaded
