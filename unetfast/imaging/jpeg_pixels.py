"""JPEG pixels, as libjpeg-turbo decodes them; what it does not decode is refused by name."""

from __future__ import annotations

import re

import simplejpeg

from unetfast.errors import ImageError, one_line
from unetfast.imaging import metadata
from unetfast.imaging.convert import cmyk_to_rgb
from unetfast.imaging.picture import Picture

__all__ = ["decode_jpeg", "has_few_left"]


def decode_jpeg(data: bytes, name: str) -> Picture:
    """Decode a JPEG file, as it is stored; CMYK is rendered to RGB, with its inks beside it.

    Raises
    ------
    ImageError
        For more than 8 bits, and for colour sampling that libjpeg-turbo does not know.
    ValueError
        For a damaged file.
    """
    segments = metadata.jpeg_segments(data)
    exif = metadata.jpeg_exif(segments)
    _refuse_unusual(segments, name)
    _height, _width, colour, _sampling = simplejpeg.decode_jpeg_header(data, strict=False)
    wanted = {"Gray": "GRAY", "CMYK": "CMYK", "YCCK": "CMYK"}.get(colour, "RGB")
    notes: tuple[str, ...] = ()
    try:
        pixels = simplejpeg.decode_jpeg(data, wanted, strict=True)
    except ValueError as exc:
        # Cameras that pad their scans are common and lose nothing; any other warning of
        # libjpeg means invented pixels.
        if not _is_padding(str(exc), data):
            raise
        pixels = simplejpeg.decode_jpeg(data, wanted, strict=False)
        notes = (f"decoder warning: {one_line(exc)}",)
    inks = pixels if wanted == "CMYK" else None
    if inks is not None:
        # Files with an Adobe marker store what the inks let through, others the inks.
        pixels = cmyk_to_rgb(inks if metadata.has_adobe(segments) else 255 - inks)
    return Picture(
        pixels=pixels,
        format="jpeg",
        icc=metadata.jpeg_icc(segments),
        exif=exif,
        orientation=metadata.exif_orientation(exif),
        name=name,
        source=data,
        notes=notes,
        inks=inks,
    )


_LEFT_OVER = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]{2})")
_EOI = 0xD9
_FEW = 8  # of 1,500 files with one flipped bit 349 had bytes left over at their end, and none so few


def _left_over(warning: str) -> tuple[int, int]:
    """Return how many bytes a decoder left over, and before which marker; (0, 0) of another warning."""
    found = _LEFT_OVER.search(warning)
    return (int(found[1]), int(found[2], 16)) if found is not None else (0, 0)


def has_few_left(warning: str) -> bool:
    """Tell whether a decoder's warning is of a few bytes at the end of a picture, which lose nothing."""
    count, marker = _left_over(warning)
    return marker == _EOI and count <= _FEW


def _is_padding(warning: str, data: bytes) -> bool:
    """Tell whether what a decoder left over is padding, and not the rest of a picture in which it is lost."""
    count, marker = _left_over(warning)
    if has_few_left(warning):
        return True
    ends = (match.start() for match in re.finditer(re.escape(bytes((0xFF, marker))), data))
    return count > 0 and any(end >= count and set(data[end - count : end]) <= {0, 0xFF} for end in ends)


def _refuse_unusual(segments: metadata.JpegSegments, name: str) -> None:
    """Refuse sound JPEG files of kinds that libjpeg-turbo does not decode, and not as damaged."""
    _, frame = metadata.jpeg_frame(segments)
    if frame[0] != 8:
        raise ImageError(f"{name}: a JPEG of {frame[0]} bits; those of 8 bits are read")
    cells = [(frame[i] >> 4, frame[i] & 15) for i in range(7, 6 + 3 * frame[5], 3)]
    if len(cells) == 3 and (cells[1] != cells[2] or _divided(cells) not in _SAMPLINGS):
        words = ", ".join(f"{across}x{down}" for across, down in cells)
        raise ImageError(
            f"{name}: a JPEG of unusual colour sampling ({words}); save it as 4:4:4 or 4:2:0 first"
        )


# Pixels a chroma sample covers, across and down, of 4:4:4, 4:2:2, 4:2:0, 4:4:0 and 4:1:1.
_SAMPLINGS = {(1, 1), (2, 1), (2, 2), (1, 2), (4, 1)}


def _divided(cells: list[tuple[int, int]]) -> tuple[float, float]:
    (across, down), (chroma_across, chroma_down) = cells[:2]
    return across / max(chroma_across, 1), down / max(chroma_down, 1)
