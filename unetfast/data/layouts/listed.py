"""Text files such as ``train.txt`` with an image and its mask per line, or an image's name per line.

CamVid's lists are of the first kind (absolute paths of another machine are found again by their
ends), Pascal VOC's ``ImageSets`` of the second.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from unetfast.data.layouts import mat, paired
from unetfast.data.layouts.found import Found, file_ids
from unetfast.data.layouts.paths import Resolver, split_in
from unetfast.data.layouts.words import split_of
from unetfast.data.listing import IMAGE_ENDINGS, Listing, composed, file_of, stem_of
from unetfast.errors import DatasetError
from unetfast.spec import FileRef, Sample

__all__ = ["find"]

_MOST_BYTES = 64 * 2**20


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find the samples that a data set's lists name; see :mod:`~unetfast.data.layouts`."""
    lists = [
        name
        for name in listing.ending(".txt", ".lst")
        if listing.focus or split_in(file_of(name)) or _is_trainval(name)
    ]
    if not lists:
        return None
    lines = {
        name: [line.strip() for line in text.splitlines() if line.strip()]
        for name in lists[:200]
        if (text := listing.text_or_none(name, _MOST_BYTES)) is not None
    }
    if mask is None and (found := _pairs(listing, lines)):
        return found
    return _names(listing, mask, lines)


def _pairs(listing: Listing, lines: dict[str, list[str]]) -> Found | None:
    """Read lists of two paths a line."""
    resolver = Resolver(listing)
    pairs: dict[FileRef, tuple[FileRef, str | None]] = {}
    missing: list[str] = []
    used, unused = [], []
    for name, content in lines.items():
        split = split_in(file_of(name))
        found = [_two(resolver, line, name) for line in content]
        good = [pair for pair in found if pair is not None]
        if 2 * len(good) <= len(content):
            unused += [f"{name} is not used: {len(good)} of its {len(content)} lines are pairs that are here"]
            continue
        used.append(name)
        missing += [f"{name}: {line}" for line, pair in zip(content, found, strict=True) if pair is None]
        for image, mask in good:
            before = pairs.setdefault(image, (mask, split))
            if before[0] != mask:
                raise DatasetError(
                    f"{listing.root}: {image} is listed with two masks, {before[0]} and {mask}"
                )
            if before[1] != split and None not in (before[1], split):
                raise DatasetError(f"{listing.root}: {image} is listed for {before[1]} and for {split}")
    if not pairs:
        return None
    ids = file_ids(pairs)
    samples = [Sample(ids[image], image, (mask,), split) for image, (mask, split) in pairs.items()]
    return Found(samples, missing, [], [f"pairs listed in {', '.join(used)}", *unused])


def _two(resolver: Resolver, line: str, beside: str) -> tuple[FileRef, FileRef] | None:
    for separator in (None, "\t", ",", ";"):
        parts = [part for part in line.split(separator) if part.strip(" ;,")]
        if len(parts) == 2 and (pair := _both(resolver, parts, beside)):
            return pair
    cuts = (match.span() for match in re.finditer(r"\s+", line))  # names with spaces
    return next((pair for a, b in cuts if (pair := _both(resolver, [line[:a], line[b:]], beside))), None)


def _both(resolver: Resolver, parts: list[str], beside: str) -> tuple[FileRef, FileRef] | None:
    image, mask = (
        resolver.ref(part, beside, role) for part, role in zip(parts, ("image", "mask"), strict=True)
    )
    # The same where only one file of the name is there.
    return (image, mask) if image and mask and image != mask else None


def _names(listing: Listing, mask: str | None, lines: dict[str, list[str]]) -> Found | None:
    """Read lists of one name a line, whose pairs the folders tell."""
    splits = _splits(lines)
    lists = [name for name, split in splits.items() if split and lines[name]]
    found = (paired.find(listing, mask) or mat.find(listing, mask)) if lists else None
    if found is None:
        return None
    known = _Known(listing, found.samples)
    samples = {name: [known.named(line, name) for line in lines[name]] for name in lists}
    good = {name: sum(sample is not None for sample in samples[name]) for name in lists}
    if not any(good.values()):
        return None  # text of another kind
    used = _used(splits, {name: (good[name], len(lines[name])) for name in lists})
    chosen: dict[str, Sample] = {}
    missing: list[str] = []
    for name in used:
        for line, sample in zip(lines[name], samples[name], strict=True):
            if sample is None:
                missing.append(f"{name}: {line}")
            elif chosen.setdefault(sample.id, replace(sample, split=splits[name])).split != splits[name]:
                raise DatasetError(
                    f"{listing.root}: {line} is listed for {chosen[sample.id].split} and for {splits[name]}; "
                    "pass the list that is meant"
                )
    notes = [f"samples listed in {', '.join(sorted(used))}"] if chosen else []
    notes += [
        f"{name} is not used: {good[name]} of its {len(lines[name])} names have an image and a mask"
        for name in lists
        if name not in used
    ]
    if not chosen:
        return replace(found, notes=[*found.notes, *notes])
    if rest := len(found.samples) - len(chosen):
        notes.append(f"{rest} pairs left out, in no list")
    listed = [chosen[sample.id] for sample in found.samples if sample.id in chosen]
    return Found(listed, missing, [], [*found.notes, *notes], found.hints)


def _splits(lists: Iterable[str]) -> dict[str, str | None]:
    """Return the split of each list that its name says is one."""
    # Beside Pascal VOC's train.txt, aeroplane_train.txt is another thing; alone, list_train.txt is the list.
    splits = {name: split_of(stem_of(name)) for name in lists}
    if not any(splits.values()):
        splits = {name: split_in(file_of(name)) for name in lists}
    if "train" not in splits.values():  # Pascal VOC has trainval beside both, Oxford's pets have it alone
        splits |= {name: "train" for name in lists if _is_trainval(name)}
    return splits


def _used(splits: Mapping[str, str | None], counts: Mapping[str, tuple[int, int]]) -> list[str]:
    """Choose among lists by how many of their names, and of how many, have an image and a mask."""
    whole = [name for name, (good, all_) in counts.items() if good == all_]
    # Pascal VOC's lists for detection name images without masks; those for segmentation, beside them, do not.
    served = {splits[name] for name in whole}
    # A list for a test whose masks are not given out is none that lacks masks.
    most = [
        name
        for name, (good, all_) in counts.items()
        if splits[name] not in served and (2 * good >= all_ or (whole and splits[name] in ("train", "val")))
    ]
    return [*whole, *most]


class _Known:
    """Finds the sample that a line of a list means: a path, or a stem that only one image has."""

    def __init__(self, listing: Listing, samples: list[Sample]) -> None:
        self._listing, self._resolver = listing, Resolver(listing)
        self._by_image = {sample.image: sample for sample in samples}
        self._endings = {sample.image.name.rpartition(".")[2] for sample in samples}
        self._by_stem: dict[str, Sample | None] = {}
        for sample in samples:
            stem = _stem(sample.image.name)
            self._by_stem[stem] = None if stem in self._by_stem else sample

    def named(self, line: str, beside: str) -> Sample | None:
        for text in (line, line.split(maxsplit=1)[0]):  # a name with spaces; or a name and a class's id
            if sample := self._at(text, beside) or self._by_stem.get(_stem(text)):
                return sample
            for ending in self._endings if "/" in text else ():  # "a/1" where there is "b/1" as well
                if sample := self._at(f"{text}.{ending}", beside):
                    return sample
        return None

    def _at(self, path: str, beside: str) -> Sample | None:
        image = self._resolver.ref(path, beside)
        if image is not None and self._resolver.name(path, beside) is None:
            raise DatasetError(
                f"{self._listing.ref(beside)}: names {path}, which lies outside the data set; write the mask "
                "of each image beside it in the line, or pass the folder that holds both"
            )
        return self._by_image.get(image) if image else None


def _is_trainval(name: str) -> bool:
    return file_of(name).lower() in ("trainval.txt", "train_val.txt")


def _stem(text: str) -> str:
    file = composed(text.replace("\\", "/").rpartition("/")[2])
    return file.rpartition(".")[0] if file.lower().endswith(IMAGE_ENDINGS) else file
