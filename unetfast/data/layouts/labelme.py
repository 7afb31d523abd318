"""A LabelMe file an image: ``photo.json`` with ``shapes`` beside ``photo.jpg``.

Polygons, rectangles and circles are read, and the masks that its AI tools make.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from unetfast.data.layouts.found import Found, unique_ids
from unetfast.data.layouts.paths import Resolver, split_in
from unetfast.data.listing import IMAGE_ENDINGS, Listing
from unetfast.errors import DatasetError
from unetfast.spec import Sample

__all__ = ["find"]

_MOST_PX = 2**30  # of an image that a file speaks of
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
            size = int(content.get("imageHeight") or 0), int(content.get("imageWidth") or 0)
            outlines = [(str(shape.get("label")), _outline(shape, size)) for shape in content["shapes"]]
        except (TypeError, ValueError, cv2.error) as exc:
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


def _outline(shape: Mapping[str, Any], size: tuple[int, int]) -> tuple[Any, ...] | None:
    """Return rings of points, or the runs of a mask; None for points and lines."""
    kind = shape.get("shape_type") or "polygon"
    points = [(float(x), float(y)) for x, y in shape.get("points", [])]
    if kind == "polygon" and len(points) >= 3:
        return (tuple(points),)
    if kind == "mask" and points:
        return _runs(str(shape.get("mask")), points[0], size)
    if kind == "rectangle" and len(points) == 2:
        (a, b), (c, d) = points
        return (((a, b), (c, b), (c, d), (a, d)),)
    if kind == "circle" and len(points) == 2:
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        turns = [2 * math.pi * i / 64 for i in range(64)]
        return (tuple((x + radius * math.cos(t), y + radius * math.sin(t)) for t in turns),)
    return None


def _runs(text: str, corner: tuple[float, float], size: tuple[int, int]) -> tuple[Any, ...]:
    """Return a mask as ``polygons.draw`` takes runs; it is stored as a PNG of its bounding box."""
    data = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    left, top = round(corner[0]), round(corner[1])
    if picture is None or size[0] * size[1] > _MOST_PX:
        raise ValueError("a mask that is no PNG, or of too large an image")
    inside = picture > 0
    if not (0 <= left <= size[1] - inside.shape[1] and 0 <= top <= size[0] - inside.shape[0]):
        raise ValueError(f"a mask that leaves its image of {size[1]}x{size[0]}")
    whole = np.zeros(size[::-1], np.int8)  # by columns
    whole[left : left + inside.shape[1], top : top + inside.shape[0]] = inside.T
    edges = np.flatnonzero(np.diff(whole.ravel(), prepend=0))
    # With the size that they were counted in: a photo of another size is refused when they are drawn.
    return (*size, tuple(np.diff(edges, prepend=0, append=whole.size).tolist()))
