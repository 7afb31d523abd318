"""Outlines drawn as label maps."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from unetfast.errors import DatasetError
from unetfast.imaging import Picture, orient
from unetfast.spec import Sample

__all__ = ["draw"]

_SHIFT = 4  # OpenCV takes coordinates in sixteenths of a pixel


def draw(sample: Sample, classes: Sequence[str], picture: Picture) -> NDArray[np.uint8]:
    """Draw a sample's polygons.

    Large areas are drawn before small ones, so that what lies on something stays visible.

    Parameters
    ----------
    sample : Sample
        With ``polygons``: (class name, rings), each ring a sequence of (x, y) in px; pixel (0, 0)
        covers 0..1. Several rings are filled by the even-odd rule, so one may be a hole.
    classes : sequence of str
    picture : Picture
        Its image.

    Returns
    -------
    (H, W) uint8
        Class ids at the image's size.

    Raises
    ------
    DatasetError
        When a class is unknown or a point lies far outside the image.
    """
    height, width = picture.pixels.shape[:2]
    shapes = [(name, [np.asarray(ring, np.float64) for ring in rings]) for name, rings in sample.polygons]
    points = [ring for _, rings in shapes for ring in rings if len(ring)]
    reach = np.concatenate(points).max(axis=0) if points else np.zeros(2)
    # Tools that ignore EXIF draw on the photo as it is stored: then x runs along the upright height.
    as_stored = picture.orientation >= 5 and (reach[0] > width + 1 or reach[1] > height + 1)
    labels = np.zeros((width, height) if as_stored else (height, width), np.uint8)
    shapes.sort(key=lambda shape: -sum(_area(ring) for ring in shape[1]))
    for name, rings in shapes:
        if name not in classes:
            raise DatasetError(f"{sample.image}: a polygon of class {name!r}; known are {', '.join(classes)}")
        for ring in rings:
            if (np.abs(ring) > 4 * max(height, width) + 16).any():
                raise DatasetError(f"{sample.image}: a polygon of {name!r} lies far outside the image")
        fixed = [np.rint((ring - 0.5) * 2**_SHIFT).astype(np.int32) for ring in rings if len(ring) >= 3]
        if fixed:
            cv2.fillPoly(labels, fixed, (classes.index(name),), cv2.LINE_8, _SHIFT)
    return np.ascontiguousarray(orient(labels, picture.orientation)) if as_stored else labels


def _area(ring: NDArray[np.float64]) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)
