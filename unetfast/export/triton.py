"""A model repository for NVIDIA Triton Inference Server."""

from __future__ import annotations

import shutil
from pathlib import Path

from unetfast.backends import read_spec
from unetfast.backends.artifact import sidecar_path
from unetfast.errors import ConfigError

__all__ = ["write_repository"]

_FILES = {".onnx": "model.onnx", ".engine": "model.plan", ".plan": "model.plan"}


def write_repository(artifact: Path, repository: Path) -> Path:
    """Lay an artifact out as ``<repository>/<name>/config.pbtxt`` and ``<name>/1/model.*``.

    Parameters
    ----------
    artifact : Path
        ``.onnx``, ``.engine`` or ``.plan``.
    repository : Path
        What ``tritonserver --model-repository`` is given; made if it is not there.

    Returns
    -------
    Path
        The model's own folder.

    Raises
    ------
    ConfigError
        For an artifact Triton has no backend for here.
    """
    kind = _FILES.get(artifact.suffix.lower())
    if kind is None:
        raise ConfigError(f"{artifact}: a Triton repository takes {', '.join(_FILES)}")
    folder = repository / artifact.stem.replace(".", "_")
    model = folder / "1" / kind
    model.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(artifact, model)
    if kind == "model.plan":
        shutil.copyfile(sidecar_path(artifact), sidecar_path(model))
    (folder / "config.pbtxt").write_text(_config_text(artifact, folder.name), encoding="utf-8")
    return folder


def _config_text(artifact: Path, name: str) -> str:
    """Return the ``config.pbtxt`` of an artifact.

    The batch dimension is one of the model's own dimensions (``max_batch_size: 0``): images of one
    request share one size, and Triton must not join requests of different sizes.
    """
    spec = read_spec(artifact)
    backend = 'backend: "onnxruntime"' if artifact.suffix.lower() == ".onnx" else 'platform: "tensorrt_plan"'
    if spec.output == "mask":
        answer, dtype, dims = "mask", "TYPE_UINT8", "-1, -1, -1"
    else:
        answer, dtype, dims = "prob", "TYPE_FP32", f"-1, -1, -1, {spec.logit_channels}"
    classes = ", ".join(f"{i} {label}" for i, label in enumerate(spec.classes))
    return (
        f"# {spec.arch}, {spec.precision}; classes: {classes}\n"
        f'name: "{name}"\n'
        f"{backend}\n"
        "max_batch_size: 0\n"
        "input [\n"
        f'  {{ name: "image", data_type: TYPE_UINT8, dims: [ -1, -1, -1, {spec.preprocess.channels} ] }}\n'
        "]\n"
        "output [\n"
        f'  {{ name: "{answer}", data_type: {dtype}, dims: [ {dims} ] }}\n'
        "]\n"
    )
