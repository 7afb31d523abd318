"""What an artifact says about itself, read without running it and without its runtime."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from unetfast import weights
from unetfast.backends.onnx_header import read_header
from unetfast.errors import ArtifactError
from unetfast.spec import SPEC_KEY, ModelSpec

__all__ = [
    "ASSETS",
    "CHECKPOINTS",
    "PLANS",
    "SUFFIXES",
    "able_backends",
    "bundled",
    "onnx_spec",
    "openvino_spec",
    "read_sidecar",
    "read_spec",
    "sidecar_path",
]

# Which backends can open a file, the default first.
SUFFIXES = {
    ".pt": ("torch",),
    ".safetensors": ("torch",),
    ".onnx": ("onnxruntime", "openvino"),
    ".xml": ("openvino",),
    ".engine": ("tensorrt",),
    ".plan": ("tensorrt",),
}
CHECKPOINTS = (".pt", ".safetensors")  # weights with what they were trained as
PLANS = (".engine", ".plan")  # files of TensorRT, which belong to one kind of GPU

ASSETS = Path(__file__).parents[1] / "assets"  # a model file here is known by its name

_MAX_XML_BYTES = 256 * 2**20  # the topology; weights lie in the .bin beside it
_MAX_SIDECAR_BYTES = 16 * 2**20


def bundled(name: Path | str) -> Path | None:
    """Return the file of a model that ships with the package, such as ``"crack"``, or None."""
    path = ASSETS / f"{name}.onnx"
    return path if str(name).isidentifier() and path.is_file() else None


def read_spec(path: Path | str) -> ModelSpec:
    """Return the spec inside an artifact.

    Parameters
    ----------
    path : Path or str
        ``.pt`` (needs torch), ``.safetensors``, ``.onnx``, ``.xml``, ``.engine`` or ``.plan``.

    Raises
    ------
    ArtifactError
        When the file is missing, of an unknown kind, damaged, foreign, or of a newer unetfast.
    """
    path = Path(path)
    able_backends(path)
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        return onnx_spec(path)
    if suffix == ".xml":
        return openvino_spec(path)
    if suffix in PLANS:
        return ModelSpec.from_dict(read_sidecar(path)["spec"], sidecar_path(path))
    if suffix == ".pt":
        from unetfast.checkpoint import load

        return load(path).spec
    return weights.read_spec(path)


def able_backends(path: Path) -> tuple[str, ...]:
    """Return the keys of the backends that can open a file; raises the first two errors of `read_spec`."""
    if not path.is_file():
        raise ArtifactError(f"{path}: {'a folder, not' if path.is_dir() else 'no such'} model file")
    if path.suffix.lower() not in SUFFIXES:
        raise ArtifactError(f"{path}: not a model file this tool knows ({', '.join(SUFFIXES)})")
    return SUFFIXES[path.suffix.lower()]


def onnx_spec(path: Path) -> ModelSpec:
    """Return the spec inside an ONNX file, after checking that its weights lie in its own folder."""
    header = read_header(path)
    text = header.metadata.get(SPEC_KEY)
    if text is None:
        raise ArtifactError(
            f"{path}: no unetfast spec inside (written by {header.producer or 'an unnamed tool'}); "
            "export it with: unetfast export CHECKPOINT.pt"
        )
    header.check_external_data(path)
    return ModelSpec.from_json(text, path)


def openvino_spec(path: Path) -> ModelSpec:
    """Return the spec inside the ``rt_info`` of an OpenVINO model."""
    try:
        if path.stat().st_size > _MAX_XML_BYTES:
            raise ArtifactError(f"{path}: too large for an OpenVINO topology (over {_MAX_XML_BYTES} bytes)")
        root = ET.fromstring(path.read_bytes())
    except OSError as exc:
        raise ArtifactError(f"{path}: cannot be read: {exc.strerror}") from exc
    except ET.ParseError as exc:
        raise ArtifactError(f"{path}: not a whole OpenVINO model: {exc}") from exc
    if root.tag != "net":
        raise ArtifactError(f"{path}: not an OpenVINO model (its root is <{root.tag}>)")
    if not path.with_suffix(".bin").is_file():
        raise ArtifactError(f"{path}: its weights {path.with_suffix('.bin').name} are missing")
    section, _, name = SPEC_KEY.partition(".")
    entry = root.find(f"rt_info/{section}/{name}")
    if entry is None:
        raise ArtifactError(
            f"{path}: no unetfast spec inside; export it with: unetfast export CHECKPOINT.pt --openvino"
        )
    return ModelSpec.from_json(entry.get("value", ""), path)


def sidecar_path(plan: Path) -> Path:
    """Return where the JSON beside a TensorRT plan lies: ``best.engine`` -> ``best.engine.json``."""
    return plan.with_name(plan.name + ".json")


def read_sidecar(plan: Path) -> dict[str, Any]:
    """Read the JSON beside a TensorRT plan.

    Raises
    ------
    ArtifactError
        When it is missing or damaged.
    """
    path = sidecar_path(plan)
    if not path.is_file():
        raise ArtifactError(
            f"{plan}: {path.name} is missing beside it, so nothing says what the plan computes; "
            "copy it there, or rebuild with: unetfast export CHECKPOINT.pt --trt"
        )
    try:
        if path.stat().st_size > _MAX_SIDECAR_BYTES:
            raise ArtifactError(f"{path}: over {_MAX_SIDECAR_BYTES} bytes cannot be the sidecar of a plan")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ArtifactError(f"{path}: cannot be read: {exc.strerror}") from exc
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ArtifactError(f"{path}: not JSON: {exc}") from exc
    if not isinstance(content, dict) or not isinstance(content.get("spec"), dict):
        raise ArtifactError(f"{path}: holds no spec of a plan")
    return content
