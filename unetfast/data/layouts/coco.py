"""Outlines in a JSON file, as in the COCO data set: ``images``, ``annotations``, ``categories``.

One file or one a split. Polygons and run-length encodings are read; boxes alone are not masks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from unetfast.data.layouts.foreign import PANOPTIC, is_panoptic
from unetfast.data.layouts.found import Found
from unetfast.data.layouts.outlined import Outlines
from unetfast.data.layouts.paths import Resolver, is_absolute, split_in
from unetfast.data.listing import Listing
from unetfast.data.polygons import Outline, Rings, Runs
from unetfast.errors import DatasetError

__all__ = ["find", "near_miss"]

_MOST_FILES = 50  # looked into; a data set with more .json files has one per image


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find the images of COCO files with their outlines; see :mod:`~unetfast.data.layouts`."""
    files, resolver, found = _files(listing), Resolver(listing), Outlines(listing)
    elsewhere: dict[str, str] = {}  # absolute paths, and the images that were found for them
    lost = 0
    for name, content in files.items():
        by_image, of_others = _shapes(listing, name, content)
        lost += of_others
        for entry in content["images"]:
            written = str(entry.get("file_name", ""))
            shapes = by_image.get(entry.get("id"), [])
            image = resolver.name(written, name)
            if image is None:
                found.lone.append(f"{name}: {written}")
                continue
            if is_absolute(written):
                elsewhere.setdefault(written, image)
            found.add(image, shapes, split_in(name) or split_in(image))
    if not any(found.shapes.values()):
        return None  # a file of other images must not hide another layout; near_miss says so
    notes = [f"outlines in {', '.join(files)}"]
    if lost:
        notes.append(f"{lost} annotations are of images that are not listed, and are left out")
    if elsewhere:
        written, image = next(iter(elsewhere.items()))
        notes.append(
            f"{len(elsewhere)} images are listed by absolute paths and were found again by their ends, such "
            f"as {image} for {written}"
        )
    classes = [
        str(entry.get("name"))
        for content in files.values()
        for entry in sorted(content["categories"], key=_id)
    ]
    return found.found(mask, *notes, classes=classes)


def near_miss(listing: Listing) -> str:
    """Say that COCO files name images, and that none of them is here."""
    files, resolver = _files(listing), Resolver(listing)
    named = [(str(entry.get("file_name", "")), name) for name in files for entry in files[name]["images"]]
    if not named or any(resolver.name(image, beside) for image, beside in named):
        return ""
    return (
        f" None of the {len(named)} images that {', '.join(files)} names is in this folder, such as "
        f"{named[0][0]}; pass the folder that holds both."
    )


def _files(listing: Listing) -> dict[str, Mapping[str, Any]]:
    names = listing.ending(".json")
    if len(names) > _MOST_FILES:
        return {}
    return {name: content for name in names if (content := _content(listing, name)) is not None}


def _content(listing: Listing, name: str) -> Mapping[str, Any] | None:
    try:
        content = listing.json_or_none(name)
    except DatasetError:
        if listing.focus:
            raise
        return None
    if isinstance(content, dict) and isinstance(content.get("annotations"), dict):  # LIVECell: by their ids
        content["annotations"] = list(content["annotations"].values())
    if isinstance(content, dict) and is_panoptic(content):
        if listing.focus:
            raise DatasetError(f"{listing.ref(name)}: holds {PANOPTIC}")
        return None  # there may be others beside it
    parts = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(part), list) for part in parts):
        return None
    return content if all(isinstance(entry, dict) for part in parts for entry in content[part]) else None


def _id(entry: Mapping[str, Any]) -> int:
    return int(entry["id"]) if str(entry.get("id")).isdigit() else 0


def _shapes(
    listing: Listing, name: str, content: Mapping[str, Any]
) -> tuple[dict[Any, list[tuple[str, Outline | None]]], int]:
    """Return the shapes of each image id, and how many are of images that the file does not list."""
    by_image: dict[Any, list[tuple[str, Outline | None]]] = defaultdict(list)
    try:
        sizes = {entry.get("id"): _size(entry) for entry in content["images"]}
        categories = {entry.get("id"): str(entry.get("name")) for entry in content["categories"]}
        for entry in content["annotations"]:
            category = categories.get(entry.get("category_id"))
            if category is None:
                raise DatasetError(
                    f"{listing.ref(name)}: annotation {entry.get('id')} has an unknown category"
                )
            image = entry.get("image_id")
            by_image[image].append((category, _outline(entry.get("segmentation"), sizes.get(image))))
    except DatasetError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise DatasetError(f"{listing.ref(name)}: not as COCO writes it: {exc!r}") from exc
    return by_image, sum(len(shapes) for image, shapes in by_image.items() if image not in sizes)


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    height, width = (int(image.get(side) or 0) for side in ("height", "width"))
    return (height, width) if height and width else None


def _outline(segmentation: Any, size: tuple[int, int] | None) -> Outline | None:
    if isinstance(segmentation, dict):
        height, width = segmentation["size"]
        counts = segmentation["counts"]
        return Runs((int(height), int(width)), counts if isinstance(counts, str) else tuple(counts))
    if not isinstance(segmentation or [], list):
        raise TypeError(f"a segmentation of {segmentation!r}")
    rings = [[float(value) for value in ring] for ring in segmentation or [] if len(ring) >= 6]
    points = tuple(tuple(zip(ring[::2], ring[1::2], strict=False)) for ring in rings)
    return Rings(points, size=size) if points else None
