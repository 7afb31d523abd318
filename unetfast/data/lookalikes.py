"""Pictures that are nearly the same, found without comparing every pair."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from unetfast.imaging import network_input, preview

__all__ = ["Fingerprint", "fingerprint", "lookalikes"]

_BANDS = 4  # of 16 bits; hashes that differ in up to 3 bits surely share one, most others that are close do
_BITS = 8
_CORRELATION = 0.95  # of 32x32 thumbnails; the hash alone takes one texture for another
_FLAT = 2.0  # grey levels; pictures with less contrast are all alike
_CROWD = 400  # pictures that share a band; beyond, a set is full of copies and a sample tells

Fingerprint = tuple[int, NDArray[np.float32] | None]


def fingerprint(pixels: NDArray[np.uint8]) -> Fingerprint:
    """Return a perceptual hash and a thumbnail.

    The signs of the 8x8 lowest frequencies of the 32x32 grey thumbnail, against their median
    (the "pHash" of Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010).

    Parameters
    ----------
    pixels : (H, W, C) uint8, uint16 or float32

    Returns
    -------
    int
        64 bits.
    (1024,) float32 or None
        The thumbnail with mean 0 and length 1; None where the picture is flat.
    """
    grey = network_input(preview(pixels), 1)[:, :, 0]
    small = np.asarray(cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA), np.float32)
    low = cv2.dct(small)[:8, :8].ravel()
    bits = low > np.median(low[1:])
    code = int.from_bytes(np.packbits(bits).tobytes(), "big")
    if float(small.std()) < _FLAT:
        return code, None
    flat = (small - small.mean()).ravel()
    return code, np.asarray(flat / np.linalg.norm(flat), np.float32)


def lookalikes(prints: Sequence[Fingerprint | None]) -> list[tuple[int, int]]:
    """Return pairs of indices, in order, of pictures that are nearly the same; None cannot be read."""
    known = {i: (print_[0], print_[1]) for i, print_ in enumerate(prints) if print_ and print_[1] is not None}
    buckets: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, (code, _) in known.items():
        for band in range(_BANDS):
            buckets[band, code >> 16 * band & 0xFFFF].append(i)
    found = set()
    for members in buckets.values():
        for a, b in combinations(members[:_CROWD], 2):
            close = (a, b) not in found and (known[a][0] ^ known[b][0]).bit_count() <= _BITS
            if close and float(known[a][1] @ known[b][1]) >= _CORRELATION:
                found.add((a, b))
    return sorted(found)
