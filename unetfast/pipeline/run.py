"""A whole run: inputs found, model opened, engine driven, journal and table written."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from unetfast.backends import bundled, read_spec
from unetfast.errors import ConfigError, ImageError
from unetfast.machine import available_cores
from unetfast.pipeline import stages
from unetfast.pipeline.journal import Journal, journal_name, write_csv
from unetfast.pipeline.local import Engine, Stage
from unetfast.pipeline.model import model_sha256, open_model
from unetfast.pipeline.output import not_results, refuse_overlap
from unetfast.pipeline.ray_ import RayEngine
from unetfast.pipeline.remote import find_remote, is_url, local_path, open_output
from unetfast.pipeline.settings import RunSettings
from unetfast.pipeline.sources import ENDINGS, Found, Item, Skipped, find, input_root, parse_shard, select
from unetfast.pipeline.stages import Context, Job
from unetfast.settings import check_threads

__all__ = [
    "Summary",
    "check_places",
    "check_run",
    "listing",
    "one",
    "run",
]

SMALLEST_TILE_PX = 64  # smaller ones are all margin: 128 px to every side of a tile of the default model
JOIN_S = 8.0  # how long an interrupted run waits for what is in a stage


@dataclass
class Summary:
    """How a run went.

    Attributes
    ----------
    done, unchanged, skipped, failed : int
        Photos; `unchanged` had been done before with the same content, settings and model.
    outdated : int
        Of the done ones, those beside which a mask, overlay or cleaned photo of another mask stays.
    noted : int
        Of the done ones, those whose line has `notes`.
    megapixels : float
        Of the done ones.
    seconds : float
        Wall time.
    found : Found
        What was passed over while listing.
    stages : list of Stage
        Time in each stage.
    interrupted, ended : bool
        Whether Ctrl-C or SIGTERM stopped it; whether all its threads ended in time.
    """

    done: int = 0
    unchanged: int = 0
    skipped: int = 0
    failed: int = 0
    outdated: int = 0
    noted: int = 0
    megapixels: float = 0.0
    seconds: float = 0.0
    found: Found = field(default_factory=Found)
    stages: list[Stage] = field(default_factory=list)
    interrupted: bool = False
    ended: bool = True

    @property
    def exit_code(self) -> int:
        """130 interrupted, 3 some failed, 0 all done."""
        return 130 if self.interrupted else 3 if self.failed else 0

    def count(self, entry: dict[str, Any]) -> None:
        """Take one line of the journal into account."""
        status = entry["status"]
        setattr(self, status, getattr(self, status) + 1)
        if status == "done":
            self.megapixels += entry["width"] * entry["height"] / 1e6
            self.outdated += "outdated" in entry
            self.noted += "notes" in entry


def check_run(settings: RunSettings) -> None:
    """Raise ConfigError for settings that do not go together."""
    if settings.window_px and settings.window_px % 2 == 0:
        raise ConfigError(f"--window must be odd, or 0 (by each crack's width); got {settings.window_px}")
    parse_shard(settings.shard)
    settings.memory_bytes()
    check_threads(settings.threads)
    check_threads(settings.workers, "workers")
    if 0 < settings.tile < SMALLEST_TILE_PX:
        raise ConfigError(f"--tile must be 0 or at least {SMALLEST_TILE_PX}; got {settings.tile}")


def check_places(inputs: Sequence[str], output: str) -> None:
    """Raise ConfigError where results could overwrite photos, or would land among them."""
    if os.path.splitext(output)[1].lower() in ENDINGS and not os.path.isdir(output):
        raise ConfigError(
            f"{output}: results go into a folder, and this is called like a picture; name a folder, or for "
            f"one photo: unetfast run - < photo.jpg -o {output}"
        )
    if any(map(is_url, inputs)):
        refuse_overlap(output, inputs[0])
    else:
        _, paths = input_root(inputs)
        # Each by itself: the folder that several inputs share is none, and its other folders are free.
        folders = ((path, True) if path.is_dir() else (path.parent, False) for path in paths)
        for folder, inside in dict.fromkeys(folders):
            refuse_overlap(output, str(folder), inside=inside)


def listing(inputs: Sequence[str], settings: RunSettings, found: Found) -> Iterator[Item | Skipped]:
    """Yield what a run with these settings would process."""
    if any(map(is_url, inputs)):
        if len(inputs) > 1:
            raise ConfigError("a URL must be the only input")
        every = find_remote(inputs[0], found, recursive=settings.recursive)
    else:
        root, paths = input_root(inputs)
        every = find(root, paths, found, recursive=settings.recursive, follow_links=settings.follow_links)
    shard = parse_shard(settings.shard)
    items = select(every, include=settings.include, exclude=settings.exclude, shard=shard)
    return islice(items, settings.limit) if settings.limit else items


def run(
    inputs: Path | str | Sequence[Path | str],
    output: Path | str,
    settings: RunSettings,
    *,
    model: str | Path = "crack",
    on_entry: Callable[[dict[str, Any]], None] = lambda _: None,
    on_start: Callable[[str], None] = lambda _: None,
) -> Summary:
    """Process photos into an output folder; what is done already is left alone.

    Parameters
    ----------
    inputs : Path, str or sequence of them
        One folder, or files, folders and globs, or one URL that fsspec opens.
    output : Path or str
        The output folder, or a URL.
    settings : RunSettings
    model : str or Path
        A bundled model's name or an artifact's file.
    on_entry : callable
        Called with each photo's line once it is in the journal.
    on_start : callable
        Called once with one line about what runs the model.

    Raises
    ------
    UnetfastError
        When the run as a whole cannot start or go on. Photos that fail do not raise; they are
        counted and named in the journal.
    """
    check_run(settings)
    named = [inputs] if isinstance(inputs, (str, Path)) else inputs
    photos, output = [local_path(str(place)) for place in named], local_path(str(output))
    check_places(photos, output)
    shard = parse_shard(settings.shard)
    if shard is None:
        _expect_photos(photos, settings)
    path = bundled(model) or Path(model)
    segmenter = None if settings.engine == "ray" else open_model(path, settings)
    spec = read_spec(path) if segmenter is None else segmenter.spec
    on_start(f"{path}: {'on a Ray cluster' if segmenter is None else segmenter.description}")
    context = Context(settings, model_sha256(path), spec.preprocess.channels)
    summary = Summary()
    opened = open_output(output)
    with opened, Journal(opened.journals, journal_name(shard)) as journal:
        workers = settings.workers or available_cores()
        if segmenter is None:
            engine: Engine | RayEngine = RayEngine(context, path, output, opened, journal, workers)
        else:
            engine = Engine(context, segmenter, opened, journal, workers)
        begun = time.perf_counter()
        try:
            for entry in engine.run(not_results(listing(photos, settings, summary.found), output)):
                summary.count(entry)
                on_entry(entry)
                opened.sync(journal.path)
                if entry["status"] == "failed" and settings.fail_fast:
                    break
        except KeyboardInterrupt:
            summary.interrupted = True
        finally:
            summary.ended = engine.finish(JOIN_S)
        for entry in engine.rest():
            summary.count(entry)
            on_entry(entry)
        summary.seconds = time.perf_counter() - begun
        summary.stages = engine.stages
        table = journal.path.with_suffix(".csv")
        write_csv(journal, table, opened.temp)
        opened.sync(journal.path, now=True)
        opened.sync(table, now=True)
    return summary


def _expect_photos(inputs: Sequence[str], settings: RunSettings) -> None:
    """Raise ImageError when there is nothing to do, before a model is loaded for it."""
    found = Found()
    if next(listing(inputs, settings, found), None) is None:
        every = dataclasses.replace(settings, include=(), exclude=())
        if next(listing(inputs, every, Found()), None) is not None:
            filters = [*(f"--include {glob}" for glob in settings.include)]
            filters += [f"--exclude {glob}" for glob in settings.exclude]
            raise ImageError(
                f"{', '.join(inputs)}: there are photos, but none is left by {' '.join(filters)}"
            )
        raise ImageError(
            f"{', '.join(inputs)}: no photos found{found}; looked for {', '.join(sorted(ENDINGS))}"
        )


def one(data: bytes, settings: RunSettings, *, model: str | Path = "crack") -> bytes:
    """Process the file of one photo in memory, for pipes.

    Returns
    -------
    bytes
        The cleaned photo with ``settings.inpaint``, otherwise its mask as PNG.

    Raises
    ------
    ImageError, ArtifactError
        The message starts with ``<stdin>`` or the model's path.
    """
    segmenter = open_model(model, settings, streams=1)
    context = Context(settings, "", segmenter.spec.preprocess.channels)
    job = Job(Item(Path("<stdin>"), "<stdin>", "<stdin>"), data=data)
    stages.decode(job, context)
    stages.segment([job], segmenter, settings.scale)
    stages.clean(job, context)
    kind = "cleaned" if settings.inpaint else "mask"
    return stages.encode_result(kind, job, context, len(segmenter.spec.classes))
