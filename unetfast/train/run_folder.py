"""The folder of a run and the tables in it; every file is written whole or not at all."""

from __future__ import annotations

import csv
import errno
import io
import itertools
import os
from pathlib import Path
from typing import Any

from unetfast.errors import ConfigError
from unetfast.imaging import atomic_write
from unetfast.settings import from_mapping, from_toml, to_toml
from unetfast.train.settings import TrainSettings

__all__ = [
    "METRICS",
    "RESULTS",
    "new_folder",
    "read_results",
    "read_settings",
    "refuse_unfit",
    "write_settings",
    "write_table",
]

_RUNS, _ARGS = Path("runs"), "args.toml"
METRICS = "metrics.json"  # of an evaluation
RESULTS = "results.csv"


def new_folder(wanted: Path | None, stem: str = "train") -> Path:
    """Make the folder of a new run: the wanted one, or the first free of train, train2 and so on.

    Raises
    ------
    ConfigError
        When the wanted folder holds results already, or cannot be made.
    """
    if wanted is not None:
        refuse_unfit(wanted, stem)
    try:
        if wanted is None:
            return _first_free(stem)
        wanted.mkdir(parents=True, exist_ok=True)
        return wanted
    except OSError as exc:
        raise ConfigError(f"{wanted or _RUNS}: this folder cannot be made: {exc.strerror}") from exc


def refuse_unfit(wanted: Path, stem: str = "train") -> None:
    """Raise ConfigError when a folder holds results already, or cannot be made: before the work, that is."""
    if (wanted / METRICS).exists():
        raise ConfigError(f"{wanted}: holds an evaluation already; choose another --output")
    if (wanted / _ARGS).exists():
        go_on = f"go on with it: unetfast train --resume {wanted}, or " if stem == "train" else ""
        raise ConfigError(f"{wanted}: holds a training run already; {go_on}choose another --output")
    there = next(path for path in (wanted, *wanted.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        number = errno.EACCES if there.is_dir() else errno.ENOTDIR
        raise ConfigError(f"{wanted}: this folder cannot be made: {os.strerror(number)}")


def _first_free(stem: str) -> Path:
    for number in itertools.count(1):
        folder = _RUNS / (stem if number == 1 else f"{stem}{number}")
        try:
            folder.mkdir(parents=True)  # not exist_ok: of two runs that start at once, each gets its own
        except FileExistsError:
            continue
        return folder
    raise AssertionError("there is always a next number")


def write_settings(folder: Path, settings: TrainSettings) -> None:
    """Write ``args.toml``; ``unetfast train --config`` of it does the same run again."""
    atomic_write(folder / _ARGS, to_toml(settings).encode("utf-8", "surrogateescape"))


def read_settings(folder: Path, changes: dict[str, Any]) -> TrainSettings:
    """Read a run's settings to go on with it.

    Parameters
    ----------
    folder : Path
    changes : dict
        What the command line said.

    Raises
    ------
    ConfigError
        When there is no run, or a change would make it another one.
    """
    if not (folder / _ARGS).is_file():
        raise ConfigError(f"{folder}: holds no training run to go on with (no {_ARGS})")
    stored = from_toml(folder / _ARGS)
    fixed = [key for key, value in changes.items() if key not in _FREE and stored.get(key) != _plain(value)]
    if fixed:
        raise ConfigError(
            f"{folder}: --{fixed[0].replace('_', '-')} cannot change when a run is resumed "
            f"(only: {', '.join(sorted(_FREE))}); start a new run for it"
        )
    return from_mapping(TrainSettings, {**stored, **changes}, str(folder / _ARGS))


# What changes neither the weights' meaning nor their path, and how long the path is.
_FREE = {"data", "epochs", "patience", "device", "workers", "cache", "samples_every", "logger", "output"}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows of the same keys as CSV."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    atomic_write(path, text.getvalue().encode())


def read_results(folder: Path, epochs: int) -> list[dict[str, Any]]:
    """Read the rows of the first `epochs` epochs, numbers as numbers; none where there is no file."""
    path = folder / RESULTS
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{key: _number(value) for key, value in row.items()} for row in csv.DictReader(file)]
    return rows[:epochs]


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdigit() else float(text)
