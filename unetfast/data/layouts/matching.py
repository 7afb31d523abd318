"""Which files are images, which are masks, and which mask belongs to which image."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace

from unetfast.data.layouts.files import File, is_called
from unetfast.data.layouts.mask_sets import Matched, by_sets
from unetfast.data.layouts.words import (
    folder_parts,
    is_secondary,
    role_of,
    shorter_stems,
    strip_word,
    without_inner_words,
)
from unetfast.data.listing import file_of, folder_of

__all__ = ["match_files", "roles_of", "some", "without_channel"]


def roles_of(files: list[File], mask: str | None) -> tuple[list[File], list[File], list[str]]:
    """Return images, masks (those called `mask`, if given), and what was decided."""
    notes: list[str] = []
    stems = defaultdict(set)
    for file in files:
        stems[file.folder].add(file.stem)
    marked = {
        file.name
        for file in files
        if file.role != "mask"
        and (core := strip_word(file.stem, "mask")) is not None
        and (file.role is None or core in stems[file.folder])
    }
    masks = [file for file in files if file.role == "mask" or file.name in marked]
    rest = _but(masks, files)
    if mask is not None:
        wanted = [word.strip().casefold() for word in mask.split(",")]
        masks = [file for file in files if any(is_called(file, word) for word in wanted)]
        rest = _but(masks, rest)
    beside = {folder_of(name) for name in marked}  # a mask beside it makes it an image
    images = [file for file in rest if file.role == "image" or file.folder in beside]
    images = images if any(file.role == "image" for file in images) else rest
    if not masks:
        images, masks, notes = _unnamed_masks(images, rest)
    if left := _but([*images, *masks], rest):
        places = some(sorted({file.folder or "." for file in left}))
        notes = [f"{len(left)} pictures left out, in neither an image nor a mask folder: {places}", *notes]
    return images, masks, notes


def _unnamed_masks(images: list[File], rest: list[File]) -> tuple[list[File], list[File], list[str]]:
    """Find masks that their own folder does not give away: one above, twins beside photos, and such."""
    masks = [replace(file, role="mask", role_folder=top) for file in images if (top := _masks_above(file))]
    if masks and len(masks) < len(images):
        return _but(masks, images), masks, []
    by_place: dict[tuple[str, str], list[File]] = defaultdict(list)
    for file in images:
        by_place[file.folder, file.stem.casefold()].append(file)
    twins = [sorted(pair, key=_is_jpeg, reverse=True) for pair in by_place.values() if len(pair) == 2]
    if twins and all(_is_jpeg(a) and not _is_jpeg(b) for a, b in twins):
        masks = [b for _, b in twins]
        note = "photos are the .jpg files, masks the others of the same name beside them"
        return _but(masks, images), masks, [note]
    folders: dict[str, list[File]] = defaultdict(list)
    for file in rest:
        folder = file_of(file.folder)
        if not is_secondary(folder):  # CoNSeP's overlays lie beside its .mat files
            folders[folder].append(file)
    groups = [group for group in folders.values() if len({f.stem for f in group}) == len(group)]
    if len(groups) == 2:
        groups.sort(key=lambda group: (group[0].role == "image", _is_jpeg(group[0])), reverse=True)
        photos, others = groups
        told = photos[0].role == "image" or (_is_jpeg(photos[0]) and not any(map(_is_jpeg, others)))
        shared = {f.stem for f in photos} & {f.stem for f in others}
        if told and 2 * len(shared) >= len(photos):
            folder = others[0].folder
            others = [File(f.name, f.split, photos[0].place, "mask", folder, f.stem) for f in others]
            return photos, others, [f"masks are in {folder}/, the only other folder with the same names"]
    if (end := _added_end(images)) is not None:
        masks = [file for file in images if file.stem.endswith(end)]
        note = f"masks are the files called as an image with {end} behind it"
        return _but(masks, images), masks, [note]
    return images, [], []


def _but(taken: list[File], files: list[File]) -> list[File]:
    """Return the files that are not among those taken."""
    names = {file.name for file in taken}
    return [file for file in files if file.name not in names]


def _masks_above(file: File) -> str | None:
    """Return a folder of masks around a deeper one of images: iSAID's ``Semantic_masks/images``."""
    folders = file.name.split("/")[:-1]
    return next((folder for folder in folders if folder_parts(folder).role == "mask"), None)


def _added_end(files: list[File]) -> str | None:
    """Return what half of the files have behind the name of one beside them: ``x.jpg``, ``x_m.png``."""
    stems = {(file.folder, file.stem) for file in files}
    ends = Counter(
        file.stem.removeprefix(stem)
        for file in files
        for stem in shorter_stems(file.stem)[:1]
        if (file.folder, stem) in stems
    )
    if len(ends) != 1:
        return None
    [(end, count)] = ends.items()
    return end if end[1:].isalpha() and 2 * count == len(files) else None


def _is_jpeg(file: File) -> bool:
    return file.name.lower().endswith((".jpg", ".jpeg", ".jpe", ".jfif"))


def match_files(images: list[File], masks: list[File]) -> tuple[Matched, list[str], list[str]]:
    """Return the masks of each image by sets, the masks without an image, and what was decided.

    First by the names as they are written. What is left is read with more freedom, and that is said.
    """
    found: list[tuple[File, File, str]] = []  # image, mask, and what the mask adds to the image's name
    orphans = [(mask, "") for mask in masks]
    notes: list[str] = []
    for reading, what in _READINGS:
        known = {image.name for image, _, _ in found}
        spare = {reading(image, "image"): image for image in images if image.name not in known}
        if not orphans or len(spare) < len(images) - len(known):
            continue  # in this reading some images are called alike
        if reading is _numbered and (found or not _same_numbers(images, masks)):
            continue
        lookups, before, left = _Lookups(list(spare)), len(found), []
        for mask, doubt in orphans:
            image, ending = lookups.of(reading(mask, "mask"))
            if image is None:
                left.append((mask, doubt or ending))
            else:
                found.append((spare[image], mask, ending))
        orphans = left
        if what and len(found) > before:
            image, mask, _ = found[before]
            notes.append(f"{len(found) - before} masks go by {what}: {mask.name} with {image.name}")
    matched = by_sets(images, found)
    return matched, [mask.name + doubt for mask, doubt in orphans], notes


def _as_written(file: File, _: str) -> File:
    return file


def _unpadded(file: File, _: str) -> File:
    return replace(file, stem=re.sub(r"(?<!\d)0+(?=\d)", "", file.stem))


def _by_folder(file: File, role: str) -> File:
    """Read ``masks/x/1.png`` as ``x_1``, a mask of the image ``x``."""
    return replace(file, stem=f"{file.place[-1]}_{file.stem}") if role == "mask" and file.place else file


def _numbered(file: File, _: str) -> File:
    numbers = re.findall(r"\d+", file.stem)
    return replace(file, stem=numbers[0].lstrip("0") or "0") if len(numbers) == 1 else file


def _same_numbers(images: list[File], masks: list[File]) -> bool:
    """Whether images and masks have the same numbers, each once, and each a word: not 0 .. 9 and 1 .. 10."""
    words = [{re.sub(r"\d+", "#", file.stem) for file in files} for files in (images, masks)]
    of = [sorted((file.split or "", _numbered(file, "").stem) for file in files) for files in (images, masks)]
    alike = all(len(said) == 1 and next(iter(said)).count("#") == 1 for said in words)
    return alike and of[0] == of[1] and len(set(of[0])) == len(of[0])


_READINGS: tuple[tuple[Callable[[File, str], File], str], ...] = (
    (_as_written, ""),
    (_unpadded, "their names without leading zeros"),
    (_by_folder, "the folder that is called as the image"),
    (_numbered, "the number in their names"),
)


def without_channel(file: File) -> str | None:
    """Return the stem without nnU-Net's number of the first channel; images of one channel have no other."""
    return file.stem[:-5] if file.stem.endswith("_0000") else None


def shared_words(images: list[File]) -> tuple[str, str]:
    """Return the first and the last word of all names, with its separator: ``DAPI_``, ``_BF``.

    Microscopes say there what a picture shows, which its mask does not repeat. Empty where they differ.
    """
    if len(images) < 2:
        return "", ""
    starts, ends = ({_cut(word, file.stem) for file in images} for word in (_FIRST_WORD, _LAST_WORD))
    return starts.pop() if len(starts) == 1 else "", ends.pop() if len(ends) == 1 else ""


# A number is no such word: all images may be of one year.
_FIRST_WORD = re.compile(r"^(?!\d+[\s_.-])[^\W_]+[\s_.-]+(?=.)")
_LAST_WORD = re.compile(r"(?<=.)[\s_.-]+(?!\d+$)[^\W_]+$")


def _cut(word: re.Pattern[str], stem: str) -> str:
    found = word.search(stem)
    return found[0] if found else ""


class _Lookups:
    """Finds a mask's image: by stem, then by stem without role words, near it first, then anywhere.

    Last by its stem without the word that all images begin or end with.
    """

    def __init__(self, images: list[File]) -> None:
        self._tables: list[dict[tuple[object, ...], list[File]]] = []
        start, end = shared_words(images)
        for stem_of in (
            lambda f: f.stem,
            lambda f: strip_word(f.stem, "image"),
            without_channel,
            lambda f: f.stem.removesuffix(end) if end else None,
            lambda f: f.stem.removeprefix(start) if start else None,
        ):
            table: dict[tuple[object, ...], list[File]] = defaultdict(list)
            for image in images:
                if (stem := stem_of(image)) is not None:
                    for key in self._keys(image, stem):
                        table[key].append(image)
            self._tables.append(dict(table))

    @staticmethod
    def _keys(file: File, stem: str) -> list[tuple[object, ...]]:
        stem = stem.casefold()
        return [(stem, file.split, file.place), (stem, file.split), (stem, file.place), (stem,)]

    def of(self, mask: File) -> tuple[File | None, str]:
        """Return the image and what the mask's stem adds to the image's.

        Or None and which images it fits equally well, for people.
        """
        several: list[File] = []
        for stem in self._stems(mask):
            for table in self._tables:
                for key in self._keys(mask, stem):
                    found = table.get(key, [])
                    if len(found) == 1:
                        return found[0], _added(mask.stem, stem)
                    several = several or found
        return None, f" (fits {some([file.name for file in several])})" if several else ""

    @staticmethod
    def _stems(mask: File) -> Iterator[str]:
        yield mask.stem
        inner = without_inner_words(mask.stem)
        yield from (stem for stem, word in inner if role_of([word]) == "mask")
        stripped = strip_word(mask.stem, "mask")
        if stripped is not None:
            yield stripped
        yield from shorter_stems(mask.stem)
        yield from (stem for stem, _ in inner)


def _added(longer: str, stem: str) -> str:
    """Return what a mask's stem has besides its image's: an end, a start, or a word within."""
    if stem in longer:
        return longer.replace(stem, "", 1)
    start = next(i for i, (a, b) in enumerate(zip(longer, stem, strict=False)) if a != b)
    return longer[start : start + len(longer) - len(stem)].strip("_-. ")


def some(names: list[str]) -> str:
    """Name a few, and count the rest."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
