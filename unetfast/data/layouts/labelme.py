"""A LabelMe file an image: ``photo.json`` with ``shapes`` beside ``photo.jpg``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from unetfast.data.layouts.found import Found, unique_ids
from unetfast.data.layouts.paths import Resolver, split_in
from unetfast.data.listing import IMAGE_ENDINGS, Listing
from unetfast.errors import DatasetError
from unetfast.spec import Sample

__all__ = ["find"]

_MOST_BYTES = 256 * 2**20  # LabelMe may keep the whole photo inside


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find images with the outlines of their LabelMe files; see :mod:`~unetfast.data.layouts`."""
    names = listing.ending(".json")
    if not any(_content(listing, name) is not None for name in names[:5]):
        return None
    resolver = Resolver(listing)
    shapes: dict[str, tuple[Any, ...]] = {}
    lone: list[str] = []
    skipped = 0
    for name in names:
        content = _content(listing, name)
        if content is None:
            continue
        image = _image(listing, resolver, name, content)
        if image is None:
            lone.append(name)
            continue
        try:
            outlines = [(str(shape.get("label")), _outline(shape)) for shape in content["shapes"]]
        except (TypeError, ValueError) as exc:
            raise DatasetError(f"{listing.ref(name)}: a shape without proper points: {exc}") from exc
        skipped += sum(outline is None for _, outline in outlines)
        wanted = [
            (label, outline)
            for label, outline in outlines
            if outline and (not mask or label in mask.split(","))
        ]
        shapes[image] = tuple(wanted)
    classes = sorted({label for found in shapes.values() for label, _ in found})
    if not classes:
        return None
    ids = unique_ids(list(shapes))
    samples = [
        Sample(ids[image], listing.ref(image), (), split_in(image.rpartition("/")[0]), "polygons", found)
        for image, found in shapes.items()
    ]
    bare = [name for name in listing.images if name not in shapes]
    notes = [f"{skipped} shapes are points or lines, and are left out"] if skipped else []
    if bare:
        notes.append(
            f"{len(bare)} images without a .json are left out; an image of background needs an empty one"
        )
    return Found(samples, [], lone, notes, {"classes": ("background", *classes)})


def _content(listing: Listing, name: str) -> Mapping[str, Any] | None:
    try:
        content = json.loads(listing.text_or_none(name, _MOST_BYTES) or "null")
    except (json.JSONDecodeError, RecursionError) as exc:
        raise DatasetError(f"{listing.ref(name)}: not JSON: {exc}") from exc
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        return None
    return content if all(isinstance(shape, dict) for shape in content["shapes"]) else None


def _image(listing: Listing, resolver: Resolver, name: str, content: Mapping[str, Any]) -> str | None:
    stem = name.rpartition(".")[0]
    beside = next((stem + ending for ending in IMAGE_ENDINGS if stem + ending in listing), None)
    return beside or resolver.name(str(content.get("imagePath") or ""), name)


def _outline(shape: Mapping[str, Any]) -> tuple[tuple[tuple[float, float], ...], ...] | None:
    kind = shape.get("shape_type") or "polygon"
    points = [(float(x), float(y)) for x, y in shape.get("points", [])]
    if kind == "polygon" and len(points) >= 3:
        return (tuple(points),)
    if kind == "rectangle" and len(points) == 2:
        (a, b), (c, d) = points
        return (((a, b), (c, b), (c, d), (a, d)),)
    if kind == "circle" and len(points) == 2:
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        turns = [2 * math.pi * i / 64 for i in range(64)]
        return (tuple((x + radius * math.cos(t), y + radius * math.sin(t)) for t in turns),)
    return None
