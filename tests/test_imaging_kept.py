"""A cleaned file keeps what its container holds beside the pixels, or says what it could not keep."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import simplejpeg
import tifffile
from coefficients import coefficient_difference
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from unetfast import imaging
from unetfast.errors import ImageError, MissingDependencyError
from unetfast.imaging import jpeg, metadata

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
    for number, factors in enumerate((0x41, 0x21, 0x21)):  # 4:2:2 in a way that libjpeg-turbo does not name
        plain[frame + 11 + 3 * number] = factors
    with pytest.raises(ImageError, match=r"^<bytes>: cannot be decoded: .*subsampling level"):
        imaging.read(bytes(plain))
    with pytest.raises(ImageError, match="only readers of its chunk 'XTRA' can show"):
        imaging.read(png(RGB, 8, 2, (b"XTRA", b"how to read me")))
    apple = png(RGB, 8, 2)
    with pytest.raises(ImageError, match=r"as Apple packs it into apps \(CgBI\)"):
        imaging.read(apple[:8] + metadata.png_chunk(b"CgBI", b"P\0 \6") + apple[8:])
    with pytest.raises(ImageError, match="a HEIC, AVIF, raw"):
        imaging.read(b"\0\0\0\x18ftyphevc" + bytes(100))
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
    assert "behind the picture" not in made.how
    assert cleaned(data + b"film").how.endswith("; 4 bytes behind the picture left out")
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


SIXTEEN = np.dstack([RGB, GREY]).astype(np.uint16) * 257 + 3
SIXTEEN[SIXTEEN > 65000] = 65000


def colours(count: int) -> tuple[bytes, bytes]:
    return b"PLTE", np.random.default_rng(2).integers(0, 256, (count, 3), np.uint8).tobytes()


def key(*values: int) -> tuple[bytes, bytes]:
    return b"tRNS", struct.pack(f">{len(values)}H", *values)


PNGS = {
    "palette-8": png(GREY[..., None], 8, 3, colours(256), (b"bKGD", b"\1"), (b"prVt", b"x")),
    "palette-8-alpha": png(GREY[..., None], 8, 3, colours(256), (b"tRNS", bytes(range(256)))),
    "palette-8-some-alpha": png(GREY[..., None] // 2, 8, 3, colours(128), (b"tRNS", b"\0\x80")),
    "palette-4": png(GREY[..., None] >> 4, 4, 3, colours(16)),
    "palette-4-interlaced": png(GREY[..., None] >> 4, 4, 3, colours(16), interlaced=True),
    "palette-2": png(GREY[..., None] >> 6, 2, 3, colours(4)),
    "palette-1": png(GREY[..., None] >> 7, 1, 3, colours(2), (b"tRNS", b"\0")),
    "grey-1": png(GREY[..., None] >> 7, 1, 0),
    "grey-1-key": png(GREY[..., None] >> 7, 1, 0, key(1)),
    "grey-2": png(GREY[..., None] >> 6, 2, 0, (b"sBIT", b"\2")),
    "grey-4": png(GREY[..., None] >> 4, 4, 0),
    "grey-4-key": png(GREY[..., None] >> 4, 4, 0, key(5)),
    "grey-8-key": png(GREY[..., None], 8, 0, key(int(GREY[0, 0]))),
    "grey-16-key": png(SIXTEEN[..., :1], 16, 0, key(int(SIXTEEN[0, 0, 0]))),
    "rgb-8-key": png(RGB, 8, 2, key(*map(int, RGB[0, 0]))),
    "rgb-8-suggested-palette": png(RGB, 8, 2, colours(9)),
    "rgb-16-key": png(SIXTEEN[..., :3], 16, 2, key(*map(int, SIXTEEN[0, 0, :3]))),
    "rgba-16-interlaced": png(SIXTEEN, 16, 6, interlaced=True),
}


@pytest.mark.parametrize("name", PNGS)
def test_a_png_stays_of_its_kind(name: str) -> None:
    data = PNGS[name]
    picture = imaging.read(data)
    rng = np.random.default_rng(0)
    # Under the mask other pixels of the picture, so that every kind holds them exactly, half of them old.
    pixels = picture.pixels.copy()
    pixels[MASK] = pixels[rng.integers(0, HEIGHT, MASK.sum()), rng.integers(0, WIDTH, MASK.sum())]
    made = imaging.patched(picture, pixels, MASK)
    old, new = dict(metadata.png_chunks(data)), dict(metadata.png_chunks(made.data))
    assert new[b"IHDR"][:12] == old[b"IHDR"][:12]
    assert {k: v for k, v in new.items() if k not in (b"IHDR", b"IDAT")} == {
        k: v for k, v in old.items() if k not in (b"IHDR", b"IDAT")
    }
    assert ("palette" in made.how) == name.startswith("palette")
    assert ("interlacing" in made.how) == name.endswith("interlaced")
    assert np.array_equal(imaging.read(made.data).pixels, pixels)
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(made.data)) as after:
        assert after.mode == before.mode
        first, second = np.asarray(before), np.asarray(after)  # indices, where there is a palette
    assert np.array_equal(first[~MASK], second[~MASK])
    assert not np.array_equal(first[MASK], second[MASK])
    files = (np.frombuffer(file, np.uint8) for file in (data, made.data))
    first, second = (cv2.imdecode(file, cv2.IMREAD_UNCHANGED) for file in files)
    assert np.array_equal(first[~MASK], second[~MASK])


@pytest.mark.parametrize("name", ["grey-4-key", "grey-8-key", "rgb-8-key", "rgb-16-key"])
def test_what_is_opaque_stays_so_whatever_its_colour(name: str) -> None:
    picture = imaging.read(PNGS[name])
    top = np.iinfo(picture.pixels.dtype).max
    clear = picture.pixels[picture.pixels[..., -1] == 0][0]
    pixels = picture.pixels.copy()
    pixels[MASK] = (*clear[:-1], top)  # the transparent colour, but opaque
    after = imaging.read(imaging.patched(picture, pixels, MASK).data).pixels
    assert (after[MASK, -1] == top).all()
    step = {"grey-4-key": 17, "rgb-16-key": 1}.get(name, 1)
    assert np.abs(after[MASK].astype(int) - pixels[MASK]).max() <= step
    pixels[MASK, -1] = 0
    assert (imaging.read(imaging.patched(picture, pixels, MASK).data).pixels[MASK] == clear).all()


def test_a_palette_png_takes_the_nearest_colours_and_keeps_equal_ones_apart() -> None:
    table = np.random.default_rng(3).integers(0, 256, (256, 3), np.uint8)
    table[128:] = table[:128]  # each colour twice: an index says more than its colour
    data = png(GREY[..., None], 8, 3, (b"PLTE", table.tobytes()))
    made = cleaned(data)
    with Image.open(io.BytesIO(made.data)) as image:
        indices = np.asarray(image)
    assert np.array_equal(indices[~MASK], GREY[~MASK])
    distances = ((table.astype(int) - FILL) ** 2).sum(axis=1)
    assert (distances[indices[MASK]] == distances.min()).all()


# -- JPEG


def test_a_jpeg_says_what_it_has_no_more() -> None:
    plain = encoded(Image.fromarray(RGB), "JPEG", quality=90, restart_marker_blocks=2)
    assert cleaned(plain).how == "JPEG: only the blocks under the mask re-encoded"
    assert cleaned(plain + b"a film" * 9).how.endswith("; 54 bytes behind the picture left out")
    progressive = encoded(Image.fromarray(RGB), "JPEG", progressive=True)
    assert metadata.jpeg_end(progressive) == len(progressive)
    assert "; progressive made sequential" in cleaned(progressive).how


@pytest.mark.parametrize("progressive", [False, True])
def test_metadata_behind_the_first_scan_of_a_jpeg_is_kept(progressive: bool) -> None:
    pytest.importorskip("jpeglib")
    plain = encoded(Image.fromarray(RGB), "JPEG", quality=90, progressive=progressive, comment=b"first")
    note, own = b"\xff\xfe\x00\x06late", b"\xff\xe5\x00\x0aphone\0XY"
    data = plain[:-2] + note + own + plain[-2:]
    if progressive:  # between two scans too
        between = plain.index(b"\xff\xc4", plain.index(b"\xff\xda"))
        data = plain[:between] + own + plain[between:-2] + note + plain[-2:]
    made = cleaned(data)
    assert "left out" not in made.how
    kept = [s for s in metadata.jpeg_segments(made.data).head if metadata.is_metadata(*s)]
    before = [s for s in metadata.jpeg_segments(plain).head if metadata.is_metadata(*s)]
    late = [(0xFE, b"late"), (0xE5, b"phone\0XY")]
    assert kept == before + (late[::-1] if progressive else late)
    assert coefficient_difference(data, made.data, MASK) == ""


@pytest.mark.parametrize("payload", [b"Exif\0\0XY", b"ICC_PROFILE\0\1\1x", b"Adobe\0d\0\0\0\0\0"])
def test_what_would_change_a_jpegs_look_is_not_moved_before_its_scan(payload: bytes) -> None:
    plain = encoded(Image.fromarray(RGB), "JPEG", quality=90)
    data = plain[:-2] + b"\xff\xe1" + (len(payload) + 2).to_bytes(2, "big") + payload + plain[-2:]
    with pytest.raises(ImageError, match="behind the picture"):
        cleaned(data)


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


# -- TIFF of fewer bits than a byte, written here by hand from the description of the format


def low_tiff(
    values: np.ndarray,
    bits: int,
    photometric: int,
    order: str,
    compress: int,
    colours: np.ndarray | None,
    ahead: bytes = b"",
) -> bytes:
    """Return (H, W) values of so many bits as a TIFF file in strips of 7 rows."""
    packers = {1: bytes, 5: imagecodecs.lzw_encode, 8: zlib.compress}
    spread = ((values[..., None] >> np.arange(bits - 1, -1, -1)) & 1).astype(np.uint8)
    lines = np.packbits(spread.reshape(len(values), -1), axis=1)
    strips = [bytes(packers[compress](lines[y : y + 7].tobytes())) for y in range(0, len(lines), 7)]
    body, places = ahead, []
    for part in strips:
        places.append(8 + len(body))
        body += part + b"\0" * (len(part) % 2)
    entries = {256: [values.shape[1]], 257: [values.shape[0]], 258: [bits], 259: [compress]}
    entries |= {262: [photometric], 273: places, 277: [1], 278: [7], 279: [len(part) for part in strips]}
    if colours is not None:
        entries[320] = (colours.T.astype(int) * 257).ravel().tolist()
    tags = b""
    for tag, numbers in sorted(entries.items()):
        kind, letter = (4, "I") if tag in (273, 279) else (3, "H")
        data = struct.pack(f"{order}{len(numbers)}{letter}", *numbers)
        if len(data) > 4:
            place, body = 8 + len(body), body + data
            data = struct.pack(order + "I", place)
        tags += struct.pack(order + "HHI", tag, kind, len(numbers)) + data.ljust(4, b"\0")
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8 + len(body))
    return head + body + struct.pack(order + "H", len(entries)) + tags + bytes(4)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compress", [1, 5, 8], ids=["plain", "lzw", "deflate"])
@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("photometric", [0, 1, 3], ids=["white-is-0", "black-is-0", "palette"])
def test_a_tiff_of_few_bits_stays_one(photometric: int, bits: int, compress: int, order: str) -> None:
    values = GREY >> (8 - bits)
    table = np.random.default_rng(1).integers(0, 256, (1 << bits, 3), np.uint8)
    data = low_tiff(values, bits, photometric, order, compress, table if photometric == 3 else None)
    picture = imaging.read(data)
    if photometric == 3:
        assert np.array_equal(picture.pixels, table[values])
    else:
        grey = values * (255 // ((1 << bits) - 1))
        assert np.array_equal(picture.pixels[..., 0], 255 - grey if photometric == 0 else grey)
    made = cleaned(data)
    with tifffile.TiffFile(io.BytesIO(made.data)) as file:
        page = file.pages[0]
        assert (page.bitspersample, page.photometric, page.compression) == (bits, photometric, compress)
        after = page.asarray().astype(int)
    assert np.array_equal(after[~MASK], values[~MASK])
    wanted = np.array(FILL if photometric == 3 else FILL[:1])
    shown = imaging.read(made.data).pixels[MASK].astype(int)
    every = np.unique(picture.pixels.reshape(-1, picture.pixels.shape[2]), axis=0).astype(int)
    if photometric != 3:
        every = np.arange(1 << bits)[:, None] * (255 // ((1 << bits) - 1))
    assert (((shown - wanted) ** 2).sum(axis=1) <= ((every - wanted) ** 2).sum(axis=1).min()).all()
    with Image.open(io.BytesIO(made.data)) as image, Image.open(io.BytesIO(data)) as before:
        assert np.array_equal(np.asarray(image)[~MASK], np.asarray(before)[~MASK])


# -- CMYK

INKS = np.dstack([RGB, GREY // 2])


def cmyk_jpeg(kind: str) -> bytes:
    """Return a CMYK JPEG with metadata: of Pillow, or YCCK of libjpeg-turbo, whose values are inverted."""
    shades = np.clip(cv2.GaussianBlur(INKS, (0, 0), 3), 0, 255)
    options: dict[str, Any] = {"icc_profile": b"x" * 200, "comment": b"note", "quality": 90}
    if kind.startswith("ycck"):
        plain = simplejpeg.encode_jpeg(shades, 90, colorspace="CMYK", colorsubsampling=kind[5:])
        head = metadata.jpeg_segments(plain)
        return metadata.join_jpeg([(0xE1, b"Exif\0\0none"), *head.head], plain[head.scan_start :])
    return encoded(Image.fromarray(shades, "CMYK"), "JPEG", progressive=kind == "progressive", **options)


@pytest.mark.parametrize("kind", ["cmyk", "progressive", "ycck-444", "ycck-420", "ycck-422"])
def test_a_cmyk_jpeg_is_cleaned_in_its_inks(kind: str) -> None:
    pytest.importorskip("jpeglib")
    data = cmyk_jpeg(kind)
    picture = imaging.read(data)
    assert picture.inks is not None
    inks = picture.inks.copy()
    inks[MASK] = (10, 200, 60, 120)
    made = imaging.patched(picture, inks, MASK)
    assert made.how.startswith("JPEG: only the blocks under the mask re-encoded")
    assert coefficient_difference(data, made.data, MASK) == ""
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(made.data)) as after:
        assert after.mode == before.mode == "CMYK"
        assert after.info.get("icc_profile") == before.info.get("icc_profile")
        shown = np.asarray(after).astype(int)
        # Pillow turns what Adobe stores inverted.
        assert np.array_equal(np.asarray(before), 255 - picture.inks)
    inner = np.zeros_like(MASK)
    inner[5:8, 8:26] = True
    error = np.abs(shown[inner] - (255 - np.array([10, 200, 60, 120])))
    assert np.median(error[:, 3]) <= 30  # the black, which no other component holds
    assert error.mean() < np.abs((255 - picture.inks[inner]).astype(int) - (245, 55, 195, 135)).mean() / 2


def test_a_cmyk_jpeg_that_would_have_to_be_encoded_again_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = imaging.read(cmyk_jpeg("cmyk"))
    with pytest.raises(ImageError, match=r"^<bytes>: a CMYK JPEG .* leave out --jpeg re-encode"):
        imaging.patched(picture, picture.samples, MASK, jpeg_mode="re-encode")

    def gone(package: str, extra: str) -> None:
        raise MissingDependencyError(package)

    monkeypatch.setattr(jpeg, "require", gone)
    picture = imaging.read(cmyk_jpeg("progressive"))
    with pytest.raises(ImageError, match=r"a CMYK JPEG .*: pip install 'unetfast\[jpeg\]'"):
        imaging.patched(picture, picture.samples, MASK)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("kind", ["u1", "u2", "planar"])
def test_a_cmyk_tiff_is_cleaned_in_its_inks(kind: str, orientation: int) -> None:
    inks = INKS.astype(np.uint16) * 257 if kind == "u2" else INKS
    planar = {"planarconfig": "separate"} if kind == "planar" else {"compression": "lzw", "predictor": True}
    file = io.BytesIO()
    tifffile.imwrite(
        file, np.moveaxis(inks, -1, 0) if kind == "planar" else inks, photometric="separated",
        metadata=None, rowsperstrip=5, extratags=[(274, "H", 1, orientation, True)], **planar
    )  # fmt: skip
    picture = imaging.read(file.getvalue())
    assert np.array_equal(imaging.unorient(picture.samples, orientation), inks)
    fill = np.array([10, 200, 60, 120], inks.dtype)
    mask = imaging.orient(MASK, orientation)
    new = picture.samples.copy()
    new[mask] = fill
    made = imaging.patched(picture, new, mask)
    after = tifffile.imread(io.BytesIO(made.data))
    after = np.moveaxis(after, 0, -1) if kind == "planar" else after
    assert np.array_equal(after, np.where(MASK[..., None], fill, inks))


def test_pillows_own_limit_of_pixels_is_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH // 3)  # an error from the double of that
    palette = encoded(Image.fromarray(RGB).quantize(9), "PNG")
    for data in (BMPS["24"], BMPS["4-colours"], palette):
        assert imaging.read(data).pixels.shape == (HEIGHT, WIDTH, 3)
        assert cleaned(data).data
    assert imaging.read_mask(palette).mode == "P"
    with pytest.raises(ImageError, match=r"^<bytes>: cannot be decoded: Image size"):  # and not "damaged"
        imaging.read(encoded(Image.fromarray(RGB), "WEBP"))


def test_a_cloud_optimized_geotiff_says_that_it_was_changed() -> None:
    words = (
        "LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\n"
        "BLOCK_TRAILER=LAST_4_BYTES_REPEATED\nKNOWN_INCOMPATIBLE_EDITION=NO\n "
    )
    ghost = f"GDAL_STRUCTURAL_METADATA_SIZE={len(words):06} bytes\n{words}".encode()
    data = low_tiff(GREY >> 4, 4, 1, "<", 8, None, ahead=ghost + b"\0" * (len(ghost) % 2))
    made = cleaned(data)
    assert made.data[8 : 8 + len(ghost)] == ghost.replace(b"=NO\n ", b"=YES\n")
    assert made.how.endswith("; the order of a Cloud Optimized GeoTIFF is given up")
    assert np.array_equal(imaging.read(made.data).pixels[~MASK], imaging.read(data).pixels[~MASK])


# -- TIFF files that were never finished, or never meant to be whole


def striped(sizes: list[int], **options: Any) -> bytes:
    """Return a grey TIFF of one strip a row whose table of sizes is this, as libtiff leaves it."""
    out = io.BytesIO()
    tifffile.imwrite(out, GREY, photometric="minisblack", rowsperstrip=1, **options)
    data = bytearray(out.getvalue())
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tag = file.pages[0].tags[279]
    kind = {3: "H", 4: "I"}[int(tag.dtype)]
    struct.pack_into(f"<{len(sizes)}{kind}", data, tag.valueoffset, *sizes)
    return bytes(data)


def test_a_tiff_without_its_strips_is_no_black_picture() -> None:
    with pytest.raises(ImageError, match="never finished: none of its strips"):
        imaging.read(striped([0] * HEIGHT))
    picture = imaging.read(striped([WIDTH] * 20 + [0] * 3))
    assert picture.notes == ("3 of 23 strips or tiles are not in the file and count as 0",)
    assert np.array_equal(picture.pixels[:20, :, 0], GREY[:20])
    assert imaging.read(striped([WIDTH] * HEIGHT)).notes == ()


def test_a_label_of_gdal_without_objects_is_empty() -> None:
    """With SPARSE_OK, GDAL leaves out every tile that holds nothing."""
    nodata = (42113, "s", 0, "0", True)
    labels = imaging.read_mask(striped([0] * HEIGHT, extratags=[nodata]))
    assert labels.values.shape == GREY.shape
    assert not labels.values.any()


def test_a_tiff_cut_off_before_its_page_is_not_called_a_raw_photo() -> None:
    for data in (b"II*\0\0\0\0\0", b"II*\0\xff\xff\0\0" + bytes(100)):
        with pytest.raises(ImageError, match="cut off or never finished"):
            imaging.read(data)


def test_a_tile_larger_than_its_page_is_limited_too() -> None:
    out = io.BytesIO()
    tifffile.imwrite(out, GREY, photometric="minisblack", tile=(4096, 4096), compression="zlib")
    assert imaging.read(out.getvalue()).pixels.shape == (HEIGHT, WIDTH, 1)
    with pytest.raises(ImageError, match="--max-pixels"):
        imaging.read(out.getvalue(), max_pixels=1_000_000)


def test_sixteen_bits_of_which_few_are_used_are_noted() -> None:
    for format in ("png", "tiff"):
        for scale, notes in ((16, 1), (257, 0)):
            data = imaging.encode(imaging.Picture(RGB.astype(np.uint16) * scale, format))
            assert len(imaging.read(data).notes) == notes
    opaque = np.dstack([RGB.astype(np.uint16) * 16, np.full((HEIGHT, WIDTH), 65535, np.uint16)])
    assert "of 0 to" in imaging.read(imaging.encode(imaging.Picture(opaque, "png"))).notes[0]
    # A thermal camera counts hundredths of a kelvin: a narrow range, and not a low one.
    warm = imaging.Picture(29315 + RGB[:, :, :1].astype(np.uint16) * 4, "tiff")
    assert "29315 to 30335" in imaging.read(imaging.encode(warm)).notes[0]


# -- JPEG in TIFF


def in_jpeg(**options: Any) -> bytes:
    grey = options["photometric"] in ("minisblack", "miniswhite")
    pixels = WIDE[..., 0] if grey else np.moveaxis(WIDE, 2, 0) if "planarconfig" in options else WIDE
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, compression="jpeg", metadata=None, **options)
    return out.getvalue()


def by_libtiff(mode: str) -> bytes:
    """Return what libtiff writes: strips with tables that they share."""
    return encoded(Image.fromarray(WIDE).convert(mode), "TIFF", compression="jpeg", quality=90)


def tiles_by_libtiff(folder: Path, *arguments: str) -> bytes:
    """Return tiles of 4:2:0 with shared tables, as slide scanners write them."""
    (folder / "plain.tif").write_bytes(encoded(Image.fromarray(WIDE), "TIFF"))
    command = ["tiffcp", "-t", "-w", "64", "-l", "48", "-c", "jpeg:80", *arguments]
    subprocess.run([*command, folder / "plain.tif", folder / "tiles.tif"], check=True, capture_output=True)
    return (folder / "tiles.tif").read_bytes()


def by_pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


WIDE = cv2.GaussianBlur(np.random.default_rng(5).integers(0, 256, (150, 203, 3), np.uint8), (0, 0), 2)
WIDE_MASK = np.zeros((150, 203), bool)
WIDE_MASK[20:60, 30:33] = True
WIDE_MASK[149, 202] = True

JPEG_TIFFS: dict[str, Any] = {
    "rgb-strips": lambda _: in_jpeg(photometric="rgb", rowsperstrip=16),
    "rgb-tiles": lambda _: in_jpeg(photometric="rgb", tile=(64, 48)),
    "rgb-planes": lambda _: in_jpeg(photometric="rgb", planarconfig="separate", tile=(64, 48)),
    "ycbcr-444": lambda _: in_jpeg(photometric="ycbcr", tile=(64, 48)),
    "ycbcr-420": lambda _: in_jpeg(photometric="ycbcr", subsampling=(2, 2), rowsperstrip=48),
    "grey": lambda _: in_jpeg(photometric="minisblack", tile=(64, 48), bigtiff=True),
    "grey-inverted": lambda _: in_jpeg(photometric="miniswhite", rowsperstrip=32, byteorder=">"),
    "turned": lambda _: in_jpeg(photometric="ycbcr", rowsperstrip=32, extratags=[(274, "H", 1, 3, True)]),
    "libtiff": lambda _: by_libtiff("RGB"),
    "libtiff-ycbcr": lambda _: by_libtiff("YCbCr"),
    "libtiff-tiles": tiles_by_libtiff,
    "libtiff-tiles-rgb": lambda folder: tiles_by_libtiff(folder, "-c", "jpeg:r:80"),
}


@pytest.mark.parametrize("name", JPEG_TIFFS)
def test_of_a_tiff_in_jpeg_only_the_blocks_under_the_mask_change(name: str, tmp_path: Path) -> None:
    if "tiles" in name and name.startswith("libtiff") and shutil.which("tiffcp") is None:
        pytest.skip("tiffcp is not there")
    data = JPEG_TIFFS[name](tmp_path)
    picture = imaging.read(data)
    pixels = picture.pixels.copy()
    pixels[WIDE_MASK] = 128
    made = imaging.patched(picture, pixels, WIDE_MASK)
    assert made.how.endswith("only the 8x8 blocks under it")
    near = cv2.dilate(WIDE_MASK.astype(np.uint8), np.ones((35, 35))) > 0
    with tifffile.TiffFile(io.BytesIO(data)) as old, tifffile.TiffFile(io.BytesIO(made.data)) as new:
        kept = {t.code: t.value for t in old.pages[0].tags if t.code not in (273, 279, 324, 325)}
        assert kept == {t.code: t.value for t in new.pages[0].tags if t.code in kept}
    for decode in (lambda file: imaging.read(file).pixels, by_pillow):  # the second one is libtiff
        before, after = decode(data), decode(made.data)
        assert np.array_equal(before[~near], after[~near])
        assert np.abs(after[WIDE_MASK].astype(int) - 128).mean() < 12


def test_a_tiff_says_which_pictures_in_it_stay_as_they_were() -> None:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        layers = [(37724, "B", 40, bytes(40), True)]
        writer.write(RGB, photometric="rgb", metadata=None, extratags=layers)
        writer.write(RGB[::2, ::2], photometric="rgb", metadata=None, subfiletype=1)
        writer.write(MASK, photometric="minisblack", metadata=None, subfiletype=4)  # GDAL's transparency
    assert cleaned(out.getvalue()).how.endswith(
        "re-encoded; 1 smaller copies in the file stay as they were; "
        "Photoshop's layers in the file, which it shows, stay as they were"
    )
