"""``unetfast info``: what is inside an artifact or a model family."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unetfast.backends import bundled, read_spec
from unetfast.errors import ConfigError, require
from unetfast.models import MODELS
from unetfast.registry import did_you_mean

if TYPE_CHECKING:
    from unetfast.spec import ModelSpec

__all__ = ["info"]


@click.command()
@click.argument("what")
@click.option(
    "--imgsz", default=256, show_default=True, type=click.IntRange(1), help="Side in px for GFLOPs."
)
@click.option("--channels", default=3, show_default=True, type=click.IntRange(1, 64), help="Image channels.")
@click.option("--classes", default=2, show_default=True, type=click.IntRange(2, 255), help="Classes.")
@click.option("--width", type=click.IntRange(1), help="Base width of the network.")
@click.option("--depth", type=click.IntRange(1), help="Number of times the network halves the image.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole spec as JSON (artifacts).")
def info(
    what: str,
    imgsz: int,
    channels: int,
    classes: int,
    width: int | None,
    depth: int | None,
    as_json: bool,
) -> None:
    r"""Show what is inside WHAT: an artifact's file, "crack", or the name of a network.

    An artifact is read, never run. For a network, its parameters and operations are counted.

    \b
    Examples:
      unetfast info runs/train/best.pt
      unetfast info crack --json
      unetfast info unet --width 64 --imgsz 256
    """
    if what in MODELS:
        size = {name: value for name, value in (("width", width), ("depth", depth)) if value is not None}
        _show_network(what, channels, classes, imgsz, size)
        return
    _show_artifact(what, as_json, list(MODELS))


def _show_network(arch: str, channels: int, classes: int, imgsz: int, size: dict[str, int]) -> None:
    require("torch", "train")
    from unetfast.models.cost import cost

    try:
        parameters, gflops = cost(arch, channels, 1 if classes == 2 else classes, imgsz, size)
    except TypeError as exc:
        raise ConfigError(f"{arch} cannot be built with {size}: {exc}") from exc
    click.echo(f"{arch}: {parameters / 1e6:.3f} M parameters, {gflops:.3f} GFLOP at {imgsz}x{imgsz}")
    click.echo("(as deployed; convolutions only, a multiply-add counted as two)")


def _show_artifact(what: str, as_json: bool, networks: list[str]) -> None:
    path = bundled(what) or Path(what)
    if not path.exists() and not path.suffix:
        raise ConfigError(
            f"{what}: neither a file nor a network ({', '.join(networks)}){did_you_mean(what, networks)}"
        )
    spec = read_spec(path)
    if as_json:
        click.echo(json.dumps(json.loads(spec.to_json()), indent=2))
        return
    for name, value in _rows(path, spec):
        click.echo(f"{name:<14} {value}")


def _rows(path: Path, spec: ModelSpec) -> list[tuple[str, str]]:
    pre = spec.preprocess
    entry = "native resolution, tiled" if pre.resize_px is None else f"resized to {pre.resize_px} px square"
    arguments = ", ".join(f"{key}={value}" for key, value in spec.arch_args.items())
    rows = [
        ("file", f"{path} ({path.stat().st_size / 1e6:.2f} MB)"),
        ("network", f"{spec.arch}({arguments})"),
        ("task", f"{spec.task}: {', '.join(f'{i} {name}' for i, name in enumerate(spec.classes))}"),
        ("input", f"uint8 (N, H, W, {pre.channels}), {entry}"),
        ("output", "uint8 class ids (N, H, W)" if spec.output == "mask" else "float32 probabilities"),
        ("precision", spec.precision + ("" if spec.target == "any" else f" for {spec.target}")),
        ("tiling", f"origins on multiples of {spec.stride_px} px, halo {spec.halo_px} px"),
    ]
    if spec.task == "binary":
        rows.insert(5, ("threshold", f"{spec.threshold:g}"))
    sections = {"masks": spec.label_encoding, "training": spec.training, "certificate": spec.certificate}
    for name, section in sections.items():
        lines = [f"{key}: {_short(value)}" for key, value in (section or {}).items()]
        rows += [("" if i else name, line) for i, line in enumerate(lines)]
    if spec.certificate is None:
        rows.append(("certificate", "none (a checkpoint, or an export that was not certified)"))
    return rows


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 90 else text[:89] + "…"
