"""A cleaned file keeps what its container holds beside the pixels, or says what it could not keep."""

from __future__ import annotations

import io
import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from kept_files import FILL, FOUR, GREY, HEIGHT, MASK, RGB, WIDTH, bmp, cleaned, pillow, png
from pictures import encoded
from PIL import Image

from unetfast import imaging
from unetfast.errors import ImageError
from unetfast.imaging import metadata


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
    near_lossless = bytes(imagecodecs.jpegls_encode(RGB))
    comment = near_lossless[:2] + b"\xff\xfe\0\4ab" + near_lossless[2:]
    for data in (near_lossless, comment):
        with pytest.raises(ImageError, match=r"a JPEG-LS file; JPEG, .* are read: convert it to one of them"):
            imaging.read(data)
    raw = io.BytesIO()
    tifffile.imwrite(raw, RGB, photometric="rgb", subfiletype=1)
    with pytest.raises(ImageError, match="without a full-size page"):
        imaging.read(raw.getvalue())


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
    assert cleaned(data + b"film").how.endswith("; left out: 4 bytes behind the picture")
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
