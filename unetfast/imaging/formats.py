"""What a file is and how many pixels it claims, read from its first bytes.

Nothing here decodes a pixel, so a decompression bomb is refused before any decoder sees it,
whichever decoder that would have been.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from unetfast.errors import ImageError, InputError
from unetfast.imaging import pnm
from unetfast.imaging.metadata import PNG_SIGNATURE, jpeg_frame, jpeg_segments
from unetfast.spec import MAX_PIXELS

__all__ = ["ENDINGS", "EXTENSIONS", "MAX_PIXELS", "TIFF_SIGNATURES", "Header", "check_pixels", "header"]

# File name endings (lower case) of each format; the first is the one given to new files.
EXTENSIONS = {
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "png": (".png",),
    "tiff": (".tif", ".tiff"),
    "bmp": (".bmp", ".dib"),
    "webp": (".webp",),
}
ENDINGS = {ending for endings in EXTENSIONS.values() for ending in endings}

TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two of BigTIFF

_JPEG_LS = 0xF7  # the marker of its frame header
_KNOWN_BUT_REFUSED = (
    (b"\xff\xd8", "a JPEG-LS file"),  # JPEG begins so too, and was recognised before
    (b"GIF8", "a GIF file"),
    (b"%PDF", "a PDF file"),
    (b"%!PS", "a PostScript file"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 file"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 file"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL file"),
    (b"\xff\x0a", "a JPEG XL file"),
    (b"8BPS", "a Photoshop file"),
    (b"PK\x03\x04", "a ZIP archive (its photos: unetfast run zip://::FILE.zip)"),
    (PNG_SIGNATURE, "a PNG file as Apple packs it into apps (CgBI)"),
)


@dataclass(frozen=True)
class Header:
    """What the first bytes of a file claim.

    Attributes
    ----------
    format : {"jpeg", "png", "tiff", "bmp", "webp", "npy", "pnm"}
    width, height : int
        As stored, before any EXIF orientation; 0 for TIFF, whose pages are looked at one by one, and npy.
    animated : bool
        APNG or animated WebP.
    """

    format: str
    width: int
    height: int
    animated: bool = False


def header(data: bytes, name: str) -> Header:
    """Recognise a file by its content, never by its name.

    Parameters
    ----------
    data : bytes
        The whole file.
    name : str
        Its path, for messages.

    Raises
    ------
    ImageError
        When it is none of the formats, or its header is damaged.
    InputError
        When `data` is not bytes.
    """
    if not isinstance(data, bytes):
        raise InputError(f"{name}: a file's bytes are wanted; got {type(data).__name__}")
    if not data:
        raise ImageError(f"{name}: the file is empty (0 bytes)")
    try:
        if data[:2] == b"\xff\xd8" and (found := _jpeg(data)):
            return found
        if data[:8] == PNG_SIGNATURE and data[12:16] != b"CgBI":
            return _png(data)
        if data[:4] in TIFF_SIGNATURES:
            return Header("tiff", 0, 0)
        if data[:6] == b"\x93NUMPY":
            return Header("npy", 0, 0)
        if data[:2] == b"BM":
            return _bmp(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
        if data[:1] == b"P" and (sides := pnm.sides(data)):
            return Header("pnm", *sides)
    except (struct.error, IndexError, ValueError) as exc:
        raise ImageError(f"{name}: damaged or cut off in its header: {exc}") from exc
    words = _what_it_is(data)
    what_to_do = "" if words.startswith(("not an image", "a ZIP")) else ": convert it to one of them first"
    raise ImageError(f"{name}: {words}; JPEG, PNG, TIFF, BMP and WebP are read{what_to_do}")


def _what_it_is(data: bytes) -> str:
    for magic, words in _KNOWN_BUT_REFUSED:
        if data.startswith(magic):
            return words
    if data[4:8] == b"ftyp":  # the container of all of them
        return "a HEIC, AVIF, raw (CR3) or film file"
    if b"\0" not in data[:512]:
        try:
            data[:512].decode("utf-8", errors="strict")
            return "not an image (it holds text)"
        except UnicodeDecodeError:
            pass
    return "not an image"


def _megapixels(pixels: int) -> str:
    return f"{pixels / 1e6:.0f} megapixels" if pixels >= 10**7 else f"{pixels:,} pixels"


def check_pixels(width: int, height: int, name: str, max_pixels: int) -> None:
    """Raise ImageError where a picture is empty or claims more than `max_pixels`."""
    if width < 1 or height < 1:
        raise ImageError(f"{name}: damaged: its size is {width}x{height}")
    if width * height > max_pixels:
        raise ImageError(
            f"{name}: {width}x{height} is {_megapixels(width * height)}, over the limit of "
            f"{_megapixels(max_pixels)}; if the file is genuine, cut it into tiles, or give unetfast run a "
            "larger --max-pixels"
        )


def _jpeg(data: bytes) -> Header | None:
    """Return what a JPEG file claims, None for JPEG-LS."""
    segments = jpeg_segments(data)
    if any(marker == _JPEG_LS for marker, _ in segments.head):
        return None
    height, width = struct.unpack_from(">HH", jpeg_frame(segments)[1], 1)
    return Header("jpeg", width, height)


def _png(data: bytes) -> Header:
    if data[12:16] != b"IHDR":
        raise ValueError("no PNG header chunk")
    width, height = struct.unpack_from(">II", data, 16)
    return Header("png", width, height, animated=data.find(b"acTL", 0, data.find(b"IDAT") + 1) >= 0)


def _bmp(data: bytes) -> Header:
    (size,) = struct.unpack_from("<I", data, 14)
    if size == 12:
        width, height = struct.unpack_from("<HH", data, 18)
        return Header("bmp", width, height)
    width, height = struct.unpack_from("<ii", data, 18)
    return Header("bmp", width, abs(height))  # a negative height means rows from the top


def _webp(data: bytes) -> Header:
    kind = data[12:16]
    if kind == b"VP8X":
        flags = data[20]
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
        return Header("webp", width, height, animated=bool(flags & 2))
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return Header("webp", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Header("webp", width & 0x3FFF, height & 0x3FFF)
    raise ValueError("no WebP image chunk")
