"""BMP pixels: only those under a mask get new bits, all other bytes of the file stay.

Uncompressed BMP files of 1, 4, 8, 16, 24 and 32 bits a pixel; the header (resolution, colour
profile, channel masks), the palette, padding and the unused byte of 32-bit pixels keep their bits.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unetfast.imaging.palette import nearest

__all__ = ["patch"]

_BITS, _BITFIELDS = (1, 4, 8, 16, 24, 32), (0, 3)  # compression 0: none; 3: channel masks in the header


class _Layout(NamedTuple):
    """Where the samples of a file lie."""

    offset: int
    height: int
    stride: int
    top_down: bool
    bits: int
    masks: tuple[int, ...]
    palette: NDArray[np.uint8]


def patch(source: bytes, pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> tuple[bytes, str] | None:
    """Return a BMP file in which only the pixels under the mask are new.

    Parameters
    ----------
    source : bytes
        The original file, which has been decoded.
    pixels : (H, W, C) uint8
        The new picture, C = 1, 3 or 4.
    mask : (H, W) bool
        Where it differs.

    Returns
    -------
    (bytes, str) or None
        The file, and in words how its kind of pixels took the new ones; None for a compressed file.
    """
    layout = _layout(source, pixels.shape[2])
    if layout is None:
        return None
    data = bytearray(source)
    count = layout.stride * layout.height
    rows = np.frombuffer(data, np.uint8, count, layout.offset).reshape(layout.height, layout.stride)
    rows = rows if layout.top_down else rows[::-1]
    y, x = np.nonzero(mask)
    values = pixels[y, x]
    if layout.bits <= 8:
        _put_indices(rows, layout.bits, y, x, nearest(values, layout.palette))
        return bytes(data), "only the pixels under the mask are new, each the nearest colour of the palette"
    if layout.bits == 24:
        for channel in range(3):
            rows[y, 3 * x + 2 - channel] = values[:, channel]
    else:
        _put_words(rows, layout, y, x, values)
    rounded = ", rounded to 16-bit colours" if layout.bits == 16 else ""
    return bytes(data), "only the pixels under the mask are new" + rounded


def _layout(source: bytes, channels: int) -> _Layout | None:
    offset, header = struct.unpack_from("<II", source, 10)
    if header == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", source, 18)
        compression, used, entry = 0, 0, 3
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", source, 18)
        (used,) = struct.unpack_from("<I", source, 46)
        entry = 4
    stride = (width * bits + 31) // 32 * 4
    whole = offset + stride * abs(height) <= len(source)
    if compression not in _BITFIELDS or bits not in _BITS or width < 1 or not whole:
        return None
    masks: tuple[int, ...] = (0x7C00, 0x3E0, 0x1F) if bits == 16 else (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    if compression == 3:
        stated = struct.unpack_from("<IIII", source, 54)
        masks = stated if any(stated[:3]) else masks
    # Some writers store 256 colours for 4-bit pixels; those beyond the bits no pixel can have.
    colours = min(used or 1 << bits, 1 << bits) if bits <= 8 else 0
    palette = np.frombuffer(source, np.uint8, entry * colours, 14 + header).reshape(-1, entry)[:, 2::-1]
    return _Layout(offset, abs(height), stride, height < 0, bits, masks[:channels], palette)


def _put_indices(
    rows: NDArray[np.uint8], bits: int, y: NDArray[Any], x: NDArray[Any], indices: NDArray[np.uint8]
) -> None:
    if bits == 8:
        rows[y, x] = indices
        return
    places = 8 // bits
    shifts = (8 - bits * (x % places + 1)).astype(np.uint8)
    keep = ~((np.uint8(2**bits - 1) << shifts).astype(np.uint8))
    # ufunc.at: several pixels share a byte.
    np.bitwise_and.at(rows, (y, x // places), keep)
    np.bitwise_or.at(rows, (y, x // places), (indices << shifts).astype(np.uint8))


def _put_words(
    rows: NDArray[np.uint8], layout: _Layout, y: NDArray[Any], x: NDArray[Any], values: NDArray[np.uint8]
) -> None:
    words = rows.view("<u2" if layout.bits == 16 else "<u4")
    new = words[y, x]
    for channel, mask in enumerate(layout.masks):
        shift = (mask & -mask).bit_length() - 1
        top = mask >> shift
        scaled = (values[:, channel].astype(np.uint32) * top + 127) // 255
        new = new & ~np.uint32(mask).astype(new.dtype) | (scaled << shift).astype(new.dtype)
    words[y, x] = new
