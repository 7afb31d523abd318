"""Figures are drawn for every size and number that a run can bring."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unetfast.evaluate import THRESHOLDS
from unetfast.imaging import read
from unetfast.metrics import hit_counts
from unetfast.report import plots


def _row(epoch: int, val: float) -> dict[str, float]:
    names = ("train_loss", "train_dice", "train_iou", "val_loss", "val_dice", "val_iou")
    return {"epoch": epoch, "lr": 0.1, **{name: val if name.startswith("val") else 0.5 for name in names}}


@pytest.mark.parametrize(
    "rows", [[], [_row(1, 0.3)], [_row(1, float("nan"))], [_row(i, i / 40) for i in range(40)]]
)
def test_curves(tmp_path: Path, rows: list[dict[str, float]]) -> None:
    plots.curves(tmp_path / "x.png", rows)
    assert read(tmp_path / "x.png").pixels.std() > 1


@pytest.mark.parametrize("classes", [2, 4, 12])
def test_classes(tmp_path: Path, classes: int, rng: np.random.Generator) -> None:
    names = [f"class {k}" for k in range(classes)]
    plots.class_frequencies(tmp_path / "a.png", names, rng.integers(0, 9, classes))
    plots.confusion(tmp_path / "b.png", rng.integers(0, 9, (classes, classes)), names)
    assert read(tmp_path / "b.png").pixels.std() > 1


@pytest.mark.parametrize(("shape", "channels"), [((40, 30), 1), ((30, 900), 3), ((1100, 40), 3)])
def test_compare_marks_errors(
    tmp_path: Path, shape: tuple[int, int], channels: int, rng: np.random.Generator
) -> None:
    image = rng.integers(0, 256, (*shape, channels), np.uint8)
    truth, prediction = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    truth[: shape[0] // 2] = 1
    prediction[:, shape[1] // 2 :] = 1
    truth[:5] = 255
    plots.compare(tmp_path / "x.png", [("id", image, truth, prediction)] * 2, ("a", "b"), "title")
    drawn = read(tmp_path / "x.png").pixels
    assert ((drawn[..., 0] > 180) & (drawn[..., 2] < 60)).any(), "red: invented"
    assert ((drawn[..., 2] > 180) & (drawn[..., 0] < 60)).any(), "blue: missed"


def test_what_the_colours_mean_is_not_cut_off(tmp_path: Path) -> None:
    labels = np.zeros((60, 80), np.uint8)
    image = np.zeros((60, 80, 3), np.uint8)
    classes = ("all that is none of the others, whatever it is", "b", "c")
    plots.compare(tmp_path / "x.png", [("id", image, labels, labels)], classes, "title")
    drawn = read(tmp_path / "x.png").pixels
    assert (drawn[:, -1] == 255).all()


def test_precision_recall(tmp_path: Path, rng: np.random.Generator) -> None:
    truth = rng.integers(0, 2, (20, 20), np.uint8)
    empty = hit_counts(truth * 0, rng.random((20, 20)) * 0.5, THRESHOLDS)
    lines = {"exact": hit_counts(truth, rng.random((20, 20)), THRESHOLDS), "empty": empty}
    plots.precision_recall(tmp_path / "x.png", lines, THRESHOLDS, 0.5)
    assert read(tmp_path / "x.png").pixels.std() > 1
