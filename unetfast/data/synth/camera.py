"""What light, lens, sensor and file do to a picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from unetfast.data.synth.noise import Field, Rng, chance, fractal

__all__ = ["photograph"]


def photograph(rng: Rng, image: Field) -> NDArray[np.uint8]:
    """Turn a drawn scene, (H, H, 3) float32 in [0, 1], into what a phone would have saved, in uint8."""
    image = _light(rng, image)
    image = _lens(rng, image)
    image = _sensor(rng, image)
    picture = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    if chance(rng, 0.6):
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 97))]
        # The channel order does not matter to a round trip.
        picture = np.asarray(
            cv2.imdecode(cv2.imencode(".jpg", picture, quality)[1], cv2.IMREAD_COLOR), np.uint8
        )
    if chance(rng, 0.12):
        picture = np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    return picture


def _light(rng: Rng, image: Field) -> Field:
    size_px = image.shape[0]
    y, x = np.mgrid[0:size_px, 0:size_px].astype(np.float32) / size_px - 0.5
    lamp = 1 + rng.normal(0, 0.2) * x + rng.normal(0, 0.2) * y
    if chance(rng, 0.3):
        lamp = lamp - rng.uniform(0, 0.9) * (x**2 + y**2)
    if chance(rng, 0.15):  # a lamp's or the sun's reflection
        cx, cy, width = rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5), rng.uniform(0.05, 0.3)
        image = (
            image + (rng.uniform(0.1, 0.6) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / width**2))[..., None]
        )
    image = image * np.clip(lamp, 0.2, 2)[..., None]
    contrast, middle = np.exp(rng.normal(0, 0.25)), image.mean()
    # An exposure that leaves the surface inside the sensor's range, so that its cracks stay visible.
    exposed = np.clip(middle * np.exp(rng.normal(0, 0.35)), 0.12, 0.82)
    if chance(rng, 0.08):  # or one that a flash or somebody's editor drove out of it
        contrast, exposed = contrast * rng.uniform(1.5, 3), rng.uniform(0.6, 1.0)
    cast = np.exp(rng.normal(0, 0.04, 3)).astype(np.float32)
    return np.asarray(np.clip(((image - middle) * contrast + exposed) * cast, 0, 1), np.float32)


def _lens(rng: Rng, image: Field) -> Field:
    size_px = image.shape[0]
    kind = rng.random()
    if kind < 0.35:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.3))
    elif kind < 0.42:  # moved
        length = int(rng.integers(2, 7))
        kernel = np.zeros((length, length), np.float32)
        cv2.line(kernel, (0, int(rng.integers(length))), (length - 1, int(rng.integers(length))), 1.0)
        image = cv2.filter2D(image, -1, kernel / kernel.sum())
    elif kind < 0.52:  # enlarged from a smaller picture
        small = int(size_px * rng.uniform(0.45, 0.9))
        image = cv2.resize(
            cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA), (size_px, size_px)
        )
    if chance(rng, 0.35):  # sharpened by the phone
        image = image + rng.uniform(0.2, 1.2) * (
            image - cv2.GaussianBlur(image, (0, 0), rng.uniform(0.6, 1.6))
        )
    return np.asarray(image, np.float32)


def _sensor(rng: Rng, image: Field) -> Field:
    if chance(rng, 0.25):
        return image
    height, width = image.shape[:2]
    sigma = rng.uniform(0.002, 0.03)
    grain = rng.standard_normal((height, width, 1), np.float32)
    if chance(rng, 0.4):
        grain = grain + 0.7 * rng.standard_normal((height, width, 3), np.float32)
    if chance(rng, 0.3):  # a phone's denoiser leaves blotches
        grain = cv2.GaussianBlur(grain, (0, 0), 0.8) * 1.8
        grain = grain.reshape(height, width, -1)
    blotches = 0.3 * fractal(rng, height, 8, 2)[..., None] if chance(rng, 0.2) else 0.0
    # Shot noise: brighter pixels are noisier, relative to the dark they are not.
    return np.asarray(image + sigma * (grain + blotches) * np.sqrt(0.3 + np.clip(image, 0, 1)), np.float32)
