"""One LabelMe file per image: ``photo.json`` with ``shapes`` beside ``photo.jpg``.

Polygons, rectangles and circles are read, and the masks that its AI tools make.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from unetfast.data.layouts.found import Found
from unetfast.data.layouts.outlined import Outlines, ellipse, runs_of
from unetfast.data.layouts.paths import Resolver
from unetfast.data.listing import IMAGE_ENDINGS, Listing
from unetfast.data.polygons import Outline, Rings, Runs
from unetfast.errors import DatasetError

__all__ = ["find"]

_MOST_BYTES = 256 * 2**20  # LabelMe may keep the whole photo inside


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find images with the outlines of their LabelMe files; see :mod:`~unetfast.data.layouts`."""
    names = listing.ending(".json")
    if not any(_content(listing, name) is not None for name in names[:5]):
        return None
    resolver, found = Resolver(listing), Outlines(listing)
    for name in names:
        content = _content(listing, name)
        if content is None:
            continue
        image = _image(listing, resolver, name, content)
        if image is None:
            found.lone.append(name)
            continue
        try:
            size = int(content.get("imageHeight") or 0), int(content.get("imageWidth") or 0)
            found.add(
                image, [(str(shape.get("label")), _outline(shape, size)) for shape in content["shapes"]]
            )
        except (TypeError, ValueError, cv2.error) as exc:
            raise DatasetError(f"{listing.ref(name)}: a malformed shape: {exc}") from exc
    return found.found(mask)


def _content(listing: Listing, name: str) -> Mapping[str, Any] | None:
    content = listing.json_or_none(name, _MOST_BYTES)
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        return None
    return content if all(isinstance(shape, dict) for shape in content["shapes"]) else None


def _image(listing: Listing, resolver: Resolver, name: str, content: Mapping[str, Any]) -> str | None:
    stem = name.rpartition(".")[0]
    beside = next((stem + ending for ending in IMAGE_ENDINGS if stem + ending in listing), None)
    written = content.get("imagePath") or content.get("imageName")  # as in dacl10k
    return beside or resolver.name(str(written or ""), name)


def _outline(shape: Mapping[str, Any], size: tuple[int, int]) -> Outline | None:
    """Return rings of points, or the runs of a mask; None for points and lines."""
    known_size = size if all(size) else None
    kind = shape.get("shape_type") or "polygon"
    points = [(float(x), float(y)) for x, y in shape.get("points", [])]
    if kind == "polygon" and len(points) >= 3:
        return Rings((tuple(points),), size=known_size)
    if kind == "mask" and points:
        return _runs(str(shape.get("mask")), points[0], size)
    if kind == "rectangle" and len(points) == 2:
        (a, b), (c, d) = points
        return Rings((((a, b), (c, b), (c, d), (a, d)),), size=known_size)
    if kind == "circle" and len(points) == 2:
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        return Rings((ellipse(x, y, radius, radius),), size=known_size)
    return None


def _runs(text: str, corner: tuple[float, float], size: tuple[int, int]) -> Runs:
    """Return the runs of a mask, which is stored as a PNG of its bounding box."""
    data = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise ValueError("a mask that is not a PNG")
    return runs_of(picture > 0, round(corner[0]), round(corner[1]), size)
