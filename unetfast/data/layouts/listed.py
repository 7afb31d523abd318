"""Text files such as ``train.txt``: an image and its mask a line, or an image's name a line.

CamVid's lists are of the first kind (absolute paths of another machine are found again by their
ends), Pascal VOC's ``ImageSets`` of the second.
"""

from __future__ import annotations

from dataclasses import replace

from unetfast.data.layouts import paired
from unetfast.data.layouts.found import Found, split_of, unique_ids
from unetfast.data.layouts.paths import Resolver, split_in
from unetfast.data.listing import IMAGE_ENDINGS, Listing
from unetfast.errors import DatasetError
from unetfast.spec import Sample

__all__ = ["find"]

_MOST_BYTES = 64 * 2**20


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find the samples that a data set's lists name; see :mod:`~unetfast.data.layouts`."""
    lists = [
        name
        for name in listing.ending(".txt", ".lst")
        if listing.focus or split_in(name.rpartition("/")[2]) or _is_trainval(name)
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
    pairs: dict[str, tuple[str, str | None]] = {}
    missing: list[str] = []
    used = []
    for name, content in lines.items():
        split = split_in(name.rpartition("/")[2])
        found = [_two(resolver, line, name) for line in content]
        good = [pair for pair in found if pair is not None]
        if 2 * len(good) <= len(content):
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
    ids = unique_ids(list(pairs))
    samples = [
        Sample(ids[image], listing.ref(image), (listing.ref(mask),), split)
        for image, (mask, split) in pairs.items()
    ]
    return Found(samples, missing, [], [f"pairs listed in {', '.join(used)}"])


def _two(resolver: Resolver, line: str, beside: str) -> tuple[str, str] | None:
    for separator in (None, "\t", ",", ";"):
        parts = [part for part in line.split(separator) if part.strip(" ;,")]
        if len(parts) == 2:
            image, mask = (resolver.name(part, beside) for part in parts)
            if image and mask and image != mask:  # the same where only one file of the name is there
                return image, mask
    return None


def _names(listing: Listing, mask: str | None, lines: dict[str, list[str]]) -> Found | None:
    """Read lists of one name a line, whose pairs the folders tell."""
    splits = {name: split_of(name.rpartition("/")[2].rpartition(".")[0]) for name in lines}
    if "train" not in splits.values():  # Pascal VOC has trainval beside both, Oxford's pets have it alone
        splits |= {name: "train" for name in lines if _is_trainval(name)}
    lists = {
        name: {_stem(line) for line in lines[name]} for name, split in splits.items() if split and lines[name]
    }
    if not lists:
        return None
    found = paired.find(listing, mask)
    if found is None:
        return None
    stems = {_stem(sample.image.name): sample for sample in found.samples}
    lists = {name: wanted for name, wanted in lists.items() if wanted <= set(stems)}
    if not lists or len(stems) < len(found.samples):
        return None
    chosen: dict[str, Sample] = {}
    for name, wanted in lists.items():
        for stem in wanted:
            sample = replace(stems[stem], split=splits[name])
            if chosen.setdefault(stem, sample).split != sample.split:
                raise DatasetError(
                    f"{listing.root}: {stem} is listed for {chosen[stem].split} and for {sample.split}"
                )
    samples = [chosen[stem] for stem in stems if stem in chosen]
    rest = len(found.samples) - len(samples)
    notes = [f"samples listed in {', '.join(sorted(lists))}"]
    if rest:
        notes.append(f"{rest} pairs left out, in no list")
    return Found(samples, [], [], [*found.notes, *notes], found.hints)


def _is_trainval(name: str) -> bool:
    return name.rpartition("/")[2].lower() in ("trainval.txt", "train_val.txt")


def _stem(text: str) -> str:
    file = text.split(maxsplit=1)[0].replace("\\", "/").rpartition("/")[2]
    return file.rpartition(".")[0] if file.lower().endswith(IMAGE_ENDINGS) else file
