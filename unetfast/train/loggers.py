"""Experiment trackers, behind the one thing that the loop needs of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from unetfast.errors import ConfigError, UnetfastError, one_line, require

__all__ = ["Logger", "Loggers"]


class Logger(Protocol):
    """Where a run reports to."""

    def epoch(self, epoch: int, values: dict[str, float]) -> None:
        """Report the numbers of an epoch, as they stand in ``results.csv``."""
        ...

    def close(self) -> None:
        """Finish the run."""
        ...


class TensorBoard:
    """Event files in the run's folder: ``tensorboard --logdir runs``."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        require("tensorboard", "loggers")
        self._writer = require("torch.utils.tensorboard", "loggers").SummaryWriter(str(folder))
        lines = "\n".join(f"| {key} | {value} |" for key, value in settings.items())
        self._writer.add_text("settings", f"| setting | value |\n| --- | --- |\n{lines}")

    def epoch(self, epoch: int, values: dict[str, float]) -> None:
        """Write one scalar per number."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()


class WeightsAndBiases:
    """Weights & Biases; with ``WANDB_MODE=offline`` it needs no account and no network."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        wandb = require("wandb", "loggers")
        self._run = wandb.init(project="unetfast", name=folder.name, dir=str(folder), config=settings)

    def epoch(self, epoch: int, values: dict[str, float]) -> None:
        """Log the numbers at this epoch."""
        self._run.log(values, step=epoch)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


class MLflow:
    """MLflow; where to is its own ``MLFLOW_TRACKING_URI``."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self._mlflow = require("mlflow", "loggers")
        self._mlflow.set_experiment("unetfast")
        self._mlflow.start_run(run_name=folder.name)
        self._mlflow.log_params(settings)

    def epoch(self, epoch: int, values: dict[str, float]) -> None:
        """Log the numbers at this epoch."""
        self._mlflow.log_metrics(values, step=epoch)

    def close(self) -> None:
        """End the run."""
        self._mlflow.end_run()


_KINDS: dict[str, Callable[[Path, dict[str, Any]], Logger]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
    "mlflow": MLflow,
}


class Loggers:
    """The trackers a run asked for.

    A tracker that fails later, say since its server is down, costs its own record and a warning,
    never the training: ``results.csv`` has the same numbers. `say` prints a line for people.

    Raises
    ------
    MissingDependencyError
        When one's package is not installed.
    ConfigError
        When one cannot start: no account, no server.
    """

    def __init__(
        self, names: Sequence[str], folder: Path, settings: dict[str, Any], say: Callable[[str], None]
    ) -> None:
        self._say = say
        self._open: dict[str, Logger] = {}
        try:
            for name in names:
                self._open[name] = _started(name, folder, settings)
        except BaseException:
            self.close()
            raise

    def epoch(self, epoch: int, values: dict[str, float]) -> None:
        """Report the numbers of an epoch to all; what could not be measured (NaN) is left out."""
        values = {key: value for key, value in values.items() if not math.isnan(value)}
        for name, logger in list(self._open.items()):
            try:
                logger.epoch(epoch, values)
            except Exception as exc:  # whatever a tracker and its network can raise
                self._say(f"warning: {name} failed and gets no more of this run: {one_line(exc)}")
                del self._open[name]

    def close(self) -> None:
        """Finish the run in all."""
        for name, logger in self._open.items():
            try:
                logger.close()
            except Exception as exc:
                self._say(f"warning: {name} could not finish its record: {one_line(exc)}")
        self._open = {}


def _started(name: str, folder: Path, settings: dict[str, Any]) -> Logger:
    try:
        return _KINDS[name](folder, settings)
    except UnetfastError:
        raise
    except Exception as exc:
        raise ConfigError(f"logger {name} cannot start: {one_line(exc)}") from exc
