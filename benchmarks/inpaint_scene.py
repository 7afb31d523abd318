"""The scenes on which inpainting is measured: a photo-like picture, crack-like curves, solid blobs."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np


def photo(height: int, width: int, channels: int = 3, dtype: str = "uint8", seed: int = 0) -> Any:
    """Return (H, W, C) of plaster-like texture at all scales plus sensor grain."""
    rng = np.random.default_rng(seed)
    grey = np.zeros((height, width), np.float32)
    for octave in range(8):
        cells = rng.standard_normal((max(2, height >> octave), max(2, width >> octave)), np.float32)
        grey += cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC) * (2.0 + 1.5 * octave)
    tint = rng.uniform(0.8, 1.0, channels).astype(np.float32)
    colour = (grey[:, :, np.newaxis] + 150) * tint
    colour += rng.standard_normal(colour.shape, np.float32) * 3
    if dtype == "float32":
        return colour / 255
    scale = np.iinfo(dtype).max / 255
    return np.clip(colour * scale, 0, np.iinfo(dtype).max).astype(dtype)


def noise(height: int, width: int, channels: int = 3, dtype: str = "uint8", seed: int = 0) -> Any:
    """Return (H, W, C) of uniform noise over the type's whole range, the hardest input to rank."""
    rng = np.random.default_rng(seed)
    if dtype == "float32":
        return rng.standard_normal((height, width, channels), np.float32)
    return rng.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True)


def curves(height: int, width: int, fraction: float, seed: int = 0) -> Any:
    """Return (H, W) bool: crack-like random walks 3 to 15 px wide until `fraction` is covered."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.uint8)
    while mask.mean() < fraction:
        steps = max(2, min(60, int(fraction * height * width / 400)))
        angle = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.25, steps))
        walk = np.cumsum(np.stack([np.cos(angle), np.sin(angle)], axis=1) * 20, axis=0)
        points = (walk + rng.uniform(0, 1, 2) * (width, height)).astype(np.int32)
        cv2.polylines(mask, [points.reshape(-1, 1, 2)], False, 1, thickness=int(rng.integers(3, 16)))
    return mask.astype(bool)


def blobs(height: int, width: int, fraction: float, diameter: int = 200, seed: int = 0) -> Any:
    """Return (H, W) bool: solid discs until `fraction` is covered."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.uint8)
    while mask.mean() < fraction:
        centre = rng.uniform(0, 1, 2) * (width, height)
        cv2.circle(mask, (int(centre[0]), int(centre[1])), diameter // 2, 1, -1)
    return mask.astype(bool)
