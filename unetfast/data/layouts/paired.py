"""Images and masks as files with matching names, in one folder, two, or many.

Folder names tell images from masks (``images`` x ``masks``, ``train`` x ``trainannot``,
``…_Input`` x ``…_GroundTruth``), or the ends of file names do (``001.jpg``, ``001_mask.png``);
``train``, ``val`` and ``test`` may stand anywhere in the path.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from unetfast.data.layouts.files import File, is_called, parsed
from unetfast.data.layouts.found import Found, unique_ids
from unetfast.data.layouts.mask_sets import Matched, own_folders
from unetfast.data.layouts.matching import match_files, roles_of, some, without_channel
from unetfast.data.layouts.words import rank, read_together, shorter_stems
from unetfast.data.listing import Listing, folder_of, natural, stem_of
from unetfast.errors import DatasetError
from unetfast.spec import FileRef, Sample

__all__ = ["SetsOfMasks", "find", "near_miss", "pair", "sets_of_masks"]


def find(listing: Listing, mask: str | None) -> Found | None:
    """Pair the images of a listing with their masks.

    Parameters
    ----------
    listing : Listing
    mask : str or None
        The masks to take: a folder's name, or the end or the start of the file names; several,
        separated by commas, are merged.

    Returns
    -------
    Found or None
        None where no image has a mask.

    Raises
    ------
    DatasetError
        When the images have several sets of masks and no name stands out.
    """
    images, masks, notes = roles_of(parsed(listing.images), mask)
    found = _paired(listing, images, masks, merge=mask is not None and "," in mask)
    return found and replace(found, notes=notes + found.notes)


def pair(listing: Listing, images: tuple[str, ...], masks: tuple[str, ...], mask: str | None) -> Found | None:
    """Pair files whose roles are known by other means.

    Parameters
    ----------
    listing : Listing
    images, masks : tuple of str
        Names in the listing; images of the same name as another image are no concern.
    mask : str or None
        As for :func:`find`.
    """
    files = {file.name: file for file in parsed(images + masks)}
    truths = [files[name] for name in masks if mask is None or is_called(files[name], mask.casefold())]
    photos = [files[name] for name in images if files[name].role != "mask"]
    return _paired(listing, photos, truths, merge=False)


@dataclass(frozen=True)
class SetsOfMasks:
    """All masks of the images of a listing, before one set is chosen.

    Attributes
    ----------
    names : dict
        Name of a set to what it adds to an image: folders, and an end of the file's name.
    role_folders : set of str
        Folders that say that they hold masks.
    of : dict
        Image to the files of each set that it has.
    merged : callable
        Returns the samples with the masks of all sets.
    """

    names: dict[str, tuple[tuple[str, ...], str]]
    role_folders: set[str]
    of: dict[FileRef, dict[str, tuple[FileRef, ...]]]
    merged: Callable[[], Found]


def sets_of_masks(listing: Listing) -> SetsOfMasks | None:
    """Return the sets of masks that images have, or None where no image has a mask."""
    images, masks, notes = roles_of(parsed(listing.images), None)
    matched, orphans, freely = match_files(images, masks) if images and masks else ({}, [], [])
    if not matched:
        return None
    names: dict[str, tuple[tuple[str, ...], str]] = {}
    for image, sets in matched.items():
        for name, (file, *_) in sets.items():
            own = own_folders(image, file)
            names.setdefault(name, (own, name.removeprefix(" ".join(filter(None, (file.role_folder, *own))))))
    of = {
        listing.ref(image.name): {
            name: tuple(listing.ref(file.name) for file in files) for name, files in sets.items()
        }
        for image, sets in matched.items()
    }

    def merged() -> Found:
        chosen = {
            image: [file for files in sets.values() for file in files] for image, sets in matched.items()
        }
        return _assembled(listing, images, chosen, orphans, notes + freely)

    return SetsOfMasks(names, {mask.role_folder for mask in masks}, of, merged)


def _paired(listing: Listing, images: list[File], masks: list[File], *, merge: bool) -> Found | None:
    if not images or not masks:
        return None
    matched, orphans, freely = match_files(images, masks)
    if not matched:
        return None
    if further := _further_channel(images, matched):
        if listing.layout != "paired":
            return None  # the layout "bands" puts the channels together
        raise DatasetError(
            f"{listing.ref(further.name)}: a further channel of {further.stem[:-5]}_0000, as of nnU-Net: "
            "use --layout bands"
        )
    chosen, notes = _choose_set(listing, matched, merge)
    return _assembled(listing, images, chosen, orphans, freely + notes)


def _assembled(
    listing: Listing,
    images: list[File],
    chosen: dict[File, list[File]],
    orphans: list[str],
    notes: list[str],
) -> Found:
    splits = {
        image: image.split or next((m.split for m in found if m.split), None)
        for image, found in chosen.items()
    }
    ids = unique_ids([image.name for image in chosen])
    samples = [
        Sample(
            ids[image.name],
            listing.ref(image.name),
            tuple(listing.ref(m.name) for m in found),
            splits[image],
        )
        for image, found in chosen.items()
    ]
    no_mask, unlabelled = _without_mask(images, set(chosen))
    return Found(samples, no_mask, orphans, notes + _places(chosen) + unlabelled)


def near_miss(listing: Listing, mask: str | None) -> str:
    """Say why no image has a mask, where some files are images and others masks by their names."""
    images, masks, _ = roles_of(parsed(listing.images), mask)
    matched, orphans, _ = match_files(images, masks) if images and masks else ({}, [], [])
    if not masks:
        return _twins(images) or _alike_folders(listing)
    if not images:
        return (
            f" By their names all {len(masks)} are masks, such as {masks[0].name}: their images are not here."
        )
    if matched or not orphans:
        return ""
    return (
        f" By their names {len(images)} files are images, such as {images[0].name}, and {len(masks)} are "
        f"masks, such as {orphans[0]}, but no mask has the name of exactly one image."
    )


def _twins(files: list[File]) -> str:
    """Say that a folder holds files of the same name and other endings, of which one may be the mask."""
    by_place: dict[tuple[str, str], list[File]] = defaultdict(list)
    for file in files:
        by_place[file.folder, file.stem].append(file)
    twins = [same for same in by_place.values() if len(same) == 2]
    if not twins or 4 * len(twins) < len(files):
        return ""
    return (
        f" {twins[0][0].name} and {twins[0][1].name} lie side by side: put the masks into a folder of their "
        "own, called masks."
    )


def _alike_folders(listing: Listing) -> str:
    """Say that two folders hold files of the same names, and how to say which of them are masks."""
    folders = {name: name.split("/")[:-1] for name in listing.images}
    says = read_together({folder for parts in folders.values() for folder in parts})
    stems: dict[str, set[str]] = defaultdict(set)
    example: dict[str, str] = {}
    for name, parts in folders.items():
        place = "/".join(folder for folder in parts if says[folder].rest)
        example.setdefault(place, "/".join(parts))
        stems[place].add(stem_of(name))
    # Of more than two, those that hold as many files with the same names.
    largest = max(stems.values(), key=len, default=set())
    alike = [place for place, of_place in sorted(stems.items()) if 2 * len(of_place & largest) > len(largest)]
    if len(alike) < 2:
        return ""
    shown = [f"{example[place]}/" if example[place] else "the folder itself" for place in alike]
    return (
        f" {', '.join(shown[:-1])} and {shown[-1]} hold files of the same names: say which holds the masks, "
        f"such as --mask {shlex.quote(alike[-1].rpartition('/')[2])}."
    )


def _places(images: Iterable[File]) -> list[str]:
    """Say so where folders that could be classes are taken for places."""
    places = sorted({" ".join(image.place) for image in images})
    if not 2 <= len(places) <= 20 or any(not place or re.search(r"\d", place) for place in places):
        return []
    return [f"the folders {some(places)} are taken for places, not classes: their masks mean the same"]


def _further_channel(images: list[File], matched: Matched) -> File | None:
    """Return an image whose channels are files of their own, as of nnU-Net: the first alone has a mask."""
    firsts = {
        (image.folder, image.stem[:-5])
        for image, sets in matched.items()
        if without_channel(image) in {mask.stem for masks in sets.values() for mask in masks}
    }
    for image in images:
        further = image not in matched and re.search(r"_000[1-9]$", image.stem)
        if further and (image.folder, image.stem[:-5]) in firsts:
            return image
    return None


def _choose_set(listing: Listing, matched: Matched, merge: bool) -> tuple[dict[File, list[File]], list[str]]:
    """Take one set of masks an image; sets that no image has two of are one set."""
    if merge or all(len(sets) == 1 for sets in matched.values()):
        chosen = {image: [m for masks in sets.values() for m in masks] for image, sets in matched.items()}
        several = [masks for masks in chosen.values() if len(masks) > 1]
        example = " and ".join(mask.name for mask in several[0][:3]) if several else ""
        note = f"{len(several)} images have several masks, which are merged, such as {example}"
        return chosen, [note] if several else []
    counts = Counter(name for sets in matched.values() for name in sets)
    table = ", ".join(f"{name!r} ({counts[name]} images)" for name in sorted(sorted(counts), key=rank))
    files = {name: masks[0].name for sets in matched.values() for name, masks in sets.items()}

    def key(name: str) -> float:
        """Rank a set; pictures come before arrays, which LabelMe keeps of the same masks."""
        return rank(name) + files[name].lower().endswith(".npy")

    beaten: set[str] = set()
    for together in {frozenset(sets) for sets in matched.values() if len(sets) > 1}:
        best, *others = sorted(sorted(together), key=key)
        # SUIM's masks/ holds what masks/RI/ and others hold one by one.
        rivals = [name for name in others if round(key(name), 1) == round(key(best), 1)]
        plainest = all(name.startswith(f"{best} ") for name in rivals)
        if not plainest:
            raise DatasetError(_asked(listing, matched, best, rivals[0], table))
        beaten |= set(others)
    # An image that has a beaten set alone (DRIVE's test images: what the camera saw) has no mask.
    best_of = {image: min(sets, key=key) for image, sets in matched.items() if set(sets) - beaten}
    taken = sorted(sorted(set(best_of.values())), key=rank)
    notes = [f"sets of masks: {table}; took {', '.join(map(repr, taken))}; another: --mask NAME"]
    return {image: matched[image][name] for image, name in best_of.items()}, notes


def _asked(listing: Listing, matched: Matched, first: str, second: str, table: str) -> str:
    """Ask which of the sets of masks is meant, with words for --mask that mean one each."""
    words = [_telling(matched, name) for name in (first, second)]
    known = [word for word in words if word]
    several = f"{listing.root}: images have several sets of masks: {table}"
    if not known:
        return f"{several}; list the pairs that are meant in a .csv with the columns image,mask and pass that"
    merged = shlex.quote(",".join(known)) if len(known) == 2 else "A,B"
    return (
        f"{several}; say which with --mask, such as --mask {shlex.quote(known[0])}; --mask {merged} merges "
        "two, --layout classes takes each as a class"
    )


def _telling(matched: Matched, wanted: str) -> str | None:
    """Return a word for --mask that means one set of masks and no other: a folder, or the end of a name."""
    mine = [mask for sets in matched.values() for mask in sets.get(wanted, [])]
    others = [m for sets in matched.values() for name, masks in sets.items() for m in masks if name != wanted]
    cuts = [match.end() for match in re.finditer(r"[\s_.-]+", mine[0].stem)]
    words = [*mine[0].name.split("/")[:-1], *(mine[0].stem[cut:] for cut in reversed(cuts))]

    def fits(word: str) -> bool:
        said = word.casefold()
        return (
            not word.isdigit()
            and all(is_called(mask, said) for mask in mine)
            and not any(is_called(mask, said) for mask in others)
        )

    return next(filter(fits, words), None)


def _without_mask(images: list[File], paired: set[File]) -> tuple[list[str], list[str]]:
    """Return images without a mask, but for folders in which no image has one."""
    labelled = {image.folder for image in paired}
    # Image_01L_2ndHO.png beside Image_01L.jpg, whose mask is Image_01L_1stHO.png, is no image without a mask.
    known = {(image.folder, image.stem) for image in paired}
    alone = [image for image in images if image not in paired]
    more = {
        image.name
        for image in alone
        if any((image.folder, stem) in known for stem in shorter_stems(image.stem))
    }
    missing = [image.name for image in alone if image.name not in more]
    lone = [name for name in missing if folder_of(name) in labelled]
    folders = sorted({folder_of(name) for name in missing} - labelled)
    places = some([folder or "." for folder in folders])
    notes = (
        [f"{len(missing) - len(lone)} images left out, in folders without any masks: {places}"]
        if folders
        else []
    )
    if more:
        example = min(more, key=natural)
        notes.append(
            f"{len(more)} pictures left out, without a mask and called as an image that has one, with a word "
            f"more: {example}"
        )
    return lone, notes
