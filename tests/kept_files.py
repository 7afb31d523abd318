"""Files written by hand, and what is left of them once a mask in them is filled."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from unetfast import imaging
from unetfast.imaging import metadata

HEIGHT, WIDTH = 23, 37
RGB = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
GREY = RGB[..., 0]
MASK = np.zeros((HEIGHT, WIDTH), bool)
MASK[4:9, 5:30] = True
MASK[20, 36] = True
FILL = (200, 100, 50)


def cleaned(data: bytes) -> imaging.Patched:
    """Fill the mask with one colour and return the file."""
    picture = imaging.read(data)
    pixels = picture.pixels.copy()
    pixels[MASK] = FILL[: pixels.shape[2]] if pixels.shape[2] <= 3 else (*FILL, 77)
    return imaging.patched(picture, pixels, MASK)


def pillow(data: bytes, mode: str = "RGB") -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert(mode))


# -- BMP, written here by hand from the description of the format


def padded(rows: np.ndarray) -> np.ndarray:
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)), constant_values=0xAB)


def bmp(
    bits: int,
    rows: np.ndarray,
    *,
    palette: bytes = b"",
    masks: bytes = b"",
    top: bool = False,
    tail: bytes = b"",
) -> bytes:
    rows = padded(rows if top else rows[::-1]).tobytes()
    height = -HEIGHT if top else HEIGHT
    kind, colours = 3 if masks else 0, len(palette) // 4
    head = struct.pack("<IiiHHIIiiII", 40, WIDTH, height, 1, bits, kind, len(rows), 11811, 5000, colours, 0)
    head += masks + palette
    offset = 14 + len(head)
    return b"BM" + struct.pack("<IHHI", offset + len(rows), 1, 2, offset) + head + rows + tail


def words(bits: tuple[int, int, int]) -> np.ndarray:
    """Return the picture as 16-bit words of so many bits for red, green and blue."""
    red, green, blue = (RGB[..., c].astype(np.uint16) >> (8 - bits[c]) for c in range(3))
    value = red << (bits[1] + bits[2]) | green << bits[2] | blue
    return np.ascontiguousarray(value.astype("<u2")).view(np.uint8)


FOUR = np.dstack([RGB[..., ::-1], GREY])


def png(
    samples: np.ndarray, depth: int, colour_type: int, *chunks: tuple[bytes, bytes], interlaced: bool = False
) -> bytes:
    """Return (H, W, C) samples as a PNG file, written by hand from the format's description."""

    def packed(rows: np.ndarray) -> bytes:
        bits = (rows[..., None] >> np.arange(depth - 1, -1, -1)) & 1
        lines = np.packbits(bits.astype(np.uint8).reshape(len(rows), -1), axis=1)
        return b"".join(b"\0" + line.tobytes() for line in lines)

    starts, steps = ("00", "04", "40", "02", "20", "01", "10"), ("88", "88", "84", "44", "42", "22", "21")
    passes = [(*map(int, start), *map(int, step)) for start, step in zip(starts, steps, strict=True)]
    parts = [samples[y::dy, x::dx] for y, x, dy, dx in passes] if interlaced else [samples]
    head = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], depth, colour_type, 0, 0, interlaced)
    body = zlib.compress(b"".join(packed(part) for part in parts))
    return metadata.png_file([(b"IHDR", head), *chunks, (b"IDAT", body), (b"IEND", b"")])


def colours(count: int) -> tuple[bytes, bytes]:
    return b"PLTE", np.random.default_rng(2).integers(0, 256, (count, 3), np.uint8).tobytes()


# -- CMYK

INKS = np.dstack([RGB, GREY // 2])
