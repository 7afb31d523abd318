"""One folder per image and one mask file per object: ``<id>/images/<id>.png`` and ``<id>/masks/*.png``.

The layout of the 2018 Data Science Bowl. The masks of an image are merged.
"""

from __future__ import annotations

from collections import defaultdict

from unetfast.data.layouts.found import Found, unique_ids
from unetfast.data.layouts.paths import split_in
from unetfast.data.layouts.words import split_of
from unetfast.data.listing import Listing, file_of, folder_of, stem_of
from unetfast.spec import Sample

__all__ = ["find"]


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find the images of a listing with the masks of their objects; see :mod:`~unetfast.data.layouts`."""
    images: dict[str, list[str]] = defaultdict(list)
    masks: dict[str, list[str]] = defaultdict(list)
    for name in listing.images:
        folder, _, kind = folder_of(name).rpartition("/")
        if folder and kind.lower() in ("images", "image"):
            images[folder].append(name)
        elif folder and kind.lower() == (mask.lower() if mask else "masks"):
            masks[folder].append(name)
    if not _are_ids(images, masks):
        return None
    pairs = {names[0]: masks[folder] for folder, names in images.items() if masks.get(folder)}
    ids = unique_ids(list(pairs))
    samples = [
        Sample(ids[image], listing.ref(image), tuple(map(listing.ref, objects)), split_in(_above(image)))
        for image, objects in pairs.items()
    ]
    bare = [names[0] for folder, names in images.items() if not masks.get(folder)]
    lone = [names[0] for folder, names in masks.items() if folder not in images]
    # A stage's test folder has no masks at all: nothing is missing there.
    labelled = {_above(image) for image in pairs}
    missing = [name for name in bare if _above(name) in labelled]
    notes = [f"the masks of an image, {sum(map(len, pairs.values()))} in all, are merged"]
    if len(missing) < len(bare):
        notes.append(f"{len(bare) - len(missing)} images left out, in folders without any masks")
    return Found(samples, missing, lone, notes)


def _above(image: str) -> str:
    """Return the folder of the ids."""
    return "/".join(image.split("/")[:-3])


def _are_ids(images: dict[str, list[str]], masks: dict[str, list[str]]) -> bool:
    both = [folder for folder in images if folder in masks]
    if not both or any(len(names) != 1 for names in images.values()):
        return False
    named = sum(file_of(folder) == stem_of(images[folder][0]) for folder in both)
    if 2 * named >= len(both):
        return True
    # Without the id in the file's name: many folders of one image each, and not train and test.
    several = sum(len(masks[folder]) > 1 for folder in both)
    return len(both) > 1 and several > 0 and not any(split_of(file_of(folder)) for folder in both)
