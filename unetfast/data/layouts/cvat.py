"""CVAT's own XML, "CVAT for images 1.1": ``annotations.xml`` with polygons and masks of ``<image>`` elements.

Boxes, lines and points are no masks; ellipses are drawn.
"""

from __future__ import annotations

import math
from xml.etree import ElementTree

import numpy as np

from unetfast.data.layouts.found import Found
from unetfast.data.layouts.outlined import Outlines, ellipse, runs_of, xml_of
from unetfast.data.layouts.paths import Resolver, split_in
from unetfast.data.layouts.words import split_of
from unetfast.data.listing import Listing
from unetfast.data.polygons import Outline, Rings
from unetfast.errors import DatasetError

__all__ = ["find"]

_MOST_FILES = 50  # looked into; a data set with more has one per image
_SHAPES = ("polygon", "mask", "ellipse", "box", "polyline", "points", "cuboid", "skeleton")


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find the images of CVAT's files with their outlines; see :mod:`~unetfast.data.layouts`."""
    files = {
        name: root
        for name in listing.ending(".xml")[:_MOST_FILES]
        if (root := xml_of(listing, name, "annotations")) is not None
    }
    if not files:
        return None
    resolver, found = Resolver(listing), Outlines(listing)
    for name, root in files.items():
        if root.find("track") is not None:
            raise DatasetError(
                f'{listing.ref(name)}: tracks of a film; export the task as "CVAT for images 1.1" with its '
                'frames, or as "COCO 1.0"'
            )
        for entry in root.iter("image"):
            image = resolver.name(entry.get("name", ""), name, "image")
            if image is None:
                found.lone.append(f"{name}: {entry.get('name')}")
                continue
            try:
                size = round(float(entry.attrib["height"])), round(float(entry.attrib["width"]))
                shapes = [shape for shape in entry if shape.tag in _SHAPES]
                found.add(
                    image,
                    [(shape.get("label", ""), _outline(shape, size)) for shape in shapes],
                    split_of(entry.get("subset", "")) or split_in(name),
                )
            except (KeyError, ValueError) as exc:
                raise DatasetError(f"{listing.ref(name)}: {image}: a malformed shape: {exc}") from exc
    return found.found(mask, f"outlines in {', '.join(files)}")


def _outline(shape: ElementTree.Element, size: tuple[int, int]) -> Outline | None:
    if shape.tag == "polygon":
        points = (point.split(",") for point in shape.attrib["points"].split(";") if point)
        return Rings((tuple((float(x), float(y)) for x, y in points),), size=size)
    if shape.tag == "mask":  # lengths of 0 and 1 in turn along the rows of its box
        left, top, width, height = (
            round(float(shape.attrib[key])) for key in ("left", "top", "width", "height")
        )
        lengths = [int(length) for length in shape.attrib["rle"].split(",")]
        if min(lengths) < 0 or sum(lengths) > width * height:  # CVAT leaves out a last run of 0
            raise ValueError(f"runs of {sum(lengths)} pixels in a mask of {width}x{height}")
        inside = np.zeros(width * height, bool)
        inside[: sum(lengths)] = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
        return runs_of(inside.reshape(height, width), left, top, size)
    if shape.tag == "ellipse":
        x, y, rx, ry = (float(shape.attrib[key]) for key in ("cx", "cy", "rx", "ry"))
        return Rings((ellipse(x, y, rx, ry, math.radians(float(shape.get("rotation", "0")))),), size=size)
    return None
