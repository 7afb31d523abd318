"""What a layout found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from unetfast.data.layouts.paths import shared_depth, split_in
from unetfast.data.listing import Listing, natural
from unetfast.errors import DatasetError
from unetfast.spec import FileRef, Sample

__all__ = ["Found", "as_one", "file_ids", "names_below", "unique_ids"]


@dataclass(frozen=True)
class Found:
    """The samples of a data set, and what was left over.

    Attributes
    ----------
    samples : list of Sample
    no_mask, no_image : list of str
        Images without a mask and masks without an image: names, for the report.
    notes : list of str
        What was decided and why, for people.
    hints : dict
        What the layout knows of the labels: "classes" (names by id), "values" (value=class
        strings), "name" (what foreground is called).
    """

    samples: list[Sample]
    no_mask: list[str] = field(default_factory=list)
    no_image: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    hints: dict[str, Any] = field(default_factory=dict)


def unique_ids(names: list[str]) -> dict[str, str]:
    """Give each image a short unique id: its stem, or as much of its path as that takes.

    Parameters
    ----------
    names : list of str
        Different relative paths.

    Returns
    -------
    dict
        Name to id; ids hold no slash, since they become file names.
    """
    paths = {name: name.rpartition(".")[0].split("/") for name in names}
    ids: dict[str, str] = {}
    taken: dict[str, list[str]] = {}
    for name, parts in paths.items():
        taken.setdefault(parts[-1].lower(), []).append(name)
    for same in taken.values():
        for name in same:
            ids[name] = paths[name][-1] if len(same) == 1 else "-".join(paths[name])
    if len(set(ids.values())) < len(ids):  # the same stem in .jpg and .png, or a name with dashes
        ids = {name: name.replace("/", "-") for name in names}
    if len(set(ids.values())) < len(ids):
        ids = {name: f"{i:06d}-{name.replace('/', '-')}" for i, name in enumerate(sorted(names, key=natural))}
    return ids


def file_ids(images: Collection[FileRef]) -> dict[FileRef, str]:
    """Give files anywhere ids as :func:`unique_ids` does, of their paths below the folder that all share."""
    names = names_below(images)
    ids = unique_ids(list(names.values()))
    return {image: ids[name] for image, name in names.items()}


def names_below(images: Collection[FileRef]) -> dict[FileRef, str]:
    """Return the path of each file below the deepest folder, or the archive, that all share."""
    names = {image: f"{image.path}/{image.member}" if image.member else str(image.path) for image in images}
    paths = {image: name.replace("\\", "/").split("/") for image, name in names.items()}
    shared = shared_depth(parts[:-1] for parts in paths.values())
    return {image: "/".join(parts[shared:]) for image, parts in paths.items()}


def as_one(listing: Listing, tables: Sequence[tuple[str, Found]], of: str) -> Found:
    """Put together what ``train.csv``, ``val.csv`` and ``test.csv`` list, such as tables `of` "runs"."""
    if len(tables) == 1:
        return tables[0][1]
    names = ", ".join(name for name, _ in tables)
    splits = [split_in(name) for name, _ in tables]
    if None in splits or len(set(splits)) < len(splits):
        raise DatasetError(f"{listing.root}: several tables list {of}: {names}; pass the one that is meant")
    samples = [
        replace(sample, split=sample.split or split)
        for split, (_, found) in zip(splits, tables, strict=True)
        for sample in found.samples
    ]
    counts = Counter(sample.image for sample in samples)
    if twice := [image for image, count in counts.items() if count > 1]:
        raise DatasetError(f"{listing.root}: {twice[0]} is in two of the tables {names}")
    ids = file_ids(counts)
    classes = dict.fromkeys(name for _, found in tables for name in found.hints.get("classes", ()))
    return Found(
        [replace(sample, id=ids[sample.image]) for sample in samples],
        [name for _, found in tables for name in found.no_mask],
        [],
        list(dict.fromkeys(note for _, found in tables for note in found.notes)),
        {"classes": tuple(classes)} if classes else {},
    )
