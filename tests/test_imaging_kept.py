"""A cleaned file keeps what its container holds beside the pixels, or says what it could not keep."""

from __future__ import annotations

import io
import struct
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from unetfast import imaging
from unetfast.errors import ImageError
from unetfast.imaging import metadata

HEIGHT, WIDTH = 23, 37
RGB = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
GREY = RGB[..., 0]
MASK = np.zeros((HEIGHT, WIDTH), bool)
MASK[4:9, 5:30] = True
MASK[20, 36] = True
FILL = (200, 100, 50)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


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


def nibbles(values: np.ndarray) -> np.ndarray:
    values = np.pad(values, ((0, 0), (0, values.shape[1] % 2)))
    return values[:, ::2] << 4 | values[:, 1::2]


GREYS = b"".join(bytes((i, i, i, 9)) for i in range(256))
COLOURS = np.random.default_rng(1).integers(0, 256, (16, 4), np.uint8).tobytes()
FOUR = np.dstack([RGB[..., ::-1], GREY])
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


def test_a_bmp_with_alpha_stays_one_and_a_packed_one_keeps_its_resolution() -> None:
    head = struct.pack("<IIIIIIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000, 0, 0, 0, 0)[:16]
    rows = FOUR[::-1].tobytes()
    info = struct.pack("<IiiHHIIiiII", 56, WIDTH, HEIGHT, 1, 32, 3, len(rows), 2835, 2835, 0, 0) + head
    data = b"BM" + struct.pack("<IHHI", 70 + len(rows), 0, 0, 70) + info + rows
    assert imaging.read(data).pixels.shape == (HEIGHT, WIDTH, 4)
    assert (pillow(cleaned(data).data, "RGBA")[MASK] == (*FILL, 77)).all()

    runs = b"".join(b"".join(bytes((1, v)) for v in row) + b"\0\0" for row in GREY[::-1]) + b"\0\1"
    info = struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, 8, 1, len(runs), 11811, 5000, 256, 0)
    data = b"BM" + struct.pack("<IHHI", 54 + 1024 + len(runs), 0, 0, 54 + 1024) + info + GREYS + runs
    made = cleaned(data)
    assert "run-length" in made.how
    assert struct.unpack_from("<ii", made.data, 38) == (11811, 5000)
    assert np.array_equal(pillow(made.data)[~MASK], pillow(data)[~MASK])


def test_unknown_kinds_are_not_called_damaged() -> None:
    odd = bmp(32, FOUR.reshape(HEIGHT, -1), masks=struct.pack("<III", 0xFF, 0xFF0000, 0xFF00))
    with pytest.raises(ImageError, match=r"^<bytes>: cannot be decoded: .*bitfields"):
        imaging.read(odd)
    deep = imagecodecs.jpeg_encode(RGB.astype(np.uint16) * 16, bitspersample=12)
    with pytest.raises(ImageError, match="a JPEG of 12 bits; those of 8 bits are read"):
        imaging.read(bytes(deep))
    plain = bytearray(encoded(Image.fromarray(RGB), "JPEG", subsampling=0))
    frame = plain.index(b"\xff\xc0")
    plain[frame + 11] = 0x14  # one sample across, four down
    with pytest.raises(ImageError, match=r"unusual colour sampling \(1x4, 1x1, 1x1\)"):
        imaging.read(bytes(plain))
    raw = io.BytesIO()
    tifffile.imwrite(raw, RGB, photometric="rgb", subfiletype=1)
    with pytest.raises(ImageError, match="without a full-size page"):
        imaging.read(raw.getvalue())


# -- WebP

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'


@pytest.mark.parametrize("options", [{"lossless": True, "exact": True}, {"quality": 70}])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_webp_keeps_every_chunk_and_every_pixel_outside_the_mask(
    mode: str, options: dict[str, object]
) -> None:
    exif = Image.Exif()
    exif[0x010F] = "camera"
    image = Image.fromarray(np.dstack([RGB, GREY]) if mode == "RGBA" else RGB)
    icc = struct.pack(">I", 132) + bytes(128)
    data = encoded(image, "WEBP", xmp=XMP, exif=exif, icc_profile=icc, **options)
    data = metadata.riff_file([*metadata.riff_chunks(data), (b"prIV", b"odd")])
    made = cleaned(data)
    image_chunks = (b"VP8 ", b"VP8L", b"ALPH")
    before, after = (
        [chunk for chunk in metadata.riff_chunks(file) if chunk[0] not in image_chunks]
        for file in (data, made.data)
    )
    assert before == after
    assert ("lossy" in made.how) == ("quality" in options)
    assert np.array_equal(pillow(made.data, mode)[~MASK], pillow(data, mode)[~MASK])
    assert (pillow(made.data)[MASK] == FILL).all()
    with Image.open(io.BytesIO(made.data)) as again:
        assert again.info["xmp"] == XMP
        assert again.mode == mode


# -- PNG


def test_a_png_keeps_what_still_holds_and_names_what_does_not() -> None:
    info = PngInfo()
    info.add(b"sBIT", b"\5\6\5")
    info.add(b"bKGD", b"\0\1\0\2\0\3")
    info.add(b"prVt", b"private, safe to copy")
    head, *rest = metadata.png_chunks(encoded(Image.fromarray(RGB), "PNG", pnginfo=info))
    # iDOT: where Apple's decoder finds the second half of the old pixels.
    made = cleaned(metadata.png_file([head, (b"iDOT", bytes(28)), *rest]) + b"trailing")
    kept = dict(metadata.png_chunks(made.data))
    assert (kept[b"sBIT"], kept[b"bKGD"]) == (b"\5\6\5", b"\0\1\0\2\0\3")
    assert kept[b"prVt"] == b"private, safe to copy"
    assert b"iDOT" not in kept
    assert made.how == "PNG: lossless outside the mask; left out: iDOT, 8 bytes behind the picture"


def test_a_background_of_other_pixels_goes_with_them() -> None:
    info = PngInfo()
    info.add(b"bKGD", b"\1")
    data = encoded(Image.fromarray(RGB).quantize(16), "PNG", pnginfo=info)
    made = cleaned(data)
    assert b"bKGD" not in dict(metadata.png_chunks(made.data))
    assert made.how.endswith("left out: bKGD")
    assert np.array_equal(pillow(made.data)[~MASK], pillow(data)[~MASK])


# -- JPEG


def test_a_jpeg_says_what_it_has_no_more() -> None:
    plain = encoded(Image.fromarray(RGB), "JPEG", quality=90, restart_marker_blocks=2)
    assert cleaned(plain).how == "JPEG: only the blocks under the mask re-encoded"
    assert cleaned(plain + b"a film" * 9).how.endswith("; 54 bytes behind the picture left out")
    progressive = encoded(Image.fromarray(RGB), "JPEG", progressive=True)
    assert metadata.jpeg_end(progressive) == len(progressive)
    assert "; progressive made sequential" in cleaned(progressive).how


PALETTE_TIFFS: dict[str, dict[str, Any]] = {
    "strips": {"rowsperstrip": 7, "compression": "lzw"},
    "tiles": {"tile": (16, 32), "compression": "zlib", "predictor": True},
    "plain": {},
    "bigtiff": {"bigtiff": True, "compression": "packbits", "rowsperstrip": 5},
}


@pytest.mark.parametrize("kind", PALETTE_TIFFS)
def test_a_palette_tiff_keeps_its_palette_and_every_index_outside_the_mask(kind: str) -> None:
    rng = np.random.default_rng(0)
    table = rng.integers(0, 65536, (3, 256), np.uint16)
    table[:, 128:] = table[:, :128]  # each colour twice: an index says more than its colour
    indices = rng.integers(0, 256, (40, 50), np.uint8)
    file = io.BytesIO()
    tifffile.imwrite(
        file, indices, photometric="palette", colormap=table, metadata=None, **PALETTE_TIFFS[kind]
    )
    picture = imaging.read(file.getvalue())
    mask = np.zeros((40, 50), bool)
    mask[11:19, 3:41] = True
    wanted = (table >> 8).astype(np.uint8).T[rng.integers(0, 256, mask.sum())]
    cleaned = picture.pixels.copy()
    cleaned[mask] = wanted
    made = imaging.patched(picture, cleaned, mask)
    assert made.how.endswith("; what is new has the nearest colours of the palette")
    with Image.open(io.BytesIO(made.data)) as image:  # a decoder that did not write it
        assert image.mode == "P"
        after, colours = np.array(image), np.array(image.convert("RGB"))
    assert np.array_equal(after[~mask], indices[~mask])
    assert np.array_equal(colours[mask], wanted)


def test_a_palette_of_two_colours_is_read_and_kept() -> None:
    bits = np.random.default_rng(0).random((9, 21)) > 0.5
    colours = np.array([[200, 10, 20], [30, 240, 50]], np.uint8)
    file = io.BytesIO()
    table = (colours.T.astype(np.uint16) * 257).ravel().tolist()
    tifffile.imwrite(file, bits, photometric="minisblack", extratags=[(320, "H", 6, table, True)])
    file.seek(0)
    with tifffile.TiffFile(file, mode="r+") as pages:
        assert pages.pages[0].bitspersample == 1
        pages.pages[0].tags[262].overwrite(3)
    picture = imaging.read(file.getvalue())
    assert np.array_equal(picture.pixels, colours[bits.astype(int)])
    mask = np.zeros((9, 21), bool)
    mask[2:5, 3:7] = True
    cleaned = np.where(mask[:, :, None], np.array([40, 200, 60], np.uint8), picture.pixels)
    after = imaging.read(imaging.patched(picture, cleaned, mask).data).pixels
    assert np.array_equal(after, np.where(mask[:, :, None], colours[1], picture.pixels))
