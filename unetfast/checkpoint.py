"""Checkpoints: the only place that calls ``torch.save`` and ``torch.load``.

A checkpoint is one file with everything needed to run, export or resume: the spec, the weights,
a few real images with the labels that the weights gave them (the export is compared on these),
and, where training may go on, the state of optimiser, schedule and random numbers.
It is only ever read with ``weights_only=True``, so a file from a stranger cannot run code.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unetfast import weights
from unetfast.errors import ArtifactError
from unetfast.imaging import atomic_write
from unetfast.models import MODELS
from unetfast.models.fast import FastNet
from unetfast.spec import ModelSpec

__all__ = ["Checkpoint", "build_model", "load", "save"]

_KEY = "unetfast.checkpoint"  # marks the file as ours; its value is the layout's version
_LAYOUT = 1


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds.

    Attributes
    ----------
    spec : ModelSpec
    model_state : dict of str to Tensor
        The weights to run (of the moving average where one was kept).
    training_state : dict or None
        What the training loop needs to go on; None in a file made only to be run.
    parity_images : list of (H, W, C) uint8 Tensor
        Real images of the validation set.
    parity_labels : list of (H, W) uint8 Tensor
        The class ids that the weights gave them, when the file was written.
    fused : bool
        The weights are an export's: batch norms and parallel kernels are folded into convolutions.
    """

    spec: ModelSpec
    model_state: dict[str, Tensor]
    training_state: dict[str, Any] | None = None
    parity_images: list[Tensor] = field(default_factory=list)
    parity_labels: list[Tensor] = field(default_factory=list)
    fused: bool = False


def save(
    path: Path | str,
    *,
    model_state: dict[str, Tensor],
    spec: ModelSpec,
    training_state: dict[str, Any] | None = None,
    parity_images: Sequence[Tensor] = (),
    parity_labels: Sequence[Tensor] = (),
) -> None:
    """Write a checkpoint whole or not at all (temporary file, fsync, rename).

    Parameters
    ----------
    path : Path or str
        The ``.pt`` file.
    model_state : dict of str to Tensor
        ``model.state_dict()``.
    spec : ModelSpec
    training_state : dict, optional
        Only tensors, numbers, strings, None, and lists, tuples and dicts of them.
    parity_images : sequence of (H, W, C) uint8 Tensor
    parity_labels : sequence of (H, W) uint8 Tensor
    """
    content = {
        _KEY: _LAYOUT,
        "spec": spec.to_json(),
        "model_state": {name: tensor.detach().cpu() for name, tensor in model_state.items()},
        "training_state": training_state,
        "parity_images": list(parity_images),
        "parity_labels": list(parity_labels),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    atomic_write(Path(path), buffer.getvalue())


def load(path: Path | str) -> Checkpoint:
    """Read a checkpoint, ``.pt`` or ``.safetensors``; never runs code from the file.

    Raises
    ------
    ArtifactError
        When the file is missing, cannot be read safely, or is not a checkpoint of this tool.
    """
    path = Path(path)
    if path.suffix.lower() == ".safetensors":
        spec, state, images, labels = weights.load(path)
        return Checkpoint(spec, state, None, images, labels)
    content = _read(path)
    if not isinstance(content, dict) or _KEY not in content:
        kind = (
            "a bare state dict without a spec inside"
            if _is_state(content)
            else "not a checkpoint of unetfast"
        )
        raise ArtifactError(f"{path}: {kind}; make one with: unetfast train DATA")
    if content[_KEY] != _LAYOUT:
        raise ArtifactError(f"{path}: made by another version of unetfast (layout {content[_KEY]!r})")
    try:
        spec = ModelSpec.from_json(content["spec"], path)
        found = Checkpoint(spec, **{name: content[name] for name in _FIELDS})
    except (KeyError, TypeError) as exc:
        raise ArtifactError(f"{path}: the checkpoint is damaged: missing {exc}") from exc
    if not _is_state(found.model_state):
        raise ArtifactError(f"{path}: the checkpoint is damaged: its weights are not tensors")
    kept = (found.parity_images, found.parity_labels)
    if not all(isinstance(one, list) and all(isinstance(item, Tensor) for item in one) for one in kept):
        raise ArtifactError(f"{path}: the checkpoint is damaged: the images it keeps are not tensors")
    return found


_FIELDS = ("model_state", "training_state", "parity_images", "parity_labels")


def _read(path: Path) -> Any:
    if not path.is_file():
        raise ArtifactError(f"{path}: no such checkpoint")
    if not zipfile.is_zipfile(path):  # so that torch's reader of old-style pickles is never reached
        raise ArtifactError(
            f"{path}: cannot be read as a checkpoint: empty, cut off, or not made by torch.save"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as exc:
        raise ArtifactError(
            f"{path}: refused: it holds more than weights, and loading it could run code; "
            "make a checkpoint with: unetfast train DATA"
        ) from exc
    # What torch raises for a broken file depends on where it breaks.
    except (RuntimeError, EOFError, KeyError, ValueError, TypeError, OSError) as exc:
        raise ArtifactError(f"{path}: cannot be read as a checkpoint: {_first_line(exc)}") from exc


def _first_line(exc: Exception) -> str:
    return (str(exc).strip() or type(exc).__name__).splitlines()[0]


def _is_state(content: Any) -> bool:
    return (
        isinstance(content, dict) and bool(content) and all(isinstance(v, Tensor) for v in content.values())
    )


def build_model(
    spec: ModelSpec,
    model_state: dict[str, Tensor],
    source: Path | str = "checkpoint",
    *,
    fused: bool = False,
) -> nn.Module:
    """Build the network that a spec describes, with its weights, ready to run.

    Parameters
    ----------
    spec : ModelSpec
    model_state : dict of str to Tensor
    source : Path or str
        Where they came from; messages start with it.
    fused : bool
        The weights are those of the network's ``fused()``.

    Returns
    -------
    nn.Module
        In eval mode, on the CPU.

    Raises
    ------
    ArtifactError
        When the architecture is unknown, or the weights are of another one.
    """
    try:
        model: nn.Module = MODELS[spec.arch](spec.preprocess.channels, spec.logit_channels, **spec.arch_args)
        if fused:
            assert isinstance(model, FastNet)
            model = model.fused()
        model.load_state_dict(model_state)
    except (TypeError, ValueError, RuntimeError) as exc:
        raise ArtifactError(f"{source}: its weights do not fit {spec.arch} {spec.arch_args}: {exc}") from exc
    return model.eval()
