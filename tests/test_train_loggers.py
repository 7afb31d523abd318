"""Experiment trackers: each is really run, and what it stored is read back."""

from __future__ import annotations

import importlib.util
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from unetfast.errors import ConfigError, MissingDependencyError
from unetfast.train import loggers
from unetfast.train.loggers import Loggers

# In a process of their own: trackers start threads, servers and warnings of their own libraries.
_RUN = """
import sys
from pathlib import Path
from unetfast.train.loggers import Loggers
name, folder = sys.argv[1:]
said = []
logger = Loggers([name], Path(folder), {"epochs": 2, "lr": 0.5, "data": Path("x")}, said.append)
for epoch in (1, 2):
    logger.epoch(epoch, {"val_dice": epoch / 4, "lr": 0.5, "val_loss": float("nan")})
logger.close()
assert not said, said
"""


def _log(name: str, folder: Path, **environment: str) -> None:
    pytest.importorskip(name, reason=f"{name} is not installed: pip install 'unetfast[loggers]'")
    run = folder / "train"
    run.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _RUN, name, str(run)],
        cwd=folder,
        env={**_without_servers(), **environment},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _without_servers() -> dict[str, str]:
    import os

    here = str(Path(loggers.__file__).parents[2])
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB", "MLFLOW"))}
    return {**kept, "PYTHONPATH": here}


def test_tensorboard_gets_every_number(tmp_path: Path) -> None:
    _log("tensorboard", tmp_path)
    events = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    stored = events.EventAccumulator(str(tmp_path / "train"))
    stored.Reload()
    assert [(e.step, e.value) for e in stored.Scalars("val_dice")] == [(1, 0.25), (2, 0.5)]
    assert "val_loss" not in stored.Tags()["scalars"]


@pytest.mark.slow
def test_wandb_works_offline(tmp_path: Path) -> None:
    _log("wandb", tmp_path, WANDB_MODE="offline")
    (record,) = (tmp_path / "train" / "wandb").glob("offline-run-*/run-*.wandb")
    assert b"val_dice" in record.read_bytes()


@pytest.mark.slow
def test_mlflow_gets_every_number(tmp_path: Path) -> None:
    database = tmp_path / "runs.db"
    _log("mlflow", tmp_path, MLFLOW_TRACKING_URI=f"sqlite:///{database}")
    with sqlite3.connect(database) as opened:
        rows = opened.execute("select step, value from metrics where key = 'val_dice' order by step")
        assert rows.fetchall() == [(1, 0.25), (2, 0.5)]
        assert opened.execute("select value from params where key = 'lr'").fetchall() == [("0.5",)]
        assert opened.execute("select status from runs").fetchall() == [("FINISHED",)]


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_says_how_to_get_it(name: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(name):
        pytest.skip(f"{name} is installed")
    with pytest.raises(MissingDependencyError, match=r"pip install 'unetfast\[loggers\]'"):
        Loggers([name], tmp_path, {}, print)


class _Broken:
    def __init__(self, folder: Path, settings: dict[str, object]) -> None:
        if settings.get("start") == "fails":
            raise RuntimeError("no\nserver")

    def epoch(self, epoch: int, values: dict[str, float]) -> None:
        raise OSError("connection reset")

    def close(self) -> None:
        raise AssertionError("it was given up")


def test_a_tracker_that_fails_costs_its_record_and_not_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(loggers._KINDS, "wandb", _Broken)
    said: list[str] = []
    logger = Loggers(["wandb"], tmp_path, {}, said.append)
    for epoch in (1, 2):
        logger.epoch(epoch, {"val_dice": 0.5})
    logger.close()
    assert said == ["warning: wandb failed and gets no more of this run: connection reset"]
    with pytest.raises(ConfigError, match="logger wandb cannot start: no server"):
        Loggers(["wandb"], tmp_path, {"start": "fails"}, said.append)
