"""What happens to one photo: load -> segment -> clean -> store. One function a stage.

The engines (threads here, Ray actors elsewhere) call these and nothing else, so they give the
same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetfast import __version__, imaging
from unetfast.errors import ImageError, UnetfastError
from unetfast.imaging import (
    EXTENSIONS,
    Picture,
    encode,
    encode_mask,
    patched,
    preview,
    read_bytes,
)
from unetfast.imaging.class_colours import class_colour
from unetfast.imaging.convert import check_channels
from unetfast.imaging.place import PLACE_ENDING, Place, place_beside
from unetfast.inpainting.around_blank import inpaint_around
from unetfast.inpainting.mask import dilate
from unetfast.pipeline.settings import RunSettings
from unetfast.pipeline.sources import NAME_BYTES, Item
from unetfast.segment import Segmenter

__all__ = [
    "Context",
    "Job",
    "clean",
    "count_classes",
    "decode",
    "draw",
    "encode_result",
    "failed",
    "fill",
    "identify",
    "load",
    "missing_ending",
    "names",
    "note",
    "note_blank",
    "put_place",
    "segment",
    "store",
]

# Settings that change no byte of a result: a photo done with others is not done again.
_NEUTRAL = {
    *("recursive", "include", "exclude", "follow_links", "limit", "shard"),
    *("verify", "rebuild", "max_pixels", "fail_fast"),
    *("max_memory", "tile", "batch", "workers", "threads", "backend", "device"),
    *("engine", "address", "gpus"),
}


@dataclass(frozen=True)
class Context:
    """What all photos of a run share.

    Attributes
    ----------
    settings : RunSettings
    model_sha256 : str
        Of the artifact's file.
    channels : int
        That the model takes.
    """

    settings: RunSettings
    model_sha256: str
    channels: int = 3

    @property
    def stacks(self) -> bool:
        """Whether the model takes neither grey nor RGB: the pages of a TIFF file are its channels."""
        return self.channels not in (1, 3)


@dataclass
class Job:
    """One photo on its way through the stages.

    Attributes
    ----------
    item : Item
    entry : dict
        Its line in the journal, filled on the way.
    before : dict or None
        Its latest line so far.
    beside : Place or None
        Where on earth it lies, by the files beside it.
    picture : Picture or None
    labels : (H, W) uint8 or None
        Class ids.
    mask : (H, W) bool or None
        What was found; when cleaning, the pixels that are replaced.
    cleaned : (H, W, C) or None
    """

    item: Item
    entry: dict[str, Any] = field(default_factory=dict)
    data: bytes | None = None
    picture: Picture | None = None
    labels: NDArray[np.uint8] | None = None
    mask: NDArray[np.bool_] | None = None
    cleaned: NDArray[Any] | None = None
    banded: bool = False  # too large to be held, or of several pages: see banded.py
    alone: bool = False  # too large to share the network's memory with others
    state: tuple[int, int] | None = None  # size and time of a banded file when it was hashed
    before: dict[str, Any] | None = None
    beside: Place | None = None
    held_px: int | None = None  # what it takes of the memory budget


def _key_of(context: Context, sha256: str, place: str = "") -> str:
    """Return what must be equal for a photo to count as done: content, place, settings, model, version."""
    parts = [sha256, _chosen(context.settings), context.model_sha256, __version__, *filter(None, [place])]
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@lru_cache(maxsize=4)  # once a run, not once a photo: it took a third as long as reading a small one
def _chosen(settings: RunSettings) -> dict[str, Any]:
    return {k: v for k, v in dataclasses.asdict(settings).items() if k not in _NEUTRAL}


@lru_cache(maxsize=4)
def _mask_key_of(context: Context) -> str:
    """Return what must be equal for two results to show the same mask: what finds it and grows it."""
    settings = context.settings
    grown = settings.dilate_px if settings.inpaint else None
    text = json.dumps([settings.inpaint, grown, settings.scale, context.model_sha256, __version__])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def identify(job: Job, context: Context, sha256: str) -> None:
    """Find out what the results of a photo depend on, and write it into its line."""
    try:
        job.beside = place_beside(job.item.path) if isinstance(job.item.path, Path) else None
    except ImageError as exc:
        note(job.entry, f"{exc}; the results do not say where they lie")
    said = job.beside.aux_xml() if job.beside is not None else None
    place = hashlib.sha256(said).hexdigest()[:16] if said else ""
    if place:
        job.entry["place"] = place
    key = _key_of(context, sha256, place)
    job.entry.update(sha256=sha256, key=key, mask_key=_mask_key_of(context))


def note(entry: dict[str, Any], words: str) -> None:
    """Add to a line what a reader of the results should know."""
    entry["notes"] = f"{entry['notes']}; {words}" if "notes" in entry else words


def names(item: Item, settings: RunSettings) -> dict[str, str]:
    """Return the results of a photo, kind to path below the output folder."""
    wanted = {}
    if settings.inpaint:
        wanted["cleaned"] = item.cleaned
    if settings.save_masks or not settings.inpaint:
        wanted["mask"] = f"masks/{item.stem}.png"
    if settings.overlay:
        wanted["overlay"] = f"overlays/{item.stem}.jpg"
    return wanted


def load(job: Job, context: Context) -> None:
    """Read and identify the file; the pixels come in :func:`decode`."""
    path = job.item.path
    job.data = read_bytes(path) if isinstance(path, Path) else path.read_bytes()
    identify(job, context, hashlib.sha256(job.data).hexdigest())


def decode(job: Job, context: Context) -> None:
    """Turn the bytes into an upright picture."""
    assert job.data is not None
    name, limit = str(job.item.path), context.settings.max_pixels
    job.picture = picture = imaging.decode(job.data, name, max_pixels=limit, pages=context.stacks)
    check_channels(name, picture.pixels.shape[2], context.channels, stack=picture.stack)
    job.data = None
    job.entry["height"], job.entry["width"] = picture.pixels.shape[:2]
    for words in picture.notes:
        note(job.entry, words)
    if picture.blank is not None:
        note_blank(job.entry, int(np.count_nonzero(picture.blank)))


def note_blank(entry: dict[str, Any], count: int) -> None:
    """Say of how many pixels nothing is known."""
    if count:
        note(entry, f"{count} pixels hold no data: they are neither marked nor filled from")


def segment(jobs: Sequence[Job], segmenter: Segmenter, scale: float) -> None:
    """Find the class of every pixel of several photos at once."""
    images = [job.picture.pixels for job in jobs if job.picture is not None]
    if scale == 1.0:
        answers = segmenter.segment_all(images)
    else:
        answers = [segmenter.segment_scaled(image, scale) for image in images]
    for job, labels in zip(jobs, answers, strict=True):
        blank = None if job.picture is None else job.picture.blank
        job.labels = labels if blank is None else np.where(blank, np.uint8(0), labels)
        if len(classes := segmenter.spec.classes) > 2:
            counts = count_classes(job.labels, len(classes)).tolist()
            job.entry["class_px"] = dict(zip(classes, counts, strict=True))


def count_classes(labels: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Return how many pixels have each class id; of a mask, how many are not marked and how many are."""
    # np.bincount would hold eight bytes per pixel.
    return np.array([np.count_nonzero(labels == id_) for id_ in range(classes)], np.int64)


def clean(job: Job, context: Context) -> None:
    """Decide which pixels are replaced (`mask`), and replace them (`cleaned`)."""
    assert job.picture is not None
    assert job.labels is not None
    settings = context.settings
    job.mask, blank = job.labels != 0, job.picture.blank
    if settings.inpaint and job.mask.any():
        job.mask = dilate(job.mask, settings.dilate_px)
        if blank is not None:
            job.mask &= ~blank
        job.cleaned = fill(str(job.item.path), job.picture.samples, job.mask, blank, settings)
    job.entry["masked_px"] = int(np.count_nonzero(job.mask))


def fill(
    name: str,
    samples: NDArray[Any],
    mask: NDArray[np.bool_],
    blank: NDArray[np.bool_] | None,
    settings: RunSettings,
    first_row: int = 0,
) -> NDArray[Any]:
    """Replace what is masked of a picture, or of the rows of one from `first_row` on, as the settings say."""
    if (mask if blank is None else mask | blank).all():
        raise ImageError(f"{name}: every pixel was found: nothing is left to fill from")
    return inpaint_around(
        samples,
        mask,
        blank,
        settings.window_px,
        method=settings.method,
        threads=settings.threads,
        grain=settings.grain,
        first_row=first_row,
    )


def encode_result(kind: str, job: Job, context: Context, classes: int) -> bytes:
    """Return the bytes of one result of a photo: "cleaned", "mask" or "overlay"."""
    assert job.picture is not None
    assert job.labels is not None
    assert job.mask is not None
    settings = context.settings
    # Beside a cleaned photo mask and overlay say exactly which pixels were replaced.
    binary = classes == 2 or settings.inpaint
    if kind == "overlay":
        return encode(Picture(draw(job.picture.pixels, job.mask if binary else job.labels), "jpeg"))
    if kind == "mask":
        return encode_mask(job.mask if binary else job.labels)
    cleaned = job.picture.samples if job.cleaned is None else job.cleaned
    made = patched(job.picture, cleaned, job.mask, jpeg_mode=settings.jpeg, verify=settings.verify)
    job.entry["how"] = made.how
    return made.data


def store(job: Job, context: Context, classes: int, put: Callable[[str, bytes], int]) -> None:
    """Encode and write every result, and complete the journal's line.

    The cleaned photo comes last: a format that cannot be written has its mask and overlay still.
    """
    wanted = names(job.item, context.settings)
    if "cleaned" in wanted:
        assert job.picture is not None
        wanted["cleaned"] += missing_ending(job.item, job.picture.format)
    outputs, sizes = job.entry.setdefault("outputs", {}), job.entry.setdefault("bytes", {})
    for kind in sorted(wanted, key=lambda kind: kind == "cleaned"):
        sizes[kind] = put(wanted[kind], encode_result(kind, job, context, classes))
        outputs[kind] = wanted[kind]
        if job.picture is not None:
            put_place(job, job.picture.place, job.picture.orientation, kind, put)
    job.entry["status"] = "done"
    job.picture = job.labels = job.mask = job.cleaned = None


def put_place(
    job: Job, inside: Place | None, orientation: int, kind: str, put: Callable[[str, bytes], int]
) -> None:
    """Write beside a result where on earth it lies, where that is known.

    A cleaned photo keeps what is said `inside` the photo; and a place is that of the pixels as they are
    stored, not of those turned upright.
    """
    place = inside if job.beside is None else job.beside.over(inside)
    if place is None or (kind == "cleaned" and job.beside is None) or orientation != 1:
        return
    path = job.entry["outputs"][kind] + PLACE_ENDING
    if (said := place.aux_xml()) is None:
        return
    if len(os.fsencode(path.rpartition("/")[2])) > NAME_BYTES:
        note(job.entry, f"the name is too long to say where the {kind} lies")
    else:
        job.entry["bytes"][f"{kind}_place"] = put(path, said)
        job.entry["outputs"][f"{kind}_place"] = path


def missing_ending(item: Item, format: str) -> str:
    """Return what a cleaned photo's name needs so that its ending tells its content.

    A PNG file that is called a.jpg becomes a.jpg.png, unless another photo has that name.
    """
    if format not in EXTENSIONS:
        raise ImageError(f"{item.path}: a .{format} file is read, but not written: save it as PNG or TIFF")
    endings = EXTENSIONS[format]
    if item.relative.lower().endswith(endings):
        return ""
    path = item.path
    free = isinstance(path, Path) and len(os.fsencode(path.name + endings[0])) <= NAME_BYTES
    if not free or os.path.lexists(f"{path}{endings[0]}"):
        raise ImageError(f"{path}: holds a {format.upper()} picture; rename it to {endings[0]}")
    return endings[0]


def draw(pixels: NDArray[Any], marks: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the photo as RGB with a mask half red over it, or class ids in the colours of the classes."""
    image = preview(pixels)
    image = image.copy() if np.shares_memory(image, pixels) else image
    inside = marks != 0
    if marks.dtype == np.bool_:
        paint: NDArray[Any] = np.array([127, 0, 0], np.uint8)
    else:
        paint = np.array([class_colour(max(1, i)) for i in range(256)], np.uint8)[marks[inside]] // 2
    image[inside] = image[inside] // 2 + paint
    return image


def failed(job: Job, exc: BaseException) -> None:
    """Write the reason into the job's line; it starts with the path."""
    reason = " ".join(str(exc).split())
    path = str(job.item.path)
    if not isinstance(exc, UnetfastError):
        reason = f"{type(exc).__name__}: {reason}"
    if not reason.startswith(path):
        reason = f"{path}: {reason}"
    job.entry.update(status="failed", reason=reason)
