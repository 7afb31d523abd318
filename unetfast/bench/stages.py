"""Where the time of a run goes, and how much of it overlaps."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from unetfast.bench.settings import BenchSettings
from unetfast.errors import ConfigError
from unetfast.pipeline.run import run
from unetfast.pipeline.settings import RunSettings

__all__ = ["bench_stages"]


def bench_stages(settings: BenchSettings) -> dict[str, Any]:
    """Run the photos of a folder into a temporary one and take the times of its stages.

    Returns
    -------
    dict
        ``"stages"``: busy seconds of each; ``"seconds"``: of the whole; ``"overlap"``: the sum of
        the stages over the whole, above 1 where stages of different photos ran at the same time.

    Raises
    ------
    ConfigError
        When no photo was done.
    """
    assert settings.stages is not None
    with tempfile.TemporaryDirectory() as folder:
        run_settings = RunSettings(inpaint=True, save_masks=True, recursive=True, threads=settings.threads)
        summary = run([str(settings.stages)], Path(folder), run_settings, model=settings.model)
    if not summary.done:
        raise ConfigError(f"{settings.stages}: no photo could be done ({summary.failed} failed)")
    busy = {stage.name: float(stage.busy_s) for stage in summary.stages}
    return {
        "photos": summary.done,
        "failed": summary.failed,
        "megapixels": summary.megapixels,
        "seconds": summary.seconds,
        "mpx_s": summary.megapixels / summary.seconds,
        "stages": busy,
        "overlap": sum(busy.values()) / summary.seconds,
    }
