"""TIFF files larger than memory, or of several pages, read, cleaned and written a band of rows at a time.

The result equals that of the whole image: each band is segmented with the model's halo, and
filled with as many rows around it as its largest masked region needs.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import ConfigError, ImageError
from unetfast.imaging.convert import distance_to_clear, orient, unorient
from unetfast.imaging.formats import check_pixels
from unetfast.imaging.tiff import decoded_sides, holes, orientation_of, pages_of, remarks
from unetfast.imaging.tiff_patch import Segments
from unetfast.imaging.tiff_rows import Rows
from unetfast.imaging.write import MaskPages, MaskStream
from unetfast.inpainting import inpaint
from unetfast.inpainting.grain import STRIP_ROWS, add_grain, reach_of
from unetfast.inpainting.mask import dilate
from unetfast.inpainting.window import LARGEST_PX
from unetfast.pipeline import stages
from unetfast.pipeline.output import Output
from unetfast.pipeline.remote import RemoteFile, RemoteOutput
from unetfast.pipeline.settings import RunSettings
from unetfast.pipeline.sources import Item
from unetfast.pipeline.stages import Context, Job, missing_ending, names
from unetfast.preprocess import with_halo
from unetfast.scaled import segment_rows
from unetfast.segment import Segmenter

__all__ = ["identify", "parse_bytes", "process", "results", "takes"]

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
MOST_ROWS = 4096
GRAIN_BYTES = 10**8  # what --grain may take however small --max-memory is
_QUARTER_TURN, _UPSIDE_DOWN = 5, (3, 4)  # EXIF orientations: from 5 on rows are columns


def parse_bytes(text: str) -> int:
    """Read a size such as ``2GB``, ``500M`` or ``1e9``."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?(?:e[0-9]{1,2})?)\s*([kmgt]?)i?b?\s*", text.lower())
    if match is None:
        raise ConfigError(f"a size must be a number with a unit, such as 2GB; got {text!r}")
    return int(float(match[1]) * _UNITS[match[2]])


def takes(path: Path | RemoteFile, context: Context) -> bool:
    """Tell whether a local file is a TIFF of several pages, or one that needs more than --max-memory."""
    if not isinstance(path, Path) or context.settings.engine == "ray":
        return False
    try:
        if not path.is_file():  # a pipe would be waited for without end
            return False
        with open(path, "rb") as file:
            if file.read(4) not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
                return False
            with pages_of(file, str(path)) as pages:
                if len(pages) != 1:
                    return len(pages) > 1 and not context.stacks
                needed: int = pages[0].imagelength * _row_bytes(pages[0])
                return needed > parse_bytes(context.settings.max_memory)
    except (OSError, ImageError):
        return False  # the ordinary way says what is wrong with it


def _row_bytes(page: Any) -> int:
    """Estimate the memory that one row needs: twice the pixels, the network's input, labels and masks."""
    stored = page.samplesperpixel * max(1, page.bitspersample // 8)
    return int(page.imagewidth * (2 * stored + page.samplesperpixel + 8))


def identify(job: Job, context: Context) -> None:
    """Hash the file without holding it."""
    digest = hashlib.sha256()
    with open(str(job.item.path), "rb") as file:
        job.state = _state(file)
        while block := file.read(1 << 22):
            digest.update(block)
    stages.identify(job, context, digest.hexdigest())


def process(job: Job, context: Context, segmenter: Segmenter, output: Output | RemoteOutput) -> None:
    """Take a photo through all stages and complete its line of the journal.

    Raises
    ------
    ImageError
        When the file cannot be read or written in bands. A file that can only be segmented has its
        mask still.
    """
    settings, name = context.settings, str(job.item.path)
    with ExitStack() as stack:
        source = stack.enter_context(open(name, "rb"))
        unchanged = _state(source)
        pages = stack.enter_context(pages_of(source, name))
        several = len(pages) > 1
        wanted = _wanted(job.item, settings, several=several)
        if "cleaned" in wanted:
            wanted["cleaned"] += missing_ending(job.item, "tiff")
        works = [
            _Work(page, source, settings, segmenter, f"{name}: page {number}" if several else name)
            for number, page in enumerate(pages, 1)
        ]
        job.entry.update(height=works[0].height, width=works[0].width)
        notes = [f"page {number}: {words}" for number, page in enumerate(pages, 1) if (words := holes(page))]
        if notes:
            job.entry["notes"] = "; ".join(notes)
        binary = settings.inpaint or len(segmenter.spec.classes) == 2
        files: dict[str, BinaryIO] = {}
        with ExitStack() as cleaning, ExitStack() as marking:
            for kind, path in wanted.items():
                files[kind] = (cleaning if kind == "cleaned" else marking).enter_context(output.open(path))
            masked, refused = _pages(works, files, source, name, binary=binary)
            if _state(source) != unchanged or unchanged != job.state:
                raise ImageError(f"{name}: changed while it was read; run again")
            sizes = {kind: file.seek(0, 2) for kind, file in files.items()}
            marking.close()  # the mask gets its name first, and stays whatever becomes of the cleaned file
            marks = {kind: wanted[kind] for kind in files if kind != "cleaned"}
            job.entry.update(masked_px=masked, outputs=marks, bytes={kind: sizes[kind] for kind in marks})
            if refused is not None:
                raise refused
        others = remarks(pages) if masked else ""
    job.entry.update(outputs=wanted, bytes=sizes)
    job.entry["status"] = "done"
    what = "of several pages" if several else "this large"
    job.entry["how"] = "".join(
        (
            f"TIFF of {len(pages)} pages" if several else "TIFF in windows",
            ": only the strips or tiles under the mask re-encoded" if masked else ": copied byte for byte",
            others,
            f"; no overlay of a picture {what}" if settings.overlay else "",
        )
    )


def results(item: Item, context: Context) -> dict[str, str]:
    """Return the results of a photo, kind to path, also of one that is processed here."""
    if not takes(item.path, context):
        return names(item, context.settings)
    with open(str(item.path), "rb") as file, pages_of(file, str(item.path)) as pages:
        return _wanted(item, context.settings, several=len(pages) > 1)


def _wanted(item: Item, settings: RunSettings, *, several: bool) -> dict[str, str]:
    wanted = names(item, settings)
    wanted.pop("overlay", None)
    if several and "mask" in wanted:  # a page each; no other photo's mask has this ending
        wanted["mask"] = wanted["mask"].removesuffix(".png") + ".tif"
    return wanted


def _state(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


class _Work:
    """A page and what is to become of it: its labels, its mask and its cleaned pixels, upright.

    Attributes
    ----------
    rows : Rows
    orientation : int
        EXIF's; a page that is turned by a quarter (5 to 8) is held as a whole.
    height, width : int
        Upright.
    band : int
        How many rows are processed at once: a multiple of the strips' or tiles', or all.
    """

    def __init__(
        self, page: Any, source: BinaryIO, settings: RunSettings, segmenter: Segmenter, name: str
    ) -> None:
        check_pixels(*decoded_sides(page), name, settings.max_pixels)
        self.rows, self.name = Rows(source, page, name), name
        self.settings, self.segmenter = settings, segmenter
        self.orientation = orientation_of(page)
        self.height, self.width = self.rows.height, self.rows.width
        if page.imagelength * _row_bytes(page) <= parse_bytes(settings.max_memory):
            self.band = self.height
        else:
            self.band = _band_rows(page, settings, name)
            self._refuse_what_needs_the_whole()
        if self.orientation >= _QUARTER_TURN:
            self.height, self.width = self.width, self.height
            self.band = self.height

    def _refuse_what_needs_the_whole(self) -> None:
        needs = {
            "a TIFF turned by a quarter": self.orientation >= _QUARTER_TURN,
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

    def _upright(self, read: Callable[[int, int], NDArray[Any]], top: int, bottom: int) -> NDArray[Any]:
        if self.orientation >= _QUARTER_TURN:
            return orient(read(0, self.rows.height), self.orientation)[top:bottom]
        return orient(read(*self.stored(top, bottom)), self.orientation)

    def stored(self, top: int, bottom: int) -> tuple[int, int]:
        """Return where some rows lie in the file; not of a picture that is turned by a quarter."""
        from_below = self.orientation in _UPSIDE_DOWN
        return (self.height - bottom, self.height - top) if from_below else (top, bottom)

    def bands(self) -> Iterator[tuple[int, int]]:
        """Yield the rows of each band, cut where the strips or tiles in the file end."""
        first = self.height % self.band if self.orientation in _UPSIDE_DOWN else 0
        edges = [0, *range(first or self.band, self.height, self.band), self.height]
        yield from pairwise(edges)

    def labels(self, top: int, bottom: int) -> NDArray[np.uint8]:
        """Return the class ids of some rows, as the whole image would have them."""
        shape, rows = (self.height, self.width), (top, bottom)
        if self.settings.scale != 1.0:
            return segment_rows(self.segmenter, self.read, shape, rows, self.settings.scale, self.band)
        spec = self.segmenter.spec
        first, last = with_halo(top, bottom, self.height, spec.stride_px, spec.halo_px)
        return self.segmenter.segment(self.read(first, last))[top - first : bottom - first]

    def mask(self, top: int, bottom: int) -> NDArray[np.bool_]:
        """Return which pixels of some rows are to be replaced."""
        grown = self.settings.dilate_px
        first, last = max(0, top - grown), min(self.height, bottom + grown)
        found = dilate(self.labels(first, last) != 0, grown)
        return np.asarray(found[top - first : bottom - first], np.bool_)

    def cleaned(self, top: int, bottom: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the filled pixels of some rows and which of them are masked."""
        settings, height = self.settings, self.height
        reach = (settings.window_px or LARGEST_PX) // 2 + 16
        while True:
            first, last = self._around(top, bottom, reach)
            mask = self.mask(first, last)
            core = slice(top - first, bottom - first)
            if not mask[core].any():
                return self.samples(top, bottom), mask[core]
            # A pixel deep inside a masked region is filled from its rim, however far that is.
            if (first, last) == (0, height) or float(distance_to_clear(mask)[core].max()) <= reach:
                break
            reach *= 4
        if mask.all():
            raise ImageError(f"{self.name}: every pixel was found: nothing is left to fill from")
        pixels = self.samples(first, last)
        filled = inpaint(pixels, mask, settings.window_px, method=settings.method, threads=settings.threads)
        if settings.grain:
            add_grain(filled, mask, settings.window_px, 0, first_row=first)
        return filled[core], mask[core]

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


def _pages(
    works: list[_Work], files: dict[str, BinaryIO], source: BinaryIO, name: str, *, binary: bool
) -> tuple[int, ImageError | None]:
    """Write every page of the wanted files.

    Returns
    -------
    int
        How many pixels are masked.
    ImageError or None
        Why the cleaned file is not to be kept: its first page that cannot be written.
    """
    masked = 0
    with ExitStack() as stack:
        pages: list[Any] = [None] * len(works)
        shared = False
        if "cleaned" in files:
            source.seek(0)
            shutil.copyfileobj(source, files["cleaned"], 1 << 22)
            pages = stack.enter_context(pages_of(files["cleaned"], name))
            offsets = [offset for page in pages for offset in page.dataoffsets]
            shared = len(set(offsets)) != len(offsets)
        target = _Target(files.get("cleaned"), shared=shared)
        book = MaskPages()
        for work, page in zip(works, pages, strict=True):
            parts: list[NDArray[Any]] = []
            if "mask" not in files:
                masked += _bands(work, page, target, lambda _: None, binary=binary)
            elif len(works) > 1:
                masked += _bands(work, page, target, parts.append, binary=binary)
                book.add(np.concatenate(parts))
            else:
                masked += _bands_to_png(work, page, target, files["mask"], binary=binary)
    if "mask" in files and len(works) > 1:
        files["mask"].write(book.end())
    return masked, target.refused


class _Target:
    """The cleaned file, until one of its pages cannot be written."""

    def __init__(self, file: BinaryIO | None, *, shared: bool) -> None:
        self.file, self._shared = file, shared
        self.refused: ImageError | None = None
        self._segments: Segments | None = None

    def put(self, work: _Work, page: Any, pixels: NDArray[Any], mask: NDArray[np.bool_], top: int) -> None:
        """Replace the strips or tiles of some rows of a page that the mask touches."""
        if self.file is None or self.refused is not None or not mask.any():
            return
        try:
            if self._segments is None:
                self._segments = Segments(self.file, page, work.name, shared=self._shared)
            _replace(self._segments, work, pixels, mask, top)
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


def _bands_to_png(work: _Work, page: Any, target: _Target, file: BinaryIO, *, binary: bool) -> int:
    png = MaskStream(work.height, work.width, binary=binary)
    file.write(png.start())
    masked = _bands(work, page, target, lambda part: file.write(png.rows(part)), binary=binary)
    file.write(png.end())
    return masked


def _bands(
    work: _Work, page: Any, target: _Target, put: Callable[[NDArray[Any]], object], *, binary: bool
) -> int:
    """Process every band of a page and hand its mask or class ids to `put`; return its masked pixels."""
    masked = 0
    for top, bottom in work.bands():
        if target.file is None:
            labels = work.labels(top, bottom)
            mask = labels != 0
        elif target.refused is not None:
            mask = work.mask(top, bottom)
        else:
            pixels, mask = work.cleaned(top, bottom)
            target.put(work, page, pixels, mask, top)
        put(mask if binary else labels)
        masked += int(np.count_nonzero(mask))
    target.end_page()
    return masked


def _replace(
    segments: Segments, work: _Work, pixels: NDArray[Any], mask: NDArray[np.bool_], top: int
) -> None:
    top = 0 if work.orientation >= _QUARTER_TURN else work.stored(top, top + len(pixels))[0]
    pixels, mask = unorient(pixels, work.orientation), unorient(mask, work.orientation)
    for box in work.rows.boxes:
        if top <= box.top < top + len(pixels):
            part = (slice(box.top - top, box.bottom - top), slice(box.left, box.right))
            if mask[part].any():
                segments.replace(box, pixels[part], mask[part])
