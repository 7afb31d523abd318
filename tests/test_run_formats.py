"""Outside the mask a cleaned photo is what it was, in every format and under its own name."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from coefficients import coefficient_difference
from darkness_model import darkness
from PIL import Image
from runs import entries, folder_of_photos, photo, settings, tree

import unetfast
from unetfast import imaging
from unetfast.inpainting.mask import dilate
from unetfast.pipeline.run import run

FORMATS: dict[str, Callable[[np.ndarray], bytes]] = {}


def _pillow(name: str, mode: str = "RGB", **options: Any) -> None:
    def make(image: np.ndarray) -> bytes:
        out = io.BytesIO()
        Image.fromarray(image).convert(mode, dither=Image.Dither.NONE).save(
            out, name.partition("-")[0].upper(), **options
        )
        return out.getvalue()

    FORMATS[f"{name}-{mode}"] = make


def _tiff(name: str, convert: Callable[[np.ndarray], np.ndarray], **options: Any) -> None:
    def make(image: np.ndarray) -> bytes:
        out = io.BytesIO()
        array = convert(image)
        tifffile.imwrite(out, array, photometric="rgb" if array.ndim == 3 else "minisblack", **options)
        return out.getvalue()

    FORMATS[f"tiff-{name}"] = make


for mode in ("RGB", "RGBA", "L", "LA", "1"):
    _pillow("png", mode)


_pillow("bmp")


_pillow("webp", lossless=True)


_tiff("8", lambda image: image)


_tiff("16-big-endian", lambda image: image.astype(np.uint16) * 257, byteorder=">", compression="lzw")


_tiff("tiled-bigtiff", lambda image: image, tile=(32, 32), bigtiff=True, compression="zlib", predictor=True)


_tiff("float", lambda image: (image[..., 0] / 255).astype(np.float32))


@pytest.mark.parametrize("name", FORMATS)
def test_lossless_formats_are_bit_identical_outside_the_mask(name: str, tmp_path: Path, model: Path) -> None:
    (tmp_path / "in").mkdir()
    ending = "tif" if name.startswith("tiff") else name.partition("-")[0]
    path = tmp_path / "in" / f"a.{ending}"
    path.write_bytes(FORMATS[name](photo()))
    summary = run([str(path.parent)], tmp_path / "out", settings(), model=model)
    assert summary.exit_code == 0, entries(tmp_path / "out")
    before, after = imaging.read(path), imaging.read(tmp_path / "out" / path.name)
    mask = imaging.read_mask(tmp_path / "out" / "masks" / "a.png").values.astype(bool)
    assert mask.any()
    assert after.pixels.dtype == before.pixels.dtype
    assert after.pixels.shape == before.pixels.shape
    assert np.array_equal(after.pixels[~mask], before.pixels[~mask])
    assert not np.array_equal(after.pixels[mask], before.pixels[mask])


def test_a_cmyk_photo_is_cleaned_and_stays_one(tmp_path: Path, model: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(photo()).convert("CMYK").save(tmp_path / "in" / "a.jpg", quality=95)
    assert run([str(tmp_path / "in")], tmp_path / "out", settings(), model=model).done == 1
    before, after = imaging.read(tmp_path / "in" / "a.jpg"), imaging.read(tmp_path / "out" / "a.jpg")
    mask = imaging.read_mask(tmp_path / "out" / "masks" / "a.png").values != 0
    assert mask.any()
    assert after.inks is not None
    assert before.pixels[mask].mean() + 30 < after.pixels[mask].mean()
    far = cv2.dilate(mask.astype(np.uint8), np.ones((49, 49), np.uint8)) == 0
    assert np.array_equal(after.samples[far], before.samples[far])


def test_what_was_let_through_is_noted(tmp_path: Path, model: Path) -> None:
    (tmp_path / "in").mkdir()
    padded = io.BytesIO()
    Image.fromarray(photo()).save(padded, "JPEG")
    padded = padded.getvalue().removesuffix(b"\xff\xd9") + bytes(9) + b"\xff\xd9"
    (tmp_path / "in" / "a.jpg").write_bytes(padded)
    run([str(tmp_path / "in")], tmp_path / "out", settings(), model=model)
    assert "extraneous bytes" in entries(tmp_path / "out")["a.jpg"]["notes"]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_rotated_jpeg_keeps_untouched_blocks_and_its_tag(
    orientation: int, tmp_path: Path, model: Path
) -> None:
    pytest.importorskip("jpeglib")

    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "in").mkdir()
    Image.fromarray(photo()).save(tmp_path / "in" / "a.jpg", quality=90, exif=exif)
    run([str(tmp_path / "in")], tmp_path / "out", settings(jpeg="lossless-blocks"), model=model)
    before, after = imaging.read(tmp_path / "in" / "a.jpg"), imaging.read(tmp_path / "out" / "a.jpg")
    assert after.orientation == orientation
    mask = imaging.read_mask(tmp_path / "out" / "masks" / "a.png").values.astype(bool)
    assert mask.shape == before.pixels.shape[:2]  # masks are upright, as the photo is seen
    assert before.source is not None
    assert after.source is not None
    assert coefficient_difference(before.source, after.source, imaging.unorient(mask, orientation)) == ""
    assert after.pixels[mask].mean() > before.pixels[mask].mean() + 30


# -- names


def test_names_never_collide(tmp_path: Path, model: Path) -> None:
    source = tmp_path / "in"
    pictures = {
        name: photo(i)
        for i, name in enumerate(
            ["a.png", "a.bmp", "A.png", "sub/a.png", "masks/a.png", "-x y\n.png", "overlays/ü.png"]
        )
    }
    for name, image in pictures.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        imaging.write(source / name, imaging.Picture(image, name[-3:]))
    summary = run([str(source)], tmp_path / "out", settings(recursive=True), model=model)
    assert (summary.done, summary.failed) == (len(pictures), 0)
    for name, line in entries(tmp_path / "out").items():
        wanted = unetfast.inpaint(pictures[name], dilate(darkness(pictures[name]), 2), 0)
        assert np.array_equal(imaging.read(tmp_path / "out" / line["outputs"]["cleaned"]).pixels, wanted), (
            name
        )


def test_a_name_that_lies_about_its_content_is_completed(tmp_path: Path, model: Path) -> None:
    photos = folder_of_photos(tmp_path / "in", 2)
    (photos / "p0.png").rename(photos / "p0.jpg")
    (photos / "p1.png").rename(photos / "p1.jpg")
    imaging.write(photos / "p1.jpg.png", imaging.Picture(photo(5), "png"))  # the name p1.jpg would need
    summary = run([str(photos)], tmp_path / "out", settings(save_masks=False), model=model)
    assert (summary.done, summary.failed) == (2, 1)
    assert sorted(tree(tmp_path / "out")) == ["p0.jpg.png", "p1.jpg.png"]
    assert "holds a PNG picture" in entries(tmp_path / "out")["p1.jpg"]["reason"]
    assert run([str(photos)], tmp_path / "out", settings(save_masks=False), model=model).unchanged == 2
