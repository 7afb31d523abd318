"""A file becomes a Picture.

Everything is decoded from bytes in memory: OpenCV's file functions crash on names that are not
UTF-8, and follow links and pipes.
"""

from __future__ import annotations

import dataclasses
import io
import logging
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from unetfast.errors import ImageError
from unetfast.imaging import metadata, pillow, pnm, stack, tiff
from unetfast.imaging.convert import narrow_range, orient
from unetfast.imaging.decoding import decoding
from unetfast.imaging.formats import MAX_PIXELS, Header, check_pixels, header
from unetfast.imaging.jpeg_pixels import decode_jpeg
from unetfast.imaging.picture import Picture
from unetfast.imaging.place import place_of
from unetfast.imaging.source import Source, name_of, read_bytes
from unetfast.spec import FileRef

__all__ = ["decode", "read"]

# libpng's remarks on damaged profiles name no file; what matters raises.
logging.getLogger("imagecodecs").setLevel(logging.CRITICAL)


def read(source: Source, *, max_pixels: int = MAX_PIXELS, pages: bool = False) -> Picture:
    """Read a JPEG, PNG, TIFF, BMP, WebP, PNM or .npy file; the pixels come out upright.

    Parameters
    ----------
    source : Path, str, bytes or FileRef
    max_pixels, pages
        As :func:`decode`.

    Raises
    ------
    ImageError
        The message starts with the path and says why.
    """
    if isinstance(source, FileRef) and source.further:
        files = (dataclasses.replace(source, further=()), *source.further)
        pictures = [read(file, max_pixels=max_pixels) for file in files]
        pixels = stack.together([(picture.name, picture.pixels) for picture in pictures])
        return Picture(pixels, pictures[0].format, name=name_of(source), stack=True)
    return decode(read_bytes(source), name_of(source), max_pixels=max_pixels, pages=pages)


def decode(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS, pages: bool = False) -> Picture:
    """Decode a file's bytes; the pixels come out upright.

    The format is told from the content. A file that is cut off or damaged is an error, never a
    half-grey picture. CMYK is rendered to RGB, palettes are expanded, 1-bit becomes 0 and 255.

    Parameters
    ----------
    data : bytes
        The whole file.
    name : str
        Its path, for messages.
    max_pixels : int
        Refuse larger pictures before decoding them.
    pages : bool
        The pages of a TIFF file are the channels of one picture; otherwise several are refused.

    Raises
    ------
    ImageError
        The message starts with `name` and says why.
    """
    head = header(data, name)
    if head.animated:
        raise ImageError(f"{name}: an animation; only still pictures are read")
    sized = head.format not in ("tiff", "npy")
    if sized:
        check_pixels(head.width, head.height, name, max_pixels)
    with decoding(name):
        picture = _stored(data, name, head, max_pixels, pages)
    height, width = picture.pixels.shape[:2]
    if sized and (height, width) != (head.height, head.width):
        raise ImageError(f"{name}: damaged: decoded to {width}x{height}, not as its header says")
    if (found := narrow_range(picture.pixels)) is not None:
        low, high = found
        note = f"16-bit samples of {low} to {high}: of so few a network sees little; stretch them"
        picture = dataclasses.replace(picture, notes=(*picture.notes, note))
    return _upright(picture)


def _stored(data: bytes, name: str, head: Header, max_pixels: int, pages: bool) -> Picture:
    """Decode a file, with the pixels as they are stored."""
    if head.format == "jpeg":
        return decode_jpeg(data, name)
    if head.format == "png":
        return _png(data, name)
    if head.format == "tiff":
        return _tiff(data, name, max_pixels, pages)
    if head.format == "npy":
        return _npy(data, name, max_pixels)
    if head.format == "pnm":
        return Picture(pnm.decode(data), "pnm", name=name, source=data)
    return _with_pillow(data, name, head)


def _upright(picture: Picture) -> Picture:
    if picture.orientation == 1:
        return picture
    pixels = orient(picture.pixels, picture.orientation)
    inks = None if picture.inks is None else orient(picture.inks, picture.orientation)
    blank = None if picture.blank is None else orient(picture.blank, picture.orientation)
    return dataclasses.replace(picture, pixels=pixels, inks=inks, blank=blank)


def _transparent(pixels: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return which pixels of (H, W, C) grey or RGB with alpha are fully transparent, None for none."""
    blank = pixels[:, :, -1] == 0 if pixels.shape[2] in (2, 4) else None
    return blank if blank is not None and blank.any() else None


def _png(data: bytes, name: str) -> Picture:
    chunks = metadata.png_chunks(data)
    first = dict(reversed(chunks))
    if unknown := metadata.png_unknown(chunks):
        raise ImageError(
            f"{name}: a PNG file that only readers of its chunk {unknown!r} can show; save it as PNG again "
            "in the program that wrote it"
        )
    pixels = np.atleast_3d(imagecodecs.png_decode(data))
    return Picture(
        pixels=pixels,
        format="png",
        blank=_transparent(pixels),
        icc=metadata.png_icc(first[b"iCCP"]) if b"iCCP" in first else None,
        exif=first.get(b"eXIf"),
        orientation=metadata.exif_orientation(first.get(b"eXIf")),
        name=name,
        source=data,
    )


def _npy(data: bytes, name: str, max_pixels: int) -> Picture:
    pixels = stack.npy_to_pixels(data, name, max_pixels)
    return Picture(pixels, "npy", name=name, source=data, stack=pixels.shape[2] not in (1, 3))


def _tiff(data: bytes, name: str, max_pixels: int, pages: bool) -> Picture:
    if pages:
        with tiff.pages_of(io.BytesIO(data), name) as found:
            if len(found) > 1:
                for page in found:
                    check_pixels(*tiff.decoded_sides(page), name, max_pixels)
                    tiff.check_structure(page, name)
                pixels = stack.pages_to_pixels(found, name, max_pixels)
                return Picture(pixels, "tiff", name=name, source=data, stack=True)
    with tiff.opened(io.BytesIO(data), name) as page:
        check_pixels(*tiff.decoded_sides(page), name, max_pixels)
        samples = tiff.to_samples(page, name)
        holes = tiff.holes(page)
        pixels = tiff.normal_values(page, samples, name)
        is_stack = tiff.is_stack(page)
        tags = page.tags
        icc = tags.valueof(34675)
        orientation = tiff.orientation_of(page)
        place = place_of(page)
        blank = tiff.blank_of(page, samples)
        if (mask := tiff.mask_of(page)) is not None:
            blank = tiff.masked_out(blank, mask.asarray(maxworkers=1).reshape(*samples.shape[:2], 1))
    return Picture(
        pixels=pixels,
        format="tiff",
        icc=bytes(icc) if icc else None,
        orientation=orientation,
        name=name,
        source=data,
        notes=(holes,) if holes else (),
        inks=samples if page.photometric == 5 else None,
        stack=is_stack,
        blank=None if is_stack else blank,
        place=place,
    )


def _with_pillow(data: bytes, name: str, head: Header) -> Picture:
    with pillow.opened(data, head.format) as image:
        icc, exif = image.info.get("icc_profile"), image.info.get("exif") or b""
        pixels = np.atleast_3d(np.array(image.convert("RGB") if image.mode == "P" else image))
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    exif = exif.removeprefix(b"Exif\0\0")
    return Picture(
        pixels=pixels,
        format=head.format,
        blank=_transparent(pixels) if head.format == "webp" else None,  # many BMPs leave alpha at 0
        icc=icc or None,
        exif=exif or None,
        orientation=metadata.exif_orientation(exif),
        name=name,
        source=data,
    )
