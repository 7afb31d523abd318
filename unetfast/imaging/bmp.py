"""BMP pixels: only those under a mask get new bits, all other bytes of the file stay.

BMP files of 1, 4, 8, 16, 24 and 32 bits per pixel; the header (resolution, colour profile, channel
masks), the palette, padding and the unused byte of 32-bit pixels keep their bits. Run-length coded
ones become uncompressed, with the same palette and the same indices.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unetfast.imaging import pillow
from unetfast.imaging.low_bits import packed
from unetfast.imaging.palette import nearest

__all__ = ["patch"]

_BITS, _BITFIELDS = (1, 4, 8, 16, 24, 32), (0, 3)  # compression 0: none; 3: channel masks in the header
_RUNS = {1: 8, 2: 4}  # run-length compression -> bits
_V5 = 124  # the header that says where a colour profile lies


class _Layout(NamedTuple):
    """Where the samples of a file lie."""

    offset: int
    height: int
    stride: int
    top_down: bool
    bits: int
    masks: tuple[int, ...]
    palette: NDArray[np.uint8]


def patch(source: bytes, pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> tuple[bytes, str]:
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
    (bytes, str)
        The file, and in words how its kind of pixels took the new ones.

    Raises
    ------
    ValueError
        For a compression that is not known.
    """
    coded = source[14] >= 40 and struct.unpack_from("<I", source, 30)[0] in _RUNS
    source = _uncoded(source) if coded else source
    layout = _layout(source, pixels.shape[2])
    data = bytearray(source)
    count = layout.stride * layout.height
    rows = np.frombuffer(data, np.uint8, count, layout.offset).reshape(layout.height, layout.stride)
    rows = rows if layout.top_down else rows[::-1]
    y, x = np.nonzero(mask)
    values = pixels[y, x]
    if layout.bits <= 8:
        _put_indices(rows, layout.bits, y, x, nearest(values, layout.palette))
        words = "only the pixels under the mask are new, each the nearest colour of the palette"
        return bytes(data), words + ("; run-length coding undone" if coded else "")
    if layout.bits == 24:
        for channel in range(3):
            rows[y, 3 * x + 2 - channel] = values[:, channel]
    else:
        _put_words(rows, layout, y, x, values)
    rounded = ", rounded to 16-bit colours" if layout.bits == 16 else ""
    return bytes(data), "only the pixels under the mask are new" + rounded


def _uncoded(source: bytes) -> bytes:
    """Return a run-length coded file as one that is not: other rows, all else as it is."""
    (offset,) = struct.unpack_from("<I", source, 10)
    header, _, height, _, _, compression, size = struct.unpack_from("<IiiHHII", source, 14)
    bits = _RUNS[compression]
    with pillow.opened(source, "bmp") as image:
        indices = np.array(image).astype(np.uint8)  # bool where the palette is black and white
    lines = packed(indices, bits) if bits < 8 else indices
    lines = np.pad(lines, ((0, 0), (0, -lines.shape[1] % 4)))
    rows = (lines[::-1] if height > 0 else lines).tobytes()
    head, behind = bytearray(source[:offset]), source[offset + size :]
    struct.pack_into("<I", head, 2, offset + len(rows) + len(behind))
    struct.pack_into("<II", head, 30, 0, len(rows))
    if header >= _V5 and struct.unpack_from("<I", source, 126)[0] > offset - 14:  # the profile lies behind
        struct.pack_into("<I", head, 126, struct.unpack_from("<I", source, 126)[0] + len(rows) - size)
    return bytes(head) + rows + behind


def _layout(source: bytes, channels: int) -> _Layout:
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
        raise ValueError(
            f"a BMP file of compression {compression}, {bits} bits, can be segmented, not cleaned"
        )
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
