"""``unetfast train``: train a network on a data set as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from unetfast.cli.options import config_option, from_command_line, settings_options
from unetfast.errors import ConfigError, require
from unetfast.train.settings import TrainSettings

__all__ = ["train"]


class _Batch(click.ParamType[int]):
    name = "integer|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value == "auto":
            return 0
        if not str(value).isdigit() or int(value) < 1:
            self.fail(f"must be a positive number or auto; got {value!r}", param, ctx)
        return int(value)


@click.command()
@click.argument("data", required=False, type=click.Path(path_type=Path))
@config_option
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    help="Go on with a stopped run: its folder, or its last.pt.",
)
@click.option(
    "--batch",
    type=_Batch(),
    help=f"Images per step and device, or auto (CUDA).  [default: {TrainSettings.batch}]",
)
@settings_options(TrainSettings, leave_out=("data", "batch"))
def train(data: Path | None, config: Path | None, resume: Path | None, **said: Any) -> None:
    r"""Train a U-Net on DATA, a folder or .zip of images and masks as it is.

    Finds the layout, the kind of masks and the classes by itself (`unetfast check DATA` shows what
    it finds) and writes best.pt, last.pt, results.csv, args.toml, curves.png, val_samples.png and
    labels.png to runs/train/ (then train2/, train3/, …). Ctrl-C stops after the step in hand;
    --resume goes on from there as if nothing had happened.

    \b
    Examples:
      unetfast train cracks/
      unetfast train nuclei.zip --arch unet --width 32 --epochs 100
      unetfast train lesions/ --resize --imgsz 256 --loss dice
      unetfast train streets/ --loss ce+lovasz --class-weights auto --amp bf16
      unetfast train --config runs/train/args.toml --seed 1
      unetfast train --resume runs/train --epochs 200
      torchrun --nproc-per-node 4 -m unetfast train cracks/
    """
    require("torch", "train")
    require("matplotlib", "train")
    from unetfast.cli.data import open_examined
    from unetfast.train.early import refuse_slips
    from unetfast.train.loop import train as run
    from unetfast.train.run_folder import read_settings

    if data is not None:
        said["data"] = data
    if resume is not None:
        resume = resume.parent if resume.is_file() else resume
        if config is not None:
            raise ConfigError("--resume takes its settings from the run; leave out --config")
        settings = read_settings(resume, {k: v for k, v in said.items() if v is not None and v != ()})
    else:
        settings = from_command_line(TrainSettings, said, config)
    if settings.data is None:
        raise ConfigError("no data given: unetfast train DATA")
    refuse_slips(settings, resumed=resume is not None)
    folder = run(settings, open_examined(settings), resume=resume)
    click.echo(str(folder / "best.pt"))
