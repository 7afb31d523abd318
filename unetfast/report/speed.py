"""Speed against quality, one point per candidate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unetfast.errors import ConfigError
from unetfast.report.plots import BLUE, GREEN, GREY, ORANGE, new_figure, save_figure

__all__ = ["speed_against_quality"]

_COLOURS = {"torch": GREY, "onnxruntime": BLUE, "openvino": ORANGE, "tensorrt": GREEN}


def speed_against_quality(path: Path, rows: list[dict[str, Any]], title: str) -> None:
    """Draw p50 latency (logarithmic) against Dice, or against agreement where there is no truth.

    `rows` are as ``unetfast.bench.models.bench_models`` gives them.

    Raises
    ------
    ConfigError
        When no row was measured.
    """
    shown = [row for row in rows if row["p50_ms"] is not None and row["differing"] is not None]
    if not shown:
        raise ConfigError(f"{path}: nothing to draw; no candidate could be measured")
    with_truth = all(row["dice"] is not None for row in shown)
    figure = new_figure(7, 4.5)
    axes = figure.add_subplot()
    for row in shown:
        quality = row["dice"] if with_truth else 1 - row["differing"]
        axes.scatter(row["p50_ms"], quality, color=_COLOURS.get(row["backend"], "black"), s=45, zorder=3)
        label = f"{row['backend']} {row['precision']}"
        axes.annotate(label, (row["p50_ms"], quality), xytext=(5, 4), textcoords="offset points", fontsize=8)
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds per image (median, batch 1)")
    axes.set_ylabel("Dice against the truth" if with_truth else "agreement with the reference")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.margins(x=0.25, y=0.15)
    save_figure(figure, path)
