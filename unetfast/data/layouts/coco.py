"""Outlines in a JSON file as of the COCO data set: ``images``, ``annotations``, ``categories``.

One file or one a split. Polygons and run-length encodings are read; boxes alone are not masks.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from unetfast.data.layouts.found import Found, unique_ids
from unetfast.data.layouts.paths import Resolver, is_absolute, split_in
from unetfast.data.listing import Listing
from unetfast.errors import DatasetError
from unetfast.spec import Sample

__all__ = ["find", "near_miss"]

_MOST_FILES = 50  # looked into; a data set with more .json files has one an image


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find the images of COCO files with their outlines; see :mod:`~unetfast.data.layouts`."""
    files = _files(listing)
    if not files:
        return None
    resolver = Resolver(listing)
    shapes: dict[str, list[Any]] = {}
    splits: dict[str, str | None] = {}
    missing: list[str] = []
    boxed: set[str] = set()  # images with annotations that have no outline
    elsewhere: dict[str, str] = {}  # absolute paths, and what they were taken to mean
    boxes = lost = 0
    for name, content in files.items():
        split = split_in(name)
        try:
            by_image, only_boxes = _shapes(listing, name, content, mask)
            lost += _lost(by_image, content)
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            if isinstance(exc, DatasetError):
                raise
            raise DatasetError(f"{listing.ref(name)}: not as COCO writes it: {exc!r}") from exc
        boxes += sum(only_boxes.values())
        for entry in content["images"]:
            written = str(entry.get("file_name", ""))
            image = resolver.name(written, name)
            if image is not None and is_absolute(written):
                elsewhere.setdefault(written, image)
            if image is None:
                missing.append(f"{name}: {entry.get('file_name')}")
                continue
            shapes.setdefault(image, []).extend(by_image.get(entry.get("id"), []))
            if entry.get("id") in only_boxes:
                boxed.add(image)
            if splits.setdefault(image, split or split_in(image)) != (split or split_in(image)):
                raise DatasetError(f"{listing.root}: {image} is listed in two splits")
    used = {shape[0] for found in shapes.values() for shape in found}
    if not used and boxes:
        raise DatasetError(
            f"{listing.root}: all {boxes} annotations in {', '.join(files)} are boxes without an outline"
        )
    if not used:
        return None
    for image in [image for image in shapes if image in boxed and not shapes[image]]:
        missing.append(f"{image} (boxes alone)")  # its objects would be taken for background
        del shapes[image]
    known = [str(c.get("name")) for content in files.values() for c in sorted(content["categories"], key=_id)]
    classes = ("background", *[name for name in dict.fromkeys(known) if name in used])
    ids = unique_ids(list(shapes))
    samples = [
        Sample(ids[image], listing.ref(image), (), splits[image], "polygons", tuple(found))
        for image, found in shapes.items()
    ]
    notes = [f"outlines in {', '.join(files)}"]
    if boxes:
        notes.append(f"{boxes} annotations are boxes or lines without an outline, and are left out")
    if lost:
        notes.append(f"{lost} annotations are of images that are not listed, and are left out")
    if elsewhere:
        written, image = next(iter(elsewhere.items()))
        notes.append(
            f"{len(elsewhere)} images are listed by absolute paths and were found again by their ends, such "
            f"as {image} for {written}"
        )
    if unlisted := set(listing.images) - set(shapes):
        notes.append(f"{len(unlisted)} pictures are not listed, and are left out")
    return Found(samples, missing, [], notes, {"classes": classes})


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
        content = json.loads(listing.text_or_none(name) or "null")
    except (json.JSONDecodeError, RecursionError) as exc:
        if listing.focus:
            raise DatasetError(f"{listing.ref(name)}: not JSON: {exc}") from exc
        return None
    if isinstance(content, dict) and isinstance(content.get("annotations"), dict):  # LIVECell: by their ids
        content["annotations"] = list(content["annotations"].values())
    parts = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(part), list) for part in parts):
        return None
    return content if all(isinstance(entry, dict) for part in parts for entry in content[part]) else None


def _id(entry: Mapping[str, Any]) -> int:
    return int(entry["id"]) if str(entry.get("id")).isdigit() else 0


def _shapes(
    listing: Listing, name: str, content: Mapping[str, Any], mask: str | None
) -> tuple[dict[Any, list[Any]], Counter[Any]]:
    """Return the shapes of each image id, and how many of its annotations are only boxes."""
    categories = {entry.get("id"): str(entry.get("name")) for entry in content["categories"]}
    wanted = set(categories.values())
    if mask is not None:
        asked = {word.strip() for word in mask.split(",")}
        if not asked <= wanted:
            raise DatasetError(
                f"{listing.ref(name)}: no category {mask!r}; it has {', '.join(sorted(wanted))}"
            )
        wanted = asked
    by_image: dict[Any, list[Any]] = {}
    boxes: Counter[Any] = Counter()
    for entry in content["annotations"]:
        category = categories.get(entry.get("category_id"))
        if category is None:
            raise DatasetError(f"{listing.ref(name)}: annotation {entry.get('id')} has an unknown category")
        if category not in wanted:
            continue
        outline = _outline(entry.get("segmentation"))
        if outline is None:
            boxes[entry.get("image_id")] += 1
        else:
            by_image.setdefault(entry.get("image_id"), []).append((category, outline))
    return by_image, boxes


def _lost(by_image: Mapping[Any, list[Any]], content: Mapping[str, Any]) -> int:
    """Count annotations of images that the file does not list."""
    listed = {entry.get("id") for entry in content["images"]}
    return sum(len(shapes) for image, shapes in by_image.items() if image not in listed)


def _outline(segmentation: Any) -> Any | None:
    """Return rings of (x, y), or a run-length encoding as (height, width, counts)."""
    if isinstance(segmentation, dict):
        height, width = segmentation["size"]
        counts = segmentation["counts"]
        return int(height), int(width), counts if isinstance(counts, str) else tuple(counts)
    if not isinstance(segmentation or [], list):
        raise TypeError(f"a segmentation of {segmentation!r}")
    rings = [[float(value) for value in ring] for ring in segmentation or [] if len(ring) >= 6]
    return tuple(tuple(zip(ring[::2], ring[1::2], strict=False)) for ring in rings) or None
