"""Every option of ``unetfast train``, declared once; the standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unetfast.losses import LOSSES
from unetfast.models import MODELS
from unetfast.settings import Settings, setting

__all__ = ["TrainSettings"]

_LOGGERS = ("tensorboard", "wandb", "mlflow")


@dataclass(frozen=True)
class TrainSettings(Settings):
    """What a training run does; ``args.toml`` in its folder holds them all and reproduces it."""

    # data
    data: Path | None = setting(None, "Folder or .zip of images and masks.", type=Path, flag="--data")
    layout: str = setting("auto", "How the data is laid out on disk; auto: found out from the files.")
    mask: str | None = setting(
        None, "Which masks, where images have several; which classes, of outlines (A,B takes two).", type=str
    )
    mask_values: tuple[str, ...] = setting((), "What a mask value means, such as 255=crack; repeatable.")
    skip_unmatched: bool = setting(False, "Leave out images without a mask and masks without an image.")
    ignore_label: int | None = setting(
        None, "Mask value of pixels that do not count.", type=int, low=0, high=255
    )
    val_fraction: float = setting(
        0.15, "Share of the images kept for validation, where the data has no val split.", low=0.0, high=0.9
    )
    channels: int = setting(
        0, "Image channels: 1 (grey), 3 (RGB), or those of stacks; 0: as the images have.", low=0, high=64
    )
    cache: str = setting("auto", "Keep decoded images in memory.", choices=("auto", "ram", "none"))
    # model
    arch: str = setting("fast", "Network; `unetfast info NAME` shows its size.", choices=tuple(MODELS))
    weights: str | None = setting(
        None, "Start from a model: a best.pt, or crack, the bundled one (--lr 0.001 suits it).", type=str
    )
    width: int | None = setting(None, "unet: channels of the first level.", type=int, low=1, high=1024)
    depth: int | None = setting(None, "unet: how often the resolution is halved.", type=int, low=1, high=8)
    up: str | None = setting(
        None, "unet: how the resolution is doubled again.", type=str, choices=("bilinear", "transposed")
    )
    # task
    imgsz: int = setting(256, "Side in px of training crops, or of the resized image.", low=16, high=8192)
    resize: bool = setting(False, "Resize whole images to imgsz in place of cropping (whole-object tasks).")
    crops: int = setting(0, "Crops per image and epoch; 0: as many as cover it.", low=0, high=10_000)
    foreground: float = setting(0.5, "Share of crops that are centred on foreground.", low=0.0, high=1.0)
    augment: str = setting(
        "full",
        "How training images are varied: full (also turned any way up), upright (photos with a top), none.",
        choices=("full", "upright", "none"),
    )
    # optimisation
    epochs: int = setting(100, "Passes over the training images.", low=1, high=1_000_000)
    batch: int = setting(
        4, "Images per step and device; auto (0 in a file): the largest that fits, on CUDA.", low=0
    )
    lr: float = setting(4e-3, "Peak learning rate.", low=1e-9, high=100.0)
    optimizer: str = setting("adamw", "Optimiser.", choices=("adamw", "adam", "sgd"))
    weight_decay: float = setting(1e-2, "Weight decay.", low=0.0, high=10.0)
    schedule: str = setting(
        "cosine", "Learning rate after the warm-up.", choices=("cosine", "poly", "constant")
    )
    warmup: int = setting(50, "Steps of rising learning rate at the start.", low=0)
    loss: str = setting(
        "auto",
        f"{', '.join(LOSSES)}, or a sum such as bce+dice+cldice; auto: bce+dice for two classes, ce+dice for "
        "more.",
    )
    class_weights: str = setting("none", "none, auto (by frequency), or one number per class, such as 1,5.")
    clip: float = setting(1.0, "Largest norm of the gradient; 0: no limit.", low=0.0)
    accumulate: int = setting(1, "Batches whose gradients are summed before each step.", low=1)
    ema: float = setting(
        0.999, "Decay of the weights' moving average, which is what is saved; 0: off.", low=0.0, high=0.99999
    )
    patience: int = setting(
        0, "Stop after this many epochs without a better validation Dice; 0: never.", low=0
    )
    # machine
    device: str = setting("auto", "auto, cpu, cuda or cuda:N.")
    amp: str = setting(
        "auto",
        "Mixed precision; auto: where the device computes in it natively.",
        choices=("auto", "off", "bf16", "fp16"),
    )
    compile: bool = setting(False, "Compile the network with torch.compile.")
    workers: int = setting(
        -1, "Processes that load data; -1: one fewer than the cores, at most 8.", low=-1, high=256
    )
    seed: int = setting(0, "Seed of weights, split, crops and augmentation.", low=0)
    # output
    output: Path | None = setting(
        None, "Folder of the run.  [default: runs/train, train2, …]", flag="-o/--output", type=Path
    )
    samples_every: int = setting(
        10, "Epochs between pictures of validation samples; 0: only at the end.", low=0
    )
    logger: tuple[str, ...] = setting((), "Also log to this tracker; repeatable.", choices=_LOGGERS)
