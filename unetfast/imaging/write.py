"""A Picture becomes bytes, and a file."""

from __future__ import annotations

import dataclasses
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import tifffile
from numpy.typing import NDArray
from PIL import Image

from unetfast.errors import ImageError, InputError, one_line
from unetfast.imaging import metadata, png
from unetfast.imaging.atomic import atomic_write
from unetfast.imaging.convert import unorient
from unetfast.imaging.formats import EXTENSIONS
from unetfast.imaging.picture import Picture

__all__ = ["encode", "jpeg_settings", "write"]

JPEG_QUALITY = 95
_DTYPES = ("uint8", "uint16", "float32")


def write(path: Path | str, picture: Picture) -> None:
    """Encode a picture in the format of the file name's ending and write it atomically.

    Raises
    ------
    ImageError
        For an unknown ending, a picture the format cannot hold, or a failed write.
    """
    path = Path(path)
    known = {ending: name for name, endings in EXTENSIONS.items() for ending in endings}
    if path.suffix.lower() not in known:
        raise ImageError(f"{path}: unknown image ending {path.suffix!r} (known: {', '.join(known)})")
    try:
        data = encode(picture, known[path.suffix.lower()])
    except InputError as exc:
        raise ImageError(f"{path}: {exc}") from exc
    atomic_write(path, data)


def encode(picture: Picture, format: str | None = None) -> bytes:
    """Return a picture as a file's bytes, stored in its original orientation with its metadata.

    Upright where the format has no place for the orientation. The profile of CMYK, which does not fit
    its RGB rendering, is left out.

    Parameters
    ----------
    picture : Picture
    format : str, optional
        A key of ``formats.EXTENSIONS``; default: the picture's own.

    Raises
    ------
    InputError
        When the format cannot hold the pixels (16 bit as JPEG, float as PNG), or there are none.
    """
    _check(picture)
    format = format or picture.format
    turned = format == "tiff" or (
        format != "bmp" and metadata.exif_orientation(picture.exif) == picture.orientation
    )
    pixels = unorient(picture.pixels, picture.orientation) if turned else picture.pixels
    picture = dataclasses.replace(picture, icc=None) if picture.inks is not None else picture
    try:
        return _encoded(format, pixels, picture)
    except InputError:
        raise
    except ValueError as exc:  # such as of the encoders for JPEG and WebP, which have a longest side
        raise InputError(f"{format}: {one_line(exc)}") from exc


def _check(picture: Picture) -> None:
    if not isinstance(picture, Picture):
        raise InputError(
            f"what is written is a Picture; got {type(picture).__name__}. Of an array (H, W, C): "
            "unetfast.imaging.Picture(array, 'png')"
        )
    pixels = picture.pixels
    if getattr(pixels, "ndim", 0) != 3 or not pixels.size or pixels.dtype.name not in _DTYPES:
        got = f"{pixels.shape} {pixels.dtype}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise InputError(f"pixels must be (H, W, C) of {', '.join(_DTYPES)}, and not empty; got {got}")


def _encoded(format: str, pixels: NDArray[Any], picture: Picture) -> bytes:
    if format == "tiff":
        return _encode_tiff(pixels, picture)
    if pixels.shape[2] > 4:
        raise InputError(f"{format} holds up to 4 channels; the picture has {pixels.shape[2]}: write TIFF")
    if format == "png":
        return _encode_png(pixels, picture)
    if pixels.dtype != np.uint8:
        raise InputError(
            f"{format} holds 8 bits per channel; the picture has {pixels.dtype}: write PNG or TIFF"
        )
    if format == "jpeg":
        return _encode_jpeg(pixels, picture)
    if format == "bmp":
        return _encode_bmp(pixels, picture)
    if format == "webp":
        return _encode_webp(pixels, picture)
    raise InputError(f"unknown image format {format!r} (known: {', '.join(EXTENSIONS)})")


def _flat(pixels: NDArray[Any]) -> NDArray[Any]:
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels


def _encode_png(pixels: NDArray[Any], picture: Picture) -> bytes:
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f"PNG holds 8 or 16 bits per channel; the picture has {pixels.dtype}: write TIFF")
    own = picture.source if picture.format == "png" else None
    return png.encode(pixels, own, icc=picture.icc, exif=picture.exif)


def _encode_jpeg(pixels: NDArray[np.uint8], picture: Picture) -> bytes:
    channels = pixels.shape[2]
    if channels in (2, 4):
        raise InputError("JPEG holds no transparency; write PNG or TIFF")
    quality, sampling = JPEG_QUALITY, "444"
    if picture.format == "jpeg" and picture.source is not None:
        quality, sampling = jpeg_settings(picture.source)
    sampling = "Gray" if channels == 1 else sampling
    encoded = simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels),
        quality=quality,
        colorspace="GRAY" if channels == 1 else "RGB",
        colorsubsampling=sampling,
    )
    return _with_jpeg_metadata(encoded, picture)


def _with_jpeg_metadata(encoded: bytes, picture: Picture) -> bytes:
    """Put the metadata of the original in place of an encoder's own."""
    if picture.format == "jpeg" and picture.source is not None:
        kept = [s for s in metadata.jpeg_segments(picture.source).head if metadata.is_metadata(*s)]
    else:
        kept = _jpeg_metadata(picture)
    made = metadata.jpeg_segments(encoded)
    # An original's JFIF segment holds its DPI. Its Adobe segment names the colour transform of
    # its own scans, which the new ones (always YCbCr or grey) do not share.
    kept = [s for s in kept if s[0] != 0xEE]
    jfif = [s for s in kept if s[0] == 0xE0] or [s for s in made.head if s[0] == 0xE0]
    tables = [s for s in made.head if not metadata.is_metadata(*s)]
    return metadata.join_jpeg(
        [*jfif, *(s for s in kept if s[0] != 0xE0), *tables], encoded[made.scan_start :]
    )


def _jpeg_metadata(picture: Picture) -> list[tuple[int, bytes]]:
    kept = []
    if picture.exif:
        kept.append((0xE1, b"Exif\0\0" + picture.exif))
    icc = picture.icc or b""
    parts = [icc[i : i + 65000] for i in range(0, len(icc), 65000)]
    kept += [(0xE2, b"ICC_PROFILE\0" + bytes((i + 1, len(parts))) + part) for i, part in enumerate(parts)]
    if max((len(body) for _, body in kept), default=0) > 65533:
        raise InputError("its EXIF block is larger than JPEG can hold")
    return kept


def jpeg_settings(data: bytes) -> tuple[int, str]:
    """Return the quality and chroma sampling that come nearest to a file's own.

    The quality is the libjpeg setting whose luminance table has the nearest sum
    (Annex K's table scaled as ``jpeg_quality_scaling`` does).
    """
    table = None
    for marker, payload in metadata.jpeg_segments(data).head:
        if marker == 0xDB and len(payload) >= 65 and payload[0] == 0:
            table = sum(payload[1:65])
            break
    _h, _w, _colour, sampling = simplejpeg.decode_jpeg_header(data, strict=False)
    sampling = sampling if sampling in ("444", "422", "420", "440", "411") else "444"
    if table is None:
        return JPEG_QUALITY, sampling
    return min(range(1, 101), key=lambda q: (abs(_luminance_sum(q) - table), -q)), sampling


_ANNEX_K = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)


def _luminance_sum(quality: int) -> int:
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return sum(min(max((base * scale + 50) // 100, 1), 255) for base in _ANNEX_K)


def _encode_tiff(pixels: NDArray[Any], picture: Picture) -> bytes:
    tags: list[tuple[int, str, int, Any, bool]] = []
    if picture.orientation != 1:
        tags.append((274, "H", 1, picture.orientation, True))
    out = io.BytesIO()
    channels = pixels.shape[2]
    photometric, extra = "rgb" if channels >= 3 else "minisblack", ["unassalpha"] * (channels in (2, 4))
    if picture.stack:
        photometric, extra = "minisblack", ["unspecified"] * (channels - 1)
    tifffile.imwrite(
        out,
        _flat(pixels),
        photometric=photometric,
        extrasamples=extra or None,
        planarconfig="contig" if channels > 1 else None,
        compression="zlib",
        predictor=True,
        iccprofile=picture.icc,
        extratags=tags,
        metadata=None,
        software=False,
    )
    return out.getvalue()


def _encode_bmp(pixels: NDArray[np.uint8], picture: Picture) -> bytes:
    if pixels.shape[2] in (2, 4):
        raise InputError("BMP holds no transparency; write PNG or TIFF")
    settings: dict[str, Any] = {}
    if picture.source is not None and picture.format == "bmp" and picture.source[14] >= 40:
        per_m = struct.unpack_from("<ii", picture.source, 38)
        if min(per_m) > 0:
            settings["dpi"] = tuple(value / 39.3701 for value in per_m)
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(_flat(pixels))).save(out, "BMP", **settings)
    return out.getvalue()


_WEBP_IMAGE = (b"VP8 ", b"VP8L", b"ALPH")


def _encode_webp(pixels: NDArray[np.uint8], picture: Picture) -> bytes:
    """Return a lossless WebP file; in one made from WebP all other chunks stay."""
    image = Image.fromarray(np.ascontiguousarray(_flat(pixels)))
    image = image.convert("RGBA") if image.mode == "LA" else image
    settings: dict[str, Any] = {"lossless": True, "exact": True, "method": 1}
    out = io.BytesIO()
    if picture.source is None or picture.format != "webp":
        image.save(out, "WEBP", exif=picture.exif or b"", icc_profile=picture.icc or b"", **settings)
        return out.getvalue()
    image.save(out, "WEBP", exif=b"", icc_profile=b"", **settings)
    made = next(c for c in metadata.riff_chunks(out.getvalue()) if c[0] == b"VP8L")
    chunks = metadata.riff_chunks(picture.source)
    first = next(number for number, (kind, _) in enumerate(chunks) if kind in _WEBP_IMAGE)
    others = [c for c in chunks[first:] if c[0] not in _WEBP_IMAGE]
    return metadata.riff_file([*chunks[:first], made, *others])
