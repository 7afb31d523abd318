"""Whom images show, as a table beside them says: ``HAM10000_metadata.csv``, ISIC's ``train.csv``.

Such a table has a column of the images' names, with or without their endings, and one such as
``lesion_id`` or ``PatientID``. Where a layout has read a column of the kind itself, no other is looked for.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from unetfast.data.layouts.table import MOST_BYTES, cells, groups_of
from unetfast.data.layouts.words import FEWEST_GROUPS, names_group, role_of, tokens
from unetfast.data.listing import IMAGE_ENDINGS, Listing, composed, file_of
from unetfast.spec import Sample

__all__ = ["with_patients"]

_ENDINGS = (".csv", ".tsv", ".tab")
_MOST_TABLES = 50

Rows = dict[str, list[list[str]]]  # id of a sample -> rows of a table that name its image


def with_patients(listing: Listing, samples: list[Sample]) -> tuple[list[Sample], list[str]]:
    """Give samples the group that a table beside them tells.

    Returns
    -------
    list of Sample
    list of str
        Which table and which of its columns were used, for people.
    """
    if any(sample.group for sample in samples):
        return samples, []
    groups: dict[str, str] = {}
    notes = []
    by_stem = _by_stem(samples)
    for name in list(filter(_is_table, listing.names))[:_MOST_TABLES]:
        if told := _told(_table(listing, name), by_stem):
            groups = told | groups
            column = next(iter(told.values())).partition("=")[0]
            notes.append(f"{name} tells the {column} of {len(told)} of {len(samples)} images")
    return [replace(sample, group=groups.get(sample.id)) for sample in samples], notes


def _is_table(name: str) -> bool:
    # "HAM10000_metadata" is called so where it comes from, without an ending.
    return name.lower().endswith((*_ENDINGS, "metadata"))


def _by_stem(samples: Sequence[Sample]) -> Mapping[str, str]:
    """Return the id of each sample whose image has a name that no other has."""
    ids: dict[str, list[str]] = defaultdict(list)
    for sample in samples:
        ids[_stem(sample.image.name)].append(sample.id)
    return {stem: same[0] for stem, same in ids.items() if len(same) == 1}


def _stem(text: str) -> str:
    file = composed(file_of(text.strip().replace("\\", "/"))).casefold()
    return file.rpartition(".")[0] if file.endswith(IMAGE_ENDINGS) else file


def _table(listing: Listing, name: str) -> list[list[str]]:
    """Return a table's rows; none of what is no table, or has no column that could say whom."""
    text = listing.text_or_none(name, MOST_BYTES) or ""
    try:
        head = cells(text.partition("\n")[0])
        return cells(text) if head and names_group(head[0]) else []
    except csv.Error:
        return []


def _told(rows: Sequence[list[str]], by_stem: Mapping[str, str]) -> dict[str, str]:
    """Return whom a table's column says that images show, by their samples' ids."""
    if not rows:
        return {}
    head = rows[0]
    columns = {at: _rows_of_images(rows, at, by_stem) for at in range(len(head))}
    named = max(columns, key=lambda at: len(columns[at]))
    # Of another data set's table some values may be names by chance.
    if 2 * len(columns[named]) < min(len(by_stem), len(rows) - 1):
        return {}
    told = groups_of(["" if at == named else text for at, text in enumerate(head)], columns[named])
    return told if len(set(told.values())) >= FEWEST_GROUPS else {}  # fewer are arms, and names may tell more


def _rows_of_images(rows: Sequence[list[str]], at: int, by_stem: Mapping[str, str]) -> Rows:
    words = tokens(rows[0][at])
    of_images = role_of(words) == "image" or "file" in words
    found: Rows = defaultdict(list)
    for row in rows[1:]:
        text = row[at] if at < len(row) else ""
        # A bare number may be a row's, or an age, where the head does not say image.
        if (id_ := by_stem.get(_stem(text))) and (of_images or not text.strip().isdigit()):
            found[id_].append([*row, *[""] * (len(rows[0]) - len(row))])
    return found
