"""Slips in the settings, found before minutes are spent on reading the data."""

from __future__ import annotations

import os
from pathlib import Path

from unetfast.losses import loss_function
from unetfast.train import prepare, run_folder, start
from unetfast.train.settings import TrainSettings

__all__ = ["refuse_slips"]


def refuse_slips(settings: TrainSettings, *, resumed: bool) -> None:
    """Raise what training would raise for these settings on any data.

    A `resumed` run has its weights, and its output folder holds it.

    Raises
    ------
    ConfigError
        For an unknown loss, a device that is not there, a precision or batch that it cannot take,
        weights of another network, or an output folder that holds another run.
    ArtifactError
        When the weights to start from cannot be read.
    """
    loss_function(settings.loss, 2)
    device = prepare.device_of(settings.device, int(os.environ.get("LOCAL_RANK", "0")))
    prepare.amp_type(settings.amp, device)
    if settings.batch == 0:
        prepare.refuse_batch_auto(device)
    if not resumed and settings.weights:
        start.read(settings)
    if not resumed and settings.output is not None:
        run_folder.refuse_unfit(Path(settings.output))
