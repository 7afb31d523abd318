"""Checkpoints through torch: the reference that every export is compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unetfast.backends.device import parse_device
from unetfast.backends.tensors import check_answer, check_images
from unetfast.checkpoint import build_model
from unetfast.checkpoint import load as load_checkpoint
from unetfast.errors import BackendError, ConfigError
from unetfast.models.deployable import Deployable
from unetfast.spec import ModelSpec

__all__ = ["TorchBackend", "device_of", "load"]


class TorchBackend:
    """A network in memory; see :class:`unetfast.backends.base.Backend`.

    Parameters
    ----------
    model : nn.Module
        The network alone; it is wrapped in :class:`Deployable` here and put into eval mode.
    spec : ModelSpec
    device : str
        "auto", "cpu", "cuda" or "cuda:N".
    """

    name = "torch"

    def __init__(self, model: nn.Module, spec: ModelSpec, device: str = "auto") -> None:
        self.spec = spec
        self._device = device_of(device)
        # channels_last: what oneDNN and cuDNN compute in anyway, without a copy at every layer.
        network = model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        deployable = Deployable(network, spec).eval()
        self._model: nn.Module | None = deployable.to(self._device)
        where = torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else "CPU"
        threads = f", {torch.get_num_threads()} threads" if self._device.type == "cpu" else ""
        self.description = f"torch {torch.__version__}, {where}{threads}, {spec.precision}"

    def infer(self, images: NDArray[np.uint8]) -> NDArray[np.uint8] | NDArray[np.float32]:
        """Run the model on (N, H, W, C) uint8; safe to call from several threads at once."""
        images = check_images(images, self.spec)
        if self._model is None:
            raise BackendError("torch: the backend is closed")
        if not images.flags.writeable:
            images = images.copy()  # torch has no read-only tensors and warns
        try:
            with torch.inference_mode():
                answer = self._model(torch.from_numpy(images).to(self._device)).cpu().numpy()
        except RuntimeError as exc:
            raise BackendError(f"torch failed on images of shape {images.shape}: {exc}") from exc
        return check_answer(answer, images, self.spec)

    def close(self) -> None:
        """Drop the weights."""
        self._model = None


def load(path: Path | str, *, device: str = "auto", threads: int = 0) -> TorchBackend:
    """Open a checkpoint, ``.pt`` or ``.safetensors``.

    Parameters
    ----------
    path : Path or str
    device : str
        "cpu", "cuda", "cuda:N", or "auto": CUDA where torch sees one, else the CPU.
    threads : int
        Threads of torch in this whole process; 0 leaves them as they are.

    Raises
    ------
    ArtifactError
        When the file is not a checkpoint of this tool.
    ConfigError
        For a device that is unknown or absent.
    """
    checkpoint = load_checkpoint(path)
    if threads > 0:
        torch.set_num_threads(threads)
    return TorchBackend(build_model(checkpoint.spec, checkpoint.model_state, path), checkpoint.spec, device)


def device_of(name: str, usual: int = 0) -> torch.device:
    """Return a device that is there.

    Parameters
    ----------
    name : str
        "cpu", "cuda", "cuda:N", or "auto": CUDA where torch sees one, else the CPU.
    usual : int
        Which CUDA device, where `name` does not say.

    Raises
    ------
    ConfigError
        When it is unknown or absent.
    """
    kind, index = parse_device(name, "auto", "cpu", "cuda")
    present = torch.cuda.device_count()
    if kind == "cpu" or (kind == "auto" and not present):
        return torch.device("cpu")
    number = usual if index is None else index
    if number >= present:
        raise ConfigError(f"device {name}: torch sees {present} CUDA devices")
    return torch.device("cuda", number)
