"""Images and masks as files of matching names, in one folder, two, or many.

Folder names tell images from masks (``images`` x ``masks``, ``train`` x ``trainannot``,
``…_Input`` x ``…_GroundTruth``), or the ends of file names do (``001.jpg``, ``001_mask.png``);
``train``, ``val`` and ``test`` may stand anywhere in the path.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from unetfast.data.layouts.found import Found, unique_ids
from unetfast.data.layouts.words import rank, read_together, shorter_stems, strip_word
from unetfast.data.listing import Listing, composed, natural
from unetfast.errors import DatasetError
from unetfast.spec import FileRef, Sample

__all__ = ["SetsOfMasks", "find", "near_miss", "pair", "sets_of_masks"]


@dataclass(frozen=True)
class _File:
    name: str
    split: str | None
    place: tuple[str, ...]  # folders that say neither split nor role
    role: str | None
    role_folder: str  # the folder that says it
    stem: str


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
    images, masks, notes = _roles(_parsed(listing.images), mask)
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

    Returns
    -------
    Found or None
    """
    files = {file.name: file for file in _parsed(images + masks)}
    truths = [files[name] for name in masks if mask is None or _is_called(files[name], mask.casefold())]
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
    images, masks, notes = _roles(_parsed(listing.images), None)
    matched, orphans = _match(images, masks) if images and masks else ({}, [])
    if not matched:
        return None
    names: dict[str, tuple[tuple[str, ...], str]] = {}
    for image, sets in matched.items():
        for name, (file, *_) in sets.items():
            own = _own_folders(image, file)
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
        return _assembled(listing, images, chosen, orphans, notes)

    return SetsOfMasks(names, {mask.role_folder for mask in masks}, of, merged)


def _paired(listing: Listing, images: list[_File], masks: list[_File], *, merge: bool) -> Found | None:
    if not images or not masks:
        return None
    matched, orphans = _match(images, masks)
    if not matched:
        return None
    _refuse_channels(listing, images, matched)
    chosen, notes = _choose_set(listing, matched, merge)
    return _assembled(listing, images, chosen, orphans, notes)


def _assembled(
    listing: Listing,
    images: list[_File],
    chosen: dict[_File, list[_File]],
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
    images, masks, _ = _roles(_parsed(listing.images), mask)
    matched, orphans = _match(images, masks) if images and masks else ({}, [])
    if not masks:
        return _alike_folders(listing)
    if matched or not orphans:
        return ""
    return (
        f" By their names {len(images)} files are images, such as {images[0].name}, and {len(masks)} are "
        f"masks, such as {orphans[0]}, but no mask is called as just one image is."
    )


def _alike_folders(listing: Listing) -> str:
    """Say that two folders hold files of the same names, and how to say which of them are masks."""
    folders = {name: name.split("/")[:-1] for name in listing.images}
    says = read_together({folder for parts in folders.values() for folder in parts})
    stems: dict[str, set[str]] = defaultdict(set)
    for name, parts in folders.items():
        place = "/".join(folder for folder in parts if says[folder].rest)
        stems[place].add(name.rpartition("/")[2].rpartition(".")[0])
    if len(stems) != 2:
        return ""
    a, b = sorted(stems)
    if 2 * len(stems[a] & stems[b]) < max(len(stems[a]), len(stems[b])):
        return ""
    others = f"{a}/ and {b}/ hold" if a else f"{b}/ and the folder above hold"
    return (
        f" {others} files of the same names: say which holds the masks, such as "
        f"--mask {shlex.quote(b.rpartition('/')[2])}."
    )


def _places(images: Iterable[_File]) -> list[str]:
    """Say so where folders that could be classes are taken for places."""
    places = sorted({" ".join(image.place) for image in images})
    if not 2 <= len(places) <= 20 or any(not place or re.search(r"\d", place) for place in places):
        return []
    return [f"the folders {_some(places)} are places, not classes: their masks mean the same"]


def _parsed(names: tuple[str, ...]) -> list[_File]:
    # What all paths share says nothing about the role of one: "crack_masks_v2/images/…".
    folders = [composed(name).split("/")[:-1] for name in names]
    shared = 0
    while (
        folders and len({tuple(folder[: shared + 1]) for folder in folders}) == 1 and shared < len(folders[0])
    ):
        shared += 1
    known = read_together({folder for parts in folders for folder in parts[shared:]})
    files = []
    for name, parts in zip(names, folders, strict=True):
        role, role_folder, split = None, "", None
        for folder in parts[shared:]:  # the deepest folder with a role decides, the first with a split
            says = known[folder]
            split = split or says.split
            if says.role:
                role, role_folder = says.role, folder
        place = tuple(rest for folder in parts[shared:] if (rest := known[folder].rest))
        stem = composed(name.rpartition("/")[2].rpartition(".")[0])
        if stem.lower().endswith(".ome"):  # microscopes write x.ome.tif, whose mask is x.tif
            stem = stem[:-4]
        files.append(_File(name, split, place, role, role_folder, stem))
    return files


def _roles(files: list[_File], mask: str | None) -> tuple[list[_File], list[_File], list[str]]:
    notes: list[str] = []
    stems = defaultdict(set)
    for file in files:
        stems[file.name.rpartition("/")[0]].add(file.stem)
    marked = {
        file.name
        for file in files
        if file.role != "mask"
        and (core := strip_word(file.stem, "mask")) is not None
        and (file.role is None or core in stems[file.name.rpartition("/")[0]])
    }
    masks = [file for file in files if file.role == "mask" or file.name in marked]
    taken = {file.name for file in masks}
    if mask is not None:
        wanted = [word.strip().casefold() for word in mask.split(",")]
        masks = [file for file in files if any(_is_called(file, word) for word in wanted)]
        taken |= {file.name for file in masks}
    rest = [file for file in files if file.name not in taken]
    beside = {name.rpartition("/")[0] for name in marked}  # a mask beside it makes it an image
    images = [file for file in rest if file.role == "image" or file.name.rpartition("/")[0] in beside]
    images = images if any(file.role == "image" for file in images) else rest
    if len(images) < len(rest):
        kept = {file.name for file in images}
        places = sorted({file.name.rpartition("/")[0] or "." for file in rest if file.name not in kept})
        notes.append(
            f"{len(rest) - len(images)} pictures left out, in neither an image nor a mask folder: "
            + _some(places)
        )
    if not masks:
        images, masks, found = _unnamed_masks(images, rest)
        notes += found
    return images, masks, notes


def _is_called(file: _File, word: str) -> bool:
    folders = [part.casefold() for part in file.name.split("/")[:-1]]
    if word in folders or "/".join(folders) == word.strip("/"):
        return True
    stem = file.stem.casefold()
    return any(stem.endswith(sep + word) or stem.startswith(word + sep) for sep in "_- .")


def _unnamed_masks(images: list[_File], rest: list[_File]) -> tuple[list[_File], list[_File], list[str]]:
    """Find masks that no name gives away: twins beside the photos, or a second folder of equal stems."""
    by_place: dict[tuple[str, str], list[_File]] = defaultdict(list)
    for file in images:
        by_place[file.name.rpartition("/")[0], file.stem.casefold()].append(file)
    twins = [sorted(pair, key=_is_jpeg, reverse=True) for pair in by_place.values() if len(pair) == 2]
    if twins and all(_is_jpeg(a) and not _is_jpeg(b) for a, b in twins):
        masks = [b for _, b in twins]
        names = {file.name for file in masks}
        note = "photos are the .jpg files, masks the others of the same name beside them"
        return [file for file in images if file.name not in names], masks, [note]
    folders: dict[str, list[_File]] = defaultdict(list)
    for file in rest:
        folders[file.name.rpartition("/")[0].rpartition("/")[2]].append(file)
    groups = [group for group in folders.values() if len({f.stem for f in group}) == len(group)]
    if len(groups) == 2:
        groups.sort(key=lambda group: (group[0].role == "image", _is_jpeg(group[0])), reverse=True)
        photos, others = groups
        told = photos[0].role == "image" or (_is_jpeg(photos[0]) and not any(map(_is_jpeg, others)))
        shared = {f.stem for f in photos} & {f.stem for f in others}
        if told and 2 * len(shared) >= len(photos):
            folder = others[0].name.rpartition("/")[0]
            others = [_File(f.name, f.split, photos[0].place, "mask", folder, f.stem) for f in others]
            return photos, others, [f"masks are in {folder}/, the only other folder with the same names"]
    return images, [], []


def _is_jpeg(file: _File) -> bool:
    return file.name.lower().endswith((".jpg", ".jpeg", ".jpe", ".jfif"))


Matched = dict[_File, dict[str, list[_File]]]  # image -> name of a set of masks -> its masks


def _match(images: list[_File], masks: list[_File]) -> tuple[Matched, list[str]]:
    lookups = _Lookups(images)
    matched: Matched = defaultdict(lambda: defaultdict(list))
    orphans: list[str] = []
    for mask in masks:
        image, ending = lookups.of(mask)
        if image is None:
            orphans.append(mask.name + ending)
        else:
            matched[image][_set_name(image, mask, ending)].append(mask)
    return {image: matched[image] for image in images if image in matched}, orphans


def _set_name(image: _File, mask: _File, ending: str) -> str:
    """Name a set of masks: its folders that are not the image's, and what it adds to the image's name."""
    own = _own_folders(image, mask)
    return " ".join(filter(None, (mask.role_folder, *own, ending.rstrip("0123456789 _-.()"))))


def _refuse_channels(listing: Listing, images: list[_File], matched: Matched) -> None:
    """Refuse images whose channels are files of their own, as of nnU-Net: the first alone has a mask."""
    firsts = {
        (image.name.rpartition("/")[0], image.stem[:-5])
        for image, sets in matched.items()
        if _without_channel(image) in {mask.stem for masks in sets.values() for mask in masks}
    }
    for image in images:
        further = image not in matched and re.search(r"_000[1-9]$", image.stem)
        if further and (image.name.rpartition("/")[0], image.stem[:-5]) in firsts:
            raise DatasetError(
                f"{listing.ref(image.name)}: a further channel of {image.stem[:-5]}_0000, as nnU-Net keeps "
                "them; save the channels of each image as one TIFF or .npy file"
            )


def _own_folders(image: _File, mask: _File) -> tuple[str, ...]:
    return mask.place if mask.place != image.place else ()


def _without_channel(file: _File) -> str | None:
    """Return the stem without nnU-Net's number of the first channel; images of one channel have no other."""
    return file.stem[:-5] if file.stem.endswith("_0000") else None


class _Lookups:
    """Finds a mask's image: by stem, then by stem without role words, near it first, then anywhere."""

    def __init__(self, images: list[_File]) -> None:
        self._tables: list[dict[tuple[object, ...], list[_File]]] = []
        for stem_of in (lambda f: f.stem, lambda f: strip_word(f.stem, "image"), _without_channel):
            table: dict[tuple[object, ...], list[_File]] = defaultdict(list)
            for image in images:
                if (stem := stem_of(image)) is not None:
                    for key in self._keys(image, stem):
                        table[key].append(image)
            self._tables.append(dict(table))

    @staticmethod
    def _keys(file: _File, stem: str) -> list[tuple[object, ...]]:
        stem = stem.casefold()
        return [(stem, file.split, file.place), (stem, file.split), (stem, file.place), (stem,)]

    def of(self, mask: _File) -> tuple[_File | None, str]:
        """Return the image and what the mask's stem adds to the image's.

        Or None and which images it fits equally well, for people.
        """
        several: list[_File] = []
        for stem in self._stems(mask):
            for table in self._tables:
                for key in self._keys(mask, stem):
                    found = table.get(key, [])
                    if len(found) == 1:
                        return found[0], mask.stem.replace(stem, "", 1)
                    several = several or found
        return None, f" (fits {_some([file.name for file in several])})" if several else ""

    @staticmethod
    def _stems(mask: _File) -> Iterator[str]:
        yield mask.stem
        stripped = strip_word(mask.stem, "mask")
        if stripped is not None:
            yield stripped
        yield from shorter_stems(mask.stem)


def _choose_set(
    listing: Listing, matched: Matched, merge: bool
) -> tuple[dict[_File, list[_File]], list[str]]:
    """Take one set of masks an image; sets that no image has two of are one set."""
    if merge or all(len(sets) == 1 for sets in matched.values()):
        chosen = {image: [m for masks in sets.values() for m in masks] for image, sets in matched.items()}
        several = [masks for masks in chosen.values() if len(masks) > 1]
        example = " and ".join(mask.name for mask in several[0][:3]) if several else ""
        note = f"{len(several)} images have several masks, which are merged, such as {example}"
        return chosen, [note] if several else []
    counts = Counter(name for sets in matched.values() for name in sets)
    table = ", ".join(f"{name!r} ({counts[name]} images)" for name in sorted(sorted(counts), key=rank))
    beaten: set[str] = set()
    for together in {frozenset(sets) for sets in matched.values() if len(sets) > 1}:
        first, second, *_ = best, *others = sorted(sorted(together), key=rank)
        if round(rank(first), 1) == round(rank(second), 1):
            example = shlex.quote(_telling(matched, best, second) or "NAME")
            raise DatasetError(
                f"{listing.root}: images have several sets of masks: {table}; say which with --mask, "
                f"such as --mask {example}; --mask A,B merges two, --layout classes takes each as a class"
            )
        beaten |= set(others)
    # An image that has a beaten set alone (DRIVE's test images: what the camera saw) has no mask.
    best_of = {image: min(sets, key=rank) for image, sets in matched.items() if set(sets) - beaten}
    taken = sorted(set(best_of.values()), key=rank)
    notes = [f"sets of masks: {table}; took {', '.join(map(repr, taken))}; another: --mask NAME"]
    return {image: matched[image][name] for image, name in best_of.items()}, notes


def _telling(matched: Matched, first: str, second: str) -> str | None:
    """Return a word for --mask that means one set of masks and not another."""
    of = {name: [m for sets in matched.values() for m in sets.get(name, [])] for name in (first, second)}
    file = of[first][0]
    words = [*file.name.split("/")[:-1], *re.split(r"[\s_.-]+", file.stem)[::-1]]

    def fits(word: str) -> bool:
        mine, other = ([_is_called(f, word.casefold()) for f in of[name]] for name in (first, second))
        return not word.isdigit() and all(mine) and not any(other)

    return next(filter(fits, words), None)


def _without_mask(images: list[_File], paired: set[_File]) -> tuple[list[str], list[str]]:
    """Return images without a mask, but for folders in which no image has one."""
    labelled = {image.name.rpartition("/")[0] for image in paired}
    # Image_01L_2ndHO.png beside Image_01L.jpg, whose mask is Image_01L_1stHO.png, is no image without a mask.
    known = {(image.name.rpartition("/")[0], image.stem) for image in paired}
    alone = [image for image in images if image not in paired]
    more = {
        image.name
        for image in alone
        if any((image.name.rpartition("/")[0], stem) in known for stem in shorter_stems(image.stem))
    }
    missing = [image.name for image in alone if image.name not in more]
    lone = [name for name in missing if name.rpartition("/")[0] in labelled]
    folders = sorted({name.rpartition("/")[0] for name in missing} - labelled)
    places = _some([folder or "." for folder in folders])
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


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
