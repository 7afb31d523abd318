"""Experiment trackers, behind the one thing that the loop needs of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from unetfast.errors import require

__all__ = ["Logger", "open_loggers"]


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
        """Write one scalar a number."""
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


def open_loggers(names: Sequence[str], folder: Path, settings: dict[str, Any]) -> list[Logger]:
    """Open the trackers a run asked for.

    Raises
    ------
    MissingDependencyError
        When one's package is not installed.
    """
    return [_KINDS[name](folder, settings) for name in names]
