"""One ImageScope XML per image: ``Annotations/x.xml`` with ``<Region>`` outlines for ``Tissue Images/x.tif``.

As MoNuSeg has its nuclei. The names of the layers are the classes; without names there is one.
"""

from __future__ import annotations

from collections import defaultdict
from xml.etree import ElementTree

from unetfast.data.layouts.found import Found
from unetfast.data.layouts.outlined import Outlines, xml_of
from unetfast.data.listing import Listing, stem_of
from unetfast.data.polygons import Rings
from unetfast.errors import DatasetError

__all__ = ["find"]

_OUTLINES = ("0", "1")  # types of a region: free-hand, and a rectangle with all its corners
_NO_CLASSES = ("", "description")


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find images with the outlines of their ImageScope files; see :mod:`~unetfast.data.layouts`."""
    names = listing.ending(".xml")
    if not any(_layers(listing, name) for name in names[:5]):
        return None
    by_stem: dict[str, list[str]] = defaultdict(list)
    for image in listing.images:
        by_stem[_stem(image)].append(image)
    found = Outlines(listing)
    for name in names:
        layers = _layers(listing, name)
        if layers is None:
            continue
        images = by_stem.get(_stem(name), [])
        if len(images) > 1:  # the same name in training and test: the one in the same part
            images = [image for image in images if image.split("/")[0] == name.split("/")[0]] or images
        if len(images) != 1:
            found.lone.append(f"{name} (fits {', '.join(images)})" if images else name)
            continue
        found.add(images[0], layers)
    return found.found(mask)


def _stem(name: str) -> str:
    return stem_of(name).casefold()


def _layers(listing: Listing, name: str) -> list[tuple[str, Rings | None]] | None:
    """Return class and outline of each region, or None where the file is another tool's."""
    root = xml_of(listing, name, "Annotations")
    if root is None:
        return None
    shapes: list[tuple[str, Rings | None]] = []
    for layer in root.iter("Annotation"):
        label = _class(layer)
        for region in layer.iter("Region"):
            try:
                ring = tuple((float(v.attrib["X"]), float(v.attrib["Y"])) for v in region.iter("Vertex"))
            except (KeyError, ValueError) as exc:
                raise DatasetError(f"{listing.ref(name)}: a vertex without numbers: {exc}") from exc
            if region.get("NegativeROA", "0") == "1":  # a hole in what lies around it, as it is smaller
                shapes.append(("background", Rings((ring,))))
                continue
            area = len(ring) >= 3 and region.get("Type", "0") in _OUTLINES
            shapes.append((label, Rings((ring,)) if area else None))
    return shapes


def _class(layer: ElementTree.Element) -> str:
    """Return what a layer is called: MoNuSAC writes it as the name of an attribute."""
    names = [layer.get("Name", ""), *(said.get("Name", "") for said in layer.findall("Attributes/Attribute"))]
    return next((name.strip() for name in names if name.strip().lower() not in _NO_CLASSES), "foreground")
