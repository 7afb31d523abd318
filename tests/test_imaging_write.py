"""What is written is the picture, and in a cleaned file all is the same outside the mask."""

from __future__ import annotations

import dataclasses
import io
import itertools
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from coefficients import coefficient_difference
from hypothesis import given, settings
from hypothesis import strategies as st
from kept_files import png
from pictures import GOOD, RGB, RNG, SMOOTH, encoded, tiff
from PIL import Image

from unetfast import imaging
from unetfast.errors import ConfigError, ImageError, InputError
from unetfast.imaging import metadata
from unetfast.imaging import tiff as tiff_pages
from unetfast.imaging.tiff_patch import Segments, boxes


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**32))
@settings(max_examples=40)
def test_binary_masks_are_1_bit_png(height: int, width: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < 0.3
    data = imaging.encode_mask(mask)
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "1"
        assert np.array_equal(np.asarray(image), mask)
    labels = mask.astype(np.uint8) * 7
    with Image.open(io.BytesIO(imaging.encode_mask(labels))) as image:
        assert np.array_equal(np.asarray(image), labels)


# -- writing

PROFILE = struct.pack(">I", 132) + bytes(128)


@pytest.mark.parametrize("name", [n for n in GOOD if n != "lossy.webp" and not n.endswith(("jpg", "pnm"))])
def test_lossless_formats_are_bit_exact_outside_the_mask(name: str) -> None:
    picture = imaging.read(GOOD[name])
    mask = np.zeros(picture.pixels.shape[:2], bool)
    mask[2:5, 3:30] = True
    cleaned = picture.pixels.copy()
    cleaned[mask] = cleaned[-1, -1]
    made = imaging.patched(picture, cleaned, mask)
    again = imaging.read(made.data)
    assert again.format == picture.format
    assert again.pixels.dtype == picture.pixels.dtype
    assert np.array_equal(again.pixels, cleaned)


@pytest.mark.parametrize("name", GOOD)
def test_nothing_found_copies_the_file_byte_for_byte(name: str) -> None:
    picture = imaging.read(GOOD[name])
    made = imaging.patched(picture, picture.pixels, np.zeros(picture.pixels.shape[:2], bool))
    assert made.data == GOOD[name]


JPEGS = {
    f"{mode}-{sampling}-{'progressive' if progressive else 'baseline'}": encoded(
        Image.fromarray(SMOOTH).convert(mode),
        "JPEG",
        quality=88,
        subsampling=sampling,
        progressive=progressive,
    )
    for mode, sampling, progressive in itertools.product(["RGB", "L"], [0, 1, 2], [False, True])
    if mode == "RGB" or sampling == 0
}


@pytest.mark.parametrize("name", JPEGS)
def test_jpeg_blocks_that_the_mask_does_not_touch_keep_their_coefficients(name: str) -> None:
    pytest.importorskip("jpeglib")
    from unetfast.imaging import jpeg

    picture = imaging.read(JPEGS[name])
    mask = np.zeros(picture.pixels.shape[:2], bool)
    mask[33:36, 20:90] = True
    cleaned = picture.pixels.copy()
    cleaned[mask] = 128
    data = imaging.patched(picture, cleaned, mask, jpeg_mode="lossless-blocks").data
    before, after = jpeg.read_coefficients(JPEGS[name]), jpeg.read_coefficients(data)
    assert np.array_equal(before.qt, after.qt)
    changed = (before.Y != after.Y).any(axis=(2, 3))
    touched = np.zeros_like(changed)
    touched[4, 2:12] = True  # rows 32..39, columns 16..95
    assert changed[touched].any()
    assert not changed[~touched].any()
    # The changed blocks hold the new pixels as well as the file's own tables allow.
    again = imaging.read(data).pixels
    assert np.abs(again[mask].astype(int) - 128).mean() < 12


def test_jpeg_difference_sees_a_changed_block_outside_the_mask() -> None:
    pytest.importorskip("jpeglib")  # its coefficient functions are the judge
    from unetfast.imaging import jpeg

    data = JPEGS["RGB-0-baseline"]
    picture = imaging.read(data)
    mask = np.zeros(picture.pixels.shape[:2], bool)
    mask[40, 40] = True
    cleaned = picture.pixels.copy()
    cleaned[40, 40] = 255 - cleaned[40, 40]
    made = jpeg.patch(data, cleaned, mask)
    assert coefficient_difference(data, made, mask) == ""
    assert "outside the mask" in coefficient_difference(data, made, np.zeros_like(mask))
    assert jpeg.difference(picture.pixels, data, made, mask) == ""
    assert "outside the mask" in jpeg.difference(picture.pixels, data, made, np.zeros_like(mask))


@pytest.mark.parametrize("quality", [50, 75, 92])
@pytest.mark.parametrize("sampling", [0, 2])
def test_reencoded_jpeg_has_the_quality_and_sampling_of_its_original(quality: int, sampling: int) -> None:
    data = encoded(Image.fromarray(SMOOTH), "JPEG", quality=quality, subsampling=sampling)
    picture = imaging.read(data)
    mask = np.ones(picture.pixels.shape[:2], bool)
    made = imaging.patched(picture, picture.pixels, mask, jpeg_mode="re-encode")
    assert f"quality {quality}, {'444' if sampling == 0 else '420'}" in made.how
    with Image.open(io.BytesIO(data)) as old, Image.open(io.BytesIO(made.data)) as new:
        assert old.quantization == new.quantization


@pytest.mark.parametrize("mode", ["re-encode", "lossless-blocks"])
def test_jpeg_metadata_is_kept(mode: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "maker"
    icc = bytes(range(256)) * 300  # larger than one segment
    data = encoded(
        Image.fromarray(SMOOTH), "JPEG", exif=exif, icc_profile=icc, dpi=(300, 300), comment=b"a comment"
    )
    picture = imaging.read(data)
    mask = np.zeros(picture.pixels.shape[:2], bool)
    mask[9, 9] = True
    out = imaging.patched(picture, 255 - picture.pixels, mask, jpeg_mode=mode).data
    with Image.open(io.BytesIO(data)) as old, Image.open(io.BytesIO(out)) as new:
        for key in ("exif", "icc_profile", "dpi", "comment"):
            assert new.info[key] == old.info[key], key
    assert picture.icc == icc


def test_png_metadata_is_kept() -> None:
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", "<x/>")
    texts.add_text("Title", "wall")
    data = encoded(Image.fromarray(RGB), "PNG", pnginfo=texts, dpi=(200, 200), icc_profile=PROFILE)
    picture = imaging.read(data)
    mask = np.zeros(RGB.shape[:2], bool)
    mask[1, 1] = True
    cleaned = RGB.copy()
    cleaned[1, 1] = 7
    out = imaging.patched(picture, cleaned, mask).data
    kinds = [kind for kind, _ in metadata.png_chunks(data) if kind not in (b"IHDR", b"IDAT", b"IEND")]
    assert kinds == [kind for kind, _ in metadata.png_chunks(out) if kind not in (b"IHDR", b"IDAT", b"IEND")]
    assert imaging.read(out).icc == PROFILE


@pytest.mark.parametrize(
    ("dtype", "channels", "compression", "byteorder", "tile", "planar", "predictor"),
    [
        (dtype, channels, compression, byteorder, tile, planar, predictor)
        for dtype, channels, compression, byteorder, tile, planar, predictor in itertools.product(
            ["u1", "u2", "f4"],
            [1, 3, 4],
            [None, "lzw", "zlib", "packbits"],
            "<>",
            [None, (64, 48)],
            ["contig", "separate"],
            [None, True],
        )
        if not (predictor and compression in (None, "packbits"))
        and not (channels == 1 and planar == "separate")
    ][::3],
)
def test_tiff_patches(
    dtype: str,
    channels: int,
    compression: str | None,
    byteorder: str,
    tile: tuple[int, int] | None,
    planar: str,
    predictor: bool | None,
) -> None:
    array = np.random.default_rng(1).integers(0, 250, (150, 203, channels))
    array = (array / 255).astype("f4") if dtype == "f4" else array.astype(dtype)
    stored = array[..., 0] if channels == 1 else np.moveaxis(array, -1, 0) if planar == "separate" else array
    data = tiff(
        stored,
        photometric="rgb" if channels >= 3 else "minisblack",
        planarconfig=planar if channels > 1 else None,
        extrasamples=["unassalpha"] if channels == 4 else None,
        compression=compression,
        predictor=predictor,
        byteorder=byteorder,
        resolution=(300, 300),
        description="kept",
        **({"tile": tile} if tile else {"rowsperstrip": 32}),
    )
    picture = imaging.read(data)
    mask = np.zeros((150, 203), bool)
    mask[20:60, 30:33] = True
    mask[149, 202] = True
    cleaned = picture.pixels.copy()
    cleaned[mask] = cleaned[0, 0]
    out = imaging.patched(picture, cleaned, mask).data
    assert np.array_equal(imaging.read(out).pixels, cleaned)
    with tifffile.TiffFile(io.BytesIO(data)) as old, tifffile.TiffFile(io.BytesIO(out)) as new:
        tables = (273, 279, 324, 325)
        before = {tag.code: tag.value for tag in old.pages[0].tags if tag.code not in tables}
        assert before == {tag.code: tag.value for tag in new.pages[0].tags if tag.code not in tables}
        assert old.byteorder == new.byteorder


def test_a_tiff_smaller_than_its_tiles_is_cleaned() -> None:
    """The check after writing took the pixels of the picture for the limit, and a tile of it for a bomb."""
    data = tiff(SMOOTH, photometric="rgb", tile=(256, 256), compression="zlib")
    picture = imaging.read(data)
    mask = np.zeros(SMOOTH.shape[:2], bool)
    mask[3:9, 3:9] = True
    cleaned = picture.pixels.copy()
    cleaned[mask] = 7
    assert np.array_equal(imaging.read(imaging.patched(picture, cleaned, mask).data).pixels, cleaned)


def test_a_tiff_that_grows_over_4_gb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(SMOOTH * 0, photometric="rgb", rowsperstrip=60, compression="zlib"))
    os.truncate(path, 2**32 - 100)  # takes no room on the disk
    with path.open("r+b") as file, tiff_pages.opened(file, "a.tif") as page:
        segments = Segments(file, page, "a.tif", shared=False)
        for box in boxes(page):
            segments.replace(box, SMOOTH[box.top : box.bottom], np.ones((60, 160), bool))
        with pytest.raises(
            ImageError, match=r"^a\.tif: the result would be larger than a TIFF can be \(4 GB"
        ):
            segments.finish()


def test_a_quantisation_table_with_a_zero_is_named() -> None:
    data = bytearray(GOOD["rgb.jpg"])
    data[data.index(b"\xff\xdb") + 9] = 0
    picture = imaging.read(bytes(data))
    mask = np.zeros(SMOOTH.shape[:2], bool)
    mask[3:9, 3:9] = True
    with pytest.raises(ImageError, match=r"^<bytes>: damaged: a quantisation table holds a zero$"):
        imaging.patched(picture, picture.pixels, mask)


def test_lossy_tiff_is_refused_not_silently_changed() -> None:
    data = tiff(SMOOTH, photometric="rgb", compression="jpeg2000")
    picture = imaging.read(data)
    mask = np.zeros(picture.pixels.shape[:2], bool)
    mask[0, 0] = True
    with pytest.raises(ImageError, match=r"JPEG2000 can be segmented, not .* tiffcp -c lzw"):
        imaging.patched(picture, picture.pixels, mask)


def test_the_check_after_writing_finds_a_changed_pixel() -> None:
    picture = imaging.read(GOOD["rgb.png"])
    mask = np.zeros(RGB.shape[:2], bool)
    mask[0, 0] = True
    wrong = RGB.copy()
    wrong[5, 5] ^= 1
    with pytest.raises(ImageError, match="outside the mask differ"):
        imaging.patched(picture, wrong, mask)


def test_atomic_write_replaces_a_link_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "link").symlink_to("target")
    imaging.atomic_write(tmp_path / "link", b"new")
    assert (tmp_path / "target").read_bytes() == b"precious"
    assert (tmp_path / "link").read_bytes() == b"new"
    with pytest.raises(ImageError, match="cannot be written"):
        imaging.atomic_write(tmp_path / "none" / "x", b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ImageError, match="folder"):
        imaging.atomic_write(tmp_path / "folder", b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "link", "target"]


def test_formats_say_what_they_cannot_hold(tmp_path: Path) -> None:
    deep = imaging.Picture(np.zeros((4, 4, 3), np.uint16), "png")
    with pytest.raises(ImageError, match=r"a\.jpg.*8 bits"):
        imaging.write(tmp_path / "a.jpg", deep)
    clear = imaging.Picture(np.zeros((4, 4, 4), np.uint8), "png")
    with pytest.raises(ImageError, match="transparency"):
        imaging.write(tmp_path / "a.jpg", clear)
    with pytest.raises(ImageError, match="unknown image ending"):
        imaging.write(tmp_path / "a.gif", clear)


def test_what_a_1_bit_png_becomes_holds_its_pixels() -> None:
    """Transparency and shades do not go into 1 bit: the first made no PNG at all, the others were lost."""
    bits = RNG.integers(0, 2, (23, 37, 1)).astype(np.uint8)
    clear = imaging.read(png(bits, 1, 0, (b"tRNS", b"\0\1")))
    assert clear.pixels.shape == (23, 37, 2)
    assert np.array_equal(imaging.read(imaging.encode(clear)).pixels, clear.pixels)
    plain = imaging.read(png(bits, 1, 0))
    for pixels in (plain.pixels, plain.pixels // 3, np.repeat(plain.pixels, 3, axis=2)):
        data = imaging.encode(dataclasses.replace(plain, pixels=pixels))
        assert np.array_equal(imaging.read(data).pixels, pixels)
        assert (data[24] == 1) == (pixels is plain.pixels)


def test_what_cannot_be_written_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"a\.png: what is written is a Picture; got ndarray"):
        imaging.write(tmp_path / "a.png", RGB)  # type: ignore[arg-type]
    for pixels in (RGB[..., 0], RGB[:0], RGB.astype(np.int64), None):
        for format in ("png", "tiff", "jpeg"):
            with pytest.raises(InputError, match=r"pixels must be \(H, W, C\) of uint8, .*; got "):
                imaging.encode(imaging.Picture(pixels, format))
    for format in ("jpeg", "webp"):
        with pytest.raises(InputError, match=rf"^{format}: .*(65500|16383) pixels"):
            imaging.encode(imaging.Picture(np.zeros((1, 66_000, 3), np.uint8), format))
    for mask in (None, [[1]], np.zeros((0, 4), bool), RGB):
        with pytest.raises(InputError, match=r"a mask must be \(H, W\) bool or uint8"):
            imaging.encode_mask(mask)


def test_what_does_not_fit_a_picture_is_not_patched_into_it() -> None:
    """A mask of 3 x 3 was taken for one of the whole picture."""
    picture = imaging.read(GOOD["rgb.png"])
    mask = np.ones(RGB.shape[:2], bool)
    for cleaned in (RGB[:3], RGB.astype(np.uint16)):
        with pytest.raises(InputError, match=r"cleaned pixels must be \(24, 37, 3\) uint8, .*; got"):
            imaging.patched(picture, cleaned, mask)
    for wrong in (mask[:3, :3], mask.astype(np.uint8)):
        with pytest.raises(InputError, match=r"mask must be \(24, 37\) bool; got"):
            imaging.patched(picture, RGB, wrong)
    with pytest.raises(ConfigError, match=r"jpeg_mode must be one of auto, .*; got 'fast'"):
        imaging.patched(picture, RGB, mask, jpeg_mode="fast")


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_a_stack_is_written_as_channels_none_of_which_is_alpha(channels: int) -> None:
    stack = imaging.Picture(RNG.integers(0, 2, (9, 8, channels)).astype(np.uint8), "npy", stack=True)
    again = imaging.read(imaging.encode(stack, "tiff"))
    assert again.stack
    assert again.blank is None
    assert np.array_equal(again.pixels, stack.pixels)
    if channels > 4:
        for format in ("png", "jpeg", "webp", "bmp"):
            with pytest.raises(InputError, match="holds up to 4 channels; the picture has 5: write TIFF"):
                imaging.encode(stack, format)


def test_a_bmp_of_no_sensible_resolution_is_written() -> None:
    data = bytearray(GOOD["rgb.bmp"])
    struct.pack_into("<ii", data, 38, -5000, 5000)
    assert np.array_equal(imaging.read(imaging.encode(imaging.read(bytes(data)))).pixels, RGB)


@pytest.mark.parametrize(
    "options", [{"keep_rgb": True}, {"subsampling": 1}, {"progressive": True, "keep_rgb": True}]
)
def test_other_jpeg_colour_spaces_are_patched_as_they_are(options: dict[str, object]) -> None:
    pytest.importorskip("jpeglib")

    data = encoded(Image.fromarray(SMOOTH), "JPEG", quality=90, **options)
    picture = imaging.read(data)
    mask = np.zeros(picture.pixels.shape[:2], bool)
    mask[33:36, 20:90] = True
    cleaned = picture.pixels.copy()
    cleaned[mask] = 128
    out = imaging.patched(picture, cleaned, mask).data
    assert coefficient_difference(data, out, mask) == ""
    again = imaging.read(out).pixels
    assert np.abs(again[mask].astype(int) - 128).mean() < 8
    with Image.open(io.BytesIO(out)) as image:  # another reader sees the same colours
        assert np.array_equal(np.asarray(image.convert("RGB")), again)
