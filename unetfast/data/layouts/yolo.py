"""YOLO segmentation: ``labels/x.txt`` for ``images/x.jpg``, lines of ``class x y x y …``, parts of the size.

The text files lie in folders called labels, or beside the images. Names come from ``data.yaml`` or another
``.yaml`` with ``names``, else from ``classes.txt`` or ``obj.names``, a name a line. An image without a text
file is background.
"""

from __future__ import annotations

import re

from unetfast.data.layouts import paired
from unetfast.data.layouts.found import Found
from unetfast.data.layouts.outlined import Outlines
from unetfast.data.listing import Listing, file_of
from unetfast.data.polygons import Rings
from unetfast.errors import DatasetError

__all__ = ["find"]

_NAME_LISTS = ("classes.txt", "obj.names")  # Label Studio and labelImg; Darknet
_MOST_BYTES = 64 * 2**20
_LINE = re.compile(r"\d+(\s+-?[\d.]+(e-?\d+)?){4,}\s*")


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find images with the outlines of their text files; see :mod:`~unetfast.data.layouts`."""
    texts = _texts(listing)
    if not texts or not any(_is_label(listing.text_or_none(name, _MOST_BYTES) or "") for name in texts[:20]):
        return None
    pairs = paired.pair(listing, listing.images, texts, None)
    if pairs is None:
        return None
    name_of = {listing.ref(name): name for name in (*listing.images, *texts)}
    lines = {sample.id: _lines(listing, name_of[sample.masks[0]]) for sample in pairs.samples}
    names = _names(listing)
    highest, text = max((max((i for i, _ in of_one), default=0), id_) for id_, of_one in lines.items())
    if names and highest >= len(names):
        raise DatasetError(
            f"{listing.root}: the text file of {text} has class {highest}, but the names are those of "
            f"0 .. {len(names) - 1}: {', '.join(names)}"
        )
    names = names or [f"class_{i}" for i in range(highest + 1)]
    found = Outlines(listing, lone=pairs.no_image)
    for sample in pairs.samples:
        shapes = [(names[class_id], outline) for class_id, outline in lines[sample.id]]
        found.add(name_of[sample.image], shapes, sample.split)
    if not any(found.shapes.values()):
        return None
    for image in pairs.no_mask:
        found.add(image, [])
    return found.found(mask, *pairs.notes, classes=names)


def _texts(listing: Listing) -> tuple[str, ...]:
    """Return the text files that may be labels: in folders of that name, or called as an image beside it."""
    texts = tuple(name for name in listing.names if name.lower().endswith(".txt"))
    in_labels = tuple(name for name in texts if "labels" in name.lower().split("/")[:-1])
    images = {name.rpartition(".")[0] for name in listing.images}
    return in_labels or tuple(name for name in texts if name[:-4] in images)


def _is_label(text: str) -> bool:
    lines = [line for line in text.splitlines() if line.strip()]
    return bool(lines) and all(_LINE.fullmatch(line) for line in lines)


def _lines(listing: Listing, name: str) -> list[tuple[int, Rings | None]]:
    """Return the class id and the outline of each line; None where it is a box."""
    found = []
    for number, line in enumerate(listing.text(name, _MOST_BYTES).splitlines(), 1):
        if not line.strip():
            continue
        if not _LINE.fullmatch(line):
            raise DatasetError(f"{listing.ref(name)}:{number}: not a line of class x y x y …: {line[:60]!r}")
        class_id, *numbers = line.split()
        values = [float(value) for value in numbers]
        ring = tuple(zip(values[::2], values[1::2], strict=False))
        found.append((int(class_id), Rings((ring,), relative=True) if len(values) >= 6 else None))
    return found


def _names(listing: Listing) -> list[str]:
    """Read ``names`` of a .yaml file, without a YAML library: a list, or a table of numbers; else a list."""
    for file in listing.names:
        if not file.lower().endswith((".yaml", ".yml")):
            continue
        text = re.sub(r"(?m)#.*$", "", listing.text_or_none(file, _MOST_BYTES) or "")
        inline = re.search(r"(?ms)^names:\s*[\[{](.*?)[\]}]", text)
        block = re.search(r"(?m)^names:\s*\n((?:\s*-.*\n?|\s+\d+\s*:.*\n?)+)", text)
        if inline:
            items = inline[1].split(",")
        elif block:
            items = block[1].strip().splitlines()
        else:
            continue
        return [re.sub(r"^\s*(-\s|\d+\s*:)", "", item).strip().strip("'\"") for item in items if item.strip()]
    for file in listing.names:
        if file_of(file).lower() in _NAME_LISTS:
            lines = (listing.text_or_none(file, _MOST_BYTES) or "").splitlines()
            return [line.strip() for line in lines if line.strip()]
    return []
