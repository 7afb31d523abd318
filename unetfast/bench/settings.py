"""The settings of ``unetfast bench``. Standard library only, so that ``--help`` is fast."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unetfast.backends import BACKENDS, DEVICES
from unetfast.settings import Settings, setting

__all__ = ["BenchSettings"]


@dataclass(frozen=True)
class BenchSettings(Settings):
    """What is measured, and how long."""

    data: Path | None = setting(
        None, "Images or a data set: what is timed on, and what Dice and IoU are measured on.", type=Path
    )
    split: str | None = setting(
        None, "Only this split of --data.", choices=("train", "val", "test"), type=str
    )
    limit: int = setting(32, "Use at most this many images of --data.", low=1)
    imgsz: int | None = setting(
        None, "Time on the middle square of this many px, not on whole images.", type=int, low=16
    )
    backend: tuple[str, ...] = setting(
        (), "Only this backend; repeatable. Default: all that are installed.", choices=tuple(BACKENDS)
    )
    device: str = setting("auto", DEVICES)
    threads: int = setting(0, "CPU threads of every backend; 0: as each takes by itself.", low=0)
    repeats: int = setting(5, "Number of rounds; in each, every candidate is timed once, in turn.", low=1)
    seconds: float = setting(1.0, "Seconds for each candidate in each round.", low=0.05)
    batches: str = setting("1,2,4,8", "Batch sizes tried for throughput.")
    json: Path | None = setting(None, "Write everything measured to this file.", type=Path)
    plot: Path | None = setting(None, "Draw speed against quality into this PNG.", type=Path)
    inpaint: bool = setting(False, "Time the inpainting kernel against OpenCV.")
    stages: Path | None = setting(None, "Time the stages of a run over this folder of photos.", type=Path)
    model: str = setting("crack", "The model that --stages runs.")
