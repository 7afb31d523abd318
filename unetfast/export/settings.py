"""The settings of ``unetfast export``. Standard library only, so that ``--help`` is fast."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unetfast.errors import ConfigError
from unetfast.settings import Settings, setting

__all__ = ["ExportSettings", "precision_of"]


@dataclass(frozen=True)
class ExportSettings(Settings):
    """What to make of a checkpoint, and how close it must stay."""

    to: Path | None = setting(None, "File to write; default: beside the checkpoint.", type=Path)
    output: str = setting(
        "mask",
        "What the artifact answers: class ids, or probabilities (N, H, W, K).",
        choices=("mask", "prob"),
    )
    fp32: bool = setting(False, "fp32: the default, except with --trt, whose default is fp16.")
    half: bool = setting(False, "fp16; layers that would overflow or cost accuracy stay fp32.")
    bf16: bool = setting(False, "bf16 (with --openvino or --trt).")
    int8: bool = setting(False, "Static int8, calibrated on --data; for CPUs, or with --trt for TensorRT.")
    openvino: bool = setting(False, "Write an OpenVINO model (.xml and .bin).")
    trt: bool = setting(False, "Build a TensorRT plan (.engine) for this machine's GPU; fp16 by default.")
    safetensors: bool = setting(False, "Write the checkpoint as .safetensors, which can hold no code.")
    triton: Path | None = setting(None, "Also write a Triton model repository into this folder.", type=Path)
    data: Path | None = setting(
        None,
        "Images, or a data set, to calibrate and certify on (at most 32); default: the checkpoint's own.",
        type=Path,
    )
    threshold: float | None = setting(
        None, "Another foreground threshold than the checkpoint's.", type=float, low=1e-6, high=1 - 1e-6
    )
    max_differ: float | None = setting(
        None, "Largest fraction of pixels that may differ from the checkpoint.", type=float, low=0, high=1
    )
    min_dice: float | None = setting(
        None, "Lowest Dice against the checkpoint that any class may have.", type=float, low=0, high=1
    )
    max_drop: float | None = setting(
        None, "Most points of Dice against the truth that may be lost.", type=float, low=0, high=100
    )
    shapes: str | None = setting(
        None,
        "TensorRT: batch x height x width from smallest to largest, such as "
        "1x256x256,1x512x512,8x1024x1024 (min, best, max).",
    )
    workspace: str = setting("4GiB", "TensorRT: memory that the builder's layers may use.")
    builder_level: int = setting(3, "TensorRT: how long to search for kernels.", low=0, high=5)
    timing_cache: Path | None = setting(
        None, "TensorRT: file of kernel timings kept between builds.", type=Path
    )
    hardware_compatible: bool = setting(False, "TensorRT: a plan that runs on Ampere and all newer GPUs.")
    version_compatible: bool = setting(False, "TensorRT: a plan that runs on later versions of TensorRT too.")


_TRT_ONLY = (
    *("shapes", "workspace", "builder_level", "timing_cache"),
    *("hardware_compatible", "version_compatible"),
)


def _said(settings: ExportSettings, name: str) -> bool:
    return bool(getattr(settings, name) != getattr(ExportSettings, name))


def precision_of(settings: ExportSettings) -> str:
    """Return "fp32", "fp16", "bf16" or "int8".

    Raises
    ------
    ConfigError
        When more than one was asked for, or settings contradict each other.
    """
    asked = [name for name in ("fp32", "half", "bf16", "int8") if getattr(settings, name)]
    if len(asked) > 1:
        said = " and ".join(f"--{name}" for name in asked)
        raise ConfigError(f"give one of --fp32, --half, --bf16, --int8; got {said}")
    kinds = [name for name in ("openvino", "trt", "safetensors") if getattr(settings, name)]
    if len(kinds) > 1:
        raise ConfigError(f"give one of {' and '.join('--' + name for name in kinds)}")
    if settings.safetensors and (asked or settings.output != "mask" or settings.threshold is not None):
        raise ConfigError("--safetensors keeps the checkpoint as it is; other choices are for other formats")
    if settings.triton is not None and (settings.openvino or settings.safetensors):
        raise ConfigError(f"--triton serves ONNX and TensorRT; leave out --{kinds[0]}")
    if not settings.trt and (alone := [name for name in _TRT_ONLY if _said(settings, name)]):
        raise ConfigError(f"--{alone[0].replace('_', '-')} is an option of TensorRT; add --trt")
    if settings.bf16 and not (settings.openvino or settings.trt):
        raise ConfigError(
            "--bf16 needs --openvino or --trt: onnxruntime computes no bf16 convolutions on the CPU, "
            "so a bf16 ONNX file could not be certified"
        )
    if settings.openvino and settings.half:
        raise ConfigError("--openvino computes fp16 files in fp32 on a CPU; use --openvino --bf16 or --int8")
    if not asked:
        return "fp16" if settings.trt else "fp32"
    return {"half": "fp16"}.get(asked[0], asked[0])
