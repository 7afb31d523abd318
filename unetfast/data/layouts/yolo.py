"""YOLO segmentation: ``labels/x.txt`` for ``images/x.jpg``, lines of ``class x y x y …``, parts of the size.

The text files lie in folders called labels, or beside the images. Names come from ``data.yaml`` or another
``.yaml`` with ``names``, else from ``classes.txt`` or ``obj.names``, a name a line. An image without a text
file is background.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from unetfast.data.layouts import paired
from unetfast.data.layouts.found import Found, unique_ids
from unetfast.data.layouts.words import folder_parts, split_of
from unetfast.data.listing import Listing
from unetfast.errors import DatasetError
from unetfast.spec import Sample

__all__ = ["find"]

_NAME_LISTS = ("classes.txt", "obj.names")  # Label Studio and labelImg; Darknet
_MOST_BYTES = 64 * 2**20
_LINE = re.compile(r"\d+(\s+-?[\d.]+(e-?\d+)?){4,}\s*")


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find images with the outlines of their text files; see :mod:`~unetfast.data.layouts`."""
    texts = _texts(listing)
    if not texts or not any(_is_label(listing.text_or_none(name, _MOST_BYTES) or "") for name in texts[:20]):
        return None
    found = paired.pair(listing, listing.images, texts, None)
    if found is None:
        return None
    lines = {sample.id: _lines(listing, sample) for sample in found.samples}
    names = _names(listing)
    highest = max((class_id for of_one in lines.values() for class_id, _ in of_one), default=0)
    names += [f"class_{i}" for i in range(len(names), highest + 1)]
    wanted = set(names) if mask is None else {word.strip() for word in mask.split(",")}
    if not wanted <= set(names):
        raise DatasetError(f"{listing.root}: no class {mask!r}; there are {', '.join(names)}")
    samples, alone, boxes = [], [], 0
    for sample in found.samples:
        shapes = [(names[i], rings) for i, rings in lines[sample.id] if names[i] in wanted]
        outlines = tuple((name, ("unit", *rings)) for name, rings in shapes if rings)
        boxes += len(shapes) - len(outlines)
        if shapes and not outlines:  # its objects would be taken for background
            alone.append(f"{sample.image.name} (boxes alone)")
        else:
            samples.append(replace(sample, masks=(), reader="polygons", polygons=outlines))
    used = {name for sample in samples for name, _ in sample.polygons}
    if not used and boxes:
        raise DatasetError(
            f"{listing.root}: all {boxes} lines {f'of {mask} ' if mask else ''}in the text files are boxes, "
            "as for detection; outlines have three points and more"
        )
    if not used:
        return None
    background = [
        Sample(id_, listing.ref(name), split=_split(name), reader="polygons")
        for name, id_ in _more(samples, found.no_mask)
    ]
    notes = list(found.notes)
    if background:
        notes.append(f"{len(background)} images without a text file are background")
    if boxes:
        notes.append(f"{boxes} lines are boxes without an outline, and are left out")
    classes = ("background", *[name for name in names if name in used])
    return Found([*samples, *background], alone, found.no_image, notes, {"classes": classes})


def _texts(listing: Listing) -> tuple[str, ...]:
    """Return the text files that may be labels: in folders of that name, or called as an image beside it."""
    texts = tuple(name for name in listing.names if name.lower().endswith(".txt"))
    in_labels = tuple(name for name in texts if "labels" in name.lower().split("/")[:-1])
    images = {name.rpartition(".")[0] for name in listing.images}
    return in_labels or tuple(name for name in texts if name[:-4] in images)


def _is_label(text: str) -> bool:
    lines = [line for line in text.splitlines() if line.strip()]
    return bool(lines) and all(_LINE.fullmatch(line) for line in lines)


def _lines(listing: Listing, sample: Sample) -> list[tuple[int, tuple[Any, ...]]]:
    """Return class id and rings of each line; no rings where it is a box."""
    ref = sample.masks[0]
    name = ref.member or ref.path.relative_to(listing.root).as_posix()
    found = []
    for number, line in enumerate(listing.text(name, _MOST_BYTES).splitlines(), 1):
        if not line.strip():
            continue
        if not _LINE.fullmatch(line):
            raise DatasetError(f"{ref}:{number}: not a line of class x y x y …: {line[:60]!r}")
        class_id, *numbers = line.split()
        values = [float(value) for value in numbers]
        ring = tuple(zip(values[::2], values[1::2], strict=False))
        found.append((int(class_id), (ring,) if len(values) >= 6 else ()))
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
        if file.rpartition("/")[2].lower() in _NAME_LISTS:
            lines = (listing.text_or_none(file, _MOST_BYTES) or "").splitlines()
            return [line.strip() for line in lines if line.strip()]
    return []


def _more(samples: list[Sample], names: list[str]) -> list[tuple[str, str]]:
    taken = {sample.id for sample in samples}
    return [
        (name, name.replace("/", "-") if id_ in taken else id_) for name, id_ in unique_ids(names).items()
    ]


def _split(name: str) -> str | None:
    parts = name.split("/")[:-1]
    return next((s for part in parts if (s := split_of(part) or folder_parts(part).split)), None)
