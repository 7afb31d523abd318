"""JPEG coefficients: only the blocks that a mask touches are encoded again.

A JPEG file is a grid of 8x8 blocks of quantised DCT coefficients a component. Decoding and
encoding a whole photo changes almost all of them a little; here the untouched ones are copied as
the integers they are, with the file's own quantisation tables and metadata.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from unetfast.errors import MissingDependencyError, require
from unetfast.imaging import metadata
from unetfast.imaging.metadata import is_metadata, join_jpeg

__all__ = ["available", "coefficient_difference", "difference", "patch", "read_coefficients"]


def available() -> bool:
    """Tell whether the coefficient library (jpeglib from PyPI) can be imported."""
    try:
        require("jpeglib", "jpeg")
    except MissingDependencyError:
        return False
    return True


def read_coefficients(data: bytes) -> Any:
    """Return jpeglib's DCT object of a file: Y, Cb, Cr, K (rows, columns, 8, 8) int16, and qt."""
    jpeglib = require("jpeglib", "jpeg")
    jpeglib.version.set("turbo210")  # of the libjpegs inside, the fastest: 92 ms to write 8 MP; 6b: 141 ms
    with tempfile.TemporaryDirectory(prefix="unetfast-") as folder:
        path = Path(folder) / "in.jpg"
        path.write_bytes(data)
        dct = jpeglib.read_dct(str(path))
        dct.load()
    return dct


def patch(source: bytes, pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> bytes:
    """Return a JPEG file in which only the blocks that the mask touches are new.

    Parameters
    ----------
    source : bytes
        The original file, grey, YCbCr or RGB.
    pixels : (H, W, C) uint8
        The new picture in the file's stored orientation, C = 1 or 3.
    mask : (H, W) bool
        Where it differs.

    Raises
    ------
    ValueError
        When the file's components do not match the picture.
    """
    dct = read_coefficients(source)
    _height, _width, colour, _ = simplejpeg.decode_jpeg_header(source, strict=False)
    names = ["Y"] if colour == "Gray" else ["Y", "Cb", "Cr"]
    if pixels.shape[2] != len(names) or colour not in ("Gray", "YCbCr", "RGB"):
        raise ValueError(f"a {colour} JPEG cannot take {pixels.shape[2]} channels")
    components = np.asarray(dct.samp_factor)[: len(names)]  # (component, (v, h))
    largest = components.max(axis=0)
    for number, name in enumerate(names):
        blocks = getattr(dct, name)
        cell = 8 * largest // components[number]  # px that one block of this component covers
        rows, columns = _touched(mask, blocks.shape[:2], cell)
        if rows.size == 0:
            continue
        patches = _patches(pixels, rows, columns, cell)
        table = np.asarray(dct.qt)[dct.quant_tbl_no[number]]
        blocks[rows, columns] = _quantised(_component(patches, colour, number), cell, table)
    return _written(dct, source)


def _touched(
    mask: NDArray[np.bool_], blocks: tuple[int, int], cell: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return rows and columns of the blocks in which the mask has a pixel."""
    height, width = mask.shape
    # Eight pixels a word: no cell is narrower, and reduceat runs along whole rows of words.
    words: NDArray[Any] = np.pad(mask, ((0, 0), (0, -width % 8))).view(np.uint64)
    gathered: NDArray[Any] = np.bitwise_or.reduceat(words, np.arange(0, height, cell[0]), axis=0)
    per_cell = int(cell[1]) // 8
    gathered = np.pad(gathered != 0, ((0, 0), (0, -gathered.shape[1] % per_cell)))
    marked = gathered.reshape(gathered.shape[0], -1, per_cell).any(axis=2)
    inside: NDArray[np.bool_] = np.asarray(marked)[: blocks[0], : blocks[1]]
    rows, columns = np.nonzero(inside)
    return rows, columns


def _patches(
    pixels: NDArray[np.uint8], rows: NDArray[Any], columns: NDArray[Any], cell: NDArray[Any]
) -> NDArray[np.float32]:
    """Gather the pixels under each block, (n, cell_h, cell_w, C); beyond the edge the last repeats."""
    y = rows[:, None] * cell[0] + np.arange(cell[0])
    x = columns[:, None] * cell[1] + np.arange(cell[1])
    y = np.minimum(y, pixels.shape[0] - 1)
    x = np.minimum(x, pixels.shape[1] - 1)
    gathered: NDArray[np.float32] = pixels[y[:, :, None], x[:, None, :]].astype(np.float32)
    return gathered


def _component(patches: NDArray[np.float32], colour: str, number: int) -> NDArray[np.float32]:
    """Return one component of RGB or grey patches, centred on 0 (JFIF 1.02, ITU-R BT.601)."""
    if colour == "Gray":
        return patches[..., 0] - np.float32(128)
    if colour == "RGB":
        return patches[..., number] - np.float32(128)
    weights = np.array(
        [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
    )
    values: NDArray[np.float32] = patches @ weights[number]
    return values - np.float32(128) if number == 0 else values


def _quantised(values: NDArray[np.float32], cell: NDArray[Any], table: NDArray[Any]) -> NDArray[np.int16]:
    """Average to 8x8, transform and quantise patches (n, cell_h, cell_w)."""
    count = len(values)
    small = values.reshape(count, 8, cell[0] // 8, 8, cell[1] // 8).mean(axis=(2, 4))
    basis = cv2.dct(np.eye(8, dtype=np.float32), flags=cv2.DCT_ROWS).T  # row k: the k-th cosine
    coefficients = basis @ small @ basis.T
    quantised: NDArray[np.int16] = np.rint(coefficients / table.astype(np.float32)).astype(np.int16)
    return quantised


def _written(dct: Any, source: bytes) -> bytes:
    with tempfile.TemporaryDirectory(prefix="unetfast-") as folder:
        path = Path(folder) / "out.jpg"
        dct.write_dct(str(path))
        made = path.read_bytes()
    # All metadata is the original's, byte for byte; the tables and scans are the library's.
    new = metadata.jpeg_segments(made)
    return join_jpeg(
        [*_metadata(source), *(s for s in new.head if not is_metadata(*s))], made[new.scan_start :]
    )


def difference(before: NDArray[np.uint8], source: bytes, written: bytes, mask: NDArray[np.bool_]) -> str:
    """Compare a written JPEG file with its original where nothing may have changed.

    The pixels are decoded by another library (libjpeg-turbo) than the one that wrote them.

    Parameters
    ----------
    before : (H, W, C) uint8
        The original's pixels as stored.
    source, written : bytes
        The two files.
    mask : (H, W) bool
        In the stored orientation.

    Returns
    -------
    str
        Empty when the metadata are equal and so is every pixel of the blocks that the mask does
        not touch; otherwise what differs.
    """
    if _metadata(source) != _metadata(written):
        return "the metadata differ"
    after = simplejpeg.decode_jpeg(written, "GRAY" if before.shape[2] == 1 else "RGB", strict=False)
    if after.shape != before.shape:
        return f"it came back as {after.shape[1]}x{after.shape[0]}"
    outside = ~_reach(mask, source)
    count = 0
    for top in range(0, len(before), 512):  # in bands, to need little memory
        rows = slice(top, top + 512)
        differs = (before[rows] != after[rows]) & outside[rows, :, None]
        count += int(np.count_nonzero(differs))
    return f"{count} values differ in blocks outside the mask" if count else ""


def _reach(mask: NDArray[np.bool_], source: bytes) -> NDArray[np.bool_]:
    """Return the pixels that depend on a block under the mask: its MCU, and 1 px around it.

    The decoder's smooth chroma upsampling mixes each chroma sample with its neighbour.
    """
    _height, _width, _colour, sampling = simplejpeg.decode_jpeg_header(source, strict=False)
    sides = {"444": (8, 8), "Gray": (8, 8), "422": (8, 16), "440": (16, 8), "420": (16, 16)}
    side = np.array(sides.get(sampling, (32, 32)))
    touched = np.zeros((-(-mask.shape[0] // side[0]), -(-mask.shape[1] // side[1])), np.uint8)
    touched[_touched(mask, touched.shape, side)] = 1
    whole = touched.repeat(side[0], axis=0).repeat(side[1], axis=1)[: mask.shape[0], : mask.shape[1]]
    return np.asarray(cv2.dilate(whole, np.ones((3, 3), np.uint8)), np.bool_)


def coefficient_difference(before: bytes, after: bytes, mask: NDArray[np.bool_]) -> str:
    """Compare two JPEG files outside a mask, coefficient by coefficient; as :func:`difference`."""
    old, new = read_coefficients(before), read_coefficients(after)
    if not np.array_equal(old.qt, new.qt):
        return "the quantisation tables differ"
    if _metadata(before) != _metadata(after):
        return "the metadata differ"
    factors = np.asarray(old.samp_factor)
    largest = factors.max(axis=0)
    for number, name in enumerate(("Y", "Cb", "Cr")[: len(factors)]):
        first, second = getattr(old, name), getattr(new, name)
        if first.shape != second.shape:
            return f"component {name} has another size"
        same = (first == second).all(axis=(2, 3))
        same[_touched(mask, first.shape[:2], 8 * largest // factors[number])] = True
        if not same.all():
            return f"{np.count_nonzero(~same)} blocks of {name} outside the mask differ"
    return ""


def _metadata(data: bytes) -> list[tuple[int, bytes]]:
    return [s for s in metadata.jpeg_segments(data).head if is_metadata(*s)]
