"""A cleaned PNG stays of its kind and keeps its chunks, or says what it could not keep."""

from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import pytest
from kept_files import FILL, GREY, HEIGHT, MASK, RGB, WIDTH, cleaned, colours, png
from pictures import encoded
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from unetfast import imaging
from unetfast.imaging import metadata

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


SIXTEEN = np.dstack([RGB, GREY]).astype(np.uint16) * 257 + 3
SIXTEEN[SIXTEEN > 65000] = 65000


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
