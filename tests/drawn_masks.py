"""Data sets of drawn masks, and the labels that are read from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from drawn_data import H, W, photo, save, truth
from numpy.typing import NDArray
from PIL import Image

from unetfast.data import DataSet
from unetfast.data.labels import read_pair

Labels = NDArray[np.uint8]
COLOURS = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]], np.uint8)


def mask_set(
    root: Path, draw: Callable[[int], Any], count: int = 5, ending: str = "png", **options: Any
) -> Path:
    for i in range(count):
        save(root / f"images/{i}.png", photo(i))
        save(root / f"masks/{i}.{ending}", draw(i), **options)
    return root


def labels_of(found: DataSet, i: int = 0) -> Labels:
    return read_pair(found.samples[i], found.encoding, 3)[1]


def palette_image(labels: Labels, colours: list[tuple[int, int, int]]) -> Image.Image:
    indexed = Image.new("P", labels.shape[::-1])
    indexed.putdata(labels.ravel().tolist())
    indexed.putpalette([value for colour in colours for value in colour])
    return indexed


def smooth(labels: Labels) -> Labels:
    """Anti-aliased: drawn four times as large and averaged down."""
    large = cv2.resize(labels * 255, (4 * W, 4 * H), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.resize(cv2.GaussianBlur(large, (0, 0), 3), (W, H), interpolation=cv2.INTER_AREA))


def one_and_255(i: int) -> Labels:
    labels = truth(i)
    labels[:2] = 255
    return labels


def instances(i: int) -> Labels:
    labels = np.zeros((H, W), np.uint8)
    for k in range(3 + i):
        labels[4 * k % 40 : 4 * k % 40 + 3, 5 * k % 55 : 5 * k % 55 + 4] = k + 1
    return labels
