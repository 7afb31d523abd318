"""``unetfast check``: what a data set holds, how it is read, and what is wrong with it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from unetfast.cli.options import (
    config_option,
    from_command_line,
    progress_bar,
    refuse_unwritable,
    settings_options,
)
from unetfast.errors import DatasetError
from unetfast.train.settings import TrainSettings

if TYPE_CHECKING:
    from rich.console import Console

    from unetfast.data import DataSet
    from unetfast.data.doctor import Finding
    from unetfast.data.encoding import LabelEncoding

__all__ = ["check", "data_options", "open_data", "open_examined", "say_decisions"]

F = TypeVar("F", bound=Callable[..., Any])

_COLOURS = {"error": "bold red", "warning": "yellow", "note": "dim"}


def data_options(*names: str) -> Callable[[F], F]:
    """Return those options of training that say how data is read, for a command that reads data too."""
    others = [field.name for field in dataclasses.fields(TrainSettings) if field.name not in names]
    return settings_options(TrainSettings, leave_out=others)


@click.command("check")
@click.argument("data", type=click.Path(path_type=Path))
@data_options("layout", "mask", "mask_values", "ignore_label", "skip_unmatched")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("check.html"),
    show_default=True,
    help="Page with a contact sheet of images and their masks.",
)
@click.option("--samples", type=click.IntRange(0, 500), default=24, show_default=True, help="Pictures on it.")
@config_option
def check(data: Path, output: Path, samples: int, config: Path | None, **said: Any) -> None:
    r"""Inspect DATA before training on it: what was found, how masks are read, what is wrong.

    DATA is a folder, a .zip (read in place), or a .csv, .json or .txt file that lists a data set.
    Every image and mask is read once. Errors are what training would refuse; the exit code is
    then 1. Nothing of DATA is changed.

    \b
    Examples:
      unetfast check cracks/
      unetfast check stage1_train.zip
      unetfast check roads/ --mask CRACK
      unetfast check masks_of_0_1_255/ --mask-values 1=crack --mask-values 255=ignore
      unetfast check streets/ --ignore-label 11 -o streets.html
    """
    from rich.console import Console

    from unetfast.data.doctor import inspect

    settings = from_command_line(TrainSettings, {**said, "data": data}, config)
    refuse_unwritable(output if samples else None)
    # Files without a partner are findings here, beside everything else that is wrong.
    found = open_data(settings, skip_unmatched=True)
    with _progress("looking at images") as advance:
        findings = inspect(found, skip_unmatched=settings.skip_unmatched, progress=advance)
    findings = [*_split(found, settings), *findings]
    console = Console()
    _print_decisions(console, found)
    _print_findings(console, findings)
    if samples:
        _write_page(output, found, findings, samples)
        click.echo(str(output))
    errors = sum(finding.severity == "error" for finding in findings)
    if errors:
        raise DatasetError(
            f"{data}: {errors} {'error' if errors == 1 else 'errors'}; training would refuse it"
        )


def open_examined(settings: TrainSettings) -> DataSet:
    """Do what training does first: open the data, inspect it, say what was decided, refuse what is wrong.

    Parameters
    ----------
    settings : TrainSettings
        With ``data``.

    Raises
    ------
    DatasetError
        When there are errors, all of them in one message.
    """
    from rich.console import Console

    from unetfast.data.doctor import inspect, refuse_errors

    found = open_data(settings, skip_unmatched=settings.skip_unmatched)
    if os.environ.get("RANK", "0") != "0":
        return found  # of the processes of torchrun the first one looks and speaks
    with _progress("checking data") as advance:
        findings = inspect(found, skip_unmatched=settings.skip_unmatched, progress=advance)
    say_decisions(found)
    console = Console(stderr=True, highlight=False)
    for finding in findings:
        if finding.severity == "warning":
            console.print(
                f"[yellow]warning[/yellow]: {finding.topic}: {_plain(str(finding))}", soft_wrap=True
            )
    refuse_errors(found, findings)
    return found.keeping(group for finding in findings for group in finding.together)


def say_decisions(found: DataSet) -> None:
    """Print on standard error what was found and how it is read, a line each."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    for topic, decision in _summary(found):
        console.print(f"[dim]{topic}[/dim]: {_plain(decision)}", soft_wrap=True)


def open_data(
    settings: TrainSettings, *, skip_unmatched: bool, encoding: LabelEncoding | None = None
) -> DataSet:
    """Open the data that settings name; `encoding` is how a model's training read its masks.

    Raises
    ------
    DatasetError
        As :func:`unetfast.data.open_dataset`.
    """
    from unetfast.data import open_dataset

    assert settings.data is not None, "the command line gave it"
    with _progress("reading masks") as advance:
        return open_dataset(
            settings.data,
            layout=settings.layout,
            mask_values=settings.mask_values,
            mask_name=settings.mask,
            ignore_label=settings.ignore_label,
            encoding=encoding,
            skip_unmatched=skip_unmatched,
            progress=advance,
        )


def _split(found: DataSet, settings: TrainSettings) -> list[Finding]:
    """Draw validation images as training would by default, and return what is wrong with that."""
    from unetfast.data.doctor import Finding

    try:
        found.split(settings.val_fraction, settings.seed)
    except DatasetError as exc:
        return [Finding("error", "split", str(exc).removeprefix(f"{found.root}: "))]
    return []


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console

    with progress_bar(Console(stderr=True)) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _plain(text: str) -> str:
    """Escape what rich would take for markup, and what no terminal can print."""
    from rich.markup import escape

    from unetfast.spec import as_text

    return escape(as_text(text))


def _summary(found: DataSet) -> list[tuple[str, str]]:
    splits = [sample.split for sample in found.samples]
    named = ", ".join(
        f"{splits.count(split)} {split or 'without a split'}"
        for split in ("train", "val", "test", None)
        if split in splits
    )
    channels = {1: "grey", 3: "RGB"}.get(found.channels, f"{found.channels} channels")
    named = named if any(splits) else "no split given"
    return [("samples", f"{len(found.samples)} ({named}), {channels}"), *found.decisions]


def _print_decisions(console: Console, found: DataSet) -> None:
    from rich.table import Table

    table = Table("", "what was decided", title=_plain(str(found.root)), title_justify="left")
    for topic, decision in _summary(found):
        table.add_row(topic, _plain(decision))
    console.print(table)
    if shares := _class_rows(found):
        table = Table(*_CLASS_HEAD)
        for row in shares:
            table.add_row(*map(_plain, row))
        console.print(table)


_CLASS_HEAD = ("id", "class", "share of pixels", "images")


def _class_rows(found: DataSet) -> list[tuple[str, ...]]:
    from unetfast.data.doctor import class_shares

    return [
        (str(i), share.name, f"{share.share:.3%}", str(share.images))
        for i, share in enumerate(class_shares(found))
    ]


def _print_findings(console: Console, findings: list[Finding]) -> None:
    from rich.table import Table

    if not findings:
        console.print("Nothing is wrong.")
        return
    table = Table("", "topic", "finding")
    for finding in findings:
        colour = _COLOURS[finding.severity]
        table.add_row(f"[{colour}]{finding.severity}[/]", finding.topic, _plain(str(finding)))
    console.print(table)


def _write_page(path: Path, found: DataSet, findings: list[Finding], count: int) -> None:
    from unetfast.data.labels import read_pair
    from unetfast.errors import UnetfastError
    from unetfast.imaging import atomic_write
    from unetfast.report.sheet import class_key_html, figure_html, page_html, table_html, thumbnail

    figures = []
    for sample in _chosen(found, findings, count):
        try:
            image, labels = read_pair(sample, found.encoding, found.channels)
        except UnetfastError:
            continue  # it is among the findings
        caption = f"{sample.split}/{sample.id}" if sample.split else sample.id
        figures.append(figure_html(thumbnail(image, labels, 720), caption, side_px=720))
    shares = _class_rows(found)
    rows = [(finding.severity, finding.topic, str(finding)) for finding in findings]
    body = (
        table_html(("", "what was decided"), _summary(found))
        + (table_html(_CLASS_HEAD, shares) if shares else "")
        + (table_html(("", "topic", "finding"), rows) if rows else "<p>Nothing is wrong.</p>")
        + class_key_html(found.classes)
        + f'<div class="sheet">{"".join(figures)}</div>'
    )
    atomic_write(
        path, page_html(f"unetfast check: {found.root.name}", body).encode("utf-8", "backslashreplace")
    )


def _chosen(found: DataSet, findings: list[Finding], count: int) -> list[Any]:
    """Return samples for the contact sheet: those that something was found about, then an even choice."""
    named = {
        file.partition(" ")[0]
        for finding in findings
        if finding.severity != "error"
        for file in finding.files
    }
    flagged = [sample for sample in found.samples if sample.id in named][: count // 3]
    rest = [sample for sample in found.samples if sample not in flagged]
    wanted = count - len(flagged)
    step = max(1.0, len(rest) / wanted) if wanted else 1.0
    return flagged + [rest[int(i * step)] for i in range(min(wanted, len(rest)))]
