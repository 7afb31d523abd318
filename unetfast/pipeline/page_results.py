"""The results of a TIFF file, written page by page and band by band."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import ImageError
from unetfast.imaging.convert import unorient
from unetfast.imaging.mask_encode import MaskPages, MaskStream
from unetfast.imaging.tiff import pages_of
from unetfast.imaging.tiff_patch import Segments, share_bytes
from unetfast.pipeline.banded_page import QUARTER_TURN, BandedPage
from unetfast.pipeline.stages import count_classes

__all__ = ["write_pages"]


def write_pages(
    pages: list[BandedPage], files: dict[str, BinaryIO], source: BinaryIO, name: str, *, binary: bool
) -> ImageError | None:
    """Write every page of the wanted files, and count on each page what is masked.

    Parameters
    ----------
    pages : list of BandedPage
    files : dict of str to binary file
        Open for writing and reading: "cleaned" (a TIFF file), "mask" (of one page a PNG file, of
        several a TIFF file), or both.
    source : binary file
        What the cleaned file begins as a copy of.
    name : str
        Its path, for messages.
    binary : bool
        The mask has 1 bit per pixel; otherwise class ids.

    Returns
    -------
    ImageError or None
        Why the cleaned file is not to be kept: its first page that cannot be written.
    """
    with ExitStack() as stack:
        targets: list[Any] = [None] * len(pages)
        shared = False
        if "cleaned" in files:
            source.seek(0)
            shutil.copyfileobj(source, files["cleaned"], 1 << 22)
            targets = stack.enter_context(pages_of(files["cleaned"], name))
            shared = share_bytes(targets[0])
        cleaned = _CleanedFile(files.get("cleaned"), shared=shared)
        book = MaskPages()
        for page, target in zip(pages, targets, strict=True):
            parts: list[NDArray[Any]] = []
            if "mask" not in files:
                _write_bands(page, target, cleaned, lambda _: None, binary=binary)
            elif len(pages) > 1:
                _write_bands(page, target, cleaned, parts.append, binary=binary)
                book.add(np.concatenate(parts))
            else:
                _write_bands_to_png(page, target, cleaned, files["mask"], binary=binary)
    if "mask" in files and len(pages) > 1:
        files["mask"].write(book.end())
    return cleaned.refused


class _CleanedFile:
    """The cleaned file, until one of its pages cannot be written."""

    def __init__(self, file: BinaryIO | None, *, shared: bool) -> None:
        self.file, self._shared = file, shared
        self.refused: ImageError | None = None
        self._segments: Segments | None = None

    def put(
        self, page: BandedPage, target: Any, pixels: NDArray[Any] | None, mask: NDArray[np.bool_], top: int
    ) -> None:
        """Replace the strips or tiles of some rows of a page that the mask touches; `pixels` None: none."""
        if self.file is None or self.refused is not None or pixels is None:
            return
        try:
            if self._segments is None:
                self._segments = Segments(self.file, target, page.name, shared=self._shared)
            _replace(self._segments, page, pixels, mask, top)
        except ImageError as exc:
            self.refused = exc

    def end_page(self) -> None:
        """Write where the strips or tiles of the page lie now."""
        segments, self._segments = self._segments, None
        if segments is None or self.refused is not None:
            return
        try:
            segments.finish()
        except ImageError as exc:
            self.refused = exc


def _write_bands_to_png(
    page: BandedPage, target: Any, cleaned: _CleanedFile, file: BinaryIO, *, binary: bool
) -> None:
    png = MaskStream(page.height, page.width, binary=binary)
    file.write(png.start())
    _write_bands(page, target, cleaned, lambda part: file.write(png.rows(part)), binary=binary)
    file.write(png.end())


def _write_bands(
    page: BandedPage,
    target: Any,
    cleaned: _CleanedFile,
    put: Callable[[NDArray[Any]], object],
    *,
    binary: bool,
) -> None:
    """Process a page, hand the mask or class ids of every band to `put`, and count them on the page."""
    page.segment()
    for top, bottom in page.bands():
        if cleaned.file is None:
            labels = page.labels(top, bottom)
            mask = labels != 0
        elif cleaned.refused is not None:
            mask, labels = page.mask(top, bottom)
        else:
            pixels, mask, labels = page.cleaned(top, bottom)
            cleaned.put(page, target, pixels, mask, top)
        put(mask if binary else labels)
        page.masked_px += int(np.count_nonzero(mask))
        if (blank := page.blank(top, bottom)) is not None:
            page.blank_px += int(np.count_nonzero(blank))
        page.class_px += count_classes(labels, len(page.class_px))
    cleaned.end_page()


def _replace(
    segments: Segments, page: BandedPage, pixels: NDArray[Any], mask: NDArray[np.bool_], top: int
) -> None:
    top = 0 if page.orientation >= QUARTER_TURN else page.stored(top, top + len(pixels))[0]
    pixels, mask = unorient(pixels, page.orientation), unorient(mask, page.orientation)
    for box in page.rows.boxes(top, top + len(pixels)):  # whole ones: bands end where they do
        part = (slice(box.top - top, box.bottom - top), slice(box.left, box.right))
        if mask[part].any():
            segments.replace(box, pixels[part], mask[part])
