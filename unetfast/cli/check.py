"""``unetfast check``: what a data set holds, how it is read, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unetfast.cli.data import open_data, plain, progress_of, summary
from unetfast.cli.options import config_option, from_command_line, refuse_unwritable, settings_options
from unetfast.errors import DatasetError, UnetfastError
from unetfast.train.settings import TrainSettings

if TYPE_CHECKING:
    from rich.console import Console

    from unetfast.data import DataSet
    from unetfast.data.doctor import Finding

__all__ = ["check"]

_COLOURS = {"error": "bold red", "warning": "yellow", "note": "dim"}


@click.command("check")
@click.argument("data", type=click.Path(path_type=Path))
@settings_options(TrainSettings, only=("layout", "mask", "mask_values", "ignore_label", "skip_unmatched"))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("check.html"),
    show_default=True,
    help="Page with a contact sheet of images and their masks.",
)
@click.option(
    "--samples",
    type=click.IntRange(0, 500),
    default=24,
    show_default=True,
    help="Number of pictures on the page.",
)
@config_option
def check(data: Path, output: Path, samples: int, config: Path | None, **said: Any) -> None:
    r"""Inspect DATA before training on it: what was found, how masks are read, what is wrong.

    DATA is a folder, a .zip (read in place), or a .csv, .json or .txt file that lists a data set.
    Every image and mask is read once. Errors are what training would refuse; the exit code is
    then 1. Nothing in DATA is changed.

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
    with progress_of("looking at images") as advance:
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


def _split(found: DataSet, settings: TrainSettings) -> list[Finding]:
    """Draw validation images as training would by default, and return what is wrong with that."""
    from unetfast.data.doctor import Finding

    try:
        found.split(settings.val_fraction, settings.seed)
    except DatasetError as exc:
        return [Finding("error", "split", str(exc).removeprefix(f"{found.root}: "))]
    return []


def _print_decisions(console: Console, found: DataSet) -> None:
    from rich.table import Table

    table = Table("", "what was decided", title=plain(str(found.root)), title_justify="left")
    for topic, decision in summary(found):
        table.add_row(topic, plain(decision))
    console.print(table)
    if shares := _class_rows(found):
        table = Table(*_CLASS_HEAD)
        for row in shares:
            table.add_row(*map(plain, row))
        console.print(table)


_CLASS_HEAD = ("id", "class", "share of pixels", "images")


def _class_rows(found: DataSet) -> list[tuple[str, ...]]:
    from unetfast.data.class_shares import class_shares

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
        table.add_row(f"[{colour}]{finding.severity}[/]", finding.topic, plain(str(finding)))
    console.print(table)


def _write_page(path: Path, found: DataSet, findings: list[Finding], count: int) -> None:
    from unetfast.data.labels import read_pair
    from unetfast.imaging import atomic_write
    from unetfast.report.sheet import class_key_html, figure_html, page_html, table_html, thumbnail

    figures = []
    for sample in _chosen(found, findings, count):
        try:
            image, labels = read_pair(sample, found.encoding, found.channels)
        except UnetfastError:
            continue  # it is among the findings
        caption = f"{sample.split}/{sample.id}" if sample.split else sample.id
        figures.append(figure_html(thumbnail(image, labels, 720), caption))
    shares = _class_rows(found)
    rows = [(finding.severity, finding.topic, str(finding)) for finding in findings]
    body = (
        table_html(("", "what was decided"), summary(found))
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
