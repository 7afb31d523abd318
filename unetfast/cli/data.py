"""A command's data: how it is opened, looked at and described before work."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from unetfast.cli.options import progress_bar
from unetfast.spec import as_text
from unetfast.train.settings import TrainSettings

if TYPE_CHECKING:
    from unetfast.data import DataSet
    from unetfast.data.encoding import LabelEncoding

__all__ = ["open_data", "open_examined", "plain", "progress_of", "say_decisions", "summary"]


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
    with progress_of("checking data") as advance:
        findings = inspect(found, skip_unmatched=settings.skip_unmatched, progress=advance)
    say_decisions(found)
    console = Console(stderr=True, highlight=False)
    for finding in findings:
        if finding.severity == "warning":
            console.print(f"[yellow]warning[/yellow]: {finding.topic}: {plain(str(finding))}", soft_wrap=True)
    refuse_errors(found, findings)
    return found.keeping(group for finding in findings for group in finding.together)


def say_decisions(found: DataSet) -> None:
    """Print on standard error what was found and how it is read, one line each."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    for topic, decision in summary(found):
        console.print(f"[dim]{topic}[/dim]: {plain(decision)}", soft_wrap=True)


def open_data(
    settings: TrainSettings, *, skip_unmatched: bool, encoding: LabelEncoding | None = None
) -> DataSet:
    """Open the data that settings name, with a bar; `encoding` is how a model's training read its masks.

    Raises
    ------
    DatasetError
        As :func:`unetfast.data.open_dataset`.
    """
    from unetfast.data import open_dataset

    assert settings.data is not None, "the command line gave it"
    with progress_of("reading masks") as advance:
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


@contextmanager
def progress_of(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar while data is read; gives what is called with the number done and their total."""
    from rich.console import Console

    with progress_bar(Console(stderr=True)) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def plain(text: str) -> str:
    """Escape what rich would take for markup, and what no terminal can print."""
    from rich.markup import escape

    return escape(as_text(text))


def summary(found: DataSet) -> list[tuple[str, str]]:
    """Return topic and decision of what was found and how it is read."""
    splits = [sample.split for sample in found.samples]
    named = ", ".join(
        f"{splits.count(split)} {split or 'without a split'}"
        for split in ("train", "val", "test", None)
        if split in splits
    )
    channels = {1: "grey", 3: "RGB"}.get(found.channels, f"{found.channels} channels")
    named = named if any(splits) else "no split given"
    return [("samples", f"{len(found.samples)} ({named}), {channels}"), *found.decisions]
