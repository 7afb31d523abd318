"""A cleaned picture becomes bytes in the way that changes least, and proves it."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import ImageError, InputError, require
from unetfast.imaging import bmp, jpeg, metadata, tiff_patch
from unetfast.imaging.convert import unorient
from unetfast.imaging.read import Picture, read
from unetfast.imaging.write import encode, jpeg_settings

__all__ = ["Patched", "patched"]


class Patched(NamedTuple):
    """The file of a cleaned picture.

    Attributes
    ----------
    data : bytes
    how : str
        One line for the results: what was kept and what was encoded again.
    """

    data: bytes
    how: str


def patched(
    picture: Picture,
    cleaned: NDArray[Any],
    mask: NDArray[np.bool_],
    *,
    jpeg_mode: str = "auto",
    verify: bool = True,
) -> Patched:
    """Encode a cleaned picture in its original's format.

    Where the mask is empty the original's bytes are the answer. Lossless formats keep every pixel
    outside the mask; TIFF files keep every strip or tile that the mask does not touch, JPEG files
    every block.

    Parameters
    ----------
    picture : Picture
        As it was read, with its source.
    cleaned : (H, W, C), as ``picture.pixels``
        The new pixels, upright.
    mask : (H, W) bool
        Where they may differ, upright.
    jpeg_mode : {"auto", "lossless-blocks", "re-encode"}
    verify : bool
        Read the result back and compare it outside the mask.

    Raises
    ------
    ImageError
        When the format cannot hold the result, or the comparison fails.
    MissingDependencyError
        For "lossless-blocks" without jpeglib.
    """
    if picture.source is None:
        raise InputError("a picture without its source cannot be patched")
    if not mask.any():
        return Patched(picture.source, "unchanged: copied byte for byte")
    if picture.cmyk:
        raise ImageError(f"{picture.name}: CMYK: it can be segmented, not cleaned; convert it to RGB first")
    try:
        made, lossless = _encoded(picture, cleaned, mask, jpeg_mode)
    except ImageError:
        raise
    except ValueError as exc:
        raise ImageError(f"{picture.name}: {exc}") from exc
    if verify and lossless:
        _prove(picture, made.data, mask)
    return made


def _encoded(
    picture: Picture, cleaned: NDArray[Any], mask: NDArray[np.bool_], jpeg_mode: str
) -> tuple[Patched, bool]:
    """Return the file and whether it claims to be lossless outside the mask."""
    new = dataclasses.replace(picture, pixels=cleaned)
    assert picture.source is not None
    if picture.format == "jpeg":
        can = jpeg.available(picture.source)
        if jpeg_mode == "lossless-blocks" and not can:
            require("jpeglib", "jpeg")
        if jpeg_mode != "re-encode" and can:
            stored = unorient(cleaned, picture.orientation)
            data = jpeg.patch(picture.source, stored, unorient(mask, picture.orientation))
            how = "JPEG: only the blocks under the mask re-encoded"
            return Patched(data, how + jpeg.losses(picture.source)), True
        quality, sampling = jpeg_settings(picture.source)
        how = f"JPEG: re-encoded at quality {quality}, {sampling}"
        return Patched(encode(new), how + jpeg.losses(picture.source)), False
    if picture.format == "tiff":
        stored = unorient(cleaned, picture.orientation)
        stored_mask = unorient(mask, picture.orientation)
        data, others = tiff_patch.patch(picture.source, stored, stored_mask, picture.name)
        return Patched(data, f"TIFF: only the strips or tiles under the mask re-encoded{others}"), True
    if picture.format == "bmp":
        made = bmp.patch(picture.source, cleaned, mask)
        if made is not None:
            return Patched(made[0], f"BMP: {made[1]}"), True
        how = "BMP: lossless outside the mask; run-length coding and palette undone"
        return Patched(encode(new), how), True
    data = encode(new)
    if picture.format == "webp":
        lossy = any(kind == b"VP8 " for kind, _ in metadata.riff_chunks(picture.source))
        how = "; the file was lossy, so that it grows" if lossy else ""
        return Patched(data, f"WebP: lossless outside the mask{how}"), True
    return Patched(data, f"PNG: lossless outside the mask{_left_out(picture.source, data)}"), True


def _left_out(source: bytes, data: bytes) -> str:
    """Name what of a PNG file holds for the old pixels only (offsets, signatures), or lies behind it."""
    chunks = metadata.png_chunks(source)
    new = {kind for kind, _ in metadata.png_chunks(data)} | {b"PLTE", b"tRNS", b"hIST"}  # said in the notes
    names = sorted({kind.decode("latin-1") for kind, _ in chunks if kind not in new})
    behind = len(source) - len(metadata.png_file(chunks))
    names += ["interlacing"] if source[28] else []
    names += [f"{behind} bytes behind the picture"] if behind else []
    return f"; left out: {', '.join(names)}" if names else ""


def _prove(picture: Picture, data: bytes, mask: NDArray[np.bool_]) -> None:
    """Read a written file back and compare everything that had to stay."""
    assert picture.source is not None
    if picture.format == "jpeg":
        stored = unorient(picture.pixels, picture.orientation)
        problem = jpeg.difference(stored, picture.source, data, unorient(mask, picture.orientation))
    else:
        again = read(data, max_pixels=mask.size)
        problem = ""
        if again.pixels.shape != picture.pixels.shape or again.pixels.dtype != picture.pixels.dtype:
            problem = f"it came back as {again.pixels.shape} {again.pixels.dtype}"
        elif not _same_outside(picture.pixels, again.pixels, mask):
            problem = "pixels outside the mask differ"
        elif (again.icc, again.exif, again.orientation) != (picture.icc, picture.exif, picture.orientation):
            problem = "the colour profile, EXIF or orientation differs"
    if problem:
        raise ImageError(
            f"{picture.name}: the written file failed its check ({problem}); nothing was kept of it"
        )


def _same_outside(before: NDArray[Any], after: NDArray[Any], mask: NDArray[np.bool_]) -> bool:
    # Bits, not values: NaN is not equal to itself.
    kind = {1: np.uint8, 2: np.uint16, 4: np.uint32}[before.dtype.itemsize]
    first, second = (np.ascontiguousarray(array).view(kind).reshape(-1) for array in (before, after))
    places = np.flatnonzero(first != second) // before.shape[2]
    return bool(mask.reshape(-1)[places].all())
