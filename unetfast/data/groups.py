"""Images of one patient, specimen, film or volume, which training and validation must not share.

A column of the data's table says so, or the names of its files and folders do. The first that tells
counts: a column, then names that say patient or the like, then both sides of something, then folders
with numbers.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from unetfast.data.layouts.found import names_below
from unetfast.data.layouts.words import FEWEST_GROUPS, read_together, tokens
from unetfast.data.validation import same_source
from unetfast.spec import Sample

__all__ = ["Groups", "find_groups"]

Groups = dict[str, tuple[str, ...]]  # what a group is called -> ids of its samples, at least two

# A patient's, film's or volume's number in a name; or a TCGA barcode, whose third word is the patient.
_WHOLE = re.compile(
    r"""(?<![a-z])(?:
    (?:patient|pat|subject|subj|participant|donor|animal|mouse|rat|specimen|biopsy|case|wsi|slide|volume|vol
      |video|vid|film|movie|clip|sequence|seq)s?(?:[ _.-]*(?:id|no|nr)?[ _.-]*\d+|[ _.-]+[a-z](?![a-z0-9]))
    |sub-\d+
    |tcga[-_][a-z0-9]{2}[-_][a-z0-9]{4}(?![a-z0-9]))""",
    re.IGNORECASE | re.VERBOSE,
)
# Slices and frames, also as Roboflow cuts a film: "street_mp4-12_jpg.rf.<hash>".
_PART = re.compile(r"(?<![a-z])(?:(?:slice|frame)s?[ _.-]*|(?:mp4|mov|avi|mkv)-)\d", re.IGNORECASE)
_SIDE = re.compile(r"(.*\d)[ _.-]?(?:(l|left|os)|r|right|od)", re.IGNORECASE)  # eyes, knees
# Folders so called hold kinds, of which validation needs every one, numbered or not.
_KINDS = frozenset(["class", "category", "cat", "type", "kind", "label", "grade", "level", "stage"])
_FEWEST_FOLDERS = 5  # with numbers alone, which may be days or anything
_TABLE = "a .csv with the columns image,mask"
_STAY = f"images of one stay together where validation images are drawn (otherwise: {_TABLE},split)"
_TOO_FEW = (
    "too few to draw validation images by: images of one come on both sides, and scores will be too good "
    f"(otherwise: {_TABLE},split)"
)


@dataclass(frozen=True)
class _Path:
    """Where an image lies, below the folder that all share."""

    folders: tuple[str, ...]
    places: tuple[str, ...]  # paths of those folders that name neither a split nor a role, the highest first
    stem: str


def find_groups(samples: Sequence[Sample]) -> tuple[Groups, list[str]]:
    """Find the samples that must not be torn apart.

    Returns
    -------
    Groups
        A sample may be in two: a tile of a photo of a patient.
    list of str
        What that means for the draw of validation images, for people.
    """
    paths = _paths(samples)
    told = _by({sample.id: sample.group for sample in samples})
    groups, said = _told(told) if _several(told) else _guessed(paths)
    if tiles := _tiles(paths, groups):
        said.append(
            f"names look like tiles or copies of one photo, such as {', '.join(tiles[0][:2])}: those stay "
            "together where validation images are drawn"
        )
    return groups | {f"{ids[0]} …": tuple(ids) for ids in tiles}, said


def _tiles(paths: Mapping[str, _Path], groups: Groups) -> list[list[str]]:
    """Return the tiles of each photo, as names tell, but none that a group holds, and no folder of a kind."""
    owner = {id_: name for name, ids in groups.items() for id_ in ids}
    kinds = _by({id_: "/".join(path.folders) for id_, path in paths.items() if _is_kind(path.folders)})
    whole = set(map(frozenset, kinds.values()))
    return [
        ids
        for ids in same_source(list(paths))
        if len({owner.get(id_, id_) for id_ in ids}) > 1 and frozenset(ids) not in whole
    ]


def _told(groups: Groups) -> tuple[Groups, list[str]]:
    """Judge what a table's column says."""
    column = next(iter(groups)).partition("=")[0]
    if len(groups) < FEWEST_GROUPS:
        return {}, [f"the column {column} tells {len(groups)} groups apart, {_TOO_FEW}"]
    return _several(groups), [
        f"images of the same {column} stay together where validation images are drawn ({len(groups)} groups)"
    ]


def _guessed(paths: Mapping[str, _Path]) -> tuple[Groups, list[str]]:
    """Group by the names of files and folders."""
    named = _by(_named(paths))
    for groups in (named, _by(_sides(paths))):
        several = _several(groups)
        if len(groups) >= FEWEST_GROUPS and several:
            what = "patients, films or volumes" if groups is named else "pairs of left and right"
            return several, [f"names tell {len(groups)} {what}, such as {next(iter(several))}: {_STAY}"]
    groups, said = _by_folder(paths)
    if not said and len(_several(named)) == FEWEST_GROUPS - 1:
        said = [f"names tell {len(named)} patients, films or volumes ({', '.join(named)}), {_TOO_FEW}"]
    return groups, said


def _paths(samples: Sequence[Sample]) -> dict[str, _Path]:
    names = names_below([sample.image for sample in samples])
    paths = {}
    for sample in samples:
        path = tuple(names[sample.image].rpartition(".")[0].split("/"))
        paths[sample.id] = path if sample.image.index is None else (*path, "")  # a page lies in its file
    folders = {path[:-1] for path in paths.values()}
    says = read_together({name for path in folders for name in path})
    places = {
        path: tuple("/".join(path[: i + 1]) for i, name in enumerate(path) if says[name].rest)
        for path in folders
    }
    return {id_: _Path(path[:-1], places[path[:-1]], path[-1]) for id_, path in paths.items()}


def _named(paths: Mapping[str, _Path]) -> dict[str, str]:
    """Return whom names tell, by id: ``case_0001/slice_012``, ``P12_slice3``, ``TCGA_CS_4941_19960909_1``."""
    of_folder = functools.cache(lambda folders: next(filter(None, map(_whole, folders)), ""))
    found = {}
    for id_, path in paths.items():
        part = _PART.search(path.stem)
        begins = _within(path, path.stem[: part.start()].rstrip(" _.-")) if part else ""
        if source := of_folder(path.folders) or _whole(path.stem) or begins:
            found[id_] = source
    return found


def _whole(name: str) -> str:
    match = _WHOLE.search(name)
    return name[: match.end()] if match else ""


def _sides(paths: Mapping[str, _Path]) -> dict[str, str]:
    """Return what is there on both sides, by id, where most is: ``Image_01L``, ``Image_01R``."""
    sides = {id_: match for id_, path in paths.items() if (match := _SIDE.fullmatch(path.stem))}
    found = {id_: _within(paths[id_], match[1]) for id_, match in sides.items()}
    left, right = (
        {found[id_] for id_, match in sides.items() if bool(match[2]) is is_left} for is_left in (True, False)
    )
    return found if len(left & right) >= 0.4 * len(paths) else {}


def _within(path: _Path, name: str) -> str:
    return "/".join(filter(None, [*path.places[-1:], name]))


def _by_folder(paths: Mapping[str, _Path]) -> tuple[Groups, list[str]]:
    """Group by the highest folders that number something and are enough to draw from."""
    said: list[str] = []
    for level in range(max(len(path.places) for path in paths.values())):
        groups = _by({id_: path.places[level] for id_, path in paths.items() if len(path.places) > level})
        several = _several(groups)
        if len(several) < 2:
            continue
        names = [folder.rpartition("/")[2] for folder in groups]
        kinds = _is_kind(names) or not all(any(map(str.isdigit, name)) for name in names)
        largest = max(map(len, groups.values()))
        if not kinds and len(groups) >= _FEWEST_FOLDERS and 2 * largest <= len(paths):
            return several, [f"folders tell {len(groups)} sources, such as {next(iter(several))}: {_STAY}"]
        shown = ", ".join([*groups][:3]) + (", …" if len(groups) > 3 else "")
        why = "taken for kinds" if kinds else "too few or too unequal to draw validation images by"
        way_out = f"otherwise: {_TABLE},split"
        if len(groups) >= FEWEST_GROUPS:
            way_out = f"if each is a patient or a film: {_TABLE},patient"
        said = said or [
            f"folders {shown} are {why}: a folder's images may come on both sides where validation images "
            f"are drawn ({way_out})"
        ]
    return {}, said


def _is_kind(folders: Iterable[str]) -> bool:
    return any(not _KINDS.isdisjoint(tokens(folder)) for folder in folders)


def _by(sources: Mapping[str, str | None]) -> Groups:
    groups: dict[str, list[str]] = defaultdict(list)
    for id_, source in sources.items():
        if source:
            groups[source].append(id_)
    return {source: tuple(ids) for source, ids in groups.items()}


def _several(groups: Groups) -> Groups:
    return {name: ids for name, ids in groups.items() if len(ids) > 1}
