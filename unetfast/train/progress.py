"""What a person sees while a model trains: a live bar, and a line that stays for every epoch."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

__all__ = ["Display", "stop_on_signal"]


class Display:
    """Progress on standard error.

    Parameters
    ----------
    shown : bool
        False is silent: the other processes under torchrun.
    epochs, steps : int
        Of the whole run, and of an epoch.
    images : int
        A step has, over all processes.
    at : dict
        "epoch" and "step" where an earlier session stopped.
    """

    def __init__(self, shown: bool, epochs: int, steps: int, images: int, at: dict[str, Any]) -> None:
        self.console = Console(stderr=True, quiet=not shown, highlight=False)
        self._epochs, self._images = epochs, images
        self._left = epochs * steps - at["epoch"] * steps - at["step"]
        self._start = time.monotonic()
        self._done, self._drawn = 0, 0.0
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn(
                "loss {task.fields[loss]:.3f}  {task.fields[speed]} images/s  {task.fields[left]} left"
            ),
            console=self.console,
            transient=True,
            disable=not (shown and sys.stderr.isatty()),  # rich takes a notebook for a terminal
        )
        self._task = self._bar.add_task("", total=steps, epoch="", loss=0.0, speed="?", left="?")

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self.console.print(text, soft_wrap=True, markup=False)

    def step(self, epoch: int, step: int, loss: torch.Tensor) -> None:
        """Show a finished step."""
        self._done += 1
        now = time.monotonic()
        if self._bar.disable or now - self._drawn < 0.2:  # reading the loss waits for the device
            return
        self._drawn = now
        self._bar.update(
            self._task,
            completed=step + 1,
            epoch=f"{epoch + 1}/{self._epochs}",
            loss=loss.item(),
            speed=_rate(self._done * self._images / max(now - self._start, 1e-9)),
            left=self._time_left(),
        )

    def stopped(self, folder: Path) -> NoReturn:
        """Say how to go on, and stop."""
        self.say(f"stopped; go on with: unetfast train --resume {folder}")
        raise KeyboardInterrupt

    def _time_left(self) -> str:
        seconds = (time.monotonic() - self._start) / max(1, self._done) * max(0, self._left - self._done)
        return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"

    def epoch(self, row: dict[str, Any], *, better: bool) -> None:
        """Print an epoch's numbers."""
        val = f"val: loss {row['val_loss']:.3f} dice {row['val_dice']:.3f} iou {row['val_iou']:.3f}  "
        val = "" if math.isnan(row["val_loss"]) else val  # without validation images
        self.say(
            f"epoch {row['epoch']:>3}/{self._epochs}  "
            f"train: loss {row['train_loss']:.3f} dice {row['train_dice']:.3f}  "
            f"{val}{_rate(row['images_per_s'])} images/s  {self._time_left()} left"
            f"{'  best so far' if better else ''}"
        )


def _rate(per_second: float) -> str:
    return f"{per_second:.0f}" if per_second >= 10 else f"{per_second:.1f}"


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a question that the loop asks between steps.

    So that what is saved is the state between two steps, never half of one. A second Ctrl-C
    interrupts at once.
    """
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped.is_set  # only the main thread may set handlers
        return

    def handle(number: int, frame: Any) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
