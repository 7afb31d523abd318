"""What a run would do, without doing it: ``--dry-run``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from unetfast.backends import bundled, read_spec
from unetfast.errors import ImageError
from unetfast.pipeline import banded
from unetfast.pipeline.earlier import origin, refuse_another
from unetfast.pipeline.journal import Journal, is_done
from unetfast.pipeline.model import model_sha256
from unetfast.pipeline.output import not_results, size_of
from unetfast.pipeline.remote import RemoteOutput, is_url
from unetfast.pipeline.run import check_places, listing
from unetfast.pipeline.settings import RunSettings
from unetfast.pipeline.sources import Found, Item, Skipped
from unetfast.pipeline.stages import Context, Job

__all__ = ["Step", "plan"]


@dataclass(frozen=True)
class Step:
    """What would become of one file.

    Attributes
    ----------
    path : str
        The file, as messages name it.
    what : {"new", "again", "done", "skipped", "failed"}
    why : str
        For "again", "skipped" and "failed".
    results : tuple of str
        Where its results go, below the output.
    """

    path: str
    what: str
    why: str = ""
    results: tuple[str, ...] = ()


def plan(
    inputs: Sequence[str], output: str, settings: RunSettings, found: Found, *, model: str | Path = "crack"
) -> Iterator[Step]:
    """Yield what ``run`` with the same arguments would do; nothing is written.

    Photos that the journal names are read, to see whether they changed.

    Parameters
    ----------
    inputs, output, settings, model
        As :func:`unetfast.pipeline.run.run`.
    found : Found
        Counts what is passed over.

    Raises
    ------
    UnetfastError
        As ``run`` would at its start.
    """
    check_places(inputs, output)
    spec = read_spec(bundled(model) or model)
    context = Context(settings, model_sha256(model), spec.preprocess.channels)
    with ExitStack() as stack:
        remote = stack.enter_context(RemoteOutput(output)) if is_url(output) else None
        folder = Path(output) if remote is None else remote.journals
        journal = stack.enter_context(Journal(folder, None))
        for item in not_results(listing(inputs, settings, found), output):
            if isinstance(item, Skipped):
                yield Step(item.relative, "failed" if item.failed else "skipped", item.reason)
                continue
            before = journal.find(item.relative)
            what, why = "new", ""
            if before is not None:
                sizes = partial(size_of, folder) if remote is None else remote.size
                what, why = _state(item, before, sizes, context)
            yield Step(str(item.path), what, why, tuple(banded.results(item, context).values()))


def _state(
    item: Item, before: dict[str, Any], size_of: Callable[[str], int | None], context: Context
) -> tuple[str, str]:
    """Return what would be done with a photo that the journal names, and why."""
    job = Job(item, {"path": origin(item.path)})
    try:
        banded.load(job, context)
    except ImageError as exc:
        return "again", str(exc)
    refuse_another(job.entry, before, size_of)
    if before["status"] != "done":
        return "again", f"it {'failed' if before['status'] == 'failed' else 'was skipped'} before"
    if not is_done(before, size_of):
        return "again", "a result is missing or was changed"
    if job.entry["key"] == before.get("key"):
        return "done", ""
    if job.entry["sha256"] != before.get("sha256"):
        return "again", "the photo changed"
    if job.entry.get("place") != before.get("place"):
        return "again", "the files beside it that say where it lies changed"
    return "again", "the settings, the model or the version changed"
