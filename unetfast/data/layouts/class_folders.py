"""A folder of binary masks per class: ``images/1.jpg``, ``masks/crack/1.png``, ``masks/spall/1.png``.

The folders' names become the classes; an image has a mask of some of them, or of all. Where it is asked
for by name, files that differ in their ends are classes, too: ``1_crack.png``, ``1_spall.png``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from unetfast.data.layouts import paired, variants
from unetfast.data.layouts.found import Found
from unetfast.data.layouts.paths import shared_depth
from unetfast.data.layouts.words import is_secondary, tokens
from unetfast.data.listing import Listing
from unetfast.errors import DatasetError
from unetfast.spec import FileRef, Sample

__all__ = ["find"]

# Folders of masks with such names hold other opinions, days or places, not other classes.
_NO_CLASSES = (
    "annotator rater expert observer reader doctor grader user version batch part set fold group session day "
    "patient case site camera run round week scan sequence seq video slide"
)
_OTHERS = frozenset(f"{word}{end}" for word in _NO_CLASSES.split() for end in ("", "s"))


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find images with the masks of their classes; see :mod:`~unetfast.data.layouts`."""
    asked = listing.layout == "classes"
    if mask is not None and not asked:
        return None  # one set of masks is meant, or a few that are merged
    found = _by_folders(listing, asked) or (_by_ends(listing) if asked else None)
    if found is None:
        return None
    samples, class_of = found.samples, found.hints["class_of"]
    names = tuple(sorted(set(class_of.values()), key=str.casefold))
    if mask is not None:
        wanted = {word.strip().casefold() for word in mask.split(",")}
        if unknown := wanted - set(map(str.casefold, names)):
            raise DatasetError(
                f"{listing.root}: no class {', '.join(sorted(unknown))}; the classes are {', '.join(names)}"
            )
        names = tuple(name for name in names if name.casefold() in wanted)
    layered = [_layered(sample, class_of, names) for sample in samples]
    note = f"a class for each of {', '.join(names)}" + (
        " (merged otherwise: --mask A,B)" if not asked else ""
    )
    return replace(
        found, samples=layered, notes=[note, *found.notes], hints={"classes": names, "asked": asked}
    )


def _layered(sample: Sample, class_of: Mapping[FileRef, str], names: tuple[str, ...]) -> Sample:
    kept = [(ref, class_of[ref]) for ref in sample.masks if class_of[ref] in names]
    layers = tuple((name, None) for _, name in kept)  # how they are read is found out from all of them
    return replace(sample, masks=tuple(ref for ref, _ in kept), reader="classes", layers=layers)


def _by_folders(listing: Listing, asked: bool) -> Found | None:
    sets = paired.sets_of_masks(listing)
    if sets is None or len(sets.names) < 2:
        return None
    classes = _names(sets, asked)
    if not asked and not (_differ_in_folders_alone(sets) and all(map(_may_be_class, classes.values()))):
        return None
    if not _tell_apart(classes):
        return None
    found = sets.merged()
    if not asked and not any(len(names) > 1 for names in sets.of.values()):
        folders = ", ".join(sorted(classes.values())[:5])
        raise DatasetError(
            f"{listing.root}: masks lie in the folders {folders}, but the images do not, and none has masks "
            "in two: are these classes (--layout classes), or places of one class (--layout paired)?"
        )
    class_of = {
        ref: classes[name] for names in sets.of.values() for name, refs in names.items() for ref in refs
    }
    return replace(found, hints={"class_of": class_of})


def _differ_in_folders_alone(sets: paired.SetsOfMasks) -> bool:
    folders = [folders for folders, _ in sets.names.values()]
    return all(folders) and len(set(folders)) == len(folders) and len(sets.role_folders) == 1


def _names(sets: paired.SetsOfMasks, asked: bool) -> dict[str, str]:
    """Name the class of each set after its folders but for those that all share, without a number in front.

    Where they are asked for, otherwise after the ends of files, or after the whole set (``leftMask``).
    """
    shared = shared_depth(folders for folders, _ in sets.names.values())
    by_folder = {
        name: re.sub(r"^\s*\d+[.)_\s-]+(?=\D)", "", " ".join(folders[shared:])) or ending.strip(" _-.")
        for name, (folders, ending) in sets.names.items()
    }
    by_end = {name: ending.strip(" _-.") for name, (_, ending) in sets.names.items()}
    readings = (by_folder, by_end, {name: name for name in sets.names}) if asked else (by_folder,)
    return next(filter(_tell_apart, readings), by_folder)


def _tell_apart(classes: Mapping[str, str]) -> bool:
    return len(set(classes.values())) == len(classes) and "" not in classes.values()


def _may_be_class(name: str) -> bool:
    words = tokens(name)
    return not is_secondary(name) and not any(word.isdigit() or word in _OTHERS for word in words)


def _by_ends(listing: Listing) -> Found | None:
    kinds = variants.kinds(listing)
    found = variants.find(listing, ",".join(kinds)) if kinds else None
    if found is None:
        return None
    ends = sorted(kinds, key=len, reverse=True)
    class_of = {
        ref: next(kind for kind in ends if ref.name.rpartition(".")[0].endswith(kind)).lower()
        for sample in found.samples
        for ref in sample.masks
    }
    return replace(found, notes=[], hints={"class_of": class_of})
