"""Rows of a TIFF page, without reading the others."""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import ImageError
from unetfast.imaging.decoding import decoding
from unetfast.imaging.tiff import blank_of, check_kind, may_be_blank, normal_values
from unetfast.imaging.tiff_patch import boxes

__all__ = ["Rows"]


class Rows:
    """A page that is read a few rows at a time.

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
    cell_px : int
        Rows of one strip or tile; reading whole ones costs least.
    may_be_blank : bool
        Whether the page says of some pixels that they hold no data.
    """

    def __init__(self, file: BinaryIO, page: Any, name: str) -> None:
        self._file, self._page, self._name = file, page, name
        with decoding(name):
            check_kind(page, name)
            self.may_be_blank = may_be_blank(page)
            self.boxes = list(boxes(page))
        self.height, self.width, self.channels = page.imagelength, page.imagewidth, page.samplesperpixel
        self.cell_px = max(box.bottom - box.top for box in self.boxes)

    def read(self, top: int, bottom: int) -> NDArray[Any]:
        """Return the pixels of rows `top` to `bottom`, (h, W, C), as ``tiff.normal_values`` gives them.

        Raises
        ------
        ImageError
            When a strip or tile is damaged or missing.
        """
        with decoding(self._name):
            return normal_values(self._page, self._values(top, bottom), self._name)

    def samples(self, top: int, bottom: int) -> NDArray[Any]:
        """Return what is filled and written back: the inks of CMYK, else the pixels; as :meth:`read`."""
        if self._page.photometric != 5:
            return self.read(top, bottom)
        with decoding(self._name):
            return self._values(top, bottom)

    def blank(self, top: int, bottom: int) -> NDArray[np.bool_]:
        """Return which pixels of rows `top` to `bottom` hold no data, (h, W)."""
        with decoding(self._name):
            found = blank_of(self._page, self._values(top, bottom))
        return np.zeros((bottom - top, self.width), np.bool_) if found is None else found

    def _values(self, top: int, bottom: int) -> NDArray[Any]:
        page = self._page
        values: NDArray[Any] = np.zeros((bottom - top, self.width, page.samplesperpixel), page.dtype)
        for box in self.boxes:
            if box.top >= bottom or box.bottom <= top:
                continue
            first, last = max(box.top, top), min(box.bottom, bottom)
            part = self._segment(box.number)
            if part is None:  # a hole in a sparse file: zeros
                continue
            part = part.reshape(-1, part.shape[-2], part.shape[-1])
            inside = part[first - box.top : last - box.top, : box.right - box.left]
            planes = slice(box.plane, box.plane + 1) if page.planarconfig == 2 else slice(None)
            values[first - top : last - top, box.left : box.right, planes] = inside
        return values

    def _segment(self, number: int) -> NDArray[Any] | None:
        page = self._page
        offset, count = page.dataoffsets[number], page.databytecounts[number]
        if not offset or not count:
            return None
        self._file.seek(offset)
        data = self._file.read(count)
        if len(data) != count:
            raise ImageError(f"{self._name}: the TIFF file is cut off")
        decoded = page.decode(data, number, jpegtables=page.jpegtables, jpegheader=page.jpegheader)[0]
        return None if decoded is None else np.asarray(decoded)
