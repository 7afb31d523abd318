"""Pictures of any number of channels: NumPy's ``.npy``, and TIFF files whose pages are the channels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import ImageError
from unetfast.imaging.convert import without_alpha
from unetfast.imaging.decoding import decoding
from unetfast.imaging.formats import check_pixels

__all__ = [
    "MAX_CHANNELS",
    "channels_last",
    "npy_array",
    "npy_header",
    "npy_to_pixels",
    "pages_to_pixels",
    "together",
]

MAX_CHANNELS = 64


def npy_to_pixels(data: bytes, name: str, max_pixels: int) -> NDArray[Any]:
    """Decode a ``.npy`` file of (H, W), (H, W, C) or (C, H, W).

    The channels are the shorter of the first and the last axis. Integers that fit 8 or 16 bits
    become uint8 or uint16, also where they are stored wider; float stays, for values in [0, 1].

    Returns
    -------
    (H, W, C) uint8, uint16 or float32

    Raises
    ------
    ImageError
        For another rank, type or range; for object arrays, which could run code.
    """
    return _narrowed(npy_array(data, name, max_pixels), name)


def npy_array(data: bytes, name: str, max_pixels: int) -> NDArray[Any]:
    """Decode a ``.npy`` file as it is stored, (H, W, C), with the channels as in :func:`npy_to_pixels`.

    Raises
    ------
    ImageError
        For another rank or type; for object arrays, which could run code.
    """
    file = io.BytesIO(data)
    with decoding(name):
        shape, dtype = npy_header(file)
    if dtype.kind == "O":
        raise ImageError(
            f"{name}: holds Python objects, which are not loaded, since they could run code; save "
            "numbers (of cellpose's _seg.npy: File > Save masks as PNG/tif)"
        )
    if dtype.kind not in "buif":
        raise ImageError(f"{name}: an array of {dtype}; numbers are read")
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ImageError(f"{name}: an array of shape {shape}; (H, W), (H, W, C) or (C, H, W) are read")
    sides = shape[:2] if len(shape) == 2 or shape[2] <= shape[0] else shape[1:]
    check_pixels(sides[1], sides[0], name, max_pixels)
    file.seek(0)
    with decoding(name):
        values = np.load(file, allow_pickle=False)
    return channels_last(values, name)


def npy_header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of the array in a ``.npy`` file; raises ValueError where it is none."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def channels_last(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Return (H, W), (H, W, C) or (C, H, W) as contiguous (H, W, C).

    Raises
    ------
    ImageError
        For more than :data:`MAX_CHANNELS`.
    """
    if values.ndim == 3 and values.shape[2] > values.shape[0]:
        values = np.moveaxis(values, 0, -1)
    values = np.atleast_3d(values)
    if values.shape[2] > MAX_CHANNELS:
        raise ImageError(f"{name}: {values.shape[2]} channels; up to {MAX_CHANNELS} are read")
    return np.ascontiguousarray(values)


def _narrowed(values: NDArray[Any], name: str) -> NDArray[Any]:
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * 255
    low, high = values.min(), values.max()
    if values.dtype.kind in "ui":
        if low < 0 or high > 65535:
            raise ImageError(f"{name}: values {low} .. {high}; 0 .. 65535 are read")
        return values.astype(np.uint8 if high <= 255 and values.dtype.itemsize != 2 else np.uint16)
    if not (low >= 0 and high <= 1):
        if np.isnan(low):
            raise ImageError(f"{name}: holds values that are not numbers (NaN)")
        raise ImageError(f"{name}: float values {low:g} .. {high:g}; what is white is unknown: scale to 0..1")
    return values.astype(np.float32)


def pages_to_pixels(pages: list[Any], name: str, max_pixels: int) -> NDArray[Any]:
    """Decode TIFF pages of one channel each, or of one row each where tifffile wrote (H, W, C) so.

    Parameters
    ----------
    pages : list of tifffile.TiffPage
        At least two.

    Returns
    -------
    (H, W, C) uint8, uint16 or float32

    Raises
    ------
    ImageError
        When they are pictures of their own: of several samples or of different sizes.
    """
    first = pages[0]
    kinds = {(page.imagelength, page.imagewidth, page.samplesperpixel, page.dtype) for page in pages}
    if len(kinds) != 1 or first.samplesperpixel != 1 or first.photometric not in (0, 1):
        raise ImageError(
            f"{name}: a TIFF file of {len(pages)} pages that are not the channels of one picture"
        )
    sides = sorted((len(pages), first.imagelength, first.imagewidth))[1:]
    check_pixels(sides[0], sides[1], name, max_pixels)
    values = np.stack([page.asarray(maxworkers=1) for page in pages])
    if values.dtype.kind not in "buif":
        raise ImageError(f"{name}: TIFF samples of type {values.dtype}")
    return _narrowed(channels_last(values, name), name)


def together(pictures: Sequence[tuple[str, NDArray[Any]]]) -> NDArray[Any]:
    """Put the channels of several files together, each (H, W, C) with its name; alpha is left out.

    Bands that are smaller by a whole factor, as Sentinel's of 20 and 60 m, are enlarged without smoothing.

    Raises
    ------
    ImageError
        When sizes or types differ otherwise, or there are too many channels.
    """
    largest = max(pictures, key=lambda picture: picture[1].shape[0])
    height, width = largest[1].shape[:2]
    channels = []
    for name, pixels in pictures:
        h, w = pixels.shape[:2]
        if pixels.dtype != largest[1].dtype:
            raise ImageError(f"{name}: {pixels.dtype}, but {largest[0]} is {largest[1].dtype}")
        if height % h or width % w or height // h != width // w:
            raise ImageError(
                f"{name}: {w}x{h}, but {largest[0]} is {width}x{height}, no whole multiple of it"
            )
        channels.append(without_alpha(pixels).repeat(height // h, axis=0).repeat(width // w, axis=1))
    stacked = np.concatenate(channels, axis=2)
    if stacked.shape[2] > MAX_CHANNELS:
        raise ImageError(
            f"{pictures[0][0]}: {stacked.shape[2]} channels in all; up to {MAX_CHANNELS} are read"
        )
    return stacked
