"""Decisions made before the first step: device, precision, spec, class weights, batch size."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unetfast import __version__
from unetfast.backends import torch_
from unetfast.data import DataSet
from unetfast.data.encoding import LabelEncoding
from unetfast.errors import BackendError, ConfigError
from unetfast.evaluate import read_pairs
from unetfast.models import MODELS
from unetfast.spec import ModelSpec, PreprocessSpec, Sample, as_text
from unetfast.train.settings import TrainSettings

__all__ = [
    "amp_type",
    "build",
    "class_weights",
    "count_pixels",
    "describe",
    "device_of",
    "largest_batch",
    "memory_error",
    "parameters",
    "refuse_batch_auto",
]


def device_of(name: str, local_rank: int) -> torch.device:
    """Return the device to train on; each process under torchrun takes its own CUDA device.

    Raises
    ------
    ConfigError
        When it is unknown or not there.
    """
    device = torch_.device_of(name, local_rank)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def amp_type(wanted: str, device: torch.device) -> torch.dtype | None:
    """Return the type of mixed precision, or None for float32 throughout.

    "auto" takes bf16 where the device computes in it (a training step of `fast` on an AVX512-BF16
    core: 0.15 s against 0.26 s), else fp16 on CUDA and float32 on the CPU.

    Raises
    ------
    ConfigError
        For fp16 on the CPU.
    """
    if device.type == "cpu":
        if wanted == "fp16":
            raise ConfigError("amp fp16 needs CUDA; on the CPU use --amp bf16 or off")
        # Older torch does not tell: float32.
        able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        native = able.get("avx512_bf16", False) or able.get("amx_bf16", False)
        return torch.bfloat16 if wanted == "bf16" or (wanted == "auto" and native) else None
    if wanted == "off":
        return None
    if wanted == "auto":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return {"bf16": torch.bfloat16, "fp16": torch.float16}[wanted]


def describe(
    settings: TrainSettings,
    data: DataSet,
    train: Sequence[Sample],
    val: Sequence[Sample],
    before: ModelSpec | None = None,
) -> ModelSpec:
    """Build the spec of the model that these settings train on this data.

    The network and the normalisation of a model that is trained on, `before`, stay.

    Raises
    ------
    ConfigError
        When an option does not apply to the architecture, or the data to the model.
    """
    arch, channels = settings.arch, settings.channels or data.channels
    arch_args = {
        name: value for name in ("width", "depth", "up") if (value := getattr(settings, name)) is not None
    }
    mean, std = (0.5,) * channels, (0.25,) * channels
    if before is not None:
        arch, arch_args, channels = before.arch, before.arch_args, before.preprocess.channels
        mean, std = before.preprocess.mean, before.preprocess.std
        # Grey and RGB are made of each other; of a stack's channels nobody knows which is which.
        if channels != data.channels and max(channels, data.channels) > 3:
            raise ConfigError(
                f"{data.root}: has images of {data.channels} channels, the weights take {channels}"
            )
    spec = ModelSpec(
        arch=arch,
        arch_args=arch_args,
        classes=data.classes,
        task="binary" if len(data.classes) == 2 else "multiclass",
        preprocess=PreprocessSpec(
            channels,
            mean=mean,
            std=std,
            resize_px=settings.imgsz if settings.resize else None,
        ),
        output="mask",
        label_encoding=data.encoding.to_dict(),
        training=_provenance(settings, data, len(train), len(val)),
    )
    model = build(spec)
    if settings.imgsz % model.stride_px:
        raise ConfigError(f"imgsz must be a multiple of {model.stride_px} for {arch}; got {settings.imgsz}")
    return spec.replace(stride_px=model.stride_px, halo_px=model.halo_px)


def build(spec: ModelSpec) -> Any:
    """Build the network of a spec with fresh weights; raises ConfigError for arguments it does not take."""
    try:
        return MODELS[spec.arch](spec.preprocess.channels, spec.logit_channels, **spec.arch_args)
    except TypeError as exc:
        options = " ".join("--" + name for name in spec.arch_args)
        raise ConfigError(f"{spec.arch} does not take {options}: {exc}") from exc


def count_pixels(samples: Sequence[Sample], encoding: LabelEncoding, spec: ModelSpec) -> NDArray[np.int64]:
    """Count labelled pixels of each class, (K,), in at most 200 samples spread over the set."""
    counts = np.zeros(256, np.int64)
    for _, _, truth in read_pairs(samples[:: -(-len(samples) // 200)], encoding, spec.preprocess.channels):
        counts += np.bincount(truth.ravel(), minlength=256)
    return counts[: len(spec.classes)]


def class_weights(wanted: str, pixels: NDArray[np.int64], device: torch.device) -> Tensor | None:
    """Return the weight of each class, (K,) float32, or None.

    Parameters
    ----------
    wanted : str
        "none"; "auto": one over the square root of the class's share of the pixels (the plain
        inverse makes thin classes far too thick), scaled so that a pixel weighs 1 on average;
        or numbers, ``"1,5"``.
    pixels : (K,) int64
        Of the training labels.
    device : torch.device

    Raises
    ------
    ConfigError
        When it is none of these.
    """
    if wanted == "none":
        return None
    if wanted == "auto":
        share = np.maximum(pixels, 1) / max(1, int(pixels.sum()))
        weight = 1 / np.sqrt(share)
        return torch.tensor(weight / (weight * share).sum(), dtype=torch.float32, device=device)
    try:
        numbers = [float(word) for word in wanted.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != len(pixels) or min(numbers) < 0 or max(numbers) == 0:
        raise ConfigError(
            f"class_weights must be none, auto or {len(pixels)} numbers such as "
            f"{','.join(['1'] * (len(pixels) - 1) + ['5'])}; got {wanted!r}"
        )
    return torch.tensor(numbers, dtype=torch.float32, device=device)


def _fingerprint(samples: Sequence[Sample]) -> str:
    """Return a short hash of the names and sizes of a data set's files, of its outlines and classes."""
    digest = hashlib.sha256()
    for sample in samples:
        for file in (sample.image, *sample.image.further, *sample.masks):
            line = f"{sample.id}\0{file.name}\0{file.path.stat().st_size}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))  # file names need not be text
        for told in (sample.polygons, sample.layers):
            digest.update(repr(told).encode("utf-8", "surrogateescape") if told else b"")
    return digest.hexdigest()[:16]


def _provenance(settings: TrainSettings, data: DataSet, train: int, val: int) -> dict[str, Any]:
    """Return what ``spec.training`` says of where a model comes from."""
    # Without paths: the spec travels with the model, and folders are nobody else's business.
    said = {key: value for key, value in asdict(settings).items() if key not in ("data", "output")}
    said["weights"] = Path(settings.weights).name if settings.weights else None
    return {
        "data": {
            "name": as_text(data.root.name),
            "fingerprint": _fingerprint(data.samples),
            "train_images": train,
            "val_images": val,
        },
        "settings": said,
        "versions": {"unetfast": __version__, "torch": torch.__version__},
    }


def refuse_batch_auto(device: torch.device) -> None:
    """Raise ConfigError where a batch cannot be found: on the CPU, whose memory gives no clean answer."""
    if device.type != "cuda":
        raise ConfigError("batch auto needs a CUDA device; give a number, such as --batch 8")


def largest_batch(
    gradients: Callable[[Tensor, Tensor], Any], spec: ModelSpec, imgsz: int, device: torch.device
) -> int:
    """Find the largest power of two that trains in 90 % of the device's memory.

    `gradients` does forward and backward of a batch, (N, H, W, C) uint8 and (N, H, W) uint8.

    Raises
    ------
    ConfigError
        On the CPU.
    BackendError
        When not even one image fits.
    """
    refuse_batch_auto(device)
    good, room = 0, 0.9 * torch.cuda.get_device_properties(device).total_memory
    for tried in (2**power for power in range(13)):
        images = torch.zeros(tried, imgsz, imgsz, spec.preprocess.channels, dtype=torch.uint8, device=device)
        torch.cuda.reset_peak_memory_stats(device)
        try:
            gradients(images, images[..., 0])
        except torch.cuda.OutOfMemoryError:
            break
        if torch.cuda.max_memory_allocated(device) > room:
            break
        good = tried
    torch.cuda.empty_cache()
    if not good:
        raise memory_error(1, imgsz, str(device))
    return good


def memory_error(batch: int, imgsz: int, device: str) -> BackendError:
    """Say what did not fit and what to try."""
    smaller = f"--batch {batch // 2} --accumulate 2, " if batch > 1 else ""
    return BackendError(
        f"out of memory with batch {batch or 'auto'} of {imgsz}x{imgsz} px on device {device}; try {smaller}"
        "a smaller --imgsz, a smaller --width, or --arch fast"
    )


def parameters(model: nn.Module) -> int:
    """Return the number of a network's parameters."""
    return sum(p.numel() for p in model.parameters())
