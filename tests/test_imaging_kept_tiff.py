"""A cleaned TIFF stays of its kind and keeps its tags, or says what it could not keep."""

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
import tifffile
from kept_files import FILL, GREY, HEIGHT, INKS, MASK, RGB, WIDTH, cleaned
from pictures import encoded
from PIL import Image, ImageOps

from unetfast import imaging
from unetfast.errors import ImageError
from unetfast.imaging.tiff import opened
from unetfast.imaging.tiff_rows import Rows

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
    assert picture.notes == ("3 of 23 strips or tiles are not in the file and hold no data",)
    assert np.array_equal(picture.pixels[:20, :, 0], GREY[:20])
    assert imaging.read(striped([WIDTH] * HEIGHT)).notes == ()


@pytest.mark.parametrize(
    ("tag", "words"),
    [(262, "does not say what its samples are"), (320, "a palette TIFF without its palette")],
)
def test_a_tiff_whose_samples_mean_nobody_knows_what_is_refused(tag: int, words: str) -> None:
    data = bytearray(encoded(Image.fromarray(RGB).quantize(9), "TIFF"))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        struct.pack_into("<H", data, file.pages[0].tags[tag].offset, 65000)  # which nobody knows
    for function in (imaging.read, imaging.read_mask):
        with pytest.raises(ImageError, match=f"^<bytes>: damaged: .*{words}"):
            function(bytes(data))


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


@pytest.mark.parametrize("name", ["rgb-strips", "rgb-planes", "ycbcr-420", "grey"])
def test_a_tiff_in_jpeg_that_is_cut_off_or_damaged_is_no_half_picture(name: str, tmp_path: Path) -> None:
    data = JPEG_TIFFS[name](tmp_path)

    def by_rows(file: bytes) -> np.ndarray:
        with opened(io.BytesIO(file), "<bytes>") as page:
            return Rows(io.BytesIO(file), page, "<bytes>").read(0, page.imagelength)

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        place, size = file.pages[0].dataoffsets[1], file.pages[0].databytecounts[1]
    half, ended = place + size // 2, place + size - 2
    assert data[ended : ended + 2] == b"\xff\xd9"
    zeroed = data[:half] + bytes(size // 2) + data[half + size // 2 :]
    cut = data[:half] + b"\xff\xd9" + data[half + 2 :]
    unended = data[:ended] + bytes(2) + data[ended + 2 :]  # as some writers leave it
    for function in (lambda file: imaging.read(file).pixels, by_rows):
        for damaged in (zeroed, cut):
            with pytest.raises(ImageError, match=r"^<bytes>: damaged, cannot be decoded: Corrupt JPEG data"):
                function(damaged)
        assert np.array_equal(function(unended), function(data))


def test_a_tiff_says_which_pictures_in_it_stay_as_they_were() -> None:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        layers = (37724, "B", 40, bytes(40), True)
        preview = (34377, "B", 16, b"8BIM\x04\x0c" + bytes(10), True)
        credentials = (52545, "B", 9, b"jumbjumdc", True)
        writer.write(RGB, photometric="rgb", metadata=None, extratags=[preview, layers, credentials])
        writer.write(RGB[::2, ::2], photometric="rgb", metadata=None, subfiletype=1)
        writer.write(MASK, photometric="minisblack", metadata=None, subfiletype=4)  # GDAL's transparency
    assert cleaned(out.getvalue()).how.endswith(
        "re-encoded; 1 smaller copy in the file stays as it was; "
        "Photoshop's layers in the file, which it shows, stay as they were; "
        "the small preview that Photoshop keeps in it stays as it was; "
        "its content credentials (C2PA), which vouch for the original, no longer hold"
    )
