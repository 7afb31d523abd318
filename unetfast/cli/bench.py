"""``unetfast bench``: artifacts, backends, stages and the kernel, side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from unetfast.bench.settings import BenchSettings
from unetfast.cli.options import config_option, from_command_line, refuse_unwritable, say, settings_options
from unetfast.errors import require
from unetfast.settings import check_threads

__all__ = ["bench"]


@click.command()
@click.argument("artifacts", nargs=-1, type=click.Path(path_type=Path))
@settings_options(BenchSettings)
@config_option
def bench(artifacts: tuple[Path, ...], config: Path | None, **said: Any) -> None:
    r"""Time ARTIFACTS (.pt, .onnx, .xml, .engine) on every backend that is installed.

    Each runs in a process of its own; rounds are interleaved; what fails is a row with its reason.

    \b
    Examples:
      unetfast bench best.pt best.onnx best.int8.onnx --data data/test
      unetfast bench best.pt best.onnx --data data/ --split test --threads 1 --plot speed.png
      unetfast bench --inpaint
      unetfast bench --stages photos/
    """
    settings = from_command_line(BenchSettings, said, config)
    check_threads(settings.threads)
    if not (artifacts or settings.inpaint or settings.stages):
        raise click.UsageError("give artifacts to time, or --inpaint, or --stages PHOTOS")
    if settings.plot is not None:
        if not artifacts:
            raise click.UsageError("--plot draws artifacts; give some")
        require("matplotlib", "train")
    if settings.split and not (artifacts and settings.data):
        raise click.UsageError("--split chooses images of --data to score artifacts on; give both")
    refuse_unwritable(settings.json, settings.plot)
    results: dict[str, Any] = {}
    if artifacts:
        from unetfast.bench.models import bench_models

        results["models"] = bench_models(artifacts, settings, say)
        _show_models(results["models"])
    if settings.inpaint:
        from unetfast.bench.kernels import bench_inpainting

        results["inpainting"] = bench_inpainting(settings.repeats, settings.threads, say)
        columns = {"size": "size", "method": "method", "ms": "ms", "mpx_s": "Mpx/s", "status": "status"}
        _table("Inpainting, window 15, RGB uint8", columns, results["inpainting"])
    if settings.stages:
        from unetfast.bench.stages import bench_stages

        results["stages"] = bench_stages(settings)
        _show_stages(results["stages"])
    if settings.json is not None:
        from unetfast.imaging import atomic_write

        atomic_write(settings.json, (json.dumps(results, indent=2) + "\n").encode())
    if settings.plot is not None:
        _plot(settings.plot, results)


_COLUMNS = {
    "artifact": "artifact",
    "backend": "backend",
    "precision": "precision",
    "size_mb": "MB",
    "load_ms": "load ms",
    "p50_ms": "p50 ms",
    "p95_ms": "p95 ms",
    "speedup": "x torch",
    "mpx_s": "Mpx/s",
    "best_batch": "batch",
    "peak_mb": "peak MB",
    "dice": "Dice",
    "iou": "IoU",
    "differing": "differ %",
    "status": "status",
}


def _show_models(found: dict[str, Any]) -> None:
    paths = {Path(row["artifact"]) for row in found["rows"]}
    alone = len({path.name for path in paths}) == len(paths)  # or every run's best.pt would look alike
    shown = {str(path): path.name if alone else str(path) for path in paths}
    rows = [dict(row, artifact=shown[row["artifact"]]) for row in found["rows"]]
    for row in rows:
        if row["differing"] is not None:
            row["differing"] *= 100
    title = f"{found['timed_on']} px, batch 1; threads: {found['threads']}; data: {found['data']}"
    _table(title, _COLUMNS, rows)
    for row in rows:
        if row["description"]:
            click.echo(f"{row['artifact']}: {row['description']}")
    click.echo(f"differ % is against {found['reference']}, over {found['images']} images")


def _show_stages(found: dict[str, Any]) -> None:
    rows = [
        {
            "stage": name,
            "busy_s": seconds,
            "share": 100 * seconds / found["seconds"],
            "alone_s": found["alone"][name],
        }
        for name, seconds in found["stages"].items()
    ]
    title = f"{found['photos']} photos, {found['megapixels']:.1f} megapixels in {found['seconds']:.2f} s"
    heads = {"stage": "stage", "busy_s": "busy s", "share": "% of wall time", "alone_s": "alone s"}
    _table(title, heads, rows)
    click.echo(
        f"{found['mpx_s']:.2f} megapixels/s; stages overlap {found['overlap']:.2f} times; "
        f"the whole took {found['ratio']:.2f} times its slowest stage alone"
    )


def _table(title: str, columns: dict[str, str], rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name, heading in columns.items():
        number = any(isinstance(row[name], float | int) for row in rows)
        table.add_column(heading, justify="right" if number else "left", no_wrap=name != "status")
    for row in rows:
        table.add_row(*(_cell(name, row[name]) for name in columns))
    console = Console(soft_wrap=False)
    if not console.is_terminal:
        console.width = 200  # a file has no edge to wrap at
    console.print(title, highlight=False, markup=False)
    console.print(table)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name in ("dice", "iou", "differing"):
        return f"{value:.4f}"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _plot(path: Path, results: dict[str, Any]) -> None:
    from unetfast.report.speed import speed_against_quality

    found = results["models"]
    speed_against_quality(path, found["rows"], f"{found['timed_on']} px on {found['data']}")
