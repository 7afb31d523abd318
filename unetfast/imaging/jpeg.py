"""JPEG coefficients: only the blocks that a mask touches are encoded again.

A JPEG file is a grid of 8x8 blocks of quantised DCT coefficients a component. Decoding and
encoding a whole photo changes almost all of them a little; here the untouched ones are copied as
the integers they are, with the file's own quantisation tables and metadata. Files of one sequential
scan, which cameras write, are spliced by csrc/jpeg_splice.cpp; jpeglib makes others such a file first.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from unetfast import _native
from unetfast.errors import MissingDependencyError, require
from unetfast.imaging import metadata
from unetfast.imaging.metadata import is_kept, is_metadata, join_jpeg

__all__ = [
    "available",
    "described",
    "difference",
    "losses",
    "patch",
    "reach",
    "read_coefficients",
    "touched_blocks",
]

_SEQUENTIAL = (0xC0, 0xC1)  # SOF markers: baseline, extended sequential; both Huffman-coded
_DECODED = ("YCbCr", "RGB", "CMYK", "YCCK")
_PROGRESSIVE, _ARITHMETIC = (0xC2, 0xCA), (0xC9, 0xCA)


class _Component(NamedTuple):
    """One component of a frame: its blocks, the pixels a block covers, its quantisation table."""

    blocks: tuple[int, int]
    cell: NDArray[Any]
    table: NDArray[np.float32]


def _frame(source: bytes) -> tuple[bool, list[_Component]]:
    """Read whether a file is one sequential scan, and its components (T.81, B.2.2 to B.2.4)."""
    tables: dict[int, NDArray[np.float32]] = {}
    segments = metadata.jpeg_segments(source)
    for marker, body in segments.head:
        if marker == 0xDB:
            tables.update(_tables(body))
    kind, frame = metadata.jpeg_frame(segments)
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    entries = [(frame[i + 1] & 15, frame[i + 1] >> 4, frame[i + 2]) for i in range(6, 6 + 3 * frame[5], 3)]
    if any(table not in tables for _, _, table in entries):
        raise ValueError("a lossless JPEG can be segmented, not cleaned; convert it to PNG or TIFF first")
    tallest, widest = max(down for down, _, _ in entries), max(across for _, across, _ in entries)
    one_scan = source[segments.scan_start + 4] == len(entries)
    return kind in _SEQUENTIAL and one_scan, [
        _Component(
            (-(-height * down // (8 * tallest)), -(-width * across // (8 * widest))),
            np.array([8 * tallest // down, 8 * widest // across]),
            tables[table],
        )
        for down, across, table in entries
    ]


def _tables(body: bytes) -> dict[int, NDArray[np.float32]]:
    """Return the quantisation tables of a DQT segment, (8, 8) each, by slot."""
    found = {}
    while body:
        wide, slot = body[0] >> 4, body[0] & 15
        count = 128 if wide else 64
        values = np.frombuffer(body[1 : 1 + count], ">u2" if wide else np.uint8)
        if not values.all():
            raise ValueError("damaged: a quantisation table holds a zero")
        table = np.zeros(64, np.float32)
        table[_ZIGZAG] = values
        found[slot] = table.reshape(8, 8)
        body = body[1 + count :]
    return found


# Diagonal by diagonal, every second one upwards: index in the block of each coefficient in a file.
_ZIGZAG = sorted(range(64), key=lambda i: (i // 8 + i % 8, i // 8 if (i // 8 + i % 8) % 2 else i % 8))


def available(source: bytes) -> bool:
    """Tell whether :func:`patch` can write this file: one sequential scan, or jpeglib is there."""
    if _frame(source)[0]:
        return True
    try:
        require("jpeglib", "jpeg")
    except MissingDependencyError:
        return False
    return True


def losses(source: bytes) -> str:
    """Say what a file written by this module has no more: "" or a clause that begins with a semicolon."""
    kind, _ = metadata.jpeg_frame(metadata.jpeg_segments(source))
    words = []
    if kind in _PROGRESSIVE:
        words.append("progressive made sequential")
    if kind in _ARITHMETIC:
        words.append("arithmetic coding made Huffman")
    if behind := metadata.jpeg_behind(source):
        words.append(f"left out: {behind}")
    return "".join(f"; {word}" for word in words)


def read_coefficients(data: bytes) -> Any:
    """Return jpeglib's DCT object of a file: Y, Cb, Cr, K (rows, columns, 8, 8) int16, and qt."""
    jpeglib = require("jpeglib", "jpeg")
    segments = metadata.jpeg_segments(data)
    # Without what describes the photo, of which jpeglib takes no more than 50 segments; JFIF's and Adobe's
    # say what the components are.
    needed = [s for s in segments.head if not is_metadata(*s) or s[0] in (0xE0, 0xEE)]
    data = join_jpeg(needed, data[segments.scan_start :])
    jpeglib.version.set("turbo210")  # of the libjpegs inside, the fastest: 92 ms to write 8 MP; 6b: 141 ms
    with _scratch() as folder:
        path = folder / "in.jpg"
        path.write_bytes(data)
        try:
            dct = jpeglib.read_dct(str(path))
            dct.load()
        except OSError as exc:  # its own, of what it does not understand, and no word of the folder
            raise ValueError("damaged, or of a kind whose coefficients jpeglib cannot read") from exc
    return dct


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """Make a temporary folder: jpeglib reads and writes files only."""
    try:
        with tempfile.TemporaryDirectory(prefix="unetfast-") as folder:
            yield Path(folder)
    except OSError as exc:
        where = tempfile.gettempdir()
        raise ValueError(
            f"a JPEG of several scans passes through the temporary folder {where}, which TMPDIR can move: "
            f"{exc.strerror or exc}"
        ) from exc


def patch(source: bytes, pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> bytes:
    """Return a JPEG file in which only the blocks that the mask touches are new.

    Parameters
    ----------
    source : bytes
        The original file, grey, YCbCr, RGB, CMYK or YCCK.
    pixels : (H, W, C) uint8
        The new picture in the file's stored orientation, C = 1, 3, or 4 inks as they are stored.
    mask : (H, W) bool
        Where it differs.

    Raises
    ------
    ValueError
        When the file's components do not match the picture.
    """
    source = metadata.jpeg_gathered(source)
    blocks = _new_blocks(source, pixels, mask)
    return _spliced(source if _frame(source)[0] else _sequential(source), blocks)


_Blocks = list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int16]]]


def _new_blocks(source: bytes, pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> _Blocks:
    """Return rows, columns and quantised coefficients of each component's blocks under the mask."""
    _height, _width, colour, _ = simplejpeg.decode_jpeg_header(source, strict=False)
    components = _frame(source)[1]
    if pixels.shape[2] != len(components) or colour not in ("Gray", *_DECODED):
        raise ValueError(f"a {colour} JPEG cannot take {pixels.shape[2]} channels")
    blocks = []
    for number, component in enumerate(components):
        if number == 0 or (component.cell != components[number - 1].cell).any():
            rows, columns = touched_blocks(mask, component.blocks, component.cell)
        patches = _patches(pixels, rows, columns, component.cell)
        values = _quantised(_component(patches, colour, number), component.cell, component.table)
        blocks.append((rows.astype(np.int32), columns.astype(np.int32), values))
    return blocks


def _spliced(source: bytes, blocks: _Blocks) -> bytes:
    segments = metadata.jpeg_segments(source)
    if not any(marker == 0xC4 for marker, _ in segments.head):  # a frame of a film (MJPEG): the usual tables
        source = join_jpeg([*segments.head, (0xC4, _annex_k())], source[segments.scan_start :])
    tables, scan = _native.splice_jpeg(source, _annex_k(), blocks)
    head = [s for s in metadata.jpeg_segments(source).head if is_kept(*s)]
    return join_jpeg([*head, *([(0xC4, tables)] if tables else [])], scan)


@lru_cache(maxsize=1)
def _annex_k() -> bytes:
    """Return the Huffman tables of T.81's Annex K, as encoders that do not optimise write them."""
    plain = simplejpeg.encode_jpeg(np.zeros((8, 8, 3), np.uint8))
    return b"".join(body for marker, body in metadata.jpeg_segments(plain).head if marker == 0xC4)


def touched_blocks(
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
    """Return one component of RGB, grey or CMYK patches, centred on 0 (JFIF 1.02, ITU-R BT.601)."""
    if colour in ("Gray", "RGB", "CMYK") or number == 3:
        return patches[..., number] - np.float32(128)
    if colour == "YCCK":  # the YCbCr of what the first three inks leave of the light; the black as it is
        patches = np.float32(255) - patches[..., :3]
    weights = np.array(
        [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
    )
    values: NDArray[np.float32] = patches @ weights[number]
    return values - np.float32(128) if number == 0 else values


def _quantised(values: NDArray[np.float32], cell: NDArray[Any], table: NDArray[Any]) -> NDArray[np.int16]:
    """Average to 8x8, transform and quantise patches (n, cell_h, cell_w) to (n, 8, 8)."""
    count = len(values)
    small = values.reshape(count, 8, cell[0] // 8, 8, cell[1] // 8).mean(axis=(2, 4))
    basis = cv2.dct(np.eye(8, dtype=np.float32), flags=cv2.DCT_ROWS).T  # row k: the k-th cosine
    coefficients = basis @ small @ basis.T
    # 1023: the largest coefficient that 8-bit JPEG has a code for.
    quantised: NDArray[np.int16] = np.clip(np.rint(coefficients / table), -1023, 1023).astype(np.int16)
    return quantised


def _sequential(source: bytes) -> bytes:
    """Return a file of one sequential scan with the same coefficients and metadata."""
    dct = read_coefficients(source)
    with _scratch() as folder:
        path = folder / "out.jpg"
        dct.write_dct(str(path))
        made = path.read_bytes()
    # All metadata is the original's, byte for byte; the tables and scans are the library's.
    new = metadata.jpeg_segments(made)
    return join_jpeg(
        [*described(source), *(s for s in new.head if not is_metadata(*s))], made[new.scan_start :]
    )


def difference(before: NDArray[np.uint8], source: bytes, written: bytes, mask: NDArray[np.bool_]) -> str:
    """Compare a written JPEG file with its original where nothing may have changed.

    The pixels are decoded by another library (libjpeg-turbo) than the one that wrote them.

    Parameters
    ----------
    before : (H, W, C) uint8
        The original's pixels, or inks, as stored.
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
    if described(source) != described(written):
        return "the metadata differ"
    kinds = {1: "GRAY", 3: "RGB", 4: "CMYK"}
    after = simplejpeg.decode_jpeg(written, kinds[before.shape[2]], strict=False)
    if after.shape != before.shape:
        return f"it came back as {after.shape[1]}x{after.shape[0]}"
    outside = (~reach(mask, source)).view(np.uint8)
    # The largest difference, by OpenCV: a tenth of what comparing and masking in NumPy takes.
    largest = int(cv2.norm(before, after, cv2.NORM_INF, outside))
    return f"pixels in blocks outside the mask differ by up to {largest}" if largest else ""


def reach(mask: NDArray[np.bool_], source: bytes) -> NDArray[np.bool_]:
    """Return the pixels that depend on a block under the mask: its MCU, and 1 px around it.

    The decoder's smooth chroma upsampling mixes each chroma sample with its neighbour.
    """
    _height, _width, _colour, sampling = simplejpeg.decode_jpeg_header(source, strict=False)
    sides = {"444": (8, 8), "Gray": (8, 8), "422": (8, 16), "440": (16, 8), "420": (16, 16)}
    side = np.array(sides.get(sampling, (32, 32)))
    touched = np.zeros((-(-mask.shape[0] // side[0]), -(-mask.shape[1] // side[1])), np.uint8)
    touched[touched_blocks(mask, touched.shape, side)] = 1
    whole = touched.repeat(side[0], axis=0).repeat(side[1], axis=1)[: mask.shape[0], : mask.shape[1]]
    return np.asarray(cv2.dilate(whole, np.ones((3, 3), np.uint8)), np.bool_)


def described(data: bytes) -> list[tuple[int, bytes]]:
    """Return the segments that describe the photo, in order."""
    return [s for s in metadata.jpeg_segments(metadata.jpeg_gathered(data)).head if is_metadata(*s)]
