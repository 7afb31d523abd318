"""Blocks of a JPEG exchanged in its scan, against libjpeg-turbo's own coefficient functions (jpeglib)."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import simplejpeg
from coefficients import coefficient_difference
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from unetfast import imaging
from unetfast.errors import ImageError, MissingDependencyError
from unetfast.imaging import jpeg, metadata


def file_of(pixels: np.ndarray, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", **options)
    return out.getvalue()


def scene(rng: np.random.Generator, height: int, width: int, mode: str) -> np.ndarray:
    """Smooth shades with a little noise, as a photo has."""
    y, x = np.mgrid[:height, :width]
    grey = 120 + 60 * np.sin(x / 9 + rng.random()) + 50 * np.cos(y / 7) + rng.normal(0, 5, (height, width))
    grey = np.clip(grey, 0, 255).astype(np.uint8)
    return grey if mode == "L" else np.dstack([grey, grey[::-1], 255 - grey])


def with_jpeglib(source: bytes, blocks: Any) -> bytes:
    """Exchange the blocks of a file of one or three components as jpeglib does it."""
    dct = jpeg.read_coefficients(source)
    for name, (rows, columns, values) in zip(("Y", "Cb", "Cr"), blocks, strict=False):
        getattr(dct, name)[rows, columns] = values
    with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
        dct.write_dct(file.name)
        made = Path(file.name).read_bytes()
    new = metadata.jpeg_segments(made)
    tables = [s for s in new.head if not metadata.is_metadata(*s)]
    return metadata.join_jpeg([*jpeg.described(source), *tables], made[new.scan_start :])


@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.sampled_from([("L", 0), ("RGB", 0), ("RGB", 1), ("RGB", 2)]),  # Pillow: 4:4:4, 4:2:2, 4:2:0
    st.sampled_from([10, 60, 95, 100]),
    st.booleans(),
    st.sampled_from([0, 1, 3]),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60)
def test_spliced_files_hold_the_coefficients_that_jpeglib_writes(
    height: int, width: int, kind: tuple[str, int], quality: int, optimize: bool, restart: int, seed: int
) -> None:
    pytest.importorskip("jpeglib")
    rng = np.random.default_rng(seed)
    pixels = scene(rng, height, width, kind[0])
    options = {"restart_marker_blocks": restart} if restart else {}
    source = file_of(pixels, subsampling=kind[1], quality=quality, optimize=optimize, **options)
    picture = imaging.read(source)
    mask = rng.random((height, width)) < rng.choice([0.001, 0.02, 0.5])
    cleaned = picture.pixels.copy()
    cleaned[mask] = rng.integers(0, 256, cleaned[mask].shape, np.uint8)
    spliced = jpeg.patch(source, cleaned, mask)
    wanted = with_jpeglib(source, jpeg._new_blocks(source, cleaned, mask))
    nothing = np.zeros_like(mask)
    assert coefficient_difference(spliced, wanted, nothing) == ""
    assert coefficient_difference(source, spliced, mask) == ""
    # Every bit is in its place for a strict decoder too, which sees the same picture in both files.
    colours = "GRAY" if kind[0] == "L" else "RGB"
    seen = simplejpeg.decode_jpeg(spliced, colours, strict=True)
    assert np.array_equal(seen, simplejpeg.decode_jpeg(wanted, colours, strict=True))


def test_nothing_replaced_is_the_same_scan_bit_by_bit(rng: np.random.Generator) -> None:
    for options in ({}, {"optimize": True}, {"subsampling": 2, "restart_marker_blocks": 2}):
        source = file_of(scene(rng, 61, 83, "RGB"), **options)
        assert jpeg.patch(source, imaging.read(source).pixels, np.zeros((61, 83), bool)) == source


def test_a_code_that_optimised_tables_lack_brings_a_table_that_has_it() -> None:
    flat = np.full((64, 64, 3), 90, np.uint8)
    source = file_of(flat, optimize=True, quality=95)
    noisy = np.random.default_rng(0).integers(0, 256, (64, 64, 1), np.uint8).repeat(3, axis=2)
    mask = np.zeros((64, 64), bool)
    mask[20:30, 20:30] = True
    made = jpeg.patch(source, noisy, mask)
    assert jpeg.difference(flat, source, made, mask) == ""
    inside = imaging.read(made).pixels[20:30, 20:30].astype(int)
    assert np.abs(inside - noisy[20:30, 20:30]).mean() < 5
    # and a second patch finds its codes
    again = jpeg.patch(made, flat, mask)
    assert np.abs(imaging.read(again).pixels.astype(int) - 90).max() <= 2


@pytest.mark.parametrize("restart", [0, 2])
def test_damaged_scans_are_refused_never_crash(restart: int) -> None:
    rng = np.random.default_rng(restart)
    options = {"restart_marker_blocks": restart} if restart else {}
    source = file_of(scene(rng, 70, 90, "RGB"), quality=80, **options)
    blocks = jpeg._new_blocks(source, 255 - imaging.read(source).pixels, rng.random((70, 90)) < 0.1)
    outcomes = set()
    for _ in range(400):
        data = bytearray(source)
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(2, len(data))] = rng.integers(0, 256)
        if rng.random() < 0.3:
            del data[rng.integers(2, len(data)) :]
        try:
            jpeg._spliced(bytes(data), blocks)
            outcomes.add("written")
        except ValueError as exc:
            outcomes.add(str(exc))
    assert "the scan is damaged" in outcomes
    assert "written" in outcomes  # a changed bit can be another picture


def test_progressive_files_need_jpeglib_and_several_scans_do_too(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = scene(rng, 40, 40, "RGB")
    assert jpeg.available(file_of(pixels))

    def gone(package: str, extra: str) -> None:
        raise MissingDependencyError(package)

    monkeypatch.setattr(jpeg, "require", gone)
    assert not jpeg.available(file_of(pixels, progressive=True))
    assert jpeg.available(file_of(pixels))
    picture = imaging.read(file_of(pixels, progressive=True))
    mask = np.zeros((40, 40), bool)
    mask[3, 3] = True
    made = imaging.patched(picture, 255 - picture.pixels, mask)
    assert "re-encoded at quality" in made.how


def test_a_temporary_folder_that_cannot_be_used_is_named(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("jpeglib")
    picture = imaging.read(file_of(scene(rng, 40, 40, "RGB"), progressive=True))
    mask = np.zeros((40, 40), bool)
    mask[3:9, 3:9] = True
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(ImageError, match=r"temporary folder .*/gone, which TMPDIR can move: No such"):
        imaging.patched(picture, picture.pixels // 2, mask)


def test_what_jpeglib_cannot_read_is_no_matter_of_the_temporary_folder() -> None:
    with pytest.raises(ValueError, match=r"^damaged, or of a kind whose coefficients jpeglib cannot read$"):
        jpeg.read_coefficients(bytes(imagecodecs.jpeg8_encode(np.zeros((16, 16), np.uint8), lossless=True)))


def test_a_frame_of_a_film_without_code_tables_is_cleaned(rng: np.random.Generator) -> None:
    source = file_of(scene(rng, 40, 40, "RGB"))
    segments = metadata.jpeg_segments(source)
    bare = metadata.join_jpeg([s for s in segments.head if s[0] != 0xC4], source[segments.scan_start :])
    picture = imaging.read(bare)
    mask = np.zeros((40, 40), bool)
    mask[3:9, 3:9] = True
    made = imaging.patched(picture, picture.pixels // 2, mask)
    assert coefficient_difference(source, made.data, mask) == ""
    assert (imaging.read(made.data).pixels != picture.pixels).any()
