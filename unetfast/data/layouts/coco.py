"""Outlines in a JSON file as of the COCO data set: ``images``, ``annotations``, ``categories``.

One file or one a split. Polygons and run-length encodings are read; boxes alone are not masks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unetfast.data.layouts.found import Found
from unetfast.data.layouts.outlined import outlined_samples
from unetfast.data.layouts.paths import Resolver, is_absolute, split_in
from unetfast.data.listing import Listing
from unetfast.errors import DatasetError

__all__ = ["find", "near_miss"]

_MOST_FILES = 50  # looked into; a data set with more .json files has one an image


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find the images of COCO files with their outlines; see :mod:`~unetfast.data.layouts`."""
    files, resolver, found = _files(listing), Resolver(listing), _Annotated()
    for name, content in files.items():
        found.read(listing, resolver, name, content, mask)
    used = {shape[0] for shapes in found.shapes.values() for shape in shapes}
    if not used and found.boxes:
        raise DatasetError(
            f"{listing.root}: all {found.boxes} annotations in {', '.join(files)} are boxes without an "
            "outline"
        )
    if not used:
        return None
    bare = [image for image, shapes in found.shapes.items() if image in found.boxed and not shapes]
    for image in bare:  # its objects would be taken for background
        del found.shapes[image]
    unlisted = len(set(listing.images) - set(found.shapes))
    known = [str(c.get("name")) for content in files.values() for c in sorted(content["categories"], key=_id)]
    classes = ("background", *[name for name in dict.fromkeys(known) if name in used])
    return Found(
        outlined_samples(listing, found.shapes, found.splits),
        [*found.missing, *(f"{image} (boxes alone)" for image in bare)],
        [],
        [f"outlines in {', '.join(files)}", *found.notes(unlisted)],
        {"classes": classes},
    )


@dataclass
class _Annotated:
    """What annotation files say, as they are read one after the other."""

    shapes: dict[str, list[Any]] = field(default_factory=dict)  # of each image that is here
    splits: dict[str, str | None] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    boxed: set[str] = field(default_factory=set)  # images with annotations that have no outline
    elsewhere: dict[str, str] = field(default_factory=dict)  # absolute paths, and what they meant
    boxes: int = 0
    lost: int = 0

    def read(
        self, listing: Listing, resolver: Resolver, name: str, content: Mapping[str, Any], mask: str | None
    ) -> None:
        try:
            by_image, only_boxes = _shapes(listing, name, content, mask)
            self.lost += _lost(by_image, content)
        except DatasetError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise DatasetError(f"{listing.ref(name)}: not as COCO writes it: {exc!r}") from exc
        self.boxes += only_boxes.total()
        for entry in content["images"]:
            written = str(entry.get("file_name", ""))
            image = resolver.name(written, name)
            if image is None:
                self.missing.append(f"{name}: {entry.get('file_name')}")
                continue
            if is_absolute(written):
                self.elsewhere.setdefault(written, image)
            self.shapes.setdefault(image, []).extend(by_image.get(entry.get("id"), []))
            if entry.get("id") in only_boxes:
                self.boxed.add(image)
            split = split_in(name) or split_in(image)
            if self.splits.setdefault(image, split) != split:
                raise DatasetError(f"{listing.root}: {image} is listed in two splits")

    def notes(self, unlisted: int) -> list[str]:
        said = []
        if self.boxes:
            said.append(f"{self.boxes} annotations are boxes or lines without an outline, and are left out")
        if self.lost:
            said.append(f"{self.lost} annotations are of images that are not listed, and are left out")
        if self.elsewhere:
            written, image = next(iter(self.elsewhere.items()))
            said.append(
                f"{len(self.elsewhere)} images are listed by absolute paths and were found again by their "
                f"ends, such as {image} for {written}"
            )
        if unlisted:
            said.append(f"{unlisted} pictures are not listed, and are left out")
        return said


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
