"""Images whose channels are separate files: Sentinel's ``x_B02.tif``, ``x_B03.tif`` for ``masks/x.tif``.

Also colours (``train_red/red_1.tif``), nnU-Net's ``x_0000.png``, BraTS' ``x_flair.png``, a folder an image
(``x/B02.tif``), and two times of one place in the folders ``A`` and ``B`` (LEVIR-CD): all become the channels
of one image.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import replace

from unetfast.data.layouts import paired, variants
from unetfast.data.layouts.found import Found
from unetfast.data.listing import Listing, folder_of, natural, stem_of
from unetfast.spec import FileRef

__all__ = ["find"]

_COLOURS = "red green blue nir rededge red_edge swir swir1 swir2 vv vh hh hv"
_SEQUENCES = "flair t1 t1c t1ce t1gd t1n t2 t2f t2w adc dwi"  # of MRI, as BraTS calls them
# Sentinel-2's or Landsat's number, a colour, a polarisation, a sequence, a microscope's channel (w1, ch00).
_BAND = re.compile(
    rf"(?:(?<=[_.-])|^)(?:B(?:0?[1-9]|1[0-2]|8A)|w[1-9]|ch\d\d?|"
    rf"{'|'.join((_COLOURS + ' ' + _SEQUENCES).split())})(?=[_.-]|$)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<=_)00\d\d$")  # of nnU-Net
# Folders of change detection, the earlier first.
_TIMES = [
    tuple(pair.split()) for pair in ("a b", "im1 im2", "t1 t2", "time1 time2", "before after", "pre post")
]
_RGB = ("red", "green", "blue")

Group = dict[str, str]  # band -> name of its file


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find images of several files with their masks; see :mod:`~unetfast.data.layouts`."""
    groups, usual = _groups(listing)
    if not groups:
        return None
    whole = {name: _ref(listing, group, usual) for name, group in groups.items() if set(group) == set(usual)}
    parts = {file for group in groups.values() for file in group.values()}
    others = [name for name in listing.names if name not in parts]
    together = replace(listing, names=tuple(sorted([*others, *whole], key=natural)))
    of = {together.ref(name): ref for name, ref in whole.items()}
    found = variants.find(together, mask) or paired.find(together, mask)
    samples = [replace(s, image=of[s.image]) for s in found.samples if s.image in of] if found else []
    if found is None or not samples:
        return None
    lacking = [f"{n} (has {', '.join(g)} alone)" for n, g in groups.items() if n not in whole]
    notes = [
        f"an image is {len(usual)} files, its channels in this order: {', '.join(usual)}; `unetfast run` "
        "takes such images as one TIFF or .npy each"
    ]
    return replace(found, samples=samples, no_mask=[*found.no_mask, *lacking], notes=[*notes, *found.notes])


def _ref(listing: Listing, group: Group, order: list[str]) -> FileRef:
    first, *further = (listing.ref(group[band]) for band in order)
    return replace(first, further=tuple(further))


def _groups(listing: Listing) -> tuple[dict[str, Group], list[str]]:
    """Return the files of each image by band, and the bands that most images have, in order."""
    for read in (_by_times, _by_words):
        groups = read(listing)
        sets = Counter(frozenset(group) for group in groups.values() if len(group) > 1)
        if sets:
            usual = max(sets, key=lambda bands: sets[bands])
            return groups, sorted(usual, key=_order)
    return {}, []


def _order(band: str) -> tuple[int, list[tuple[int, int, str]]]:
    """Sort red, green, blue and the first of two times before others."""
    places = [words.index(band.lower()) for words in (_RGB, *_TIMES) if band.lower() in words]
    return places[0] if places else len(_RGB), natural(band)


def _by_times(listing: Listing) -> dict[str, Group]:
    """Group the files of two folders that are called as two times, and hold the same names."""
    folders = {part.lower() for name in listing.images for part in name.split("/")[:-1]}
    pair = next((pair for pair in _TIMES if folders.issuperset(pair)), ())
    groups: dict[str, Group] = defaultdict(dict)
    for name in listing.images if pair else ():
        *above, file = name.split("/")
        at = next((i for i, part in enumerate(above) if part.lower() in pair), None)
        if at is not None:
            groups["/".join([*above[:at], "image", *above[at + 1 :], file])][above[at]] = name
    return dict(groups)


def _by_words(listing: Listing) -> dict[str, Group]:
    groups: dict[str, Group] = defaultdict(dict)
    plain = {folder_of(name) for name in listing.images if _band_of(name) is None}
    for name in listing.images:
        if (found := _band_of(name)) is None:
            continue
        band, stem = found
        folder, _, file = name.rpartition("/")
        ending = file.rpartition(".")[2]
        above = "/".join(_without(part, band) for part in folder.split("/"))
        if stem:
            groups[f"{above}/{stem}.{ending}".lstrip("/")][band] = name
        elif folder:  # a folder an image, whose mask lies beside the bands or goes by the folder's name
            groups[f"{above}/image.{ending}" if folder in plain else f"{above}.{ending}"][band] = name
    return dict(groups)


def _band_of(name: str) -> tuple[str, str] | None:
    """Return the band that a file's name says, as it is written, and the name without it."""
    stem = stem_of(name)
    match = _NUMBER.search(stem) or next(iter(_BAND.finditer(stem)), None)
    if match is None:
        return None
    return match[0], re.sub(r"[_.-]{2,}", "_", stem[: match.start()] + stem[match.end() :]).strip("_.-")


def _without(folder: str, band: str) -> str:
    """Take a band's word out of a folder that is called after it: ``train_red``."""
    words = [word for word in re.split(r"[_-]", folder) if word.lower() != band.lower()]
    return folder if len(words) == len(re.split(r"[_-]", folder)) or not words else "_".join(words)
