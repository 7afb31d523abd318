"""A TIFF page, a band of rows at a time: its labels, its mask and its cleaned pixels.

They equal those of the whole page: each band is segmented with the model's halo, and filled with
as many rows around it as its largest masked region needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import ImageError
from unetfast.imaging.convert import distance_to_clear, orient
from unetfast.imaging.formats import check_pixels
from unetfast.imaging.place import place_of
from unetfast.imaging.tiff import decoded_sides, orientation_of
from unetfast.imaging.tiff_rows import Rows
from unetfast.inpainting.around_blank import inpaint_around
from unetfast.inpainting.grain import STRIP_ROWS, reach_of
from unetfast.inpainting.mask import dilate
from unetfast.inpainting.window import LARGEST_PX
from unetfast.pipeline.settings import RunSettings
from unetfast.preprocess import with_halo
from unetfast.scaled import segment_rows
from unetfast.segment import Segmenter
from unetfast.settings import parse_bytes

__all__ = ["QUARTER_TURN", "BandedPage", "memory_bytes"]

MOST_ROWS = 4096
GRAIN_BYTES = 10**8  # what --grain may take however small --max-memory is
# EXIF orientations: from 5 on rows are columns; 3 and 4 begin with the last row.
QUARTER_TURN = 5
UPSIDE_DOWN = (3, 4)


class BandedPage:
    """A page and what is to become of it, upright.

    Parameters
    ----------
    page : tifffile.TiffPage
    source : binary file
        That the page is of.
    settings : RunSettings
    segmenter : Segmenter
    name : str
        Its path, for messages; and its number where there are several.

    Attributes
    ----------
    rows : Rows
    place : Place or None
        As of a Picture.
    orientation : int
        EXIF's; a page that is turned by a quarter (5 to 8) is held as a whole.
    height, width : int
        Upright.
    band : int
        How many rows are processed at once: a multiple of the strips' or tiles', or all.
    masked_px : int
        Counted by who writes the results, band by band.
    class_px : (K,) int64
        How many pixels the model gave each class id, counted likewise.
    blank_px : int
        How many pixels hold no data, counted likewise.

    Raises
    ------
    ImageError
        When the page is larger than ``--max-pixels``, or cannot be processed in bands that fit.
    """

    def __init__(
        self, page: Any, source: BinaryIO, settings: RunSettings, segmenter: Segmenter, name: str
    ) -> None:
        check_pixels(*decoded_sides(page), name, settings.max_pixels)
        self.rows, self.name, self.place = Rows(source, page, name), name, place_of(page)
        self.settings, self.segmenter = settings, segmenter
        self.orientation = orientation_of(page)
        self.height, self.width = self.rows.height, self.rows.width
        self.blank_px, self.masked_px, self.class_px = 0, 0, np.zeros(len(segmenter.spec.classes), np.int64)
        if memory_bytes(page) <= parse_bytes(settings.max_memory):
            self.band = self.height
        else:
            self.band = _band_rows(page, settings, name)
            self._refuse_what_needs_the_whole()
        if self.orientation >= QUARTER_TURN:
            self.height, self.width = self.width, self.height
            self.band = self.height

    def _refuse_what_needs_the_whole(self) -> None:
        needs = {
            "a TIFF turned by a quarter": self.orientation >= QUARTER_TURN,
            "a model that resizes its input": self.segmenter.spec.preprocess.resize_px is not None,
            # Its fronts meet in an order that rows far away decide.
            f"--method {self.settings.method}": self.settings.inpaint
            and self.settings.method in ("telea", "ns"),
        }
        for what, needed in needs.items():
            if needed:
                raise ImageError(f"{self.name}: {what} needs the whole picture in memory; raise --max-memory")
        if self.settings.inpaint and self.settings.grain:
            self._refuse_too_wide_for_grain()

    def _refuse_too_wide_for_grain(self) -> None:
        rows = STRIP_ROWS + 2 * reach_of(self.settings.window_px)
        needed = rows * self.width * (12 * self.rows.channels + 40)  # of a strip that is masked all over
        # As much again for the bands.
        if needed > max(parse_bytes(self.settings.max_memory) // 2, GRAIN_BYTES):
            raise ImageError(
                f"{self.name}: --grain needs {needed / 1e9:.1f} GB for {rows} rows of {self.width} px, more "
                f"than half of --max-memory {self.settings.max_memory}; raise it, or leave out --grain"
            )

    def read(self, top: int, bottom: int) -> NDArray[Any]:
        """Return the pixels of some rows."""
        return self._upright(self.rows.read, top, bottom)

    def samples(self, top: int, bottom: int) -> NDArray[Any]:
        """Return what is filled and written back of some rows: the inks of CMYK, else the pixels."""
        return self._upright(self.rows.samples, top, bottom)

    def blank(self, top: int, bottom: int) -> NDArray[np.bool_] | None:
        """Return which of some rows' pixels hold no data, None where all hold some."""
        return self._upright(self.rows.blank, top, bottom) if self.rows.may_be_blank else None

    def _upright(self, read: Callable[[int, int], NDArray[Any]], top: int, bottom: int) -> NDArray[Any]:
        if self.orientation >= QUARTER_TURN:
            return orient(read(0, self.rows.height), self.orientation)[top:bottom]
        return orient(read(*self.stored(top, bottom)), self.orientation)

    def stored(self, top: int, bottom: int) -> tuple[int, int]:
        """Return where some rows lie in the file; not of a picture that is turned by a quarter."""
        from_below = self.orientation in UPSIDE_DOWN
        return (self.height - bottom, self.height - top) if from_below else (top, bottom)

    def bands(self) -> Iterator[tuple[int, int]]:
        """Yield the rows of each band, cut where the strips or tiles in the file end."""
        first = self.height % self.band if self.orientation in UPSIDE_DOWN else 0
        edges = [0, *range(first or self.band, self.height, self.band), self.height]
        yield from pairwise(edges)

    def labels(self, top: int, bottom: int) -> NDArray[np.uint8]:
        """Return the class ids of some rows, as the whole image would have them."""
        labels, blank = self._answers(top, bottom), self.blank(top, bottom)
        return labels if blank is None else np.where(blank, np.uint8(0), labels)

    def _answers(self, top: int, bottom: int) -> NDArray[np.uint8]:
        shape, rows = (self.height, self.width), (top, bottom)
        if self.settings.scale != 1.0:
            return segment_rows(self.segmenter, self.read, shape, rows, self.settings.scale, self.band)
        spec = self.segmenter.spec
        first, last = with_halo(top, bottom, self.height, spec)
        return self.segmenter.segment(self.read(first, last))[top - first : bottom - first]

    def mask(self, top: int, bottom: int) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
        """Return which pixels of some rows are to be replaced, and the class ids that this follows from."""
        grown = self.settings.dilate_px
        first, last = max(0, top - grown), min(self.height, bottom + grown)
        labels, core = self.labels(first, last), slice(top - first, bottom - first)
        mask, blank = np.asarray(dilate(labels != 0, grown)[core], np.bool_), self.blank(top, bottom)
        return mask if blank is None else mask & ~blank, labels[core]

    def cleaned(self, top: int, bottom: int) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.uint8]]:
        """Return the filled pixels of some rows, which of them are masked, and their class ids."""
        settings, height = self.settings, self.height
        reach = (settings.window_px or LARGEST_PX) // 2 + 16
        while True:
            first, last = self._around(top, bottom, reach)
            mask, labels = self.mask(first, last)
            core = slice(top - first, bottom - first)
            if not mask[core].any():
                return self.samples(top, bottom), mask[core], labels[core]
            # A pixel deep inside a masked region is filled from its rim, however far that is.
            blank = self.blank(first, last)
            unfit = mask if blank is None else mask | blank
            far = float((distance_to_clear(unfit) * mask)[core].max())
            if (first, last) == (0, height) or far <= reach:
                break
            reach *= 4
        if unfit.all():
            raise ImageError(f"{self.name}: every pixel was found: nothing is left to fill from")
        pixels = self.samples(first, last)
        filled = inpaint_around(
            pixels,
            mask,
            blank,
            settings.window_px,
            method=settings.method,
            threads=settings.threads,
            grain=settings.grain,
            first_row=first,
        )
        return filled[core], mask[core], labels[core]

    def _around(self, top: int, bottom: int, reach: int) -> tuple[int, int]:
        """Return the rows that the filling of some rows depends on, with so many around them."""
        first, last = top - reach, bottom + reach
        if self.settings.grain:
            around = reach_of(self.settings.window_px)
            first = min(first, top // STRIP_ROWS * STRIP_ROWS - around)
            last = max(last, -(-bottom // STRIP_ROWS) * STRIP_ROWS + around)
        return max(0, first), min(self.height, last)


def _band_rows(page: Any, settings: RunSettings, name: str) -> int:
    """Return how many rows fit, a multiple of the strips' or tiles' rows."""
    cell = int(page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength))
    # Half for the margins around a band, the network and the buffers of the libraries.
    rows = int(min(parse_bytes(settings.max_memory) // (2 * _row_bytes(page)), MOST_ROWS)) // cell * cell
    if rows < 1:
        raise ImageError(
            f"{name}: one strip or tile of {cell} rows needs more than --max-memory {settings.max_memory}; "
            "raise it, or save the file with smaller strips or tiles"
        )
    return rows


def memory_bytes(page: Any) -> int:
    """Estimate the memory that a page needs as a whole."""
    return int(page.imagelength * _row_bytes(page))


def _row_bytes(page: Any) -> int:
    """Estimate the memory that one row needs: twice the pixels, the network's input, labels and masks."""
    stored = page.samplesperpixel * max(1, page.bitspersample // 8)
    return int(page.imagewidth * (2 * stored + page.samplesperpixel + 8))
