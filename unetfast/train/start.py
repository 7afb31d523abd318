"""The weights that a training starts with: fresh ones, or those of a model that exists already."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unetfast.checkpoint import Checkpoint
from unetfast.errors import ArtifactError, ConfigError
from unetfast.evaluate import Pair
from unetfast.export import trained
from unetfast.imaging import middle
from unetfast.models.deployable import Deployable
from unetfast.models.fast import FastNet
from unetfast.spec import ModelSpec
from unetfast.train.settings import TrainSettings

__all__ = ["begin", "read", "start_at_frequencies"]


def read(settings: TrainSettings) -> Checkpoint:
    """Read the model that ``settings.weights`` names.

    Parameters
    ----------
    settings : TrainSettings
        `weights` is a ``.pt`` or ``.safetensors`` file, the fp32 ``.onnx`` of a `fast` network, or
        the name of a bundled model.

    Raises
    ------
    ArtifactError
        When the file is missing, damaged, or of a kind that cannot be trained on.
    ConfigError
        When the settings ask for another network than the file holds.
    """
    assert settings.weights is not None
    path = Path(settings.weights)
    found = trained.load(path)
    spec = found.spec
    own = [name for name in ("width", "depth", "up") if getattr(settings, name) is not None]
    own += ["arch"] if settings.arch not in (TrainSettings.arch, spec.arch) else []
    if own:
        raise ConfigError(
            f"{path}: brings its own network, {spec.arch}; leave out {' '.join('--' + name for name in own)}"
        )
    if settings.channels not in (0, spec.preprocess.channels):
        raise ConfigError(
            f"{path}: takes images of {spec.preprocess.channels} channels; leave out --channels"
        )
    return found


@torch.no_grad()
def begin(
    model: nn.Module,
    spec: ModelSpec,
    before: Checkpoint | None,
    pixels: NDArray[np.int64],
    pairs: Iterable[Pair],
    source: Path | str | None = None,
) -> None:
    """Give a fresh network the weights that it starts with.

    Parameters
    ----------
    model : nn.Module
        What :func:`unetfast.train.prepare.build` made of `spec`; on the CPU.
    spec : ModelSpec
    before : Checkpoint or None
        Whose weights to go on from; where there are more than two classes and they are not the same in the
        same order, the last layer stays fresh. None: so do all, but for the last layer's bias.
    pixels : (K,) int64
        Of each class in the training labels.
    pairs : iterable of Pair
        Training images with their labels; batch norms that an export has folded away settle on them.
    source : Path or str, optional
        Where `before` was read; messages start with it.

    Raises
    ------
    ArtifactError
        When the weights are not of this network.
    """
    start_at_frequencies(model, pixels)
    if before is None:
        return
    state = dict(before.model_state)
    if spec.task != before.spec.task or (spec.task == "multiclass" and spec.classes != before.spec.classes):
        state |= model.get_submodule("head").state_dict(prefix="head.")
    try:
        if before.fused:
            assert isinstance(model, FastNet)
            side_px = 256 // spec.stride_px * spec.stride_px
            squares = np.stack([middle(image, side_px, side_px) for _, image, _ in pairs])  # (N, S, S, C)
            normalised = Deployable(nn.Identity(), spec).logits(torch.from_numpy(squares))
            model.load_fused(state, normalised)
        else:
            model.load_state_dict(state)
    except (KeyError, RuntimeError) as exc:
        raise ArtifactError(f"{source}: its weights do not fit {spec.arch} {spec.arch_args}: {exc}") from exc


@torch.no_grad()
def start_at_frequencies(model: nn.Module, pixels: NDArray[np.int64]) -> None:
    """Let a fresh network's last layer answer how often each class occurs, whatever the image.

    The first hundred steps would otherwise teach it nothing else: `fast` had a validation Dice of
    0.65 on crackforest after 85 steps with it and after 220 without it. (The prior of T.-Y. Lin et
    al., "Focal Loss for Dense Object Detection", ICCV 2017, section 4.1.)

    Parameters
    ----------
    model : nn.Module
        With the last layer as ``head``; its channels are (class, pixel of the block it writes).
    pixels : (K,) int64
        Of each class in the training labels.
    """
    share = torch.from_numpy(np.maximum(pixels, 1) / max(1, int(pixels.sum()))).clamp(1e-4, 1 - 1e-4)
    logits = share[1:].logit() if len(pixels) == 2 else share.log()
    bias = model.get_submodule("head").bias
    assert isinstance(bias, Tensor)
    bias.copy_(logits.repeat_interleave(len(bias) // len(logits)))
