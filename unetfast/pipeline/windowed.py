"""TIFF files larger than memory: read, segmented, cleaned and written a band of rows at a time.

The result equals that of the whole image: each band is segmented with the model's halo, and
filled with as many rows around it as its largest masked region needs.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import ConfigError, ImageError
from unetfast.imaging.convert import distance_to_clear
from unetfast.imaging.formats import check_pixels
from unetfast.imaging.tiff import opened
from unetfast.imaging.tiff_patch import Segments
from unetfast.imaging.tiff_rows import Rows
from unetfast.imaging.write import MaskStream
from unetfast.inpainting import inpaint
from unetfast.inpainting.mask import dilate
from unetfast.pipeline import stages
from unetfast.pipeline.output import Output
from unetfast.pipeline.remote import RemoteFile, RemoteOutput
from unetfast.pipeline.settings import RunSettings
from unetfast.pipeline.stages import Context, Job, names
from unetfast.segment import Segmenter

__all__ = ["identify", "is_too_large", "parse_bytes", "process"]

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
MOST_ROWS = 4096


def parse_bytes(text: str) -> int:
    """Read a size such as ``2GB``, ``500M`` or ``1e9``."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?(?:e[0-9]{1,2})?)\s*([kmgt]?)i?b?\s*", text.lower())
    if match is None:
        raise ConfigError(f"a size must be a number with a unit, such as 2GB; got {text!r}")
    return int(float(match[1]) * _UNITS[match[2]])


def is_too_large(path: Path | RemoteFile, limit: int) -> bool:
    """Tell whether a local file is a TIFF whose processing as a whole needs more than `limit` bytes."""
    if not isinstance(path, Path):
        return False
    try:
        with open(path, "rb") as file:
            if file.read(4) not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
                return False
            with opened(file, str(path)) as page:
                return bool(page.imagelength * _row_bytes(page) > limit)
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
        page = stack.enter_context(opened(source, name))
        check_pixels(page.imagewidth, page.imagelength, name, settings.max_pixels)
        if settings.scale != 1.0:
            raise ImageError(f"{name}: --scale does not work in windows; raise --max-memory")
        if settings.grain:  # it would differ from that of the whole picture
            raise ImageError(f"{name}: --grain does not work in windows; raise --max-memory")
        if page.tags.valueof(274) not in (None, 1):
            raise ImageError(f"{name}: a turned TIFF cannot be read in windows; raise --max-memory")
        work = _Work(Rows(source, page, name), settings, segmenter, _band_rows(page, settings, name))
        files = {kind: stack.enter_context(output.open(path)) for kind, path in wanted.items()}
        masked = _bands(
            work, files, source, name, binary=settings.inpaint or len(segmenter.spec.classes) == 2
        )
        sizes = {kind: file.seek(0, 2) for kind, file in files.items()}
    how = "TIFF in windows: only the strips or tiles under the mask re-encoded"
    job.entry.update(
        status="done",
        height=work.rows.height,
        width=work.rows.width,
        masked_px=masked,
        outputs=wanted,
        bytes=sizes,
    )
    job.entry["how"] = how + ("; no overlay of a picture this large" if overlay else "")


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


def _bands(work: _Work, files: dict[str, BinaryIO], source: BinaryIO, name: str, *, binary: bool) -> int:
    """Write every band of the wanted files; return how many pixels are masked."""
    height, masked = work.rows.height, 0
    mask_png = MaskStream(height, work.rows.width, binary=binary)
    with ExitStack() as stack:
        segments = None
        if "cleaned" in files:
            source.seek(0)
            shutil.copyfileobj(source, files["cleaned"], 1 << 22)
            page = stack.enter_context(opened(files["cleaned"], name))
            segments = Segments(files["cleaned"], page, name)
        if "mask" in files:
            files["mask"].write(mask_png.start())
        for top in range(0, height, work.band):
            bottom = min(top + work.band, height)
            if segments is None:
                labels = work.labels(top, bottom)
                mask = labels != 0
            else:
                pixels, mask = work.cleaned(top, bottom)
                _replace(segments, work.rows, pixels, mask, top)
            if "mask" in files:
                files["mask"].write(mask_png.rows(mask if binary else labels))
            masked += int(np.count_nonzero(mask))
        if "mask" in files:
            files["mask"].write(mask_png.end())
        if segments is not None:
            segments.finish()
    return masked


def _replace(segments: Segments, rows: Rows, pixels: NDArray[Any], mask: NDArray[np.bool_], top: int) -> None:
    for box in rows.boxes:
        if top <= box.top < top + len(pixels):
            part = (slice(box.top - top, box.bottom - top), slice(box.left, box.right))
            if mask[part].any():
                segments.replace(box, pixels[part])
