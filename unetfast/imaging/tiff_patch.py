"""TIFF strips and tiles: only those that changed are encoded again.

The file is copied as it is, and every strip or tile under the mask is replaced by one of the same
compression, in its place where it fits and at the end of the file otherwise; then the two tables
that say where they lie are written anew. Everything else, every tag, thumbnail and private block,
keeps its bytes. The same function serves pictures in memory and files larger than memory.
"""

from __future__ import annotations

import io
import struct
from itertools import pairwise
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from unetfast.errors import ImageError
from unetfast.imaging import tiff_jpeg
from unetfast.imaging.low_bits import from_8_bits, packed
from unetfast.imaging.palette import nearest
from unetfast.imaging.tiff import Box, boxes, colours_of, layout_of, opened, remarks, segment_count

__all__ = ["Segments", "patch", "reach", "share_bytes"]

_UNCHANGED, _CHANGED = b"KNOWN_INCOMPATIBLE_EDITION=NO\n ", b"KNOWN_INCOMPATIBLE_EDITION=YES\n"  # of GDAL
# none, LZW, Deflate (two numbers), PackBits, LZMA, Zstandard: what can be written without loss
_LOSSLESS = (1, 5, 8, 32946, 32773, 34925, 50000)
# What a JPEG strip or tile may hold: photometric interpretation and samples of grey, RGB and YCbCr.
_JPEG_KINDS = ((0, 1), (1, 1), (2, 3), (6, 3))


def patch(source: bytes, pixels: NDArray[Any], mask: NDArray[np.bool_], name: str) -> tuple[bytes, str]:
    """Return a TIFF file in which only the strips and tiles under the mask are new, and what else it holds.

    Parameters
    ----------
    source : bytes
        The original file, of one page.
    pixels : (H, W, C)
        The new picture in the stored orientation, as ``tiff.normal_values`` gives it; of CMYK the inks.
    mask : (H, W) bool
        Where it differs.

    Raises
    ------
    ImageError
        For a compression that cannot be written without loss.
    """
    file = io.BytesIO(source)
    with opened(file, name) as page:
        segments = Segments(file, page, name, shared=share_bytes(page))
        for box in boxes(page):
            rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
            if mask[rows, columns].any():
                segments.replace(box, pixels[rows, columns], mask[rows, columns])
        segments.finish()
        others = remarks([page])
    return file.getvalue(), others


def share_bytes(page: Any) -> bool:
    """Tell whether strips or tiles of a page's file claim bytes of others, or of what describes the pages.

    Pages may share strips, and some writers claim more bytes than a strip has.
    """
    pages = list(page.parent.pages)
    starts = {place for other in pages for place in (other.offset, *(tag.valueoffset for tag in other.tags))}
    spans = [(start, start + 1) for start in starts]
    for other in pages:
        places = zip(other.dataoffsets, other.databytecounts, strict=False)
        spans += [(place, place + size) for place, size in places if place and size]
    return any(end > start for (_, end), (start, _) in pairwise(sorted(spans)))


def reach(source: bytes, mask: NDArray[np.bool_], name: str) -> NDArray[np.bool_]:
    """Return which pixels :func:`patch` may change: the mask, and of JPEG strips and tiles its blocks."""
    file = io.BytesIO(source)
    with opened(file, name) as page:
        if page.compression != tiff_jpeg.COMPRESSION:
            return mask
        grown = mask.copy()
        for box in boxes(page):
            part = mask[box.top : box.bottom, box.left : box.right]
            if part.any():
                place = page.dataoffsets[box.number]
                stored = source[place : place + page.databytecounts[box.number]]
                grown[box.top : box.bottom, box.left : box.right] |= tiff_jpeg.reach(page, stored, part)
    return grown


class Segments:
    """The strips or tiles of a TIFF page, to be replaced one by one.

    Parameters
    ----------
    file : binary file
        Open for reading and writing; changed in place.
    page : tifffile.TiffPage
        Of that file.
    name : str
        Its path, for messages.
    shared : bool
        As :func:`share_bytes` says: none is replaced in its place, each goes to the end of the file.

    Raises
    ------
    ImageError
        When the page cannot be written back without loss.
    """

    def __init__(self, file: BinaryIO, page: Any, name: str, *, shared: bool) -> None:
        _refuse_unpatchable(page, name)
        self._file, self._page, self._name = file, page, name
        self._offsets, self._counts = list(page.dataoffsets), list(page.databytecounts)
        self._shared = shared
        self.replaced = 0

    def replace(self, box: Box, pixels: NDArray[Any], mask: NDArray[np.bool_]) -> None:
        """Write new pixels (h, w, C), as :func:`patch` takes them, into one strip or tile.

        `mask` (h, w) says where they differ.
        """
        if self._page.photometric == 3:
            values = self._indices(box, pixels)
        else:
            values = _stored_values(self._page, pixels)
        if self._page.compression == tiff_jpeg.COMPRESSION:
            data = self._jpeg(box, values, mask)
        else:
            data = _encoded(self._page, box, values, self._name)
        fits = len(data) <= self._counts[box.number] and not self._shared
        if self._offsets[box.number] and fits:
            self._file.seek(self._offsets[box.number])
        else:
            self._offsets[box.number] = _end(self._file)
        self._file.write(data)
        self._counts[box.number] = len(data)
        self.replaced += 1

    def _jpeg(self, box: Box, values: NDArray[Any], mask: NDArray[np.bool_]) -> bytes:
        """Return a strip or tile that is compressed as JPEG with new blocks under the mask."""
        if self._page.planarconfig == 2:
            values = values[:, :, box.plane : box.plane + 1]
        self._file.seek(self._offsets[box.number])
        stored = self._file.read(self._counts[box.number])
        try:
            return tiff_jpeg.patch(self._page, stored, values, mask)
        except ValueError as exc:
            raise ImageError(f"{self._name}: {exc}") from exc

    def _indices(self, box: Box, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return the index of each pixel's colour: its own where that did not change, else the nearest."""
        place, count = self._offsets[box.number], self._counts[box.number]
        indices = np.zeros(pixels.shape[:2], np.uint8)  # of a hole in a sparse file
        if place and count:
            self._file.seek(place)
            stored = np.asarray(self._page.decode(self._file.read(count), box.number)[0])
            stored = stored.reshape(-1, stored.shape[-2])
            indices[...] = stored[: pixels.shape[0], : pixels.shape[1]]
        palette = colours_of(self._page)
        changed = (palette[indices] != pixels).any(axis=2)
        indices[changed] = nearest(pixels[changed], palette)
        return indices[:, :, np.newaxis].astype(self._page.dtype)

    def finish(self) -> None:
        """Write where the strips or tiles lie now."""
        if self.replaced:
            _write_tables(self._file, self._page, self._offsets, self._counts, self._name)
            _declare_edition(self._file)


def _refuse_unpatchable(page: Any, name: str) -> None:
    """Raise ImageError for a page that cannot be written back without loss."""
    plain_jpeg = page.fillorder == 1 and (page.photometric, page.samplesperpixel) in _JPEG_KINDS
    if page.compression not in _LOSSLESS and not (page.compression == tiff_jpeg.COMPRESSION and plain_jpeg):
        kind = getattr(page.compression, "name", page.compression)
        raise ImageError(
            f"{name}: TIFF compressed as {kind} can be segmented, not cleaned without loss; "
            "convert it first, such as by tiffcp -c lzw IN.tif OUT.tif"
        )
    if page.photometric == 3 and (page.bitspersample > 8 or page.samplesperpixel != 1):
        raise ImageError(
            f"{name}: a palette TIFF of {page.bitspersample} bits can be segmented, not cleaned; "
            "convert it to RGB first"
        )
    listed = len(page.dataoffsets)
    if listed < max(1, segment_count(page)) or listed != len(page.databytecounts):
        raise ImageError(f"{name}: damaged: its strips and their sizes do not match")


def _stored_values(page: Any, pixels: NDArray[Any]) -> NDArray[Any]:
    """Turn pixels into the samples a page stores; the inverse of ``tiff.normal_values``."""
    if page.photometric == 0:
        pixels = np.iinfo(pixels.dtype).max - pixels
    return from_8_bits(pixels, page.bitspersample) if page.bitspersample < 8 else pixels


def _encoded(page: Any, box: Box, values: NDArray[Any], name: str) -> bytes:
    """Compress the samples of one box (h, w, S) as the page's other segments are."""
    if page.planarconfig == 2:
        values = values[:, :, box.plane : box.plane + 1]
    if page.is_tiled:
        missing = (page.tilelength - values.shape[0], page.tilewidth - values.shape[1])
        values = np.pad(values, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    values = np.ascontiguousarray(values)
    data = _compressed(page, values)
    again = page.decode(data, box.number)[0]
    rows, columns = box.bottom - box.top, box.right - box.left
    if again is None or not np.array_equal(
        again.reshape(-1, again.shape[-2], values.shape[2])[:rows, :columns], values[:rows, :columns]
    ):
        kind = getattr(page.compression, "name", page.compression)
        raise ImageError(f"{name}: a TIFF strip or tile ({kind}) could not be written back without loss")
    return data


def _compressed(page: Any, values: NDArray[Any]) -> bytes:
    ordered = values.dtype.newbyteorder(page.parent.byteorder)
    if page.predictor == 3:  # shuffles bytes, so they must be in the file's order before
        values = tifffile.TIFF.PREDICTORS[3](values.astype(ordered), axis=-2)
    else:
        if page.predictor != 1:
            values = tifffile.TIFF.PREDICTORS[page.predictor](values, axis=-2)
        if page.bitspersample < 8:
            values = packed(values[:, :, 0], page.bitspersample)
        values = values.astype(values.dtype.newbyteorder(page.parent.byteorder), copy=False)
    if page.compression == 1:
        data = values.tobytes()
    elif page.compression == 32773:  # the rows of PackBits are packed one by one
        rows = values.reshape(values.shape[0], -1).view(np.uint8)
        data = b"".join(bytes(imagecodecs.packbits_encode(row.tobytes())) for row in rows)
    else:
        data = bytes(tifffile.TIFF.COMPRESSORS[page.compression](values.tobytes()))
    return bytes(imagecodecs.bitorder_encode(data)) if page.fillorder == 2 else data


def _end(file: BinaryIO) -> int:
    """Go to the end of the file, made even as TIFF asks, and return where that is."""
    end = file.seek(0, io.SEEK_END)
    if end % 2:
        file.write(b"\0")
        end += 1
    return end


def _declare_edition(file: BinaryIO) -> None:
    """Tell readers of a Cloud Optimized GeoTIFF that its strips or tiles lie elsewhere now.

    GDAL takes a tile's size from the four bytes before it as long as the file's beginning says that
    nobody changed it; there is room for the other answer.
    """
    file.seek(0)
    head = file.read(1024)
    place = head.find(_UNCHANGED)
    if layout_of(head) and place >= 0:
        file.seek(place)
        file.write(_CHANGED)


def _write_tables(file: BinaryIO, page: Any, offsets: list[int], counts: list[int], name: str) -> None:
    """Write the tables of segment offsets and sizes at the end, and point the page's tags there."""
    tiff = page.parent
    big = tiff.is_bigtiff
    if not big and file.seek(0, io.SEEK_END) + 8 * len(offsets) + 1 >= 2**32:
        raise ImageError(
            f"{name}: the result would be larger than a TIFF can be (4 GB); convert it to BigTIFF"
        )
    for code, table in ((324 if page.is_tiled else 273, offsets), (325 if page.is_tiled else 279, counts)):
        tag = page.tags.get(code)
        if tag is None:
            raise ImageError(f"{name}: damaged: a TIFF page without its table of strips")
        packed = struct.pack(f"{tiff.byteorder}{len(table)}{'Q' if big else 'I'}", *table)
        inline = len(packed) <= (8 if big else 4)
        place = 0 if inline else _end(file)
        if not inline:
            file.write(packed)
        value = packed if inline else struct.pack(tiff.byteorder + ("Q" if big else "I"), place)
        file.seek(tag.offset + 2)
        # field type LONG8 (16) or LONG (4), count, value or place
        file.write(
            struct.pack(tiff.byteorder + ("HQ" if big else "HI"), 16 if big else 4, len(table)) + value
        )
