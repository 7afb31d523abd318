"""Portable pixmaps (PBM, PGM, PPM), as STARE has them: read, not written."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["decode", "sides"]

_CHANNELS = {b"P1": 1, b"P2": 1, b"P3": 3, b"P4": 1, b"P5": 1, b"P6": 3}
_BITS = (b"P1", b"P4")  # 1 is black there
_SPACE = rb"(?:\s|#[^\r\n]*[\r\n])+"  # comments may stand between any two numbers
_HEAD = re.compile(rb"(P[1-6])" + _SPACE + rb"(\d{1,9})" + _SPACE + rb"(\d{1,9})")
_LARGEST = re.compile(_SPACE + rb"(\d{1,5})")


def sides(data: bytes) -> tuple[int, int] | None:
    """Return width and height, or None where the file is no portable pixmap."""
    head = _HEAD.match(data[:4096])
    return (int(head[2]), int(head[3])) if head else None


def decode(data: bytes, *, stored: bool = False) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return the pixels, (H, W, 1 or 3); of bitmaps 0 and 255.

    Parameters
    ----------
    data : bytes
    stored : bool
        The numbers as they are, such as class ids; otherwise the header's largest is white: 255 or, of 16
        bits, 65535.

    Raises
    ------
    ValueError
        When there are fewer than the header says, or larger values.
    """
    head = _HEAD.match(data[:4096])
    if head is None:
        raise ValueError("no header of a portable pixmap")
    kind, width, height = head[1], int(head[2]), int(head[3])
    channels, end, largest = _CHANNELS[kind], head.end(), 1
    if kind not in _BITS:
        found = _LARGEST.match(data, end)
        if found is None or not 0 < int(found[1]) < 65536:
            raise ValueError("no largest value in the header")
        largest, end = int(found[1]), found.end()
    count = width * height * channels
    values: NDArray[Any]
    if kind == b"P4":
        across = (width + 7) // 8
        packed = np.frombuffer(data, np.uint8, across * height, end + 1).reshape(height, across)
        values = np.unpackbits(packed, axis=1)[:, :width].reshape(-1)
    elif kind in (b"P5", b"P6"):
        values = np.frombuffer(data, np.uint8 if largest < 256 else np.dtype(">u2"), count, end + 1)
    else:
        values = _written(re.sub(rb"#[^\r\n]*", b" ", data[end:]), count, digits=kind == b"P1")
    if int(values.max(initial=0)) > largest:
        raise ValueError(f"a value above {largest}, the largest by its header")
    white = 65535 if largest > 255 else 255
    if kind in _BITS:
        values = 255 * (1 - values)
    elif largest != white and not stored:
        values = (values.astype(np.uint32) * white + largest // 2) // largest
    pixels = values.reshape(height, width, channels)
    return pixels.astype(np.uint16) if largest > 255 else pixels.astype(np.uint8)


def _written(text: bytes, count: int, *, digits: bool) -> NDArray[Any]:
    """Return numbers written as text; of bitmaps, digits that no space need part."""
    parts = [bytes([byte]) for byte in text if byte not in b" \t\r\n\v\f"] if digits else text.split()
    values = np.array([min(int(part), 65536) for part in parts[:count]], np.int32)
    if len(values) < count or values.min(initial=0) < 0:
        raise ValueError(f"{len(values)} of {count} numbers")
    return values
