"""What in the file of a cleaned picture still shows, or vouches for, the picture as it was."""

from __future__ import annotations

from typing import Any

from unetfast.imaging import metadata
from unetfast.imaging.picture import Picture

__all__ = ["CREDENTIALS", "PHOTOSHOP_PREVIEW", "has_photoshop_preview", "stale"]

CREDENTIALS = "its content credentials (C2PA), which vouch for the original, no longer hold"
PHOTOSHOP_PREVIEW = "the small preview that Photoshop keeps in it stays as it was"
_PHOTOSHOP = b"Photoshop 3.0\0"
_APP0, _APP11, _APP13 = 0xE0, 0xEB, 0xED


def stale(picture: Picture) -> list[str]:
    """Name what stays in a cleaned JPEG, PNG or WebP file; of TIFF ``tiff.remarks`` does."""
    found = []
    if metadata.exif_preview(picture.exif):
        found.append("the small preview in its EXIF stays as it was")
    if picture.format == "jpeg" and picture.source is not None:
        head = metadata.jpeg_segments(picture.source).head
        if any(marker == _APP0 and _has_jfif_preview(body) for marker, body in head):
            found.append("the small preview in its JFIF segment stays as it was")
        photoshop = [body for marker, body in head if marker == _APP13 and body.startswith(_PHOTOSHOP)]
        if any(map(has_photoshop_preview, photoshop)):
            found.append(PHOTOSHOP_PREVIEW)
        if any(marker == _APP11 and b"c2pa" in body for marker, body in head):
            found.append(CREDENTIALS)
    chunks = metadata.riff_chunks(picture.source) if picture.format == "webp" and picture.source else []
    if any(kind == b"C2PA" for kind, _ in chunks):
        found.append(CREDENTIALS)
    return found


def has_photoshop_preview(resources: Any) -> bool:
    """Tell whether Photoshop's image resources, of a segment or tag, hold a small picture (1033, 1036)."""
    return isinstance(resources, bytes) and (b"8BIM\x04\x09" in resources or b"8BIM\x04\x0c" in resources)


def _has_jfif_preview(body: bytes) -> bool:
    # JFIF 1.02: its width and height; or a segment of its own.
    return body.startswith(b"JFXX\0") or (body.startswith(b"JFIF\0") and len(body) > 14 and all(body[12:14]))
