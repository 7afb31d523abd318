"""A TIFF page that may be larger than memory: its labels, its mask and its cleaned pixels.

They equal those of the whole page. First the network sees all of it, in windows with the model's
halo that are as large as the memory holds; what it says is kept packed. Then the page is cleaned
a band of rows at a time, with as many rows around as its largest masked region needs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import ImageError
from unetfast.imaging.convert import check_channels, near_clear, orient
from unetfast.imaging.formats import check_pixels
from unetfast.imaging.place import place_of
from unetfast.imaging.tiff import cell_sides, decoded_sides, is_stack, orientation_of
from unetfast.imaging.tiff_rows import Rows
from unetfast.inpainting.grain import STRIP_ROWS, reach_of
from unetfast.inpainting.mask import dilate
from unetfast.inpainting.window import LARGEST_PX
from unetfast.pipeline.page_layer import PageLayer
from unetfast.pipeline.settings import RunSettings
from unetfast.pipeline.stages import fill
from unetfast.preprocess import Tile
from unetfast.scaled import segment_rows
from unetfast.segment import Segmenter
from unetfast.windows import cut, segment_windows

__all__ = ["QUARTER_TURN", "BandedPage", "memory_bytes"]

MOST_ROWS = 4096
# Shares of --max-memory. Beside a band that is cleaned the runtime keeps what it took for the windows.
WINDOWS, BAND, SCALED_BAND = 0.95, 0.125, 0.5
GRAIN_BYTES = 10**8  # what --grain may take however small --max-memory is
# EXIF orientations: from 5 on rows are columns; 3 and 4 begin with the last row.
QUARTER_TURN = 5
UPSIDE_DOWN = (3, 4)
MIRRORED = (2, 3)  # begin with the last column


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
        How many rows are cleaned at once: a multiple of the strips' or tiles', or all.
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
        wanted = segmenter.spec.preprocess.channels
        check_channels(name, page.samplesperpixel, wanted, stack=is_stack(page))
        self.rows, self.name, self.place = Rows(source, page, name), name, place_of(page)
        self.settings, self.segmenter = settings, segmenter
        self.orientation = orientation_of(page)
        self.height, self.width = self.rows.height, self.rows.width
        self.blank_px, self.masked_px, self.class_px = 0, 0, np.zeros(len(segmenter.spec.classes), np.int64)
        self._memory = settings.memory_bytes()
        self._whole = memory_bytes(page) <= self._memory
        if self._whole:
            self.band = self.height
        else:
            _refuse_large_cells(page, settings, name)
            self.band = _band_rows(page, self._memory * BAND)
            self._refuse_what_needs_the_whole()
        if self.orientation >= QUARTER_TURN:
            self.height, self.width = self.width, self.height
            self.band = self.height
        self._page = page
        self._ids, self._blank = PageLayer(self.width), PageLayer(self.width)

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
        if needed > max(self._memory // 2, GRAIN_BYTES):
            raise ImageError(
                f"{self.name}: --grain needs {needed / 1e9:.1f} GB for {rows} rows of {self.width} px, more "
                f"than half of --max-memory ({self._memory / 1e9:.3g} GB); raise it, or leave out --grain"
            )

    def segment(self) -> None:
        """Find the class ids of all pixels, and which hold no data: before anything else is asked."""
        if self.settings.scale != 1.0:
            self._segment_scaled()
        elif self._whole:
            pixels, blank = self._window(0, self.height)
            self._ids.put(0, 0, self.segmenter.segment(pixels))
            self._put_blank(0, 0, blank)
        else:
            memory = int(self._memory * WINDOWS) - 2 * _cell_bytes(self._page)  # as stored, and decoded
            held = _pixel_bytes(self._page, self.segmenter.spec.preprocess.channels)
            shape = (self.height, self.width)
            tiles, at_once = cut(self.segmenter, shape, memory, held, self.settings.tile)
            for tile, ids in segment_windows(self.segmenter, self._tile, tiles, at_once):
                self._ids.put(tile.y, tile.x, ids)

    def _segment_scaled(self) -> None:
        shape = (self.height, self.width)
        rows = self.height if self._whole else _band_rows(self._page, self._memory * SCALED_BAND)
        for top in range(0, self.height, rows):
            part = (top, min(top + rows, self.height))
            ids = segment_rows(self.segmenter, self._pixels, shape, part, self.settings.scale, rows)
            self._ids.put(top, 0, ids)
            if self.rows.may_be_blank:
                self._put_blank(top, 0, self._window(*part)[1])

    def _tile(self, tile: Tile) -> NDArray[Any]:
        """Return the pixels of a tile's window, and remember which of its core hold no data."""
        pixels, blank = self._window(tile.top, tile.bottom, tile.left, tile.right)
        if blank is not None:
            self._put_blank(tile.y, tile.x, tile.core_of(blank))
        return pixels

    def _put_blank(self, top: int, left: int, blank: NDArray[np.bool_] | None) -> None:
        if blank is not None:
            self._blank.put(top, left, blank.view(np.uint8))

    def _pixels(self, top: int, bottom: int) -> NDArray[Any]:
        return self._window(top, bottom)[0]

    def _window(
        self, top: int, bottom: int, left: int = 0, right: int | None = None
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Return the pixels of a window, upright, and which of them hold no data; None: all hold some."""
        right = self.width if right is None else right
        if self.orientation >= QUARTER_TURN:
            rows, columns = (0, self.rows.height), (0, self.rows.width)
        else:
            rows, columns = self.stored(top, bottom), (left, right)
            if self.orientation in MIRRORED:
                columns = self.width - right, self.width - left
        pixels, blank = self.rows.window(*rows, *columns)
        return orient(pixels, self.orientation), None if blank is None else orient(blank, self.orientation)

    def samples(self, top: int, bottom: int) -> NDArray[Any]:
        """Return what is filled and written back of some rows: the inks of CMYK, else the pixels."""
        if self.orientation >= QUARTER_TURN:
            return orient(self.rows.samples(0, self.rows.height), self.orientation)[top:bottom]
        return orient(self.rows.samples(*self.stored(top, bottom)), self.orientation)

    def blank(self, top: int, bottom: int) -> NDArray[np.bool_] | None:
        """Return which of some rows' pixels hold no data, None where all hold some."""
        return self._blank.rows(top, bottom).view(np.bool_) if self.rows.may_be_blank else None

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
        labels, blank = self._ids.rows(top, bottom), self.blank(top, bottom)
        return labels if blank is None else np.where(blank, np.uint8(0), labels)

    def mask(self, top: int, bottom: int) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
        """Return which pixels of some rows are to be replaced, and the class ids that this follows from."""
        grown = self.settings.dilate_px
        first, last = max(0, top - grown), min(self.height, bottom + grown)
        labels, core = self.labels(first, last), slice(top - first, bottom - first)
        mask, blank = np.asarray(dilate(labels != 0, grown)[core], np.bool_), self.blank(top, bottom)
        return mask if blank is None else mask & ~blank, labels[core]

    def cleaned(
        self, top: int, bottom: int
    ) -> tuple[NDArray[Any] | None, NDArray[np.bool_], NDArray[np.uint8]]:
        """Return the filled pixels of some rows (None: none is masked), which are masked, their class ids."""
        settings, height = self.settings, self.height
        reach = (settings.window_px or LARGEST_PX) // 2 + 16
        while True:
            first, last = self._around(top, bottom, reach)
            mask, labels = self.mask(first, last)
            core = slice(top - first, bottom - first)
            if not mask[core].any():
                return None, mask[core], labels[core]
            # A pixel deep inside a masked region is filled from its rim, however far that is.
            blank = self.blank(first, last)
            unfit = mask if blank is None else mask | blank
            if (first, last) == (0, height) or near_clear(unfit, mask, core, reach):
                break
            reach *= 4
        filled = fill(self.name, self.samples(first, last), mask, blank, settings, first)
        return filled[core], mask[core], labels[core]

    def _around(self, top: int, bottom: int, reach: int) -> tuple[int, int]:
        """Return the rows that the filling of some rows depends on, with so many around them."""
        first, last = top - reach, bottom + reach
        if self.settings.grain:
            around = reach_of(self.settings.window_px)
            first = min(first, top // STRIP_ROWS * STRIP_ROWS - around)
            last = max(last, -(-bottom // STRIP_ROWS) * STRIP_ROWS + around)
        return max(0, first), min(self.height, last)


def _refuse_large_cells(page: Any, settings: RunSettings, name: str) -> None:
    cell, _ = cell_sides(page)
    if 2 * cell * _row_bytes(page) > settings.memory_bytes():
        raise ImageError(
            f"{name}: one strip or tile of {cell} rows needs more than --max-memory "
            f"({settings.memory_bytes() / 1e9:.3g} GB); raise it, or save the file with smaller ones"
        )


def _band_rows(page: Any, memory_bytes: float) -> int:
    """Return how many rows fit, a multiple of the strips' or tiles' rows, and at least those of one."""
    cell, _ = cell_sides(page)
    return max(1, int(min(memory_bytes // _row_bytes(page), MOST_ROWS)) // cell) * cell


def _stored_bytes(page: Any) -> int:
    """Return what the samples of a pixel take."""
    return int(page.samplesperpixel * max(1, page.bitspersample // 8))


def _cell_bytes(page: Any) -> int:
    """Return what the largest strip or tile takes as it is decoded."""
    return math.prod(cell_sides(page)) * _stored_bytes(page)


def _pixel_bytes(page: Any, channels: int) -> int:
    """Return what a window's pixel takes beside the network: samples, its input, labels and no-data."""
    stored = _stored_bytes(page)
    as_it_is = page.bitspersample == 8 and page.samplesperpixel == channels
    return stored + (0 if as_it_is else 2 * stored + channels) + 2


def memory_bytes(page: Any) -> int:
    """Estimate the memory that a page needs as a whole."""
    return int(page.imagelength * _row_bytes(page))


def _row_bytes(page: Any) -> int:
    """Estimate the memory that one row needs: twice the pixels, the network's input, labels and masks."""
    return int(page.imagewidth * (2 * _stored_bytes(page) + page.samplesperpixel + 8))
