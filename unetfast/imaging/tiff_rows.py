"""Parts of a TIFF page, without reading the others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import ImageError
from unetfast.imaging import tiff_jpeg
from unetfast.imaging.decoding import decoding
from unetfast.imaging.tiff import (
    Box,
    blank_of,
    boxes,
    check_kind,
    mask_of,
    masked_out,
    may_be_blank,
    normal_values,
)

__all__ = ["Rows"]


class Rows:
    """A page that is read a part at a time: some rows, of all columns or of some.

    Threads may share one.

    Parameters
    ----------
    file : binary file
    page : tifffile.TiffPage
        Of that file.
    name : str
        Its path, for messages.

    Attributes
    ----------
    height, width, channels : int
        Channels: samples a pixel.
    may_be_blank : bool
        Whether the page says of some pixels that they hold no data.
    """

    def __init__(self, file: BinaryIO, page: Any, name: str) -> None:
        with decoding(name):
            check_kind(page, name)
            mask, self.may_be_blank = mask_of(page), may_be_blank(page)
        lock = threading.Lock()
        self._page, self._name, self._stored = page, name, _Stored(file, page, name, lock)
        self._mask = None if mask is None else _Stored(file, mask, name, lock)
        self.height, self.width, self.channels = page.imagelength, page.imagewidth, page.samplesperpixel

    def read(self, top: int, bottom: int) -> NDArray[Any]:
        """Return the pixels of rows `top` to `bottom`, (h, W, C), as ``tiff.normal_values`` gives them.

        Raises
        ------
        ImageError
            When a strip or tile is damaged or missing.
        """
        with decoding(self._name):
            return normal_values(self._page, self._stored.values(top, bottom, 0, self.width), self._name)

    def window(
        self, top: int, bottom: int, left: int, right: int
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Return the pixels of a window, as :meth:`read`, and which hold no data; None: all hold some."""
        with decoding(self._name):
            values = self._stored.values(top, bottom, left, right)
            blank = blank_of(self._page, values, top, left)
            if self._mask is not None:
                blank = masked_out(blank, self._mask.values(top, bottom, left, right))
            return normal_values(self._page, values, self._name), blank

    def samples(self, top: int, bottom: int) -> NDArray[Any]:
        """Return what is filled and written back: the inks of CMYK, else the pixels; as :meth:`read`."""
        if self._page.photometric != 5:
            return self.read(top, bottom)
        with decoding(self._name):
            return self._stored.values(top, bottom, 0, self.width)

    def boxes(self, top: int, bottom: int) -> Iterator[Box]:
        """Yield where the strips or tiles lie that hold rows `top` to `bottom`."""
        return boxes(self._page, top, bottom)


class _Stored:
    """The samples of a page, as they are stored."""

    def __init__(self, file: BinaryIO, page: Any, name: str, lock: threading.Lock) -> None:
        self._file, self._page, self._name, self._lock = file, page, name, lock
        self._sound: set[int] = set()  # strips or tiles that were checked

    def values(self, top: int, bottom: int, left: int, right: int) -> NDArray[Any]:
        """Return the samples of a window, (h, w, S)."""
        page = self._page
        shape = (bottom - top, right - left, page.samplesperpixel)
        values: NDArray[Any] = np.full(shape, page.nodata, page.dtype)  # as tifffile fills what is left out
        for box in boxes(page, top, bottom):
            if box.left >= right or box.right <= left:
                continue
            part = self._segment(box.number)
            if part is None:  # a hole in a sparse file
                continue
            part = part.reshape(-1, part.shape[-2], part.shape[-1])
            first, last = max(box.top, top), min(box.bottom, bottom)
            begin, end = max(box.left, left), min(box.right, right)
            inside = part[first - box.top : last - box.top, begin - box.left : end - box.left]
            planes = slice(box.plane, box.plane + 1) if page.planarconfig == 2 else slice(None)
            values[first - top : last - top, begin - left : end - left, planes] = inside
        return values

    def _segment(self, number: int) -> NDArray[Any] | None:
        page = self._page
        offset, count = page.dataoffsets[number], page.databytecounts[number]
        if not offset or not count:
            return None
        with self._lock:
            self._file.seek(offset)
            data = self._file.read(count)
        if len(data) != count:
            raise ImageError(f"{self._name}: the TIFF file is cut off")
        if page.compression == tiff_jpeg.COMPRESSION and number not in self._sound:
            tiff_jpeg.check(page, data)
            self._sound.add(number)
        decoded = page.decode(data, number, jpegtables=page.jpegtables, jpegheader=page.jpegheader)[0]
        return None if decoded is None else np.asarray(decoded)
