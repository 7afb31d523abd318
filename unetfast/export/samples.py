"""Real images to calibrate and certify on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from unetfast.checkpoint import Checkpoint
from unetfast.errors import DatasetError, InputError
from unetfast.imaging import middle, network_input, read
from unetfast.spec import ModelSpec

__all__ = ["Samples", "bundled_images", "collect"]

log = logging.getLogger(__name__)

PHOTOS = Path(__file__).parents[1] / "assets" / "photos"

MIN_IMAGES = 8
MAX_IMAGES = 32
_MAX_SIDE_PX = 1024  # of one image; the middle of larger ones


@dataclass(frozen=True)
class Samples:
    """Images to certify and to calibrate on.

    Attributes
    ----------
    images : list of (H, W, C) uint8
        For the certificate: at least 8, of mixed sizes, some odd.
    truths : list of (H, W) uint8 or None
        Class ids, 255 = ignore.
    calibration : list of (H, W, C) uint8
        For int8; other images than `images` where there are enough. Empty unless they were asked for.
    source : str
        Where they come from, and of data how many of how many, for people.
    """

    images: list[NDArray[np.uint8]]
    truths: list[NDArray[np.uint8] | None]
    calibration: list[NDArray[np.uint8]]
    source: str


def collect(checkpoint: Checkpoint, data: Path | None, source: Path, *, calibrating: bool = False) -> Samples:
    """Take images from `data`, else those that training kept in the checkpoint, else the bundled photos.

    Of a large data set 32 images are taken, evenly spaced.

    Parameters
    ----------
    checkpoint : Checkpoint
    data : Path or None
        A data set (its masks are the truth), or a folder of images or one image.
    source : Path
        The checkpoint's file; messages start with it.
    calibrating : bool
        Some images are for int8 to be calibrated on: none of those that `data` keeps for the test,
        and where there are 16 and more, every second one, which the certificate then leaves out.

    Raises
    ------
    DatasetError, ImageError
        When `data` cannot be read.
    """
    spec = checkpoint.spec
    total = None
    if data is not None:
        pairs, total = _from_folder(data, spec, without_test=calibrating)
        origin = str(data)
    elif checkpoint.parity_images:
        pairs = [(image.numpy(), None) for image in checkpoint.parity_images]
        origin = "the images kept in the checkpoint"
    else:
        log.warning("%s: holds no images; taking bundled photos. Yours are better: --data FOLDER", source)
        pairs = [(image, None) for image in _photos(spec.preprocess.channels)]
        origin = "the bundled photos"
    # The certificate's images are not those that int8 was calibrated on, where there are enough.
    halves = calibrating and len(pairs) >= 2 * MIN_IMAGES
    certifying, calibration = (pairs[::2], pairs[1::2]) if halves else (pairs, pairs if calibrating else [])
    if total is not None:
        origin += f" ({len(certifying)} of {total}{', calibrated on others' if halves else ''})"
    mixed = _mixed(certifying, resized=spec.preprocess.resize_px is not None)
    return Samples(
        [image for image, _ in mixed], [truth for _, truth in mixed], [i for i, _ in calibration], origin
    )


def bundled_images(channels: int) -> list[NDArray[np.uint8]]:
    """Return the photos that ship with the package, of mixed sizes, as (H, W, `channels`) uint8 each."""
    return [image for image, _ in _mixed([(photo, None) for photo in _photos(channels)], resized=False)]


def _photos(channels: int) -> list[NDArray[np.uint8]]:
    photos = [network_input(read(path).pixels, 3) for path in sorted(PHOTOS.glob("*.jpg"))]
    if channels == 1:
        return [network_input(photo, 1) for photo in photos]
    # A network of other channels gets the colours over and over: real texture, if not its own.
    return [np.ascontiguousarray(photo[..., np.arange(channels) % 3]) for photo in photos]


T = TypeVar("T")
Pair = tuple[NDArray[np.uint8], NDArray[np.uint8] | None]


def _from_folder(data: Path, spec: ModelSpec, *, without_test: bool) -> tuple[list[Pair], int]:
    """Return at most MAX_IMAGES pairs, and how many images there are to choose from."""
    from unetfast.data.collection import find_images, open_dataset
    from unetfast.data.encoding import LabelEncoding
    from unetfast.data.labels import read_pair

    if not data.exists():
        raise DatasetError(f"{data}: no such folder")
    channels = spec.preprocess.channels
    try:
        # Masks of {0, 1} and of {0, 255} mean the same; the data set knows which these are.
        dataset = open_dataset(data, encoding=LabelEncoding.of(spec))
    except DatasetError as exc:
        files = find_images(data)
        if not files:
            raise
        # The checkpoint's own answer is still there to compare with.
        log.warning("%s: comparing images alone, without truth: %s", data, str(exc).splitlines()[0])
        pictures = (read(file, pages=channels not in (1, 3)) for file in _spread(files))
        return [(_middle(picture.input_of(channels)), None) for picture in pictures], len(files)
    samples = dataset.samples
    if without_test:
        samples = [sample for sample in samples if sample.split != "test"] or samples
    pairs: list[Pair] = []
    for sample in _spread(samples):
        image, truth = read_pair(sample, dataset.encoding, channels)
        pairs.append((_middle(image), _middle(truth)))
    return pairs, len(samples)


def _spread(items: Sequence[T]) -> list[T]:
    """Return at most MAX_IMAGES items, evenly spaced."""
    step = max(1.0, len(items) / MAX_IMAGES)
    return [items[int(i * step)] for i in range(min(len(items), MAX_IMAGES))]


def _middle(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = array.shape[:2]
    return middle(array, min(height, _MAX_SIDE_PX), min(width, _MAX_SIDE_PX))


def _mixed(pairs: list[Pair], *, resized: bool) -> list[Pair]:
    """Return at least MIN_IMAGES pairs; every third is cut by odd amounts, so that sizes are mixed.

    An export that was right at one size only, or only at multiples of its stride, must show.
    """
    if any(image.ndim != 3 for image, _ in pairs):
        raise InputError("images to certify on must be (H, W, C)")
    mixed = []
    for i in range(max(len(pairs), MIN_IMAGES)):
        image, truth = pairs[i % len(pairs)]
        turn = i // len(pairs)  # the second time round, another part of the same image
        if not resized and (i % 3 == 1 or turn):
            h, w = image.shape[:2]
            cut = slice(turn * h // 8, max(turn * h // 8 + 1, h - 3)), slice(turn * w // 8, max(1, w - 5))
            image, truth = image[cut], None if truth is None else truth[cut]
        mixed.append((image, truth))
    return mixed
