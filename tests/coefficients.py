"""The oracle of lossless cleaning: JPEG files compared by their coefficients, as jpeglib reads them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unetfast.imaging import jpeg

NAMES = ("Y", "Cb", "Cr", "K")  # what jpeglib calls the components, whatever their colours


def coefficient_difference(before: bytes, after: bytes, mask: NDArray[np.bool_]) -> str:
    """Compare two JPEG files outside a mask, coefficient by coefficient; "" where nothing differs."""
    old, new = jpeg.read_coefficients(before), jpeg.read_coefficients(after)
    if not np.array_equal(old.qt, new.qt):
        return "the quantisation tables differ"
    if jpeg.described(before) != jpeg.described(after):
        return "the metadata differ"
    factors = np.asarray(old.samp_factor)
    largest = factors.max(axis=0)
    for number, name in enumerate(NAMES[: len(factors)]):
        first, second = getattr(old, name), getattr(new, name)
        if first.shape != second.shape:
            return f"component {name} has another size"
        same = (first == second).all(axis=(2, 3))
        same[jpeg.touched_blocks(mask, first.shape[:2], 8 * largest // factors[number])] = True
        if not same.all():
            return f"{np.count_nonzero(~same)} blocks of {name} outside the mask differ"
    return ""
