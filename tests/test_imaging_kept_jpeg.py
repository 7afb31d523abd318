"""A cleaned JPEG keeps its metadata, its look and its inks."""

from __future__ import annotations

import io
import re
import struct
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import simplejpeg
from coefficients import coefficient_difference
from kept_files import INKS, MASK, RGB, cleaned
from pictures import encoded
from PIL import ExifTags, Image

from unetfast import imaging
from unetfast.errors import ImageError, MissingDependencyError
from unetfast.imaging import jpeg, metadata

# -- JPEG


def test_a_jpeg_says_what_it_has_no_more() -> None:
    plain = encoded(Image.fromarray(RGB), "JPEG", quality=90, restart_marker_blocks=2)
    assert cleaned(plain).how == "JPEG: only the blocks under the mask re-encoded"
    assert cleaned(plain + b"more" * 9).how.endswith("; left out: 36 bytes behind the picture")
    assert cleaned(plain + plain).how.endswith(" behind the picture (another picture in the file)")
    film = b"\0\0\0\x18ftypmp42" + bytes(40)
    assert cleaned(plain + film).how.endswith(
        "; left out: 52 bytes behind the picture (the film of a motion photo)"
    )
    progressive = encoded(Image.fromarray(RGB), "JPEG", progressive=True)
    assert metadata.jpeg_end(progressive) == len(progressive)
    assert "; progressive made sequential" in cleaned(progressive).how


def test_an_hdr_photo_without_its_gain_map_says_so() -> None:
    light = np.dstack([(RGB / 255.0) ** 2.2 * 4, np.ones(RGB.shape[:2])]).astype(np.float16)
    side = -(-64 // min(RGB.shape[:2]))
    data = bytes(imagecodecs.ultrahdr_encode(np.tile(light, (side, side, 1))))
    picture = imaging.read(data)
    mask = np.zeros(picture.pixels.shape[:2], np.bool_)
    mask[20:30, 20:24] = True
    made = imaging.patched(picture, picture.pixels, mask)
    words = (
        r"; left out: \d+ bytes behind the picture \(the gain map of an HDR photo, which shows as an ordinary"
    )
    assert re.search(words, made.how)


def test_a_preview_in_exif_is_named() -> None:
    plain = encoded(Image.fromarray(RGB), "JPEG", quality=90)
    small = encoded(Image.fromarray(RGB[::4, ::4]), "JPEG", quality=90)

    def exif(*preview: tuple[int, int]) -> bytes:
        """A block of two directories: of the picture, and of its preview."""
        first = struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, 1, 0, 26 if preview else 0)
        tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in preview)
        second = struct.pack("<H", len(preview)) + tags + bytes(4) if preview else b""
        return b"Exif\0\0II*\0\x08\0\0\0" + first + second

    def photo(block: bytes) -> bytes:
        return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + plain[2:]

    place = 26 + 2 + 2 * 12 + 4
    with_preview = photo(exif((0x0201, place), (0x0202, len(small))) + small)
    with Image.open(io.BytesIO(with_preview)) as image:  # a reader that did not write it
        assert image.getexif().get_ifd(ExifTags.IFD.IFD1)[0x0201] == place
    assert cleaned(with_preview).how.endswith("; the small preview in its EXIF stays as it was")
    for block in (exif(), exif((0x0103, 6)), exif((0x0201, place))[:30]):
        assert "preview" not in cleaned(photo(block)).how


def test_what_shows_or_vouches_for_the_original_is_named() -> None:
    plain = encoded(Image.fromarray(RGB), "JPEG", quality=90)

    def how(marker: int, payload: bytes) -> str:
        segments = metadata.jpeg_segments(plain)
        first = segments.head[1:] if marker == 0xE0 else segments.head
        data = metadata.join_jpeg([(marker, payload), *first], plain[segments.scan_start :])
        made = cleaned(data)
        assert (marker, payload) in metadata.jpeg_segments(made.data).head
        return made.how.removeprefix("JPEG: only the blocks under the mask re-encoded")

    jfif = b"JFIF\0\1\2\1\0\x48\0\x48"
    assert how(0xE0, jfif + b"\0\0") == ""
    assert how(0xE0, jfif + b"\2\2" + bytes(12)) == "; the small preview in its JFIF segment stays as it was"
    resource = b"Photoshop 3.0\x008BIM%b\0\0\0\0\0\4abcd"
    assert how(0xED, resource % b"\x04\x04") == ""  # IPTC: words about the photo
    shown = "; the small preview that Photoshop keeps in it stays as it was"
    assert how(0xED, resource % b"\x04\x0c") == shown
    credentials = b"JP\0\1\0\0\0\1\0\0\0\x1ejumb\0\0\0\x16jumdc2pa"
    no_longer = "; its content credentials (C2PA), which vouch for the original, no longer hold"
    assert how(0xEB, credentials) == no_longer
    webp = encoded(Image.fromarray(RGB), "WEBP", lossless=True, exif=b"Exif\0\0II*\0")
    assert no_longer not in cleaned(webp).how
    webp = metadata.riff_file([*metadata.riff_chunks(webp), (b"C2PA", credentials)])
    assert no_longer in cleaned(webp).how


def test_a_progressive_jpeg_with_more_metadata_than_jpeglib_takes_is_cleaned() -> None:
    pytest.importorskip("jpeglib")
    plain = encoded(Image.fromarray(RGB), "JPEG", quality=90, progressive=True)
    segments = metadata.jpeg_segments(plain)
    many = [(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes([number])) for number in range(60)]
    data = metadata.join_jpeg([*segments.head[:1], *many, *segments.head[1:]], plain[segments.scan_start :])
    made = cleaned(data)
    assert "progressive made sequential" in made.how
    assert coefficient_difference(data, made.data, MASK) == ""
    assert [segment for segment in metadata.jpeg_segments(made.data).head if segment in many] == many


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
