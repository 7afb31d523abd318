"""PNG chunks, JPEG segments and the EXIF orientation tag: bytes in, bytes out."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable
from typing import NamedTuple

__all__ = [
    "PNG_SIGNATURE",
    "JpegSegments",
    "exif_orientation",
    "exif_preview",
    "has_adobe",
    "is_kept",
    "is_metadata",
    "join_jpeg",
    "jpeg_behind",
    "jpeg_end",
    "jpeg_exif",
    "jpeg_frame",
    "jpeg_gathered",
    "jpeg_icc",
    "jpeg_segments",
    "png_chunk",
    "png_chunks",
    "png_file",
    "png_icc",
    "png_unknown",
    "riff_chunks",
    "riff_file",
]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_EXIF = b"Exif\0\0"
_JPEG_PREVIEW = 0x0201  # where it begins
_ICC = b"ICC_PROFILE\0"
_ADOBE = b"Adobe"
# Google's and Adobe's Ultra HDR, ISO 21496-1, Apple's.
_GAIN_MAPS = (b"ns.adobe.com/hdr-gain-map", b"urn:iso:std:iso:ts:21496", b"ns.apple.com/HDRGainMap")
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_COUNTS = {1: "B", 3: "H", 4: "I"}  # EXIF types: orientation is to be a SHORT, and some editors write others


def exif_orientation(exif: bytes | None) -> int:
    """Return the orientation 1..8 of an EXIF block (with or without its ``Exif`` prefix).

    Damaged EXIF gives 1: it is the camera's note about the photo, not the photo.
    """
    if not exif:
        return 1
    tiff = exif.removeprefix(_EXIF)
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (ifd,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, ifd)
        for index in range(entries):
            entry = ifd + 2 + 12 * index
            tag, kind = struct.unpack_from(order + "HH", tiff, entry)
            if tag == 0x0112 and kind in _COUNTS:
                (value,) = struct.unpack_from(order + _COUNTS[kind], tiff, entry + 8)
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


def exif_preview(exif: bytes | None) -> bool:
    """Tell whether an EXIF block holds a small JPEG of its picture; damaged EXIF does not."""
    tiff = (exif or b"").removeprefix(_EXIF)
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return False
    try:
        (ifd,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, ifd)
        (ifd,) = struct.unpack_from(order + "I", tiff, ifd + 2 + 12 * entries)  # the preview's, 0 for none
        if not ifd:
            return False
        (entries,) = struct.unpack_from(order + "H", tiff, ifd)
        tags = [struct.unpack_from(order + "H", tiff, ifd + 2 + 12 * index)[0] for index in range(entries)]
    except struct.error:
        return False
    return _JPEG_PREVIEW in tags


class JpegSegments(NamedTuple):
    """The marker segments of a JPEG file up to its first scan.

    Attributes
    ----------
    head : list of (int, bytes)
        Marker and payload of each segment before the scan.
    scan_start : int
        Where the first SOS marker begins.
    """

    head: list[tuple[int, bytes]]
    scan_start: int


def jpeg_segments(data: bytes) -> JpegSegments:
    """Split a JPEG file.

    Raises
    ------
    ValueError
        When it ends before its first scan.
    """
    head: list[tuple[int, bytes]] = []
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # bytes of filling may stand before a marker
            position += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            position += 2
            continue
        if marker == 0xDA:
            return JpegSegments(head, position)
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == 0xD9 or length < 2:
            break
        head.append((marker, data[position + 4 : position + 2 + length]))
        position += 2 + length
    raise ValueError("the JPEG file ends before its first scan")


def jpeg_frame(segments: JpegSegments) -> tuple[int, bytes]:
    """Return marker and body of the frame header (SOF0 to SOF15), the last where there are several."""
    others = (0xC4, 0xC8, 0xCC)  # DHT, JPG and DAC are numbered like frames
    frames = [(m, body) for m, body in segments.head if 0xC0 <= m <= 0xCF and m not in others]
    if not frames:
        raise ValueError("no JPEG frame header")
    return frames[-1]


# In a scan, 0xFF is followed by 0 (a stuffed byte) or a restart marker; all else ends the scan.
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def jpeg_end(data: bytes) -> int:
    """Return where a JPEG file's picture ends: what follows are other pictures, a film, or padding."""
    position = jpeg_segments(data).scan_start
    while found := _AFTER_SCAN.search(data, position):
        marker, position = data[found.start() + 1], found.end()
        if marker == 0xD9:
            return position
        position += int.from_bytes(data[position : position + 2], "big")
    return len(data)


def jpeg_behind(data: bytes) -> str:
    """Say what lies behind a JPEG file's picture, "" for nothing: a film, other pictures, or only bytes."""
    tail = data[jpeg_end(data) :]
    if not tail:
        return ""
    pictures = tail.count(b"\xff\xd8\xff")
    head = b"".join(body for _, body in jpeg_segments(data).head)
    kinds = []
    if any(words in head for words in _GAIN_MAPS):
        kinds.append("the gain map of an HDR photo, which shows as an ordinary one now")
    elif pictures:
        kinds.append("other pictures in the file" if pictures > 1 else "another picture in the file")
    if b"ftyp" in tail:
        kinds.append("the film of a motion photo")
    return f"{len(tail)} bytes behind the picture" + (f" ({', and '.join(kinds)})" if kinds else "")


def jpeg_gathered(data: bytes) -> bytes:
    """Return a JPEG file with all metadata before its first scan, where some stands behind it.

    Raises
    ------
    ValueError
        When what stands behind it would change how the picture looks once it is in front.
    """
    segments = jpeg_segments(data)
    late: list[tuple[int, bytes]] = []
    scans = []
    kept = position = segments.scan_start
    while (found := _AFTER_SCAN.search(data, position)) and data[found.start() + 1] != 0xD9:
        marker, start = data[found.start() + 1], found.end()
        position = start + int.from_bytes(data[start : start + 2], "big")
        if _describes(marker):
            late.append((marker, data[start + 2 : position]))
            if late[-1][1].startswith((_EXIF, _ICC, _ADOBE)):
                raise ValueError("EXIF, a colour profile or Adobe's mark behind the picture: save it again")
            scans.append(data[kept : found.start()])
            kept = position
    return join_jpeg([*segments.head, *late], b"".join([*scans, data[kept:]])) if late else data


def join_jpeg(head: list[tuple[int, bytes]], scans: bytes) -> bytes:
    """Return a JPEG file from its marker segments and everything from the first scan on."""
    body = b"".join(bytes((0xFF, m)) + struct.pack(">H", len(p) + 2) + p for m, p in head)
    return b"\xff\xd8" + body + scans


def is_metadata(marker: int, payload: bytes) -> bool:
    """Tell whether a JPEG segment describes the photo rather than how its scans are coded."""
    return _describes(marker) and is_kept(marker, payload)


def _describes(marker: int) -> bool:
    return 0xE0 <= marker <= 0xEF or marker == 0xFE


def is_kept(marker: int, payload: bytes) -> bool:
    """Tell whether a segment stays: all but the index (MPF) of pictures behind the first, which go."""
    return not (marker == 0xE2 and payload.startswith(b"MPF\0"))


def has_adobe(segments: JpegSegments) -> bool:
    """Tell whether Adobe's segment, which says what the components are, stands before the scan."""
    return any(marker == 0xEE and payload.startswith(_ADOBE) for marker, payload in segments.head)


def jpeg_exif(segments: JpegSegments) -> bytes | None:
    """Return the EXIF block without its prefix, or None."""
    for marker, payload in segments.head:
        if marker == 0xE1 and payload.startswith(_EXIF):
            return payload[len(_EXIF) :]
    return None


def jpeg_icc(segments: JpegSegments) -> bytes | None:
    """Return the colour profile put together from its parts, or None when it is incomplete."""
    parts = {}
    total = 0
    for marker, payload in segments.head:
        if marker == 0xE2 and payload.startswith(_ICC) and len(payload) > 14:
            parts[payload[12]] = payload[14:]
            total = payload[13]
    if not parts or sorted(parts) != list(range(1, total + 1)):
        return None
    return b"".join(parts[number] for number in sorted(parts))


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Split a PNG file into (type, body) chunks, checking every checksum.

    Raises
    ------
    ValueError
        When the file is cut off or a checksum is wrong.
    """
    chunks = []
    position = len(PNG_SIGNATURE)
    while True:
        if position + 12 > len(data):
            raise ValueError("the PNG file is cut off")
        (length,) = struct.unpack_from(">I", data, position)
        kind = data[position + 4 : position + 8]
        body = data[position + 8 : position + 8 + length]
        if len(body) != length or position + 12 + length > len(data):
            raise ValueError("the PNG file is cut off")
        (crc,) = struct.unpack_from(">I", data, position + 8 + length)
        if crc != zlib.crc32(body, zlib.crc32(kind)):
            raise ValueError(f"wrong checksum in PNG chunk {kind.decode('latin-1')!r}")
        chunks.append((kind, body))
        position += 12 + length
        if kind == b"IEND":
            return chunks


def png_unknown(chunks: Iterable[tuple[bytes, bytes]]) -> str:
    """Name the first chunk that a reader must know and PNG does not have, "" where there is none."""
    odd = (kind for kind, _ in chunks if kind[:1].isupper() and kind not in _CRITICAL)
    return next(odd, b"").decode("latin-1")


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Return one PNG chunk as it stands in a file."""
    return b"".join(
        (struct.pack(">I", len(body)), kind, body, struct.pack(">I", zlib.crc32(body, zlib.crc32(kind))))
    )


def png_file(chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Join chunks into a PNG file."""
    return PNG_SIGNATURE + b"".join(png_chunk(kind, body) for kind, body in chunks)


def png_icc(body: bytes) -> bytes | None:
    """Return the profile inside an iCCP chunk, or None when it is damaged."""
    _name, _, rest = body.partition(b"\0")
    try:
        unpack = zlib.decompressobj()
        return unpack.decompress(rest[1:], 64 * 2**20) or None  # bounded: a profile is data too
    except zlib.error:
        return None


def riff_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Split a WebP file into (type, body) chunks.

    Raises
    ------
    ValueError
        When the file is cut off.
    """
    chunks = []
    position, end = 12, min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    while position + 8 <= end:
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        body = data[position + 8 : position + 8 + length]
        if len(body) != length:
            raise ValueError("the WebP file is cut off")
        chunks.append((data[position : position + 4], body))
        position += 8 + length + length % 2
    return chunks


def riff_file(chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Join chunks into a WebP file."""
    parts = [kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2) for kind, body in chunks]
    joined = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(joined)) + joined
