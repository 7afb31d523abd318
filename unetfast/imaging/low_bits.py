"""Samples of 1, 2 and 4 bits: several share a byte in a file, and grey is scaled to 8 bits to be seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["from_8_bits", "packed", "to_8_bits"]


def to_8_bits(values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Scale grey values of 1, 2 or 4 bits so that the largest becomes 255."""
    scaled: NDArray[np.uint8] = values.astype(np.uint8) * np.uint8(255 // (2**bits - 1))
    return scaled


def from_8_bits(pixels: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Round 8-bit grey to the nearest value of 1, 2 or 4 bits; the inverse of :func:`to_8_bits`."""
    step = 255 // (2**bits - 1)
    rounded: NDArray[np.uint8] = ((pixels.astype(np.uint16) + step // 2) // step).astype(np.uint8)
    return rounded


def packed(values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Return rows of values (H, W) as bytes, (H, ceil(W * bits / 8)), the first in the upper bits."""
    places = 8 // bits
    padded = np.pad(values.astype(np.uint8), ((0, 0), (0, -values.shape[1] % places)))
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    parts = padded.reshape(len(values), -1, places) << shifts
    return np.asarray(np.bitwise_or.reduce(parts, axis=2), np.uint8)
