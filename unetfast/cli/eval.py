"""``unetfast eval``: measure a model against truth."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unetfast.backends import BACKENDS, CHECKPOINTS, DEVICES, bundled, chosen, load
from unetfast.cli.data import open_data, say_decisions
from unetfast.cli.options import from_command_line, settings_options
from unetfast.errors import ConfigError, DatasetError, require
from unetfast.spec import as_text
from unetfast.train.settings import TrainSettings

if TYPE_CHECKING:
    from unetfast.backends.base import Backend
    from unetfast.backends.whole import Predict
    from unetfast.data import DataSet
    from unetfast.evaluate import Evaluation

__all__ = ["eval_"]


@click.command("eval")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@settings_options(TrainSettings, only=("layout", "mask", "mask_values", "skip_unmatched"))
@click.option("--split", type=click.Choice(["train", "val", "test"]), help="Only this split of the data.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    help="Foreground threshold in place of the model's own (two classes).",
)
@click.option(
    "--tolerance", type=click.FloatRange(0, 100), default=2.0, show_default=True,
    help="Px by which thin structures may lie off the truth in tolerance F1, ODS and OIS (two classes).",
)  # fmt: skip
@click.option(
    "--worst",
    type=click.IntRange(0, 50),
    default=8,
    show_default=True,
    help="How many of the worst images to draw.",
)
@click.option(
    "--backend", default="auto", show_default=True, help=f"{', '.join(BACKENDS)}, or auto: by the file."
)
@click.option("--device", default="auto", show_default=True, help=DEVICES)
@click.option(
    "--tile",
    type=click.IntRange(64),
    default=1024,
    show_default=True,
    help="Images much larger than this are tiled, px.",
)
@click.option(
    "--scale", type=click.FloatRange(0.05, 1), default=1.0, show_default=True,
    help="Measure what run --scale gives.",
)  # fmt: skip
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the results.  [default: runs/eval, eval2, …]",
)
def eval_(
    model: Path, data: Path, threshold: float | None, tolerance: float, worst: int, backend: str, device: str,
    tile: int, scale: float, output: Path | None, split: str | None, **source: Any,
) -> None:  # fmt: skip
    r"""Measure MODEL (.pt, .onnx, …, or crack) against DATA, a folder or .zip of images and masks.

    Masks are read as they were for training. Scores are given pooled (all pixels of the set
    counted together) and as the mean over images; of two classes they are the foreground's, of
    more the mean over classes. Writes metrics.json, per_image.csv, confusion.png, worst.png and,
    where the model gives probabilities (.pt does), pr_curve.png, to runs/eval/ (eval2/, …).

    \b
    Examples:
      unetfast eval runs/train/best.pt cracks/test
      unetfast eval best.onnx cracks/ --split test --tolerance 2
      unetfast eval crack walls/
      unetfast eval crack walls/ --scale 0.5
      unetfast eval runs/train/best.pt streets/ -o results/
    """
    require("matplotlib", "train")
    from rich.console import Console
    from rich.progress import track

    from unetfast.evaluate import evaluate
    from unetfast.train.run_folder import new_folder, refuse_unfit

    if output is not None:
        refuse_unfit(output, "eval")  # before the seconds that torch takes to be imported
    loaded = _load(model, backend, device, threshold)
    found = _open(from_command_line(TrainSettings, {**source, "data": data}), loaded, split)
    folder = new_folder(output, "eval")  # before the minutes of work
    say_decisions(found)
    if len({sample.split for sample in found.samples}) > 1:
        splits = " or ".join(sorted({sample.split for sample in found.samples if sample.split}))
        click.echo(f"all splits are measured together; for one alone: --split {splits}", err=True)
    stderr = Console(stderr=True)
    predict = _predictor(loaded, tile, scale)
    samples = track(
        found.samples, "measuring", console=stderr, transient=True, disable=not sys.stderr.isatty()
    )
    result = evaluate(predict, samples, found.encoding, loaded.spec, tolerance_px=tolerance)
    _write(folder, result, model, data, scale)
    _draw_worst(folder, result, found, predict, loaded, worst)
    _print(result)
    click.echo(f"{folder}/")


def _load(path: Path, backend: str, device: str, threshold: float | None) -> Backend:
    """Open a model, also a bundled one by its name; a checkpoint so that it answers probabilities."""
    path = bundled(path) or path
    BACKENDS[chosen(path, backend, device)]  # an unknown one is an error, also for a .pt
    if path.suffix.lower() not in CHECKPOINTS:
        loaded = load(path, backend=backend, device=device)
        if threshold is not None and loaded.spec.output == "mask":
            raise ConfigError(f"{path}: its threshold is part of the file; use --threshold with the .pt")
    else:
        require("torch", "train")
        from unetfast import checkpoint
        from unetfast.backends.torch_ import TorchBackend

        saved = checkpoint.load(path)
        weights = checkpoint.build_model(saved.spec, saved.model_state, path)
        loaded = TorchBackend(weights, saved.spec.replace(output="prob"), device)
    if threshold is not None:
        loaded.spec = loaded.spec.replace(threshold=threshold)
    return loaded


def _open(settings: TrainSettings, loaded: Backend, split: str | None) -> DataSet:
    """Open the data, its masks read as the model's training read them."""
    from unetfast.data.encoding import LabelEncoding

    trained = LabelEncoding.of(loaded.spec)
    found = open_data(settings, skip_unmatched=settings.skip_unmatched, encoding=trained).only(split)
    if len(found.classes) != len(loaded.spec.classes):
        raise DatasetError(
            f"{settings.data}: has {len(found.classes)} classes ({', '.join(found.classes)}), but the model "
            f"{len(loaded.spec.classes)} ({', '.join(loaded.spec.classes)})"
        )
    return found


def _predictor(loaded: Backend, tile: int, scale: float) -> Predict:
    if scale == 1.0:
        from unetfast.backends.whole import predictor

        return predictor(loaded, tile)
    from unetfast.segment import Segmenter

    segmenter = Segmenter(loaded, tile)
    return lambda image: segmenter.segment_scaled(image, scale)


def _write(folder: Path, result: Evaluation, model: Path, data: Path, scale: float) -> None:
    import json

    from unetfast.evaluate import THRESHOLDS
    from unetfast.imaging import atomic_write
    from unetfast.report import plots
    from unetfast.train.run_folder import METRICS, write_table

    measured = {"model": as_text(str(model)), "data": as_text(str(data)), "scale": scale}
    summary = {**measured, **result.summary()}
    atomic_write(folder / METRICS, (json.dumps(summary, indent=2) + "\n").encode())
    write_table(folder / "per_image.csv", result.image_rows())
    plots.confusion(folder / "confusion.png", result.confusion, result.classes)
    lines = result.curves()
    if lines:
        plots.precision_recall(folder / "pr_curve.png", lines, THRESHOLDS, result.threshold)


def _draw_worst(
    folder: Path, result: Evaluation, found: DataSet, predict: Any, loaded: Backend, count: int
) -> None:
    from unetfast.data.labels import read_pair
    from unetfast.preprocess import labels_of
    from unetfast.report import plots

    scored = [row for row in result.image_rows() if row["dice"] == row["dice"]]  # without 0 / 0
    worst = sorted(scored, key=lambda row: row["dice"])[:count]
    by_id = {sample.id: sample for sample in found.samples}
    rows = []
    for row in worst:
        image, truth = read_pair(by_id[row["id"]], found.encoding, loaded.spec.preprocess.channels)
        answer = labels_of(predict(image), loaded.spec)
        rows.append((f"{row['id']}\nDice {row['dice']:.3f}", image, truth, answer))
    if rows:
        plots.compare(folder / "worst.png", rows, result.classes, "the worst images, by their own Dice")


def _print(result: Evaluation) -> None:
    from rich.console import Console
    from rich.table import Table

    summary = result.summary()
    of = result.classes[1] if result.binary else "mean over classes"
    extra = f", threshold {result.threshold:.2f}" if result.binary else ""
    table = Table(title=f"{len(result.images)} images, {of}{extra}", title_justify="left")
    names = {"tolerance_f1": f"F1 within {result.tolerance_px:g} px" if result.binary else ""}
    table.add_column("score")
    table.add_column("pooled", justify="right")
    table.add_column("mean over images", justify="right")
    for name, value in summary["pooled"].items():
        mean = summary["image_mean"].get(name)
        shown = ["–" if v is None else f"{v:.4f}" for v in (value, mean)]
        table.add_row(names.get(name, name.replace("_", " ")), *shown)
    console = Console()
    console.print(table)
    if not result.binary:
        classes = Table(
            "class", "Dice", "IoU", "precision", "recall", title="pooled, per class", title_justify="left"
        )
        for name, found in summary["pooled_per_class"].items():
            classes.add_row(name, *("–" if v is None else f"{v:.4f}" for v in found.values()))
        console.print(classes)
