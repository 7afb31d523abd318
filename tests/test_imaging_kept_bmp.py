"""Of a BMP only the bits of masked pixels change."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from kept_files import FILL, FOUR, GREY, HEIGHT, MASK, RGB, WIDTH, bmp, cleaned, pillow, words
from pictures import encoded
from PIL import Image

from unetfast import imaging
from unetfast.errors import ImageError


def nibbles(values: np.ndarray) -> np.ndarray:
    values = np.pad(values, ((0, 0), (0, values.shape[1] % 2)))
    return values[:, ::2] << 4 | values[:, 1::2]


GREYS = b"".join(bytes((i, i, i, 9)) for i in range(256))
COLOURS = np.random.default_rng(1).integers(0, 256, (16, 4), np.uint8).tobytes()
BMPS = {
    "24": bmp(24, RGB[..., ::-1].reshape(HEIGHT, -1)),
    "24-from-the-top": bmp(24, RGB[..., ::-1].reshape(HEIGHT, -1), top=True, tail=b"a colour profile"),
    "32-unused-byte": bmp(32, FOUR.reshape(HEIGHT, -1)),
    "32-masks": bmp(32, FOUR.reshape(HEIGHT, -1), masks=struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)),
    "16-555": bmp(16, words((5, 5, 5))),
    "16-565": bmp(16, words((5, 6, 5)), masks=struct.pack("<III", 0xF800, 0x7E0, 0x1F)),
    "8-grey": bmp(8, GREY, palette=GREYS),
    "8-grey-upside-down": bmp(8, GREY, palette=GREYS[::-1][3:] + b"\0\0\0"),
    "4-colours": bmp(4, nibbles(GREY // 16), palette=COLOURS),
    "1-black-white": bmp(1, np.packbits(GREY > 90, axis=1), palette=b"\0\0\0\0\xff\xff\xff\0"),
    "1-white-black": bmp(1, np.packbits(GREY > 90, axis=1), palette=b"\xff\xff\xff\0\0\0\0\0", top=True),
    "1-colours": bmp(1, np.packbits(GREY > 90, axis=1), palette=b"\x10\x20\x30\0\xf0\xe0\xd0\0"),
}


def bits_that_may_change(data: bytes) -> np.ndarray:
    """Return for each bit of a file whether it belongs to a masked pixel's colours."""
    (offset,) = struct.unpack_from("<I", data, 10)
    height, bits = struct.unpack_from("<i2xH", data, 22)
    stride = (WIDTH * bits + 31) // 32 * 4
    may = np.zeros(8 * len(data), bool)
    for y, x in zip(*np.nonzero(MASK), strict=True):
        row = y if height < 0 else HEIGHT - 1 - y
        first = 8 * (offset + row * stride) + x * bits
        may[first : first + min(bits, 24)] = True
    return may


@pytest.mark.parametrize("name", BMPS)
def test_of_a_bmp_only_the_bits_of_masked_pixels_change(name: str) -> None:
    data = BMPS[name]
    made = cleaned(data)
    assert made.how.startswith("BMP: only the pixels under the mask are new")
    before, after = (np.unpackbits(np.frombuffer(file, np.uint8)) for file in (data, made.data))
    assert before.size == after.size
    changed = before != after
    assert changed.any()
    assert not changed[~bits_that_may_change(data)].any()
    inside = pillow(made.data)[MASK].astype(int)
    if name.startswith(("24", "32")):
        assert (inside == FILL).all()
    elif name.startswith("16"):
        assert np.abs(inside - FILL).max() <= 4  # half a step of 5 bits
    else:
        wanted = FILL if name in ("4-colours", "1-colours") or "upside" in name else FILL[:1] * 3
        wanted = FILL if name == "1-white-black" else wanted
        shown = np.unique(pillow(data).reshape(-1, 3).astype(int), axis=0)
        near = ((inside[0] - wanted) ** 2).sum()
        assert near <= ((shown - wanted) ** 2).sum(axis=1).min()  # the nearest colour the file has


def test_a_bmp_with_alpha_stays_one() -> None:
    head = struct.pack("<IIIIIIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000, 0, 0, 0, 0)[:16]
    rows = FOUR[::-1].tobytes()
    info = struct.pack("<IiiHHIIiiII", 56, WIDTH, HEIGHT, 1, 32, 3, len(rows), 2835, 2835, 0, 0) + head
    data = b"BM" + struct.pack("<IHHI", 70 + len(rows), 0, 0, 70) + info + rows
    assert imaging.read(data).pixels.shape == (HEIGHT, WIDTH, 4)
    assert (pillow(cleaned(data).data, "RGBA")[MASK] == (*FILL, 77)).all()


@pytest.mark.parametrize(("bits", "shades"), [(8, True), (8, False), (4, False)])
def test_a_packed_bmp_keeps_its_palette_and_all_else(bits: int, shades: bool) -> None:
    indices = GREY >> (8 - bits)
    runs = b"".join(b"".join(bytes((1, v << (8 - bits))) for v in row) + b"\0\0" for row in indices[::-1])
    runs += b"\0\1"
    colours = GREYS[: 4 << bits] if shades else np.random.default_rng(1).bytes(4 << bits)
    start = 14 + 124 + len(colours)
    head = struct.pack("<IiiHHIIiiII", 124, WIDTH, HEIGHT, 1, bits, 9 - bits if bits == 8 else 2, len(runs),
                       11811, 5000, 1 << bits, 0)  # fmt: skip
    head = head.ljust(112, b"\0") + struct.pack("<II", start - 14 + len(runs), 7) + bytes(4)
    head += colours
    data = b"BM" + struct.pack("<IHHI", start + len(runs) + 7, 0, 0, start) + head + runs + b"profile"
    made = cleaned(data)
    assert made.how.endswith("run-length coding undone")
    unpacked = bytearray(data[:start])
    size = len(made.data) - start - 7
    struct.pack_into("<I", unpacked, 2, len(made.data))
    struct.pack_into("<II", unpacked, 30, 0, size)  # not compressed
    struct.pack_into("<I", unpacked, 126, start - 14 + size)
    assert made.data[:start] == unpacked
    assert made.data[-7:] == b"profile"
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(made.data)) as after:
        assert np.array_equal(np.asarray(before)[~MASK], np.asarray(after)[~MASK])
        assert not np.array_equal(np.asarray(before)[MASK], np.asarray(after)[MASK])


def test_pillows_own_limit_of_pixels_is_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH // 3)  # an error from the double of that
    palette = encoded(Image.fromarray(RGB).quantize(9), "PNG")
    for data in (BMPS["24"], BMPS["4-colours"], palette):
        assert imaging.read(data).pixels.shape == (HEIGHT, WIDTH, 3)
        assert cleaned(data).data
    assert imaging.read_mask(palette).mode == "P"
    with pytest.raises(ImageError, match=r"^<bytes>: cannot be decoded: Image size"):  # and not "damaged"
        imaging.read(encoded(Image.fromarray(RGB), "WEBP"))
