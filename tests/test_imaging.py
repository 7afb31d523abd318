"""What is read is what is in the file, or an error that starts with its path."""

from __future__ import annotations

import io
import os
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import simplejpeg
import tifffile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pictures import GOOD, RGB, RNG, SMOOTH, encoded, tiff
from PIL import Image, ImageOps

from unetfast import imaging
from unetfast.errors import ImageError, InputError
from unetfast.imaging import metadata
from unetfast.imaging import tiff as tiff_pages
from unetfast.imaging.convert import orient
from unetfast.imaging.decoding import decoding
from unetfast.imaging.formats import TIFF_SIGNATURES, check_pixels
from unetfast.imaging.tiff_rows import Rows
from unetfast.spec import FileRef


@pytest.mark.parametrize("name", [name for name in GOOD if name.partition(".")[2] != "tif"])
def test_reads_what_pillow_reads(name: str) -> None:
    picture = imaging.read(GOOD[name])
    with Image.open(io.BytesIO(GOOD[name])) as image:
        if image.mode == "P":
            image = image.convert("RGBA" if "transparency" in image.info else "RGB")  # noqa: PLW2901
        wanted = np.asarray(image)
    wanted = wanted.astype(np.uint8) * 255 if wanted.dtype == np.bool_ else wanted
    got = picture.pixels[..., 0] if picture.pixels.shape[2] == 1 else picture.pixels
    assert np.array_equal(got, wanted)
    assert picture.format == {"jpg": "jpeg"}.get(name[-3:], name.rpartition(".")[2])


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"P1\n# by hand\n3 2\n1 0 1\n010\n", [[0, 255, 0], [255, 0, 255]]),
        (b"P2 2 1 300 7 # seven\n 299", [[1529, 65317]]),
        (b"P2 3 1 4 0 1 4", [[0, 64, 255]]),
        (b"P3\n1 1\n255\n1 2 3", [[1, 2, 3]]),
        (b"P5\n2 1\n#\n65535\n\x01\x00\x00\x02", [[256, 2]]),
    ],
)
def test_portable_pixmaps_written_as_text_or_in_16_bits(data: bytes, wanted: list[list[int]]) -> None:
    pixels = imaging.read(data).pixels
    assert pixels.reshape(pixels.shape[0], -1).tolist() == wanted


def test_what_a_pixmap_calls_largest_is_white_but_masks_hold_numbers() -> None:
    """A camera of 12 bits writes 4095 for white; class ids of a mask are no shades."""
    data = b"P5 2 1 4095\n" + np.array([1234, 4095], ">u2").tobytes()
    assert imaging.read(data).pixels.ravel().tolist() == [19749, 65535]
    assert imaging.read_mask(data).values.tolist() == [[1234, 4095]]
    assert imaging.read_mask(b"P2 3 1 4 0 1 4").values.tolist() == [[0, 1, 4]]


@pytest.mark.parametrize("data", [b"P5 2 2 10\n\x0b\0\0\0", b"P2 2 2 9 1 2 3", b"P5 2 2 0\n\0\0\0\0"])
def test_portable_pixmaps_that_break_their_word_are_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match="damaged"):
        imaging.read(data)


@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 3), (9, 7, 4)])
@pytest.mark.parametrize("container", ["png", "tiff"])
def test_16_bit_keeps_every_bit(shape: tuple[int, ...], container: str, tmp_path: Path) -> None:
    array = RNG.integers(0, 65536, shape, np.uint16)
    pixels = array if array.ndim == 3 else array[..., None]
    path = tmp_path / f"a.{container}"
    imaging.write(path, imaging.Picture(pixels, container))
    assert np.array_equal(imaging.read(path).pixels, pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_all_orientations_come_out_upright_once_and_go_back(format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(Image.fromarray(SMOOTH), format, exif=exif, **options)
    with Image.open(io.BytesIO(data)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    picture = imaging.read(data)
    assert picture.orientation == orientation
    assert np.array_equal(picture.pixels, upright)
    # As stored, with the tag kept: the output is turned by viewers exactly as the input was.
    mask = np.zeros(picture.pixels.shape[:2], bool)
    mask[3:9, 5:30] = True
    cleaned = picture.pixels.copy()
    cleaned[mask] = 90
    again = imaging.read(imaging.patched(picture, cleaned, mask).data)
    assert again.orientation == orientation
    outside = ~_near(mask, 16) if format == "JPEG" else ~mask
    assert np.array_equal(again.pixels[outside], upright[outside])
    assert np.abs(again.pixels[mask].astype(int) - 90).mean() < (30 if format == "JPEG" else 1e-9)


def _near(mask: np.ndarray, distance: int) -> np.ndarray:
    grown = np.zeros_like(mask)
    rows, columns = np.nonzero(mask)
    grown[
        max(rows.min() - distance, 0) : rows.max() + distance + 1,
        max(columns.min() - distance, 0) : columns.max() + distance + 1,
    ] = True
    return grown


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", "BHI")
def test_an_orientation_of_any_integer_type_counts(order: str, kind: str) -> None:
    code = {"B": 1, "H": 3, "I": 4}[kind]
    head = struct.pack(order + "2sHIH", b"II" if order == "<" else b"MM", 42, 8, 1)
    exif = head + struct.pack(order + "HHI", 0x0112, code, 1) + struct.pack(order + kind, 6).ljust(4, b"\0")
    photo = Image.fromarray(np.arange(48 * 64, dtype=np.uint8).reshape(48, 64))
    for format in ("JPEG", "PNG", "WEBP"):
        out = io.BytesIO()
        photo.save(out, format, exif=b"Exif\0\0" + exif)
        picture = imaging.read(out.getvalue())
        assert (picture.orientation, picture.pixels.shape[:2]) == (6, (64, 48))
    out = io.BytesIO()
    tags = [(274, kind, 1, 6, True)]
    tifffile.imwrite(out, np.asarray(photo), byteorder=order, extratags=tags, metadata=None)
    assert imaging.read(out.getvalue()).pixels.shape[:2] == (64, 48)


@pytest.mark.parametrize(
    "exif", [b"", b"Exif\0\0", b"II*\0", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff"]
)
def test_damaged_exif_does_not_fail_the_photo(exif: bytes) -> None:
    assert metadata.exif_orientation(exif) == 1
    head, rest = GOOD["rgb.jpg"][:2], GOOD["rgb.jpg"][2:]
    body = b"Exif\0\0" + exif
    data = head + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + rest
    assert imaging.read(data).orientation == 1


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("part", [0.3, 0.7, 0.97])
def test_truncated_files_are_refused(name: str, part: float, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(GOOD[name][: int(len(GOOD[name]) * part)])
    with pytest.raises(ImageError) as caught:
        imaging.read(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_jpeg_whose_decoder_lost_its_way_is_refused_one_that_is_padded_is_not() -> None:
    """Both leave bytes over, of which libjpeg only warns."""
    smooth = Image.fromarray(RGB).resize((160, 120))
    lost = 0
    for options in ({}, {"restart_marker_rows": 5}, {"progressive": True}):
        plain = encoded(smooth, "JPEG", quality=90, **options)
        start = metadata.jpeg_segments(plain).scan_start + 14
        for place in range(start, len(plain) - 2, 5):
            data = bytearray(plain)
            data[place] ^= 0x10
            try:
                simplejpeg.decode_jpeg(bytes(data), "RGB", strict=True)
            except ValueError as exc:
                left = re.search(r"(\d+) extraneous bytes", str(exc))
                if left is not None and int(left[1]) > 8:
                    lost += 1
                    with pytest.raises(
                        ImageError, match=r"^<bytes>: damaged, cannot be decoded: .* extraneous"
                    ):
                        imaging.read(bytes(data))
    assert lost > 30
    plain = encoded(smooth, "JPEG", quality=90, restart_marker_rows=5)
    pixels, restart, end = imaging.read(plain).pixels, plain.index(b"\xff\xd0", 700), len(plain) - 2
    for place, padding in (
        (restart, bytes(50)),
        (end, bytes(50)),
        (end, b"\xff\0" * 20),
        (end, b"\x12" + bytes(range(1, 8))),
    ):
        picture = imaging.read(plain[:place] + padding + plain[place:])
        assert "extraneous bytes" in picture.notes[0]
        assert np.array_equal(picture.pixels, pixels)


@given(
    name=st.sampled_from(sorted(GOOD)),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.floats(0.1, 1),
)
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_read_or_refused_never_crash(
    name: str, edits: list[tuple[float, int]], cut: float
) -> None:
    data = bytearray(GOOD[name][: max(1, int(len(GOOD[name]) * cut))])
    for place, value in edits:
        data[min(int(place * len(data)), len(data) - 1)] = value
    for function in (imaging.read, imaging.read_mask):
        try:
            function(bytes(data), max_pixels=10**6)
        except ImageError as exc:
            assert str(exc).startswith("<bytes>: ")  # noqa: PT017


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def gif(side: int, frame: int) -> bytes:
    """A GIF file of that side whose one frame says that it has another."""
    head = b"GIF89a" + struct.pack("<HH", side, side) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    return head + b"\x2c" + struct.pack("<HHHH", 0, 0, frame, frame) + b"\0\x02\x02\x44\x01\0;"


IN_HEADERS = {
    **GOOD,
    "tiles.tif": tiff(SMOOTH, photometric="rgb", tile=(32, 48), compression="zlib", predictor=True),
    "planes.tif": tiff(np.moveaxis(SMOOTH, 2, 0), photometric="rgb", planarconfig="separate", rowsperstrip=9),
    "jpeg.tif": tiff(SMOOTH, photometric="ycbcr", tile=(32, 48), compression="jpeg"),
    "big.tif": tiff(RGB, photometric="rgb", bigtiff=True, compression="lzw", rowsperstrip=5),
    "palette.tif": tiff(
        RGB[..., 0], photometric="palette", colormap=np.arange(768, dtype=np.uint16).reshape(3, 256)
    ),
    "mask.gif": encoded(Image.fromarray(RGB[..., 0] > 99), "GIF"),
    "array.npy": npy(RGB.astype(np.int64)),
}


@given(
    name=st.sampled_from(sorted(IN_HEADERS)),
    edits=st.lists(st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4),
)
@example(name="lzw.tif", edits=[(46, b"\0")])  # a predictor, and no compression
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.filterwarnings("ignore")
def test_what_headers_claim_is_doubted(name: str, edits: list[tuple[int, bytes]]) -> None:
    """As it is read, as a mask, row by row, and as it is written again: the package's own errors alone."""
    data = bytearray(IN_HEADERS[name])
    for place, value in edits:
        start = place % len(data)
        data[start : start + len(value)] = value
    changed = bytes(data)
    for function in (imaging.read_mask, clean_a_corner, read_by_rows):
        try:
            function(changed)
        except ImageError as exc:
            assert str(exc).startswith("<bytes>: ")  # noqa: PT017
            assert "\n" not in str(exc)  # noqa: PT017


def clean_a_corner(data: bytes) -> None:
    picture = imaging.read(data, max_pixels=10**6)
    mask = np.zeros(picture.pixels.shape[:2], bool)
    mask[:5, :5] = True
    cleaned = picture.samples.copy()
    cleaned[mask] = cleaned[-1, -1]
    imaging.patched(picture, cleaned, mask)


def read_by_rows(data: bytes) -> None:
    """Read a TIFF file so, and compare where it can be read as a whole too."""
    if data[:4] not in TIFF_SIGNATURES:
        return
    with tiff_pages.opened(io.BytesIO(data), "<bytes>") as page:
        check_pixels(*tiff_pages.decoded_sides(page), "<bytes>", 10**6)
        rows = Rows(io.BytesIO(data), page, "<bytes>")
        rows.window(0, rows.height, 0, rows.width)
        pixels = rows.read(0, rows.height)
    picture = imaging.read(data)
    assert np.array_equal(orient(pixels, picture.orientation), picture.pixels)


def test_a_damaged_mask_is_named() -> None:
    """NumPy reads its header with Python's tokenizer, tifffile its pages one by one: both raise their own."""
    array = npy(RGB).replace(b"'fortran_order': False", b"'fortran_order': [[[[[")
    pages = bytearray(IN_HEADERS["tiles.tif"])
    pages[4:8] = b"\xff\xff\0\0"
    for data in (array, bytes(pages)):
        with pytest.raises(ImageError, match=r"^<bytes>: damaged, [^\n]*$"):
            imaging.read_mask(data)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])  # wide integers are the labels of a mask
@pytest.mark.parametrize("tables", [(273, 279), (279,), ()])
def test_tiff_tables_without_all_strips_are_no_black_rows(
    dtype: type, tables: tuple[int, ...], tmp_path: Path
) -> None:
    """Tables of 2 strips where 5 are needed, or none of their sizes: what is in none was read as zeros."""
    grey = RGB[..., 0].astype(dtype)
    data = bytearray(tiff(grey, bigtiff=True, compression="lzw", rowsperstrip=5))
    series = FileRef(tmp_path / "a.tif", index=0)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags = file.pages[0].tags
        for code in tables:
            struct.pack_into("<Q", data, tags[code].offset + 4, 2)
        if not tables:
            struct.pack_into("<H", data, tags[279].offset, 65000)  # a tag that nobody knows
    (tmp_path / "a.tif").write_bytes(data)
    functions = [imaging.read_mask, lambda _: imaging.read(series)]
    functions += [imaging.read, read_by_rows] if dtype is np.uint8 else []
    for function in functions:
        with pytest.raises(ImageError, match=r"damaged: [34] of its strips or tiles are in no table"):
            function(bytes(data))


def test_a_tiff_whose_planes_lie_nobody_knows_how_is_refused() -> None:
    """With 3 in place of 1 (together) or 2 (apart) the samples came out as other pixels."""
    data = bytearray(IN_HEADERS["tiles.tif"])
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        struct.pack_into("<H", data, file.pages[0].tags[284].valueoffset, 3)
    with pytest.raises(ImageError, match="damaged: 160x120 px, planar configuration 3"):
        imaging.read(bytes(data))


def test_a_frame_larger_than_its_gif_is_limited_too() -> None:
    with pytest.raises(ImageError, match=r"8000x8000 is 64 megapixels, over the limit"):
        imaging.read_mask(gif(10, 8000), max_pixels=10**6)


def test_want_of_memory_is_not_called_damage() -> None:
    short = r"^a\.tif: not enough memory to decode it: Unable to allocate"
    with pytest.raises(ImageError, match=short), decoding("a.tif"):
        np.zeros((10**7, 10**7, 10))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"Hello, this is text.\n", "text"),
        (b"GIF89a" + bytes(20), "GIF"),
        (b"%!PS-Adobe", "PostScript"),
        (b"PK\x03\x04" + bytes(26), "a ZIP archive .its photos: unetfast run zip://::FILE.zip"),
        (b"\0" * 100, "not an image"),
    ],
)
def test_what_is_not_an_image_is_named(data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=words):
        imaging.read(path)


@pytest.mark.parametrize("what", [None, 3, ["a.jpg"], np.zeros((4, 4), np.uint8)])
def test_what_is_no_file_is_refused_with_what_to_do(what: Any) -> None:
    for function in (imaging.read, imaging.read_mask, imaging.read_bytes):
        with pytest.raises(
            InputError, match="a picture is read from a path, the bytes of a file, or a FileRef"
        ):
            function(what)
    for decode in (imaging.decode, imaging.header):
        with pytest.raises(InputError, match=r"^a\.jpg: a file's bytes are wanted; got \w+"):
            decode(what, "a.jpg")


def test_missing_folder_and_pipe(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        imaging.read(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match=r"regular file|directory"):
        imaging.read(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="not a regular file"):
        imaging.read(tmp_path / "pipe.jpg")


def bombs() -> dict[str, bytes]:
    big = 60_000
    head = struct.pack(">IIBBBBB", big, big, 8, 2, 0, 0, 0)
    png = metadata.png_file([(b"IHDR", head), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b"")])
    jpeg = bytearray(GOOD["rgb.jpg"])
    place = jpeg.index(b"\xff\xc0") + 5
    jpeg[place : place + 4] = struct.pack(">HH", big, big)
    bmp = bytearray(GOOD["rgb.bmp"])
    bmp[18:26] = struct.pack("<ii", big, -big)
    webp = bytearray(GOOD["lossless.webp"])
    webp[21:25] = struct.pack("<I", 16383 | 16383 << 14)
    sparse = tiff(RGB[..., 0])
    tag = sparse.index(struct.pack("<HHI", 256, 4, 1)) + 8
    sparse = sparse[:tag] + struct.pack("<I", big * 1000) + sparse[tag + 4 :]
    return {"a.png": png, "a.jpg": bytes(jpeg), "a.bmp": bytes(bmp), "a.webp": bytes(webp), "a.tif": sparse}


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.webp", "a.tif"])
def test_bombs_are_refused_before_decoding(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(bombs()[name])
    with pytest.raises(ImageError, match="--max-pixels"):
        imaging.read(path, max_pixels=200_000_000)
    with pytest.raises(ImageError, match=r"megapixels, over the limit of 2,000 pixels; if"):
        imaging.read(path, max_pixels=2000)


def test_a_jpeg_that_claims_more_rows_than_it_has_is_refused() -> None:
    jpeg = bytearray(GOOD["rgb.jpg"])
    place = jpeg.index(b"\xff\xc0") + 5
    jpeg[place : place + 4] = struct.pack(">HH", 4000, 4000)
    with pytest.raises(ImageError, match="damaged"):
        imaging.read(bytes(jpeg))


def test_animations_are_refused() -> None:
    frames = [Image.fromarray(RGB), Image.fromarray(RGB[::-1])]
    for format in ("WEBP", "PNG"):
        data = encoded(frames[0], format, save_all=True, append_images=frames[1:])
        with pytest.raises(ImageError, match="animation"):
            imaging.read(data)


def test_several_pages_are_refused_thumbnails_are_not() -> None:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(RGB, photometric="rgb")
        writer.write(RGB[::4, ::4], photometric="rgb", subfiletype=1)
    assert np.array_equal(imaging.read(out.getvalue()).pixels, RGB)
    with pytest.raises(ImageError, match="3 pages"):
        imaging.read(tiff(np.stack([RGB] * 3), photometric="rgb"))


@pytest.mark.parametrize("values", [np.float32([[0, 2]]), np.float32([[-1, 0]]), np.float32([[np.nan, 0]])])
def test_float_without_a_known_white_is_refused(values: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"0\.\.1"):
        imaging.read(tiff(values))


@pytest.mark.parametrize("dtype", [np.int16, np.uint32, np.float64, np.complex64])
def test_tiff_samples_without_a_rule_are_refused(dtype: type) -> None:
    with pytest.raises(ImageError, match="TIFF samples"):
        imaging.read(tiff(np.ones((5, 6), dtype)))


def test_white_is_zero_tiff_is_inverted() -> None:
    assert np.array_equal(
        imaging.read(tiff(RGB[..., 0], photometric="miniswhite")).pixels[..., 0], 255 - RGB[..., 0]
    )


@pytest.mark.parametrize("source", ["JPEG", "TIFF"])
def test_cmyk_is_not_inverted(source: str) -> None:
    blue = Image.new("RGB", (32, 32), (30, 60, 220)).convert("CMYK")
    options = {"quality": 100} if source == "JPEG" else {}
    picture = imaging.read(encoded(blue, source, **options))
    assert picture.inks is not None
    assert np.abs(picture.pixels.astype(int) - [30, 60, 220]).max() <= 4


def test_names_that_are_not_utf8_and_zip_members(tmp_path: Path) -> None:
    import zipfile

    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 \n-x.png"))
    imaging.write(odd, imaging.Picture(RGB, "png"))
    assert np.array_equal(imaging.read(odd).pixels, RGB)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/b.png", GOOD["rgb.png"])
    assert np.array_equal(imaging.read(FileRef(tmp_path / "a.zip", "in/b.png")).pixels, RGB)
    with pytest.raises(ImageError, match=r"a\.zip!c\.png"):
        imaging.read(FileRef(tmp_path / "a.zip", "c.png"))


def test_masks_keep_their_stored_values() -> None:
    indexed = Image.fromarray(RGB).quantize(9)
    mask = imaging.read_mask(encoded(indexed, "PNG"))
    assert mask.mode == "P"
    assert np.array_equal(mask.values, np.asarray(indexed))
    assert mask.palette is not None
    assert np.array_equal(mask.palette[mask.values], np.asarray(indexed.convert("RGB")))
    bit = imaging.read_mask(GOOD["bit.png"])
    assert (bit.mode, bit.values.max(), bit.values.dtype) == ("1", 1, np.uint8)
    assert imaging.read_mask(GOOD["rgba.png"]).mode == "RGBA"
    assert imaging.read_mask(GOOD["big-endian.tif"]).mode == "RGB;16"


@given(st.integers(0, 65535))
@settings(max_examples=50)
def test_16_bit_is_scaled_not_clipped(value: int) -> None:
    out = imaging.network_input(np.full((1, 1), value, np.uint16), 1)
    assert out[0, 0, 0] == round(value / 257)


def test_network_input_rules() -> None:
    grey = RGB[..., 0]
    assert np.array_equal(imaging.network_input(grey, 3), np.stack([grey] * 3, axis=2))
    rgba = np.dstack([RGB, grey])
    assert np.array_equal(imaging.network_input(rgba, 3), RGB)
    assert np.array_equal(imaging.network_input(rgba, 4), rgba)
    weighted = RGB.astype(float) @ [0.299, 0.587, 0.114]
    assert np.abs(imaging.network_input(rgba, 1)[..., 0] - weighted).max() <= 1
    with pytest.raises(InputError, match="5 channels"):
        imaging.network_input(RGB, 5)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (41, 67)])
def test_png_of_every_kind_is_what_libpng_reads(
    channels: int, dtype: type, shape: tuple[int, int], rng: np.random.Generator
) -> None:
    pixels = rng.integers(0, np.iinfo(dtype).max, (*shape, channels), dtype)
    data = imaging.encode(imaging.Picture(pixels, "png"))
    again = imagecodecs.png_decode(data)  # libpng, which checks every checksum
    assert again.dtype == dtype
    assert np.array_equal(again.reshape(pixels.shape), pixels)
    assert np.array_equal(imaging.read(data).pixels, pixels)
