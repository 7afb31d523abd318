"""PNG pixels: in the kind they were stored in, or as 8 and 16 bit; all chunks that still hold stay."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from unetfast.imaging import metadata, pillow
from unetfast.imaging.low_bits import from_8_bits, packed
from unetfast.imaging.palette import nearest

__all__ = ["encode", "patch"]

# Chunks that say how the pixels are stored.
_KIND_CHUNKS = {b"PLTE", b"tRNS"}
_PIXEL_CHUNKS = {*_KIND_CHUNKS, b"IHDR", b"IDAT", b"IEND", b"hIST", b"acTL", b"fcTL", b"fdAT"}
# Right as long as depth and channels stay.
_DEPTH_CHUNKS = {b"bKGD", b"sBIT"}
# An upper-case fourth letter: not to be copied once pixels change, unless its meaning is known.
_STAYING = {
    *(b"cHRM", b"gAMA", b"iCCP", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"bKGD", b"sBIT"),
    *(b"sPLT", b"pCAL", b"sCAL", b"sTER", b"tIME"),
}
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_INDEXED = 3
_NO_FILTER, _UP = 0, 2  # _UP takes the row above away
_CHUNK_BYTES = 2**30  # the format's limit is twice that


def encode(
    pixels: NDArray[Any], source: bytes | None, *, icc: bytes | None = None, exif: bytes | None = None
) -> bytes:
    """Return (H, W, C) uint8 or uint16 as a PNG file of as many channels.

    Parameters
    ----------
    pixels : (H, W, C)
        C is 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha.
    source : bytes or None
        The PNG file whose chunks go with the pixels; the colour profile and EXIF are among them.
    icc, exif : bytes or None
        What goes with them where there is no such file.
    """
    height, width, channels = pixels.shape
    stored_bit = source is not None and source[24:26] == b"\x01\0" and channels == 1
    bit = stored_bit and bool(((pixels == 0) | (pixels == 255)).all())
    depth = 1 if bit else 8 * pixels.dtype.itemsize
    head = struct.pack(">IIBBBBB", width, height, depth, _COLOUR_TYPES[channels], 0, 0, 0)
    if source is not None:
        same = source[24:26] == head[8:10]
        kept = [c for c in metadata.png_chunks(source) if _is_kept(c[0], same_kind=same)]
    else:
        kept = [(b"iCCP", b"icc\0\0" + zlib.compress(icc))] if icc else []
        kept += [(b"eXIf", exif)] if exif else []
    return _file(head, kept, from_8_bits(pixels, 1) if bit else pixels)


def patch(source: bytes, pixels: NDArray[Any], mask: NDArray[np.bool_]) -> tuple[bytes, str]:
    """Return a PNG file of the same kind with new pixels under the mask, and in words what became of them.

    Parameters
    ----------
    source : bytes
        The original file, which has been decoded.
    pixels : (H, W, C)
        The new picture in the stored orientation, as ``read`` gives it: palette and transparent
        colour expanded, 1, 2 and 4 bits scaled to 8.
    mask : (H, W) bool
        Where it differs.
    """
    chunks = metadata.png_chunks(source)
    first = dict(reversed(chunks))
    depth, colour_type = first[b"IHDR"][8:10]
    if colour_type == _INDEXED:
        values = _indices(source, first[b"PLTE"], first.get(b"tRNS", b""), pixels, mask)
        words = "; what is new has the nearest colours of the palette"
    else:
        values = _samples(pixels, depth, first.get(b"tRNS"))
        words = ""
    head = first[b"IHDR"][:12] + b"\0"  # not interlaced
    kept = [c for c in chunks if c[0] in _KIND_CHUNKS or _is_kept(c[0], same_kind=True)]
    return _file(head, kept, values), words + _left_out(source, chunks, kept)


def _is_kept(kind: bytes, *, same_kind: bool) -> bool:
    """Tell whether a chunk goes with changed pixels, stored as before or not."""
    if kind in _PIXEL_CHUNKS or (kind in _DEPTH_CHUNKS and not same_kind):
        return False
    return kind in _STAYING or kind[3:].islower()


def _left_out(source: bytes, chunks: list[tuple[bytes, bytes]], kept: list[tuple[bytes, bytes]]) -> str:
    """Name what of a file holds for the old pixels only (offsets, signatures), or lies behind it."""
    new = {kind for kind, _ in kept} | {b"IHDR", b"IDAT", b"IEND"}
    names = sorted({kind.decode("latin-1") for kind, _ in chunks if kind not in new})
    behind = len(source) - len(metadata.png_file(chunks))
    names += ["interlacing"] if source[28] else []
    names += [f"{behind} bytes behind the picture"] if behind else []
    return f"; left out: {', '.join(names)}" if names else ""


def _indices(
    source: bytes, colours: bytes, alpha: bytes, pixels: NDArray[np.uint8], mask: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Return the index of each pixel's colour: its own where that did not change, else the nearest."""
    # Without the chunks that Pillow has limits and opinions of.
    needed = [c for c in metadata.png_chunks(source) if c[0] in (b"IHDR", b"PLTE", b"IDAT", b"IEND")]
    with pillow.opened(metadata.png_file(needed), "png") as image:
        indices = np.array(image)
    palette = np.frombuffer(colours, np.uint8).reshape(-1, 3)
    if pixels.shape[2] == 4:
        opaque = np.full((len(palette), 1), 255, np.uint8)
        opaque[: len(alpha), 0] = np.frombuffer(alpha, np.uint8)
        palette = np.hstack([palette, opaque])
    y, x = np.nonzero(mask)
    new = pixels[y, x]
    before = palette[np.minimum(indices[y, x], len(palette) - 1)]
    changed = (before != new).any(axis=1)
    indices[y[changed], x[changed]] = nearest(new[changed], palette)
    return indices[:, :, np.newaxis]


def _samples(pixels: NDArray[Any], depth: int, key: bytes | None) -> NDArray[Any]:
    """Return what a file without a palette stores of pixels; `key` is its transparent colour."""
    values = pixels if key is None else pixels[:, :, :-1]
    if depth < 8:
        values = from_8_bits(values, depth)
    if key is None:
        return values
    clear = np.frombuffer(key, ">u2").astype(values.dtype) & (2**depth - 1)
    opaque = pixels[:, :, -1] > np.iinfo(pixels.dtype).max // 2
    values = values.copy()
    values[~opaque] = clear
    # What is opaque and happens to have that colour gets the next one.
    values[opaque & (values == clear).all(axis=2), -1] ^= 1
    return values


def _file(head: bytes, kept: list[tuple[bytes, bytes]], values: NDArray[Any]) -> bytes:
    """Return samples or indices (H, W, C) as a PNG file.

    One filter for all rows and libdeflate's level 1: 0.18 s for 12 megapixels of a photo, where
    OpenCV's default takes 0.34 s and a file a third larger (benchmarks/test_bench_run.py).
    """
    depth, colour_type = head[8:10]
    rows = _bytes(values, depth)
    lines = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
    if depth < 8 or colour_type == _INDEXED:
        lines[:, 0] = _NO_FILTER
        lines[:, 1:] = rows
    else:
        lines[:, 0] = _UP
        lines[0, 1:] = rows[0]
        np.subtract(rows[1:], rows[:-1], out=lines[1:, 1:])
    body = bytes(imagecodecs.deflate_encode(lines.tobytes(), level=1))
    parts = [body[i : i + _CHUNK_BYTES] for i in range(0, len(body), _CHUNK_BYTES)]
    return metadata.png_file([(b"IHDR", head), *kept, *((b"IDAT", part) for part in parts), (b"IEND", b"")])


def _bytes(values: NDArray[Any], depth: int) -> NDArray[np.uint8]:
    """Return rows of samples as bytes, (H, stride)."""
    height = len(values)
    if depth == 16:
        return values.astype(">u2").reshape(height, -1).view(np.uint8)
    if depth == 8:
        return np.ascontiguousarray(values).reshape(height, -1)
    return packed(values[:, :, 0], depth)
