"""A CSV file with an image and a run-length encoding per row, as on Kaggle: ``ImageId,EncodedPixels``.

Runs are ``start length`` in turn, counted from 1, down the columns or along the rows: as neighbouring
lines fit together, which images that are not square tell. The class stands in a column of
its own (``ClassId``) or behind the image's name (``x.jpg_3``); rows without runs are background.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import filterfalse

import numpy as np

from unetfast.data.layouts.found import Found, as_one
from unetfast.data.layouts.outlined import Outlines
from unetfast.data.layouts.paths import Resolver
from unetfast.data.layouts.words import shorter_stems
from unetfast.data.listing import Listing, file_of, stem_of
from unetfast.data.polygons import Outline, Starts
from unetfast.errors import DatasetError, ImageError
from unetfast.imaging import array_shape, header, read_bytes

__all__ = ["find", "near_miss"]

_MOST_BYTES = 2 * 2**30
_LOOKED_AT = 32  # images, for the direction of the runs
_CLEARLY = 0.05  # of the pixels: by how much one direction must fit better
_RUNS = (
    "encodedpixels",
    "encoded_pixels",
    "encoding",
    "rle_mask",
    "mask_rle",
    "rle",
    "annotation",
    "segmentation",
)
_IMAGES = ("imageid", "image_id", "image", "img", "filename", "file_name", "name", "id")
_CLASSES = ("classid", "class_id", "class", "label", "category")
_BOTH = ("imageid_classid", "image_label", "image_class")
_NOTHING = ("", "-1", "nan", "none", "1 0")


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find the images that a table of runs names; see :mod:`~unetfast.data.layouts`."""
    tables = [
        (name, found)
        for name in listing.ending(".csv")[:50]
        if (listing.focus or not _is_submission(name)) and (found := _table(listing, name, mask))
    ]
    return as_one(listing, tables, "runs") if tables else None


def _is_submission(name: str) -> bool:
    """Whether a table is what Kaggle shows as an example of an answer: its runs are made up."""
    return "submission" in file_of(name).lower()


def _table(listing: Listing, name: str, mask: str | None) -> Found | None:
    rows = csv.reader(io.StringIO(listing.text_or_none(name, _MOST_BYTES) or ""))
    csv.field_size_limit(2**31 - 1)  # one row may hold the runs of a whole satellite picture
    head = [cell.strip().lower() for cell in next(rows, [])]
    at_runs, at_image, at_class = _first(head, _RUNS), _first(head, _IMAGES + _BOTH), _first(head, _CLASSES)
    if at_runs is None or at_image is None:
        return None
    images = _Images(listing)
    found, read = Outlines(listing), 0
    for line, row in enumerate(rows, 2):
        if len(row) != len(head):
            continue
        read += 1
        image, kind = images.called(row[at_image].strip())
        if image is None:
            found.lone.append(f"{name}:{line}: {row[at_image]}")
            continue
        kind = row[at_class].strip() if at_class is not None else kind
        runs = row[at_runs].strip()
        if runs.lower() in _NOTHING:
            found.add(image, [])
        elif re.fullmatch(r"\d+ \d+( \d+ \d+)*", runs):
            found.add(image, [(_class(kind), Starts(tuple(map(int, runs.split()))))])
        elif listing.focus:
            raise DatasetError(f"{listing.ref(name)}:{line}: not runs of 'start length': {runs[:40]!r}")
        else:
            return None
    if not any(found.shapes.values()) or len(found.lone) > read // 2:
        return None
    classes = {kind for shapes in found.shapes.values() for kind, _ in shapes}
    wanted = mask and ",".join(_class(word.strip()) for word in mask.split(","))
    by_number = sorted(classes, key=lambda kind: (len(kind), kind))  # class_2 before class_10
    notes = [f"runs listed in {name}", *_direct(listing, found.shapes)]
    return found.found(wanted, *notes, classes=by_number)


def _first(head: list[str], names: tuple[str, ...]) -> int | None:
    return next((head.index(name) for name in names if name in head), None)


def _class(kind: str) -> str:
    return f"class_{kind}" if kind.isdigit() else kind or "foreground"


class _Images:
    """Finds the image that a cell means, and the class that it may name as well."""

    def __init__(self, listing: Listing) -> None:
        self._resolver = Resolver(listing)
        self._by_stem = {stem_of(name): name for name in listing.images}
        self._names = listing.images

    @cached_property
    def _by_place(self) -> dict[str, str | None]:
        """UW-Madison: case1_day20_slice_0001 is case1_day20/scans/slice_0001_266_266.png."""
        found: dict[str, str | None] = {}
        for name in self._names:
            *folders, file = name.rpartition(".")[0].split("/")
            for key in {f"{folder}_{stem}" for folder in folders for stem in (file, *shorter_stems(file))}:
                found[key] = None if key in found else name
        return found

    def called(self, text: str) -> tuple[str | None, str]:
        whole = self._one(text)
        if whole is not None:
            return whole, ""
        image, _, kind = text.rpartition("_")
        return self._one(image) if image else None, kind

    def _one(self, text: str) -> str | None:
        return self._resolver.name(text) or self._by_stem.get(text) or self._by_place.get(text)


def near_miss(listing: Listing) -> str:
    """Say that a table holds runs of images that are not called as it says; or nothing."""
    for name in filterfalse(_is_submission, listing.ending(".csv")[:50]):
        rows = csv.reader(io.StringIO((listing.text_or_none(name, _MOST_BYTES) or "")[:65536]))
        head = [cell.strip().lower() for cell in next(rows, [])]
        at_runs, at_image, first = _first(head, _RUNS), _first(head, _IMAGES + _BOTH), next(rows, [])
        if at_runs is not None and at_image is not None and at_image < len(first):
            return (
                f" {name} holds runs, but no image is called as its {head[at_image]} says, such as "
                f"{first[at_image]}: change that column to the names of the image files."
            )
    return ""


Shapes = dict[str, list[tuple[str, Outline | None]]]


def _direct(listing: Listing, shapes: Shapes) -> list[str]:
    """Find out in which direction runs are counted, for all of them together, and say what is not usual."""
    fits = [fit for image in _spread(shapes) for fit in _fits(listing, image, shapes[image])]
    down, along = np.mean(fits, axis=0) if fits else (0.0, 0.0)
    if abs(down - along) < _CLEARLY:
        return [
            "runs are counted down the columns, as Kaggle usually does (square images and thin lines do not "
            "tell): where check.html shows masks mirrored along the diagonal, save them as PNG"
        ]
    if down > along:
        return []
    for image, of_image in shapes.items():
        shapes[image] = [
            (kind, replace(outline, by_rows=True) if isinstance(outline, Starts) else outline)
            for kind, outline in of_image
        ]
    return [
        f"runs are counted along the rows: so {along:.0%} of the marked pixels have one beside them in the "
        f"next line, and {down:.0%} down the columns"
    ]


def _spread(shapes: Mapping[str, Sequence[object]]) -> list[str]:
    marked = [image for image, of_image in shapes.items() if of_image]
    return marked[:: max(1, len(marked) // _LOOKED_AT)]


def _fits(
    listing: Listing, image: str, shapes: Sequence[tuple[str, Outline | None]]
) -> list[tuple[float, float]]:
    """Return how well the lines of each shape fit together down the columns, and along the rows."""
    height, width = _size(listing, image)
    if height == width:
        return []
    runs = [outline.runs for _, outline in shapes if isinstance(outline, Starts)]
    return [(_fit(one, height), _fit(one, width)) for one in runs]


def _size(listing: Listing, image: str) -> tuple[int, int]:
    """Return height and width as the file says, or zeros where it says nothing that is of use."""
    ref = listing.ref(image)
    try:
        if shape := array_shape(ref) if image.lower().endswith((".tif", ".tiff")) else None:
            height, width, *_ = [side for side in shape[1:] if side > 4] or [0, 0]
            return height, width
        head = header(read_bytes(ref), image)
        return head.height, head.width
    except (ImageError, ValueError):
        return 0, 0


def _fit(runs: Sequence[int], line_px: int) -> float:
    """Return the share of the pixels that have one of another run a line further."""
    pairs = np.array(runs, np.float64).reshape(-1, 2)
    pairs = pairs[pairs[:, 0].argsort()]
    starts, lengths = pairs[:, 0], pairs[:, 1]
    ends, total = starts + lengths, lengths.cumsum()
    at, before = np.stack([starts, ends], 1).ravel(), np.stack([total - lengths, total], 1).ravel()
    covered = np.interp(ends + line_px, at, before) - np.interp(starts + line_px, at, before)
    # A thin line along the runs is no neighbour of itself: one of 900 px in an image 200 px wide.
    own = np.maximum(0, lengths - line_px)
    return float((covered - own).sum() / max(1.0, total[-1]))
