"""Small data sets drawn for the tests of unetfast.data."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

H, W = 48, 64


def photo(seed: int = 0, height: int = H, width: int = W) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: large soft blobs, different for every seed."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    return np.array(coarse.resize((width, height), Image.Resampling.BICUBIC))


def truth(seed: int = 0, height: int = H, width: int = W, classes: int = 2) -> NDArray[np.uint8]:
    """(H, W) uint8 class ids: a background of 0 with one rectangle of every other class."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((height, width), np.uint8)
    step = width // max(1, classes - 1)
    for k in range(1, classes):
        top, left = int(rng.integers(2, height // 4)), (k - 1) * step + int(rng.integers(1, 4))
        labels[top : top + height // 2, left : left + max(5, step // 2)] = k
    return labels


def save(path: Path, array: NDArray[Any] | Image.Image, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(path, **options)
    return path


def png(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def pairs(root: Path, count: int = 4, images: str = "images/{}.jpg", masks: str = "masks/{}.png") -> Path:
    """Write photos and binary {0, 255} masks; ``{}`` is the number."""
    for i in range(count):
        save(root / images.format(i), photo(i))
        save(root / masks.format(i), truth(i) * 255)
    return root
