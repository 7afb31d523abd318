"""``unetfast export``: turn a checkpoint into an artifact that provably computes the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from unetfast.cli.options import config_option, from_command_line, say, settings_options
from unetfast.errors import require
from unetfast.export.settings import ExportSettings

__all__ = ["export"]


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@settings_options(ExportSettings)
@config_option
def export(checkpoint: Path, config: Path | None, **said: Any) -> None:
    r"""Turn CHECKPOINT (.pt or .safetensors, or crack, the bundled model) into ONNX, OpenVINO or TensorRT.

    The artifact is reloaded and compared with the checkpoint on real images. If it computes
    something else it is refused (exit code 4), nothing is left under its name, not even an
    earlier export, and a picture shows where it differs.

    \b
    Examples:
      unetfast export runs/train/best.pt                        best.onnx
      unetfast export best.pt --half                            best.fp16.onnx
      unetfast export best.pt --int8 --data data/val            best.int8.onnx, for CPUs
      unetfast export best.pt --openvino --int8 --data data/val best.int8.xml
      unetfast export best.pt --trt                             best.engine, fp16
      unetfast export best.pt --safetensors                     best.safetensors
      unetfast export best.pt --triton models/                  a Triton model repository
      unetfast export crack --trt                               the bundled model, for this machine's GPU
    """
    settings = from_command_line(ExportSettings, said, config)
    require("torch", "train")
    require("onnxscript", "train")
    from unetfast.export.build import export as build

    for made in build(checkpoint, settings, say=say):
        click.echo(made.path)
