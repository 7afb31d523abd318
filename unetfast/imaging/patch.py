"""A cleaned picture becomes bytes in the way that changes least, and proves it."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import ConfigError, ImageError, InputError, UnetfastError, one_line, require
from unetfast.imaging import bmp, jpeg, metadata, png, tiff_patch
from unetfast.imaging.convert import orient, unorient
from unetfast.imaging.picture import Picture
from unetfast.imaging.read import decode
from unetfast.imaging.stale import stale
from unetfast.imaging.write import encode, jpeg_settings

__all__ = ["Patched", "patched"]


_JPEG_MODES = ("auto", "lossless-blocks", "re-encode")


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
    cleaned : (H, W, C), as ``picture.samples``
        The new pixels (of CMYK, the new inks), upright.
    mask : (H, W) bool
        Where they may differ, upright.
    jpeg_mode : {"auto", "lossless-blocks", "re-encode"}
    verify : bool
        Read the result back and compare it outside the mask.

    Raises
    ------
    InputError, ConfigError
        For arguments that do not fit the picture; for an unknown `jpeg_mode`.
    ImageError
        When the format cannot hold the result, or the comparison fails.
    MissingDependencyError
        For "lossless-blocks" without jpeglib.
    """
    if picture.source is None:
        raise InputError("a picture without its source cannot be patched")
    before = picture.samples
    if cleaned.shape != before.shape or cleaned.dtype != before.dtype:
        wanted, got = f"{before.shape} {before.dtype}", f"{cleaned.shape} {cleaned.dtype}"
        raise InputError(f"the cleaned pixels must be {wanted}, as the picture's samples; got {got}")
    if mask.shape != before.shape[:2] or mask.dtype != np.bool_:
        raise InputError(f"the mask must be {before.shape[:2]} bool; got {mask.shape} {mask.dtype}")
    if jpeg_mode not in _JPEG_MODES:
        raise ConfigError(f"jpeg_mode must be one of {', '.join(_JPEG_MODES)}; got {jpeg_mode!r}")
    if not mask.any():
        return Patched(picture.source, "unchanged: copied byte for byte")
    try:
        made, lossless = _encoded(picture, cleaned, mask, jpeg_mode)
    except (UnetfastError, MemoryError):
        raise
    except ValueError as exc:
        raise ImageError(f"{picture.name}: {one_line(exc)}") from exc
    except Exception as exc:  # of a file that is damaged where its pixels do not show it
        raise ImageError(f"{picture.name}: damaged, cannot be cleaned: {one_line(exc)}") from exc
    if verify and lossless:
        _prove(picture, made.data, mask)
    return made._replace(how="; ".join([made.how, *stale(picture)]))


def _encoded(
    picture: Picture, cleaned: NDArray[Any], mask: NDArray[np.bool_], jpeg_mode: str
) -> tuple[Patched, bool]:
    """Return the file and whether it claims to be lossless outside the mask."""
    assert picture.source is not None
    new = dataclasses.replace(picture, pixels=cleaned)
    stored, stored_mask = unorient(cleaned, picture.orientation), unorient(mask, picture.orientation)
    if picture.format == "jpeg":
        can = jpeg.available(picture.source)
        if jpeg_mode == "lossless-blocks" and not can:
            require("jpeglib", "jpeg")
        if jpeg_mode != "re-encode" and can:
            data = jpeg.patch(picture.source, stored, stored_mask)
            how = "JPEG: only the blocks under the mask re-encoded"
            return Patched(data, how + jpeg.losses(picture.source)), True
        if picture.inks is not None:
            how = "leave out --jpeg re-encode" if can else "pip install 'unetfast[jpeg]' for progressive ones"
            raise ImageError(f"{picture.name}: a CMYK JPEG is cleaned block by block or not at all: {how}")
        quality, sampling = jpeg_settings(picture.source)
        how = f"JPEG: re-encoded at quality {quality}, {sampling}"
        return Patched(encode(new), how + jpeg.losses(picture.source)), False
    if picture.format == "tiff":
        data, others = tiff_patch.patch(picture.source, stored, stored_mask, picture.name)
        return Patched(data, f"TIFF: only the strips or tiles under the mask re-encoded{others}"), True
    if picture.format == "bmp":
        data, words = bmp.patch(picture.source, cleaned, mask)
        return Patched(data, f"BMP: {words}"), True
    if picture.format == "webp":
        data = encode(new)
        lossy = any(kind == b"VP8 " for kind, _ in metadata.riff_chunks(picture.source))
        how = "; the file was lossy, so that it grows" if lossy else ""
        behind = len(picture.source) - 8 - int.from_bytes(picture.source[4:8], "little")
        how += f"; left out: {behind} bytes behind the picture" if behind > 0 else ""
        return Patched(data, f"WebP: lossless outside the mask{how}"), True
    if picture.format != "png":
        raise ImageError(
            f"{picture.name}: a .{picture.format} file is read, but not written: save it as PNG or TIFF"
        )
    data, words = png.patch(picture.source, stored, stored_mask)
    return Patched(data, f"PNG: lossless outside the mask{words}"), True


def _prove(picture: Picture, data: bytes, mask: NDArray[np.bool_]) -> None:
    """Read a written file back and compare everything that had to stay."""
    assert picture.source is not None
    if picture.format == "jpeg":
        stored = unorient(picture.samples, picture.orientation)
        problem = jpeg.difference(stored, picture.source, data, unorient(mask, picture.orientation))
    else:
        if picture.format == "tiff":
            stored_mask = unorient(mask, picture.orientation)
            mask = orient(tiff_patch.reach(picture.source, stored_mask, picture.name), picture.orientation)
        # No limit: it is as large as the original, or as the tiles of that.
        again = decode(data, picture.name, max_pixels=sys.maxsize)
        problem = ""
        before, after = picture.samples, again.samples
        if after.shape != before.shape or after.dtype != before.dtype:
            problem = f"it came back as {after.shape} {after.dtype}"
        elif not _same_outside(before, after, mask):
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
