"""Trained weights, from wherever they can be taken: a checkpoint, or an export that kept them whole."""

from __future__ import annotations

from pathlib import Path

import torch

from unetfast import checkpoint
from unetfast.backends import CHECKPOINTS, bundled, read_spec
from unetfast.checkpoint import Checkpoint
from unetfast.errors import ArtifactError, require

__all__ = ["load"]

_PREFIX = "model."  # of the network's weights in an export


def load(path: Path) -> Checkpoint:
    """Read trained weights.

    Parameters
    ----------
    path : Path
        ``.pt``, ``.safetensors``, the fp32 ``.onnx`` of a `fast` network, or the name of a bundled model.

    Raises
    ------
    ArtifactError
        When the file is missing, damaged, or holds no weights that could be trained on or exported.
    """
    path = bundled(path) or path
    if path.suffix.lower() in CHECKPOINTS:
        return checkpoint.load(path)
    if path.suffix.lower() != ".onnx":
        raise ArtifactError(
            f"{path}: cannot be trained on or exported; give a best.pt, or crack, the bundled model"
        )
    spec = read_spec(path)
    if not spec.arch.startswith("fast") or spec.precision != "fp32":
        raise ArtifactError(
            f"{path}: an export of {spec.arch} in {spec.precision} cannot be trained on or exported; give "
            "the checkpoint that it was made from, its best.pt"
        )
    onnx = require("onnx", "train")
    state = {
        tensor.name.removeprefix(_PREFIX): torch.tensor(onnx.numpy_helper.to_array(tensor))
        for tensor in onnx.load(path).graph.initializer
        if tensor.name.startswith(_PREFIX) and tensor.name.endswith((".weight", ".bias"))
    }
    return Checkpoint(spec, state, fused=True)
