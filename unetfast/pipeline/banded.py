"""TIFF files larger than memory, or of several pages, read, cleaned and written a band of rows at a time."""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from unetfast.errors import ImageError
from unetfast.imaging.formats import TIFF_SIGNATURES
from unetfast.imaging.tiff import holes, pages_of, remarks
from unetfast.pipeline import stages
from unetfast.pipeline.banded_page import BandedPage, memory_bytes
from unetfast.pipeline.page_results import write_pages
from unetfast.pipeline.remote import AnyOutput, RemoteFile
from unetfast.pipeline.settings import RunSettings
from unetfast.pipeline.sources import Item
from unetfast.pipeline.stages import Context, Job, missing_ending, names
from unetfast.segment import Segmenter

__all__ = ["load", "process", "results"]


def _takes(pages: list[int], context: Context) -> bool:
    """Tell whether pages of so many bytes are several, or one that needs more than --max-memory."""
    if len(pages) > 1:
        return not context.stacks
    return _larger(pages, context)


def _page_bytes(path: Path | RemoteFile, context: Context) -> list[int]:
    """Estimate what memory each page of a local TIFF file needs; of anything else there is none."""
    if not isinstance(path, Path) or context.settings.engine == "ray":
        return []
    try:
        if not path.is_file():  # a pipe would be waited for without end
            return []
        with open(path, "rb") as file:
            if file.read(4) not in TIFF_SIGNATURES:
                return []
            with pages_of(file, str(path)) as pages:
                return [memory_bytes(page) for page in pages]
    except Exception:  # whatever a damaged page provokes
        return []  # the ordinary way says what is wrong with it


def _larger(pages: list[int], context: Context) -> bool:
    return max(pages, default=0) > context.settings.memory_bytes()


def load(job: Job, context: Context) -> None:
    """Identify a photo; one that is processed here is hashed without being held."""
    pages = _page_bytes(job.item.path, context)
    job.banded = _takes(pages, context)
    if not job.banded:
        stages.load(job, context)
        return
    job.alone = _larger(pages, context)
    with open(str(job.item.path), "rb") as file:
        job.state = _state(file)
        digest = hashlib.file_digest(file, "sha256")
    stages.identify(job, context, digest.hexdigest())


def process(job: Job, context: Context, segmenter: Segmenter, output: AnyOutput) -> None:
    """Take a photo through all stages and complete its line of the journal.

    Raises
    ------
    ImageError
        When the file cannot be read or written in bands. A file that can only be segmented has its
        mask still.
    """
    settings, name = context.settings, str(job.item.path)
    with open(name, "rb") as source:
        begun = _state(source)
        with pages_of(source, name) as found:
            several = len(found) > 1
            wanted = _wanted(job.item, settings, several=several)
            if "cleaned" in wanted:
                wanted["cleaned"] += missing_ending(job.item, "tiff")
            pages = [
                BandedPage(page, source, settings, segmenter, f"{name}: page {number}" if several else name)
                for number, page in enumerate(found, 1)
            ]
            job.entry.update(height=pages[0].height, width=pages[0].width)
            if words := _notes(found):
                stages.note(job.entry, words)
            binary = settings.inpaint or len(segmenter.spec.classes) == 2
            _write(job, pages, source, begun, wanted, output, binary=binary)
            job.entry["status"] = "done"
            job.entry["how"] = _how(found, settings, masked=job.entry["masked_px"] > 0)


def _write(
    job: Job,
    pages: list[BandedPage],
    source: BinaryIO,
    begun: tuple[int, int],
    wanted: dict[str, str],
    output: AnyOutput,
    *,
    binary: bool,
) -> None:
    """Write the results, kind to path, and say in the job's line what there is of them.

    The mask gets its name first, and stays whatever becomes of the cleaned file.
    """
    name = str(job.item.path)
    files: dict[str, BinaryIO] = {}
    with ExitStack() as cleaning, ExitStack() as marking:
        for kind, path in wanted.items():
            files[kind] = (cleaning if kind == "cleaned" else marking).enter_context(output.open(path))
        refused = write_pages(pages, files, source, name, binary=binary)
        if not job.state == begun == _state(source):
            raise ImageError(f"{name}: changed while it was read; run again")
        sizes = {kind: file.seek(0, 2) for kind, file in files.items()}
        marking.close()
        marks = {kind: wanted[kind] for kind in files if kind != "cleaned"}
        if len(classes := pages[0].segmenter.spec.classes) > 2:
            counts = np.sum([page.class_px for page in pages], axis=0)
            job.entry["class_px"] = dict(zip(classes, counts.tolist(), strict=True))
        stages.note_blank(job.entry, sum(page.blank_px for page in pages))
        masked = sum(page.masked_px for page in pages)
        job.entry.update(masked_px=masked, outputs=marks, bytes={kind: sizes[kind] for kind in marks})
        alone = pages[0] if len(pages) == 1 else None
        if alone and "mask" in marks:
            stages.put_place(job, alone.place, alone.orientation, "mask", output.put)
        if refused is not None:
            raise refused
    job.entry["outputs"].update(wanted)
    job.entry["bytes"].update(sizes)
    if alone and "cleaned" in wanted:
        stages.put_place(job, alone.place, alone.orientation, "cleaned", output.put)


def _notes(pages: list[Any]) -> str:
    """Say what a reader of the results should know of each page, "" for nothing."""
    found = {number: words for number, page in enumerate(pages, 1) if (words := holes(page))}
    if len(pages) == 1:
        return found.get(1, "")
    return "; ".join(f"page {number}: {words}" for number, words in found.items())


def _how(pages: list[Any], settings: RunSettings, *, masked: bool) -> str:
    """Say in one line what was kept and what was encoded again."""
    several = len(pages) > 1
    how = f"TIFF of {len(pages)} pages" if several else "TIFF in windows"
    if masked:
        how += ": only the strips or tiles under the mask re-encoded" + remarks(pages)
    else:
        how += ": copied byte for byte"
    if settings.overlay:
        how += f"; no overlay of a picture {'of several pages' if several else 'this large'}"
    return how


def results(item: Item, context: Context) -> dict[str, str]:
    """Return the results of a photo, kind to path, also of one that is processed here."""
    pages = _page_bytes(item.path, context)
    if not _takes(pages, context):
        return names(item, context.settings)
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
