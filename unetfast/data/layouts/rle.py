"""A CSV file with an image and a run-length encoding a row, as on Kaggle: ``ImageId,EncodedPixels``.

Runs are ``start length`` in turn, counted from 1 down the columns. The class stands in a column of
its own (``ClassId``) or behind the image's name (``x.jpg_3``); rows without runs are background.
"""

from __future__ import annotations

import csv
import io
import re

from unetfast.data.layouts.found import Found, as_one
from unetfast.data.layouts.outlined import outlined_samples
from unetfast.data.layouts.paths import Resolver
from unetfast.data.listing import Listing
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
    at_runs = _first(head, _RUNS)
    at_image = _first(head, _BOTH) if _first(head, _IMAGES) is None else _first(head, _IMAGES)
    if at_runs is None or at_image is None:
        return None
    table = [row for row in rows if len(row) == len(head)]
    return _samples(listing, name, table, at_image, at_runs, _first(head, _CLASSES), mask)


def _first(head: list[str], names: tuple[str, ...]) -> int | None:
    return next((head.index(name) for name in names if name in head), None)


def _samples(
    listing: Listing,
    name: str,
    table: list[list[str]],
    at_image: int,
    at_runs: int,
    at_class: int | None,
    mask: str | None,
) -> Found | None:
    resolver = Resolver(listing)
    by_stem = {image.rpartition("/")[2].rpartition(".")[0]: image for image in listing.images}
    shapes: dict[str, list[tuple[str, tuple[object, ...]]]] = {}
    missing: list[str] = []
    for line, row in enumerate(table, 2):
        image, kind = _image_and_class(row[at_image].strip(), resolver, by_stem)
        if image is None:
            missing.append(f"{name}:{line}: {row[at_image]}")
            continue
        kind = row[at_class].strip() if at_class is not None else kind
        found = shapes.setdefault(image, [])
        runs = row[at_runs].strip()
        if runs.lower() in _NOTHING:
            continue
        if not re.fullmatch(r"\d+ \d+( \d+ \d+)*", runs):
            if listing.focus:
                raise DatasetError(f"{listing.ref(name)}:{line}: not runs of 'start length': {runs[:40]!r}")
            return None
        found.append((kind, ("starts", *map(int, runs.split()))))
    used = {kind for found in shapes.values() for kind, _ in found}
    kinds = sorted(used, key=lambda kind: (len(kind), kind))  # 2 before 10
    if mask is not None:
        kinds = [kind for kind in kinds if kind in mask.split(",")]
    if not kinds or len(missing) > len(table) // 2:
        return None
    names = {kind: kind if not kind.isdigit() else f"class_{kind}" for kind in kinds} | {"": "foreground"}
    taken = {
        image: [(names[kind], outline) for kind, outline in found if kind in kinds]
        for image, found in shapes.items()
    }
    classes = ("background", *(names[kind] for kind in kinds))
    notes = [f"runs listed in {name}"]
    if unlisted := len(listing.images) - len(shapes):
        notes.append(
            f"{unlisted} pictures are not listed, and are left out; of those that are background write a row "
            "without runs"
        )
    return Found(outlined_samples(listing, taken, {}), missing, [], notes, {"classes": classes})


def _image_and_class(text: str, resolver: Resolver, by_stem: dict[str, str]) -> tuple[str | None, str]:
    whole = resolver.name(text) or by_stem.get(text)
    if whole is not None:
        return whole, ""
    image, _, kind = text.rpartition("_")
    return resolver.name(image) or by_stem.get(image), kind
