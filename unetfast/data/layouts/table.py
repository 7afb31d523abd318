"""A CSV or JSON Lines file with the columns ``image``, ``mask`` and optionally ``split``.

``metadata.jsonl`` of Hugging Face's image folders is one, with ``file_name`` and ``mask_file_name``.
Paths are relative to the file, to the data set, or absolute. An image in several rows has several
masks, which are merged. A column such as ``patient_id`` says whom images show.
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

from unetfast.data.layouts.found import Found, as_one, file_ids
from unetfast.data.layouts.paths import Resolver
from unetfast.data.layouts.words import FEWEST_GROUPS, names_group, role_of, split_of, tokens
from unetfast.data.listing import Listing
from unetfast.errors import DatasetError
from unetfast.spec import FileRef, Sample

__all__ = ["MOST_BYTES", "cells", "find", "groups_of"]

MOST_BYTES = 256 * 2**20

_Image = TypeVar("_Image", bound=Hashable)

_NOTHING = frozenset(["", "nan", "none", "na"])
_NOBODY = _NOTHING | {"n/a", "null", "unknown", "-", "?"}


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find the samples of a data set's table; see :mod:`~unetfast.data.layouts`."""
    resolver = Resolver(listing)
    tables = [
        (name, found)
        for name in listing.ending(".csv", ".tsv", ".jsonl")[:50]
        if (found := _read(listing, resolver, name, mask))
    ]
    return as_one(listing, tables, "images and masks") if tables else None


def _read(listing: Listing, resolver: Resolver, name: str, mask: str | None) -> Found | None:
    if name.endswith(".tsv") and listing.focus is None:
        return None  # lists of anything; only the user's word makes one a data set
    text = listing.text_or_none(name, MOST_BYTES) or ""
    try:
        rows = _lines(text) if name.lower().endswith(".jsonl") else cells(text)
    except (csv.Error, ValueError, RecursionError) as exc:
        if listing.focus:
            raise DatasetError(f"{listing.ref(name)}: not a readable table: {exc}") from exc
        return None
    columns = _columns(rows, mask, lambda text: resolver.ref(text, name) is not None) if rows else None
    if columns is None:
        if listing.focus:
            head = ", ".join(cell for row in rows[:1] for cell in row)
            raise DatasetError(
                f"{listing.root / name}: the first line must name the columns image and {mask or 'mask'}, "
                f"and split if there is one; it is: {head}"
            )
        return None
    return _samples(listing, resolver, name, rows, columns)


def cells(text: str) -> list[list[str]]:
    """Return the rows of a table that are not empty, the head first; raises csv.Error of what is none."""
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    return [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(map(str.strip, row))]


def _lines(text: str) -> list[list[str]]:
    """Read an object a line as a table, the keys as its head; a list of masks makes a row each."""
    entries = [json.loads(line) for line in text.splitlines() if line.strip()]
    if not entries or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError('each line must be an object, such as {"image": "1.jpg", "mask": "1.png"}')
    head = list(dict.fromkeys(key for entry in entries for key in entry))
    rows = [head]
    for entry in entries:
        cells = [_listed(entry.get(key)) for key in head]
        longest = max(map(len, cells), default=1)
        rows += [[cell[min(i, len(cell) - 1)] for cell in cells] for i in range(longest)]
    return rows


def _listed(value: object) -> list[str]:
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return value
    return ["" if value is None else value if isinstance(value, str) else json.dumps(value)]


def _columns(
    rows: list[list[str]], mask: str | None, exists: Callable[[str], bool]
) -> tuple[int, int, int | None] | None:
    """Find the columns by their heads and, where several fit, by whether their cells are files."""
    names = [cell.strip().lower() for cell in rows[0]]
    roles = [role_of(tokens(name)) for name in names]
    files = [sum(exists(row[i]) for row in rows[1:50] if i < len(row)) for i in range(len(names))]

    def best(candidates: list[int]) -> int | None:
        return max(candidates, key=lambda i: files[i]) if candidates else None

    known = list(enumerate(zip(names, roles, strict=True)))
    wanted = mask.lower() if mask else "mask"
    at_mask = best([i for i, name in enumerate(names) if name == wanted])
    if at_mask is None and mask is None:
        at_mask = best([i for i, (_, role) in known if role == "mask"])
    at_image = best([i for i, (name, role) in known if i != at_mask and (role == "image" or "file" in name)])
    if at_image is None or at_mask is None:
        return None
    splits = [i for i, name in enumerate(names) if name in ("split", "set", "subset", "fold", "phase")]
    return at_image, at_mask, splits[0] if splits else None


def _samples(
    listing: Listing,
    resolver: Resolver,
    name: str,
    rows: list[list[str]],
    columns: tuple[int, int, int | None],
) -> Found | None:
    at_image, at_mask, at_split = columns
    masks: dict[FileRef, list[FileRef]] = {}
    words: dict[FileRef, str] = {}  # that say the split
    listed: dict[FileRef, list[list[str]]] = defaultdict(list)
    missing, unlabelled = [], 0
    for line, row in enumerate(rows[1:], 2):
        cells = [*row, *[""] * (max(len(rows[0]), len(row)) - len(row))]
        if cells[at_mask].strip().lower() in _NOTHING:
            unlabelled += 1
            continue
        image, mask = (
            resolver.ref(cells[at], name, role) for at, role in ((at_image, "image"), (at_mask, "mask"))
        )
        mask = None if mask == image else mask  # the only file of this name that is there
        if image is None or mask is None:
            missing.append(
                f"{name}:{line}: {cells[at_image if image is None else at_mask].strip() or 'empty'}"
            )
            continue
        masks.setdefault(image, []).append(mask)
        listed[image].append(cells)
        word = cells[at_split].strip() if at_split is not None else ""
        if split_of(words.setdefault(image, word)) != split_of(word):
            raise DatasetError(f"{listing.root}: {name}:{line}: {image.name} is in two splits")
    if not masks and listing.focus:
        lacking = f"; none of these files is there: {', '.join(missing[:3])}" if missing else ""
        raise DatasetError(f"{listing.root / name}: lists no image with a mask{lacking}")
    if not masks or (len(missing) > len(masks) and not listing.focus):
        return None
    notes = [f"pairs listed in {name}"]
    if unlabelled:
        notes.append(f"{unlabelled} rows without a mask are left out")
    notes += _said_of_splits(set(words.values()) - {""}, f"{listing.root}: {name}")
    ids, groups = file_ids(masks), groups_of(rows[0], listed)
    samples = [
        Sample(ids[image], image, tuple(found), split_of(words[image]), group=groups.get(image))
        for image, found in masks.items()
    ]
    return Found(samples, missing, [], notes)


def groups_of(head: Sequence[str], rows: Mapping[_Image, list[list[str]]]) -> dict[_Image, str]:
    """Return whom each image shows, by the first column that says one for each and tells groups apart.

    Where none does, by the first that says one: a patient may have one image in ``val.csv``.
    """
    found: list[dict[_Image, str]] = []
    for at in names_group(head):
        said = {image: {cells[at].strip() for cells in of} for image, of in rows.items()}
        if all(len(values) == 1 for values in said.values()):
            known = {image: value for image, (value,) in said.items() if value.lower() not in _NOBODY}
            found.append({image: f"{head[at].strip()}={value}" for image, value in known.items()})
    telling = (groups for groups in found if FEWEST_GROUPS <= len(set(groups.values())) < len(groups))
    return next(telling, found[0] if found else {})


def _said_of_splits(words: set[str], source: str) -> list[str]:
    """Refuse words that are no splits; folds with numbers are none either, which is only said."""
    unknown = sorted(word for word in words if split_of(word) is None)
    if not unknown:
        return []
    if len(unknown) < len(words) or not all(map(str.isdigit, unknown)):
        raise DatasetError(f"{source}: the split must be train, val or test; got {', '.join(unknown[:5])}")
    return ["its folds are numbers, not train, val or test: validation images are drawn anew"]
