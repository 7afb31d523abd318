"""MaskFile: the values a mask file stores, as labels are told from them (``data/encoding.py``)."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import ImageError
from unetfast.imaging import metadata, pillow, pnm, stack, tiff
from unetfast.imaging.convert import orient
from unetfast.imaging.decoding import decoding
from unetfast.imaging.formats import MAX_PIXELS, check_pixels, header
from unetfast.imaging.picture import Picture
from unetfast.imaging.read import decode
from unetfast.imaging.source import Source, name_of, read_bytes

__all__ = ["MaskFile", "read_mask"]


@dataclass(frozen=True)
class MaskFile:
    """The values a mask file stores, upright.

    Attributes
    ----------
    values : (H, W) or (H, W, C) uint8 or uint16
        Palette indices, grey values (1-bit as 0 and 1) or colours, as they are in the file.
    palette : (P, 3) uint8 or None
        RGB of each index, for palette files.
    mode : str
        "1", "P", "L", "LA", "I;16", "RGB", "RGBA", "RGB;16" or "RGBA;16"; "one-hot": the file has a
        channel for each class, and `values` are the numbers of those that are 1.
    """

    values: NDArray[Any]
    palette: NDArray[np.uint8] | None
    mode: str


def read_mask(source: Source, *, max_pixels: int = MAX_PIXELS) -> MaskFile:
    """Read the values a mask file stores: palette indices stay indices.

    Parameters
    ----------
    source : Path, str, bytes or FileRef
    max_pixels : int
        Refuse larger masks before decoding them.

    Raises
    ------
    ImageError
        As :func:`read`.
    """
    name, data = name_of(source), read_bytes(source)
    with decoding(name):
        return _decoded(data, name, max_pixels)


def _decoded(data: bytes, name: str, max_pixels: int) -> MaskFile:
    if data[:4] == b"GIF8":  # Carvana and DRIVE keep masks so; photos never are
        return _read_indexed(data, "gif", name, max_pixels)
    head = header(data, name)
    if head.format == "tiff" and (labels := _wide_labels(data, name, max_pixels)) is not None:
        return labels
    if head.format == "npy" and (labels := _npy_labels(data, name, max_pixels)) is not None:
        return labels
    if (head.format == "png" and data[25:26] == b"\x03") or head.format == "bmp":
        return _read_indexed(data, head.format, name, max_pixels)
    if head.format == "pnm":
        check_pixels(head.width, head.height, name, max_pixels)
        return _stored(Picture(pnm.decode(data, stored=True), "pnm", name=name))
    return _stored(decode(data, name, max_pixels=max_pixels))


def _read_indexed(data: bytes, format: str, name: str, max_pixels: int) -> MaskFile:
    """Read a file that may have a palette: Pillow leaves indices and single bits as they are."""
    if format == "png":
        metadata.png_chunks(data)  # raises where the file is cut off, which Pillow may pass over
    with pillow.opened(data, format) as image:
        check_pixels(*image.size, name, max_pixels)  # not the header's: a frame of a GIF may be larger
        if format == "gif" and getattr(image, "n_frames", 1) != 1:
            raise ImageError(f"{name}: an animation; only still pictures are read")
        palette = image.getpalette("RGB") if image.mode == "P" else None
        mode, values = image.mode, np.array(image)
        exif = image.info.get("exif")
    if values.dtype == np.bool_:
        values = values.astype(np.uint8)
    colours = None if palette is None else np.array(palette, np.uint8).reshape(-1, 3)
    return MaskFile(orient(values, metadata.exif_orientation(exif)), colours, mode)


def _wide_labels(data: bytes, name: str, max_pixels: int) -> MaskFile | None:
    """Read label ids of signed, of 32 and 64 bits, or stored as float, as microscopy has them in TIFF."""
    with tiff.opened(io.BytesIO(data), name) as page:
        if tiff.colour_planes_by_default(page):
            raise ImageError(
                f"{name}: {page.samplesperpixel} planes, which may be slices, classes or one colour each, as "
                "tifffile was not told; save the mask that is meant, or colours as (H, W, 3)"
            )
        kind = np.dtype(page.dtype or np.uint8)
        if kind.kind not in "iuf" or kind in (np.uint8, np.uint16) or page.samplesperpixel != 1:
            return None
        check_pixels(*tiff.decoded_sides(page), name, max_pixels)
        tiff.check_structure(page, name)
        values = page.asarray(maxworkers=1).reshape(page.imagelength, page.imagewidth)
        orientation = tiff.orientation_of(page)
        white_is_0 = page.photometric == 0
    if kind.kind == "f" and (white_is_0 or not _are_whole(values)):
        return None  # shares of 0..1, what has to be inverted, or no mask
    return _labels(orient(values, orientation), name)


def _npy_labels(data: bytes, name: str, max_pixels: int) -> MaskFile | None:
    """Read label ids of any type that NumPy has: training code keeps masks of 0.0, 1.0, 2.0 and of int64."""
    values = stack.npy_array(data, name, max_pixels)
    if values.shape[2] > 1 and _is_one_hot(values):
        return MaskFile((values != 0).argmax(axis=2).astype(np.uint8), None, "one-hot")
    if values.shape[2] > 4:
        raise ImageError(
            f"{name}: a mask of {values.shape[2]} channels, of which not just one is other than 0 at each "
            "pixel; save class ids, or one mask per class"
        )
    if values.shape[2] != 1 or values.dtype.kind not in "iuf" or not _are_whole(values):
        return None  # several channels, booleans, fractions
    return _labels(values[:, :, 0], name)


def _is_one_hot(values: NDArray[Any]) -> bool:
    """Whether each pixel has 1 in one channel and 0 in the others, as ``to_categorical`` of Keras has it.

    Of more than four channels, which are no colours, also another number: PanNuke keeps those of its nuclei.
    """
    if values.shape[2] > 4:
        return bool((np.count_nonzero(values, axis=2) == 1).all() and _are_whole(values))
    on = values == 1
    return bool((on.sum(axis=2, dtype=np.uint8) == 1).all() and (on | (values == 0)).all())


def _are_whole(values: NDArray[Any]) -> bool:
    return values.dtype.kind != "f" or bool((values == np.rint(values)).all())


def _labels(values: NDArray[Any], name: str) -> MaskFile:
    """Return labels of any type in 8 bits; in 16 where they need them, or were stored so."""
    low, high = values.min().item(), values.max().item()
    if low < 0 or high > 65535:
        raise ImageError(
            f"{name}: values {low:g} .. {high:g}; masks hold 0 .. 65535 (write what does "
            "not count as 255, and say --ignore-label 255)"
        )
    wide = values.dtype == np.uint16 or high > 255
    return MaskFile(values.astype(np.uint16 if wide else np.uint8), None, "I;16" if wide else "L")


def _stored(picture: Picture) -> MaskFile:
    values = picture.pixels
    channels = values.shape[2]
    if channels == 1:
        values = values[:, :, 0]
    if picture.source is not None and picture.format == "png" and picture.source[24:26] == b"\x01\0":
        return MaskFile((values != 0).astype(np.uint8), None, "1")
    if picture.stack:
        raise ImageError(
            f"{picture.name}: a mask has one channel, or is a picture in colours; this file has {channels} "
            "channels: save the one that is meant"
        )
    if values.dtype == np.float32:
        parts = values[values != np.rint(values)]
        if parts.size:
            raise ImageError(
                f"{picture.name}: {parts.size} of {values.size} mask values are fractions such as "
                f"{parts.max():g}, as of probabilities; save it as whole numbers, or as 8 bits from 0 to 255"
            )
        values = values.astype(np.uint8)  # 0 and 1, of several channels
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    if values.dtype != np.uint8:
        mode = {"L": "I;16"}.get(mode, mode + ";16")
    return MaskFile(values, None, mode)
