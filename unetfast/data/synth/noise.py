"""Random fields that the synthetic pictures are made of, and how they are laid over each other."""

from __future__ import annotations

from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Field", "Rng", "band", "blend", "chance", "fractal", "line_noise", "log_uniform", "warp"]

# Of floats; what a public function gives is float32.
Field: TypeAlias = NDArray[Any]
Rng: TypeAlias = np.random.Generator


def chance(rng: Rng, probability: float) -> bool:
    """Return True with the given probability."""
    return bool(rng.random() < probability)


def log_uniform(rng: Rng, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform: as many small ones as large ones."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def blend(image: Field, cover: Field, thing: Field) -> Field:
    """Lay a thing, (H, W, 3) or a colour (3,), over an (H, W, 3) image where (H, W) `cover` is 1."""
    return np.asarray(image * (1 - cover[..., None]) + thing * cover[..., None], np.float32)


def fractal(rng: Rng, size_px: int, scale_px: float, octaves: int = 3, gain: float = 0.5) -> Field:
    """Draw smooth noise of several scales.

    Parameters
    ----------
    rng : numpy.random.Generator
    size_px : int
        Side of the square field.
    scale_px : float
        Size of the largest features.
    octaves : int
        Each further octave halves the features and scales their height by `gain`.

    Returns
    -------
    (size_px, size_px) float32 of mean about 0 and standard deviation about 1
    """
    total = np.zeros((size_px, size_px), np.float32)
    weight, power = 1.0, 0.0
    for _ in range(octaves):
        cells = max(2, int(np.ceil(size_px / max(scale_px, 1.0))) + 1)
        grid = rng.standard_normal((cells, cells), np.float32)
        # Cubic resizing shrinks the variance of a grid to about 0.6 of it.
        total += weight * 1.3 * cv2.resize(grid, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
        power += weight**2
        weight *= gain
        scale_px /= 2
        if scale_px < 1:
            break
    return np.asarray(total / np.sqrt(power), np.float32)


def band(rng: Rng, size_px: int, grain_px: float) -> Field:
    """Draw grain of about one size, of standard deviation 1."""
    white = rng.standard_normal((size_px, size_px), np.float32)
    fine = cv2.GaussianBlur(white, (0, 0), 0.45 * grain_px) if grain_px > 0.7 else white
    grain = fine - cv2.GaussianBlur(fine, (0, 0), 1.1 * grain_px + 0.4)
    return np.asarray(grain / (grain.std() + 1e-6), np.float32)


def line_noise(rng: Rng, count: int, longest: float, rough: float = 0.55) -> Field:
    """Draw a one-dimensional fractal of `count` values whose largest waves span `longest` values.

    `rough` is the height of a wave relative to that of twice its length: 0.5 gives a curve that
    looks as jagged at every scale, less a smoother one.
    """
    total = np.zeros(count, np.float32)
    at = np.arange(count, dtype=np.float32)
    weight = 1.0
    while longest >= 2:
        knots = rng.standard_normal(int(count / longest) + 3).astype(np.float32)
        total += weight * np.interp(at / longest + rng.random(), np.arange(knots.size), knots).astype(
            np.float32
        )
        longest /= 2
        weight *= rough
    return total


def warp(image: Field, shift_x: Field, shift_y: Field) -> Field:
    """Move every pixel of (H, W) or (H, W, C) `image` by the given fields of pixels."""
    height, width = image.shape[:2]
    grid_y, grid_x = np.mgrid[0:height, 0:width].astype(np.float32)
    moved = cv2.remap(
        image, grid_x + shift_x, grid_y + shift_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(moved, np.float32)
