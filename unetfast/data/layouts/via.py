"""JSON or CSV of the VGG Image Annotator: regions with ``all_points_x``, ``all_points_y`` by file name.

As the Matterport tutorials (balloons) have it. Where the regions have an attribute, its values are the
classes.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from unetfast.data.layouts.found import Found
from unetfast.data.layouts.outlined import Outlines, ellipse
from unetfast.data.layouts.paths import Resolver, split_in
from unetfast.data.listing import Listing
from unetfast.data.polygons import Rings
from unetfast.errors import DatasetError

__all__ = ["find"]

_MOST_FILES = 50
_NAMES = ("class", "label", "name", "type", "category", "object")  # of attributes that hold a class

Region = tuple[Mapping[str, Any], Mapping[str, Any]]  # what shape, and its attributes


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find the images of VIA's files with their regions; see :mod:`~unetfast.data.layouts`."""
    names = listing.ending(".json", ".csv")
    files = {
        name: entries for name in names[:_MOST_FILES] if (entries := _entries(listing, name)) is not None
    }
    if not files:
        return None
    attribute = _attribute(
        listing, [region for entries in files.values() for _, r in entries for region in r]
    )
    resolver, found = Resolver(listing), Outlines(listing)
    for name, entries in files.items():
        for file, regions in entries:
            image = resolver.name(file, name, "image")
            if image is None:
                found.lone.append(f"{name}: {file}")
                continue
            try:
                shapes = [(_class(said, attribute), _outline(shape)) for shape, said in regions]
            except (KeyError, TypeError, ValueError) as exc:
                raise DatasetError(f"{listing.ref(name)}: {file}: a region without points: {exc!r}") from exc
            found.add(image, shapes, split_in(name))
    by = f", classes by their {attribute!r}" if attribute else ""
    return found.found(mask, f"regions in {', '.join(files)}{by}")


def _entries(listing: Listing, name: str) -> list[tuple[str, list[Region]]] | None:
    text = listing.text_or_none(name) or ""
    if name.lower().endswith(".csv"):
        return _rows(text) if "region_shape_attributes" in text[:4096] else None
    if "regions" not in text or "shape_attributes" not in text:
        return None
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return None
    content = content.get("_via_img_metadata", content) if isinstance(content, dict) else None
    if not isinstance(content, dict):
        return None
    entries = [entry for entry in content.values() if isinstance(entry, dict) and "filename" in entry]
    return [(str(entry["filename"]), list(_regions(entry.get("regions")))) for entry in entries] or None


def _regions(regions: Any) -> Iterator[Region]:
    """Yield the regions, a list since VIA 2 and a table by number before."""
    for region in regions.values() if isinstance(regions, dict) else regions or []:
        yield region["shape_attributes"], region.get("region_attributes") or {}


def _rows(text: str) -> list[tuple[str, list[Region]]] | None:
    csv.field_size_limit(2**31 - 1)
    entries: dict[str, list[Region]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        try:
            shape = json.loads(row["region_shape_attributes"])
            said = json.loads(row.get("region_attributes") or "{}")
            file = row.get("filename") or row["#filename"]
        except (KeyError, TypeError, json.JSONDecodeError):
            return None
        entries.setdefault(file, []).extend([(shape, said)] if shape else [])
    return list(entries.items()) or None


def _attribute(listing: Listing, regions: list[Region]) -> str | None:
    """Return the attribute that tells classes apart: the only one, or one that is called so."""
    counts = Counter(key for _, said in regions for key, value in said.items() if _text(value))
    if len(counts) <= 1:
        return next(iter(counts), None)
    called = [name for known in _NAMES for name in counts if name.lower() == known]
    if len(called) == 1:
        return called[0]
    raise DatasetError(
        f"{listing.root}: regions have the attributes {', '.join(sorted(counts))}, and none alone is called "
        f"{', '.join(_NAMES[:3])}: keep the one that holds the class (VIA: Attributes), and export again"
    )


def _text(value: Any) -> str:
    """Return an attribute's value: a text, or the ticked boxes of a checkbox."""
    if isinstance(value, dict):
        return "+".join(sorted(str(key) for key, ticked in value.items() if ticked))
    return str(value).strip()


def _class(said: Mapping[str, Any], attribute: str | None) -> str:
    if attribute is None:
        return "foreground"
    return _text(said.get(attribute, "")) or "unnamed"


def _outline(shape: Mapping[str, Any]) -> Rings | None:
    kind = shape.get("name")
    if kind == "polygon":
        pairs = zip(shape["all_points_x"], shape["all_points_y"], strict=True)
        return Rings((tuple((float(x), float(y)) for x, y in pairs),))
    if kind in ("circle", "ellipse"):
        x, y = float(shape["cx"]), float(shape["cy"])
        rx = float(shape["r"] if kind == "circle" else shape["rx"])
        ry = rx if kind == "circle" else float(shape["ry"])
        return Rings((ellipse(x, y, rx, ry, float(shape.get("theta", 0))),))
    return None  # rect, point, polyline
