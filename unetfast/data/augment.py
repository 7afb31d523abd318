"""Random crops, turns and colours, on uint8 with OpenCV.

All geometry is one affine map, so a pixel is interpolated once, and only inside the crop.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from unetfast.spec import IGNORE

__all__ = ["NONE", "Augmentation", "crop_at", "recolour"]


@dataclass(frozen=True)
class Augmentation:
    """How far training crops may differ from the images.

    Attributes
    ----------
    mirror : bool
        Left and right are swapped in half of the crops.
    turn : bool
        Crops are turned by any quarter and mirrored top to bottom: right for walls, cells and skin,
        wrong for street scenes.
    tilt_deg : float
        Largest rotation on top of that.
    scale : float
        Crops are enlarged or shrunk by up to this factor, at least 1.
    light : float
        Strength of changes of brightness, contrast, gamma and colour, in [0, 1].
    grain : float
        Share of crops that are blurred or made noisy, in [0, 1].
    """

    mirror: bool = True
    turn: bool = True
    tilt_deg: float = 10.0
    scale: float = 1.25
    light: float = 0.25
    grain: float = 0.15


# Crops are cut as they are.
NONE = Augmentation(mirror=False, turn=False, tilt_deg=0.0, scale=1.0, light=0.0, grain=0.0)


def crop_at(
    image: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    centre: tuple[float, float],
    size_px: int,
    how: Augmentation,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Cut a square out of an image and its labels, turned and scaled at random.

    Parameters
    ----------
    image : (H, W, C) uint8
    labels : (H, W) uint8
    centre : (float, float)
        y and x of the crop's centre in the image, in px; pixel (0, 0) covers 0..1.
    size_px : int
        Side of the crop.
    how : Augmentation
    rng : numpy.random.Generator

    Returns
    -------
    image : (size_px, size_px, C) uint8
        Mirrored beyond the image's borders.
    labels : (size_px, size_px) uint8
        255, "does not count", beyond them.
    """
    angle = np.deg2rad(rng.uniform(-how.tilt_deg, how.tilt_deg)) if how.tilt_deg else 0.0
    zoom = float(np.exp(rng.uniform(-1, 1) * np.log(how.scale))) if how.scale > 1 else 1.0
    turned = np.eye(2)
    if how.turn:
        turned = np.array([[[1, 0], [0, 1]], [[0, -1], [1, 0]], [[-1, 0], [0, -1]], [[0, 1], [-1, 0]]])[
            rng.integers(4)
        ]
    if how.mirror and rng.random() < 0.5:
        turned = turned @ np.diag([-1, 1])
    if angle:
        turned = turned @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    # OpenCV's pixel (0, 0) is a point at 0, ours covers 0..1; hence the halves.
    to_source = np.asarray(turned, np.float64) / zoom
    middle = (size_px - 1) / 2
    shift = np.array([centre[1] - 0.5, centre[0] - 0.5]) - to_source @ np.array([middle, middle])
    matrix = np.column_stack([to_source, shift])
    exact = angle == 0 and zoom == 1
    linear = cv2.INTER_NEAREST if exact else cv2.INTER_LINEAR
    size = (size_px, size_px)
    flags = cv2.WARP_INVERSE_MAP
    cropped = cv2.warpAffine(image, matrix, size, flags=linear | flags, borderMode=cv2.BORDER_REFLECT_101)
    truth = cv2.warpAffine(
        labels,
        matrix,
        size,
        flags=cv2.INTER_NEAREST | flags,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(IGNORE,),
    )
    return np.asarray(cropped, np.uint8).reshape(size_px, size_px, image.shape[2]), np.asarray(
        truth, np.uint8
    )


def recolour(image: NDArray[np.uint8], how: Augmentation, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Change brightness, contrast, gamma and tint of (H, W, C) pixels; sometimes blur them or add noise."""
    channels = image.shape[2]
    if how.light:
        ramp = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.normal(0, how.light / 2))
        gain = np.exp(rng.normal(0, how.light / 2) + rng.normal(0, how.light / 8, channels))
        bias = rng.normal(0, how.light / 4)
        table = ((ramp - 0.5) * gain + 0.5 + bias).clip(0, 1) * 255  # (256, C)
        table = np.rint(table).astype(np.uint8)[None]
        # OpenCV takes a table a channel only where it matches the image's channels.
        image = np.asarray(cv2.LUT(image, table if channels > 1 else table[:, :, 0]), np.uint8)
        image = image.reshape(*image.shape[:2], channels)
    if how.grain and rng.random() < how.grain:
        if rng.random() < 0.5:
            blurred = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.2)))
            image = np.asarray(blurred, np.uint8).reshape(image.shape)
        else:
            noise = rng.normal(0, rng.uniform(2, 10), image.shape).astype(np.int16)
            image = (image + noise).clip(0, 255).astype(np.uint8)
    return image
