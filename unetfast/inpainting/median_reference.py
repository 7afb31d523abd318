"""The definition of the masked median, word for word in NumPy: the oracle of the tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetfast.inpainting.mask import hole
from unetfast.inpainting.window import shares

__all__ = ["fill"]


def fill(
    image: NDArray[Any], mask: NDArray[Any], out: NDArray[Any], window_px: int, dilate_px: int, threads: int
) -> None:
    """Fill the masked pixels of image into out, as ``unetfast.inpainting.methods.METHODS`` says."""
    masked = hole(image, mask, dilate_px)
    original = image.copy()
    out[...] = image
    for side, todo in shares(masked, window_px):
        for y, x in np.argwhere(todo):
            samples = _intact_samples(original, masked, y, x, side // 2)  # (n, C)
            for channel in range(image.shape[2]):
                order = np.argsort(_sort_key(samples[:, channel]), kind="stable")
                out[y, x, channel] = samples[order[(len(order) - 1) // 2], channel]


def _intact_samples(image: NDArray[Any], masked: NDArray[Any], y: int, x: int, radius: int) -> NDArray[Any]:
    while True:
        window = np.s_[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
        samples: NDArray[Any] = image[window][~masked[window]]
        if len(samples):
            return samples
        radius += 1


def _sort_key(samples: NDArray[Any]) -> NDArray[Any]:
    """Return integers in the order of the samples; for floats IEEE 754 totalOrder, -0 before +0."""
    if samples.dtype != np.float32:
        return samples
    bits = np.ascontiguousarray(samples).view(np.int32)
    return np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits)
