"""Figures of training and evaluation, as PNG files.

Drawn with matplotlib's object interface and its Agg canvas: no display, no global state.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from unetfast.imaging import atomic_write, preview
from unetfast.metrics import f1
from unetfast.report.sheet import overlay
from unetfast.spec import IGNORE

__all__ = [
    "class_frequencies",
    "compare",
    "confusion",
    "curves",
    "new_figure",
    "precision_recall",
    "save_figure",
]

# Okabe and Ito's colours, which people with colour-blindness can tell apart.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#8C8C8C"


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of so many inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path, dpi: int = 110) -> None:
    """Write a figure as PNG, whole or not at all."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    atomic_write(path, buffer.getvalue())


def curves(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Draw loss, Dice and IoU of training and validation over the epochs, and the learning rate.

    `rows` are those of ``results.csv``.
    """
    figure = new_figure(13, 3.4)
    axes = figure.subplots(1, 4)
    epochs = [row["epoch"] for row in rows]
    marker = "o" if len(rows) < 15 else ""
    for ax, name in zip(axes, ("loss", "dice", "iou"), strict=False):
        # Of changing weights, on changed crops that seek foreground: validation is often better.
        trained = [row[f"train_{name}"] for row in rows]
        ax.plot(epochs, trained, color=BLUE, marker=marker, ms=3, label="train (during the epoch)")
        values = np.array([row[f"val_{name}"] for row in rows], dtype=float)
        if np.isfinite(values).any():
            ax.plot(epochs, values, color=ORANGE, marker=marker, ms=3, label="validation (after it)")
        if name == "dice" and np.isfinite(values).any():
            best = int(np.nanargmax(values))
            ax.plot(epochs[best], values[best], "*", color=RED, ms=11, label=f"best {values[best]:.3f}")
        if name != "loss":
            ax.set_ylim(0, 1)
        ax.set_title({"loss": "loss", "dice": "Dice (pooled)", "iou": "IoU (pooled)"}[name])
        ax.legend(frameon=False)
    axes[3].plot(epochs, [row["lr"] for row in rows], color=GREY)
    axes[3].set_title("learning rate")
    for ax in axes:
        ax.set_xlabel("epoch")
        ax.grid(alpha=0.25)
    save_figure(figure, path)


def class_frequencies(path: Path, classes: Sequence[str], pixels: NDArray[np.int64]) -> None:
    """Draw the share of labelled pixels of each class, of which there are (K,) `pixels`."""
    figure = new_figure(6, 1.2 + 0.35 * len(classes))
    ax = figure.subplots()
    shares = 100 * pixels / max(1, int(pixels.sum()))
    bars = ax.barh(range(len(classes)), shares, color=BLUE)
    ax.bar_label(bars, [f"{share:.2f} %" for share in shares], padding=3)
    ax.set_yticks(range(len(classes)), [f"{k} {name}" for k, name in enumerate(classes)])
    ax.invert_yaxis()
    ax.set_xlim(0, min(118, max(1.0, 1.25 * float(shares.max()))))
    ax.set_xlabel("share of labelled training pixels (%)")
    save_figure(figure, path)


def compare(
    path: Path,
    rows: Sequence[tuple[str, NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]],
    classes: Sequence[str],
    title: str,
) -> None:
    """Draw one row per image: the image, the truth, the prediction, where they differ.

    `rows` are of a caption, an (H, W, C) image, its (H, W) truth and its (H, W) prediction.
    """
    heights = [min(2.0, max(0.3, truth.shape[0] / truth.shape[1])) for _, _, truth, _ in rows]
    figure = new_figure(13, 0.6 + 3.1 * sum(heights) + 0.1 * len(rows))
    figure.suptitle(title)
    axes = figure.subplots(len(rows), 4, squeeze=False, height_ratios=heights)
    missed = ", blue missed" if len(classes) == 2 else f",\nblue predicted {_shortened(classes[0])}"
    wrong = f"green right, red {'invented' if len(classes) == 2 else 'wrong class'}{missed}"
    for ax, name in zip(axes[0], ("image", "truth", "prediction", wrong), strict=True):
        ax.set_title(name, fontsize=10)
    for line, (caption, image, truth, prediction) in zip(axes, rows, strict=True):
        shown = preview(image)
        pictures = (
            shown,
            overlay(shown, truth),
            overlay(shown, prediction),
            _errors(shown, truth, prediction),
        )
        for ax, picture in zip(line, pictures, strict=True):
            ax.imshow(picture)
            ax.set_xticks([])
            ax.set_yticks([])
        line[0].set_ylabel("\n".join(map(_shortened, caption.split("\n"))), fontsize=8)
    save_figure(figure, path, dpi=90)


def _shortened(text: str) -> str:
    """Return a line that fits beside its row; ids may be hashes of 64 letters."""
    return text if len(text) <= 32 else f"{text[:20]}…{text[-10:]}"


def _errors(
    image: NDArray[np.uint8], truth: NDArray[np.uint8], prediction: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    pale: NDArray[np.uint8] = (128 + image.mean(axis=2, keepdims=True) / 2).repeat(3, axis=2).astype(np.uint8)
    counts = truth != IGNORE
    pale[counts & (prediction != truth)] = (213, 40, 0)
    pale[counts & (prediction == 0) & (truth != 0)] = (0, 90, 200)
    pale[counts & (prediction == truth) & (truth != 0)] = (120, 170, 120)
    return pale


def confusion(path: Path, matrix: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Draw a confusion matrix, row truth, column prediction: pixels, and per cent of the true class."""
    count = len(classes)
    side = max(4.0, 0.75 * count + 2.0)
    figure = new_figure(side + 0.6, side)
    ax = figure.subplots()
    shares = 100 * matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for row in range(count):
        for column in range(count):
            share = shares[row, column]
            text = f"{share:.1f} %\n{matrix[row, column]:,}" if count <= 4 else f"{share:.0f}"
            ax.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                color="white" if share > 60 else "black",
                fontsize=8,
            )
    ax.set_xticks(
        range(count), classes, rotation=45 if count > 3 else 0, ha="right" if count > 3 else "center"
    )
    ax.set_yticks(range(count), classes)
    ax.set_xlabel("prediction")
    ax.set_ylabel("truth (a row is 100 %)")
    save_figure(figure, path)


def precision_recall(
    path: Path, lines: dict[str, NDArray[np.int64]], thresholds: NDArray[np.float64], threshold: float
) -> None:
    """Draw precision over recall for all thresholds, and F1 over the threshold.

    Parameters
    ----------
    path : Path
    lines : dict of str to (T, 4) int64
        Name to hits as of :func:`unetfast.metrics.hit_counts`.
    thresholds : (T,) float64
    threshold : float
        The one in use, which is marked.
    """
    figure = new_figure(10, 4.2)
    left, right = figure.subplots(1, 2)
    here = int(np.argmin(np.abs(thresholds - threshold)))
    for (name, counts), color in zip(lines.items(), (BLUE, ORANGE, GREEN), strict=False):
        hits = counts.astype(float)
        precision = np.divide(hits[:, 0], hits[:, 1], out=np.full(len(hits), np.nan), where=hits[:, 1] > 0)
        recall = np.divide(hits[:, 2], hits[:, 3], out=np.full(len(hits), np.nan), where=hits[:, 3] > 0)
        left.plot(recall, precision, color=color, label=name)
        left.plot(recall[here], precision[here], "o", color=color)
        right.plot(thresholds, f1(counts), color=color, label=f"{name}: best {np.nanmax(f1(counts)):.3f}")
    right.axvline(threshold, color=GREY, ls=":", label=f"in use: {threshold:.2f}")
    for ax, (x, y) in zip(
        (left, right), (("recall", "precision"), ("threshold", "F1 (pooled)")), strict=True
    ):
        ax.set(xlabel=x, ylabel=y, xlim=(0, 1), ylim=(0, 1))
        ax.grid(alpha=0.25)
        ax.legend(frameon=False, loc="lower left" if ax is left else "lower center")
    save_figure(figure, path)
