"""Sets of masks: the masks of an image sorted by what their folders and names add to its own."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace

from unetfast.data.layouts.files import File

__all__ = ["Matched", "by_sets", "own_folders"]

Matched = dict[File, dict[str, list[File]]]  # image -> name of a set of masks -> its masks


def by_sets(images: list[File], found: list[tuple[File, File, str]]) -> Matched:
    """Sort the masks of each image by what their names add to its own.

    The image's name in a folder of the mask adds nothing (``GT/x_1/x_1_cup.png``), and neither do numbers
    of folders of which no image is in two (``fold1``, ``fold2``).
    """
    plain = [(image, _without_name(mask, image), ending) for image, mask, ending in found]
    numbered = [_set_name(image, mask, ending) for image, mask, ending in plain]
    unnumbered = [_without_numbers(mask, image) for image, mask, _ in plain]
    shorter = [
        _set_name(image, mask, ending) for (image, _, ending), mask in zip(plain, unnumbered, strict=True)
    ]
    of_image: dict[tuple[File, str], set[str]] = defaultdict(set)
    of_all: dict[str, set[str]] = defaultdict(set)
    for (image, _, _), name, short in zip(plain, numbered, shorter, strict=True):
        of_image[image, short].add(name)
        of_all[short].add(name)
    places = {short for short, names in of_all.items() if len(names) > 1}
    places -= {short for (_, short), names in of_image.items() if len(names) > 1}
    matched: Matched = defaultdict(lambda: defaultdict(list))
    for (image, mask, _), other, name, short in zip(plain, unnumbered, numbered, shorter, strict=True):
        matched[image][short if short in places else name].append(other if short in places else mask)
    return {image: matched[image] for image in images if image in matched}


def _without_name(mask: File, image: File) -> File:
    if mask.place == image.place and not _called(mask.role_folder, image):
        return mask
    place = mask.place if mask.place == image.place else tuple(_rest(folder, image) for folder in mask.place)
    return replace(mask, place=tuple(filter(None, place)), role_folder=_rest(mask.role_folder, image))


def _called(folder: str, image: File) -> bool:
    """Whether a folder is called as an image, alone or with a word behind it."""
    end = folder[len(image.stem) :]
    separated = not end or (end[0] in "_-" and not image.stem.isdigit())  # "1_crack" holds all cracks
    return separated and folder.casefold().startswith(image.stem.casefold())


def _rest(folder: str, image: File) -> str:
    return folder[len(image.stem) :].strip("_-. ") if _called(folder, image) else folder


def _without_numbers(mask: File, image: File) -> File:
    """Leave out the numbers of a mask's folders, but for those of its image and 1st, 2nd and 3rd."""
    folders = (mask.role_folder, *own_folders(image, mask))
    if not any(map(re.compile(r"\d").search, folders)):
        return mask
    role_folder, *place = (re.sub(r"[\s_-]*\d+(?!st|nd|rd|\d)", "", folder) for folder in folders)
    return replace(mask, role_folder=role_folder, place=tuple(place) or mask.place)


def _set_name(image: File, mask: File, ending: str) -> str:
    """Name a set of masks: its folders that are not the image's, and what it adds to the image's name."""
    own = own_folders(image, mask)
    return " ".join(filter(None, (mask.role_folder, *own, ending.rstrip("0123456789 _-.()"))))


def own_folders(image: File, mask: File) -> tuple[str, ...]:
    """Return the folders of a mask that its image does not lie in."""
    return mask.place if mask.place != image.place else ()
