"""A CSV file with an image and a run-length encoding per row, as on Kaggle: ``ImageId,EncodedPixels``.

Runs are ``start length`` in turn, counted from 1 down the columns. The class stands in a column of
its own (``ClassId``) or behind the image's name (``x.jpg_3``); rows without runs are background.
"""

from __future__ import annotations

import csv
import io
import re

from unetfast.data.layouts.found import Found, as_one
from unetfast.data.layouts.outlined import Outlines
from unetfast.data.layouts.paths import Resolver
from unetfast.data.listing import Listing
from unetfast.data.polygons import Starts
from unetfast.errors import DatasetError

__all__ = ["find"]

_MOST_BYTES = 2 * 2**30
_RUNS = ("encodedpixels", "encoded_pixels", "rle_mask", "mask_rle", "rle", "annotation", "segmentation")
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
    return "submission" in name.rpartition("/")[2].lower()


def _table(listing: Listing, name: str, mask: str | None) -> Found | None:
    rows = csv.reader(io.StringIO(listing.text_or_none(name, _MOST_BYTES) or ""))
    csv.field_size_limit(2**31 - 1)  # one row may hold the runs of a whole satellite picture
    head = [cell.strip().lower() for cell in next(rows, [])]
    at_runs, at_image, at_class = _first(head, _RUNS), _first(head, _IMAGES + _BOTH), _first(head, _CLASSES)
    if at_runs is None or at_image is None:
        return None
    resolver = Resolver(listing)
    by_stem = {image.rpartition("/")[2].rpartition(".")[0]: image for image in listing.images}
    found, read = Outlines(listing), 0
    for line, row in enumerate(rows, 2):
        if len(row) != len(head):
            continue
        read += 1
        image, kind = _image_and_class(row[at_image].strip(), resolver, by_stem)
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
    return found.found(wanted, f"runs listed in {name}", classes=by_number)


def _first(head: list[str], names: tuple[str, ...]) -> int | None:
    return next((head.index(name) for name in names if name in head), None)


def _class(kind: str) -> str:
    return f"class_{kind}" if kind.isdigit() else kind or "foreground"


def _image_and_class(text: str, resolver: Resolver, by_stem: dict[str, str]) -> tuple[str | None, str]:
    whole = resolver.name(text) or by_stem.get(text)
    if whole is not None:
        return whole, ""
    image, _, kind = text.rpartition("_")
    return resolver.name(image) or by_stem.get(image), kind
