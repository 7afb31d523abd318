"""Where the time of a run goes, how much of it overlaps, and what its slowest stage takes alone."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

from unetfast.bench.settings import BenchSettings
from unetfast.errors import ConfigError, ImageError
from unetfast.machine import available_cores
from unetfast.pipeline import stages
from unetfast.pipeline.model import open_model
from unetfast.pipeline.output import Output
from unetfast.pipeline.run import listing, run
from unetfast.pipeline.settings import RunSettings
from unetfast.pipeline.sources import Found, Item
from unetfast.pipeline.stages import Context, Job

__all__ = ["bench_stages"]

ALONE_PHOTOS = 6  # of the run's; each stage is timed on these by itself
ALONE_PX = 150_000_000  # and no more than these, since all of them are held between the stages


def bench_stages(settings: BenchSettings) -> dict[str, Any]:
    """Run the photos of a folder into a temporary one and take the times of its stages.

    Returns
    -------
    dict
        ``"stages"``: busy seconds of each, summed over its threads; ``"seconds"``: of the whole;
        ``"overlap"``: the sum of the stages over the whole, above 1 where stages of different photos
        ran at the same time; ``"alone"``: wall seconds of each stage for all photos where it has the
        machine to itself: the better of two rounds on the first photos, before and after the run, times the
        pixels; ``"ratio"``: the whole over the slowest of these.

    Raises
    ------
    ConfigError
        When no photo was done.
    """
    assert settings.stages is not None
    folder = str(settings.stages)
    chosen = RunSettings(inpaint=True, save_masks=True, recursive=True, threads=settings.threads)
    with tempfile.TemporaryDirectory() as temp:
        before = _alone(folder, settings.model, chosen, Path(temp) / "before")
        summary = run([folder], Path(temp) / "run", chosen, model=settings.model)
        after = _alone(folder, settings.model, chosen, Path(temp) / "after")
    if not summary.done:
        raise ConfigError(f"{settings.stages}: no photo could be done ({summary.failed} failed)")
    busy = {stage.name: float(stage.busy_s) for stage in summary.stages}
    alone = {name: min(before[name], after[name]) * summary.megapixels for name in busy}
    return {
        "photos": summary.done,
        "failed": summary.failed,
        "megapixels": summary.megapixels,
        "seconds": summary.seconds,
        "mpx_s": summary.megapixels / summary.seconds,
        "stages": busy,
        "overlap": sum(busy.values()) / summary.seconds,
        "alone": alone,
        "ratio": summary.seconds / max(alone.values()),
    }


def _alone(folder: str, model: str, settings: RunSettings, output: Path) -> dict[str, float]:
    """Time each stage by itself, on as many threads as in a run; seconds per megapixel."""
    segmenter = open_model(model, settings)
    context, workers = Context(settings, ""), available_cores()
    jobs = _jobs(folder, settings, context)
    stages.segment(jobs[:1], segmenter, 1.0)  # the first call plans and allocates
    megapixels = sum(job.entry["width"] * job.entry["height"] for job in jobs) / 1e6
    with Output(output) as opened:

        def read(job: Job) -> None:
            stages.load(job, context)
            stages.decode(job, context)

        def store(job: Job) -> None:
            stages.store(job, context, len(segmenter.spec.classes), opened.put)

        seconds = {
            "read": _seconds(read, jobs, workers),
            "network": _seconds(lambda job: stages.segment([job], segmenter, 1.0), jobs, segmenter.streams),
            "clean": _seconds(lambda job: stages.clean(job, context), jobs, 1),
            "write": _seconds(store, jobs, workers),
        }
    segmenter.close()
    return {name: spent / megapixels for name, spent in seconds.items()}


def _jobs(folder: str, settings: RunSettings, context: Context) -> list[Job]:
    """Return the first photos of a folder that can be read, decoded."""
    jobs: list[Job] = []
    pixels = 0
    for item in listing([folder], settings, Found()):
        if len(jobs) == ALONE_PHOTOS or pixels > ALONE_PX:
            break
        if not isinstance(item, Item):
            continue
        job = Job(item)
        with contextlib.suppress(ImageError):  # the run itself counts what cannot be read
            stages.load(job, context)
            stages.decode(job, context)
            jobs.append(job)
            pixels += job.entry["width"] * job.entry["height"]
    if not jobs:
        raise ConfigError(f"{folder}: no photo could be read")
    return jobs


def _seconds(work: Callable[[Job], None], jobs: list[Job], threads: int) -> float:
    with ThreadPoolExecutor(threads) as pool:
        begun = perf_counter()
        for _ in pool.map(work, jobs):
            pass
        return perf_counter() - begun
