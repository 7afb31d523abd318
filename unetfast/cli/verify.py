"""``unetfast verify`` says whether an artifact computes what its checkpoint computes."""

from __future__ import annotations

import json
from pathlib import Path

import click

from unetfast.backends import DEVICES, PLANS, read_spec
from unetfast.cli.options import say, settings_options
from unetfast.errors import require
from unetfast.export.settings import ExportSettings

__all__ = ["verify"]


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    help="The checkpoint; default: the one named in the certificate, beside the artifact.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Images or a data set to compare on; at most 32, evenly spaced.",
)
@click.option("--backend", default="auto", show_default=True, help="What runs the artifact.")
@click.option("--device", default="auto", show_default=True, help=DEVICES)
@click.option(
    "--threads", default=0, type=click.IntRange(0), show_default=True, help="CPU threads; 0 takes all cores."
)
@click.option("--rebuild", is_flag=True, help="First rebuild a TensorRT plan that was built for another GPU.")
@settings_options(ExportSettings, only=("max_differ", "min_dice", "max_drop"))
@click.option("--json", "as_json", is_flag=True, help="Print the certificate as JSON.")
def verify(
    artifact: Path,
    against: Path | None,
    data: Path | None,
    backend: str,
    device: str,
    threads: int,
    rebuild: bool,
    max_differ: float | None,
    min_dice: float | None,
    max_drop: float | None,
    as_json: bool,
) -> None:
    r"""Compare ARTIFACT (.onnx, .xml, .engine) with the checkpoint it came from, on real images.

    Exit code 4 if it computes something else; then ARTIFACT.refused.png shows where.

    \b
    Examples:
      unetfast verify best.onnx
      unetfast verify best.int8.onnx --data data/test --backend openvino
      unetfast verify best.engine --against best.pt --data data/val
    """
    require("torch", "train")
    from unetfast.export.parity import limits_for, require_passed, summary
    from unetfast.export.verify import checkpoint_of
    from unetfast.export.verify import verify as measure

    if rebuild and artifact.suffix.lower() in PLANS:
        from unetfast.export.tensorrt import rebuild_if_stale

        rebuild_if_stale(artifact, device, say=say)
    limits = limits_for(read_spec(artifact).precision, differ=max_differ, dice=min_dice, drop=max_drop)
    shown = artifact.with_name(artifact.name + ".refused.png")
    certificate = measure(
        artifact,
        against or checkpoint_of(artifact),
        data=data,
        backend=backend,
        device=device,
        threads=threads,
        limits=limits,
        shown=shown,
    )
    if as_json:
        click.echo(json.dumps(certificate, indent=2, sort_keys=True))
    require_passed(certificate, artifact)
    if not as_json:
        click.echo(f"{artifact}: holds on {certificate['candidate']}: {summary(certificate)}")
        click.echo(f"images: {certificate['images_from']}")
