"""TIFF files larger than memory, or of several pages, read, cleaned and written a band of rows at a time.

The result equals that of the whole image: each band is segmented with the model's halo, and
filled with as many rows around it as its largest masked region needs.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import ConfigError, ImageError
from unetfast.imaging.convert import distance_to_clear
from unetfast.imaging.formats import check_pixels
from unetfast.imaging.tiff import beside, pages_of
from unetfast.imaging.tiff_patch import Segments
from unetfast.imaging.tiff_rows import Rows
from unetfast.imaging.write import MaskPages, MaskStream
from unetfast.inpainting import inpaint
from unetfast.inpainting.mask import dilate
from unetfast.pipeline import stages
from unetfast.pipeline.output import Output
from unetfast.pipeline.remote import RemoteFile, RemoteOutput
from unetfast.pipeline.settings import RunSettings
from unetfast.pipeline.stages import Context, Job, names
from unetfast.segment import Segmenter

__all__ = ["identify", "parse_bytes", "process", "takes"]

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
MOST_ROWS = 4096


def parse_bytes(text: str) -> int:
    """Read a size such as ``2GB``, ``500M`` or ``1e9``."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?(?:e[0-9]{1,2})?)\s*([kmgt]?)i?b?\s*", text.lower())
    if match is None:
        raise ConfigError(f"a size must be a number with a unit, such as 2GB; got {text!r}")
    return int(float(match[1]) * _UNITS[match[2]])


def takes(path: Path | RemoteFile, context: Context) -> bool:
    """Tell whether a local file is a TIFF of several pages, or one that needs more than --max-memory."""
    if not isinstance(path, Path):
        return False
    try:
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
        When the file cannot be read or written in bands.
    """
    settings, name = context.settings, str(job.item.path)
    wanted = names(job.item, settings)
    overlay = wanted.pop("overlay", None)
    with ExitStack() as stack:
        source = stack.enter_context(open(name, "rb"))
        unchanged = _state(source)
        pages = stack.enter_context(pages_of(source, name))
        several = len(pages) > 1
        if several and "mask" in wanted:  # a page each; no other photo's mask has this ending
            wanted["mask"] = wanted["mask"].removesuffix(".png") + ".tif"
        works = [_work(page, source, settings, segmenter, name) for page in pages]
        files = {kind: stack.enter_context(output.open(path)) for kind, path in wanted.items()}
        binary = settings.inpaint or len(segmenter.spec.classes) == 2
        masked = _pages(works, files, source, name, binary=binary)
        others = beside(pages[0])
        sizes = {kind: file.seek(0, 2) for kind, file in files.items()}
        if _state(source) != unchanged or unchanged != job.state:
            raise ImageError(f"{name}: changed while it was read; run again")
    how = f"TIFF of {len(pages)} pages" if several else "TIFF in windows"
    job.entry.update(
        status="done",
        height=works[0].rows.height,
        width=works[0].rows.width,
        masked_px=masked,
        outputs=wanted,
        bytes=sizes,
    )
    lacking = (
        f"; no overlay of a picture {'of several pages' if several else 'this large'}" if overlay else ""
    )
    job.entry["how"] = f"{how}: only the strips or tiles under the mask re-encoded{others}{lacking}"


def _state(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def _work(page: Any, source: BinaryIO, settings: RunSettings, segmenter: Segmenter, name: str) -> _Work:
    """Return what processes one page; raise ImageError for what does not work in bands."""
    check_pixels(page.imagewidth, page.imagelength, name, settings.max_pixels)
    instead = "raise --max-memory" if len(page.parent.pages) == 1 else "save each page as a file of its own"
    if settings.scale != 1.0:
        raise ImageError(f"{name}: --scale does not work in windows; {instead}")
    if settings.grain:  # it would differ from that of the whole picture
        raise ImageError(f"{name}: --grain does not work in windows; {instead}")
    if page.tags.valueof(274) not in (None, 1):
        raise ImageError(f"{name}: a turned TIFF cannot be read in windows; {instead}")
    return _Work(Rows(source, page, name), settings, segmenter, _band_rows(page, settings, name))


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


class _Work:
    """A file read in bands: its rows, and their labels and cleaned pixels."""

    def __init__(self, rows: Rows, settings: RunSettings, segmenter: Segmenter, band: int) -> None:
        self.rows, self.settings, self.segmenter, self.band = rows, settings, segmenter, band

    def labels(self, top: int, bottom: int) -> NDArray[np.uint8]:
        """Return the class ids of some rows, as the whole image would have them."""
        spec = self.segmenter.spec
        if spec.preprocess.resize_px is not None:
            raise ImageError("a model that resizes its input cannot work in windows; raise --max-memory")
        stride = spec.stride_px
        first = max(0, (top - spec.halo_px) // stride * stride)
        last = min(self.rows.height, -(-(bottom + spec.halo_px) // stride) * stride)
        return self.segmenter.segment(self.rows.read(first, last))[top - first : bottom - first]

    def cleaned(self, top: int, bottom: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the filled pixels of some rows and which of them are masked."""
        settings, height = self.settings, self.rows.height
        reach = settings.window_px // 2 + 16
        while True:
            first, last = max(0, top - reach), min(height, bottom + reach)
            outer = max(0, first - settings.dilate_px), min(height, last + settings.dilate_px)
            mask = dilate(self.labels(*outer) != 0, settings.dilate_px)[first - outer[0] : last - outer[0]]
            core = slice(top - first, bottom - first)
            if not mask[core].any():
                return self.rows.read(top, bottom), mask[core]
            whole = (first, last) == (0, height)
            # A pixel deep inside a masked region is filled from its rim, however far that is.
            if whole or float(distance_to_clear(mask)[core].max()) <= reach:
                break
            reach *= 4
        if mask.all():
            raise ImageError("every pixel was found: nothing is left to fill from")
        pixels = self.rows.read(first, last)
        filled = inpaint(pixels, mask, settings.window_px, method=settings.method, threads=settings.threads)
        return filled[core], mask[core]


def _pages(
    works: list[_Work], files: dict[str, BinaryIO], source: BinaryIO, name: str, *, binary: bool
) -> int:
    """Write every page of the wanted files; return how many pixels are masked."""
    masked = 0
    with ExitStack() as stack:
        targets: list[Segments | None] = [None] * len(works)
        if "cleaned" in files:
            source.seek(0)
            shutil.copyfileobj(source, files["cleaned"], 1 << 22)
            pages = stack.enter_context(pages_of(files["cleaned"], name))
            offsets = [offset for page in pages for offset in page.dataoffsets]
            shared = len(set(offsets)) != len(offsets)
            targets = [Segments(files["cleaned"], page, name, shared=shared) for page in pages]
        book = MaskPages()
        for work, segments in zip(works, targets, strict=True):
            parts: list[NDArray[Any]] = []
            if "mask" not in files:
                masked += _bands(work, segments, lambda _: None, binary=binary)
            elif len(works) > 1:
                masked += _bands(work, segments, parts.append, binary=binary)
                book.add(np.concatenate(parts))
            else:
                masked += _bands_to_png(work, segments, files["mask"], binary=binary)
    if "mask" in files and len(works) > 1:
        files["mask"].write(book.end())
    return masked


def _bands_to_png(work: _Work, segments: Segments | None, file: BinaryIO, *, binary: bool) -> int:
    png = MaskStream(work.rows.height, work.rows.width, binary=binary)
    file.write(png.start())
    masked = _bands(work, segments, lambda part: file.write(png.rows(part)), binary=binary)
    file.write(png.end())
    return masked


def _bands(
    work: _Work, segments: Segments | None, put: Callable[[NDArray[Any]], object], *, binary: bool
) -> int:
    """Process every band of a page and hand its mask or class ids to `put`; return its masked pixels."""
    height, masked = work.rows.height, 0
    for top in range(0, height, work.band):
        bottom = min(top + work.band, height)
        if segments is None:
            labels = work.labels(top, bottom)
            mask = labels != 0
        else:
            pixels, mask = work.cleaned(top, bottom)
            _replace(segments, work.rows, pixels, mask, top)
        put(mask if binary else labels)
        masked += int(np.count_nonzero(mask))
    if segments is not None:
        segments.finish()
    return masked


def _replace(segments: Segments, rows: Rows, pixels: NDArray[Any], mask: NDArray[np.bool_], top: int) -> None:
    for box in rows.boxes:
        if top <= box.top < top + len(pixels):
            part = (slice(box.top - top, box.bottom - top), slice(box.left, box.right))
            if mask[part].any():
                segments.replace(box, pixels[part])
