"""Checkpoints as ``.safetensors``: weights, spec and images to certify on, in a format that holds no code.

The spec lies in the file's metadata, so that it can be read without torch and without reading weights.
Weights keep their own names; what else is stored begins with ``unetfast.``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unetfast.errors import ArtifactError, require
from unetfast.spec import SPEC_KEY, ModelSpec

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["load", "read_spec", "save"]

_MAX_HEADER_BYTES = 100_000_000  # the format's own limit
_IMAGE, _LABELS = "unetfast.parity_images.", "unetfast.parity_labels."


def read_spec(path: Path) -> ModelSpec:
    """Return the spec of a ``.safetensors`` file; needs neither torch nor safetensors.

    Raises
    ------
    ArtifactError
        When the file is missing, damaged, or was not written by this tool.
    """
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > min(_MAX_HEADER_BYTES, path.stat().st_size - 8):
                raise ArtifactError(f"{path}: not a whole safetensors file")
            header = json.loads(file.read(size))
    except OSError as exc:
        raise ArtifactError(f"{path}: cannot be read: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:
        raise ArtifactError(f"{path}: not a safetensors file: {exc}") from exc
    known = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(known, dict) or SPEC_KEY not in known:
        raise ArtifactError(
            f"{path}: no unetfast spec inside; make one with: unetfast export CHECKPOINT.pt --safetensors"
        )
    return ModelSpec.from_json(str(known[SPEC_KEY]), path)


def load(path: Path) -> tuple[ModelSpec, dict[str, Tensor], list[Tensor], list[Tensor]]:
    """Return spec, weights, images (H, W, C) uint8 and their labels (H, W) uint8.

    Raises
    ------
    ArtifactError
        As :func:`read_spec`, and when the tensors are damaged.
    MissingDependencyError
    """
    spec = read_spec(path)
    reader = require("safetensors.torch", "train")
    try:
        found: dict[str, Tensor] = reader.load_file(path)
    except Exception as exc:  # safetensors' own error has no base but Exception
        raise ArtifactError(f"{path}: not a whole safetensors file: {exc}") from exc
    count = sum(name.startswith(_IMAGE) for name in found)
    try:
        images = [found.pop(f"{_IMAGE}{i}") for i in range(count)]
        labels = [found.pop(f"{_LABELS}{i}") for i in range(count)]
    except KeyError as exc:
        raise ArtifactError(f"{path}: holds images without labels: {exc} is missing") from exc
    return spec, found, images, labels


def save(
    path: Path, spec: ModelSpec, state: dict[str, Tensor], images: Sequence[Tensor], labels: Sequence[Tensor]
) -> None:
    """Write what :func:`load` reads, whole or not at all."""
    from unetfast.imaging import atomic_write  # not above: reading a spec needs no NumPy

    writer = require("safetensors.torch", "train")
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    tensors |= {f"{_IMAGE}{i}": image.contiguous() for i, image in enumerate(images)}
    tensors |= {f"{_LABELS}{i}": label.contiguous() for i, label in enumerate(labels)}
    atomic_write(path, writer.save(tensors, {SPEC_KEY: spec.to_json(), "format": "pt"}))
