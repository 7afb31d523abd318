"""Defects with masks, sound parts without: MVTec AD's ``ground_truth/crack/000_mask.png`` and ``good``.

Images in folders called good, normal (VisA), negative or the like, which have no masks, are background.
"""

from __future__ import annotations

import re
from dataclasses import replace

from unetfast.data.layouts import paired
from unetfast.data.layouts.files import parsed
from unetfast.data.layouts.found import Found, file_ids
from unetfast.data.layouts.matching import some
from unetfast.data.layouts.paths import split_in
from unetfast.data.listing import Listing, folder_of
from unetfast.spec import Sample

__all__ = ["find"]

_SOUND = frozenset(
    [
        *("good", "ok", "negative", "negatives", "healthy", "intact", "undamaged", "uncracked", "defectfree"),
        *("nodefect", "nondefective", "nocrack", "noncrack", "noncracked"),
    ]
)
_OPPOSITES = frozenset(
    ["anomaly", "anomalies", "abnormal", "bad", "defect", "defects", "defective", "positive"]
)


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find defects with their masks, and the images of sound parts; see :mod:`~unetfast.data.layouts`."""
    sound = _sound(listing)
    found = paired.find(listing, mask) if sound else None
    if found is None:
        return None
    used = {ref for sample in found.samples for ref in (sample.image, *sample.masks)}
    bare = [name for name in sound if listing.ref(name) not in used]
    if not bare or len(bare) < len(sound):  # they have masks like all others
        return None
    others = tuple(name for name in listing.names if name not in set(bare))
    found = paired.find(replace(listing, names=others), mask)  # whose notes speak of these alone
    if found is None:
        return None
    background = [
        Sample("", listing.ref(name), split=split_in(folder_of(name)), reader="raster") for name in bare
    ]
    samples = [*found.samples, *background]
    folders = some(sorted({folder_of(name) for name in bare}))
    notes = [f"{len(bare)} images without a mask count as background, by their folders: {folders}"]
    if {sample.split for sample in found.samples} == {"test"}:  # MVTec AD trains without any defect
        samples = [replace(sample, split=None) for sample in samples]
        notes.append(
            "all masks belong to test: its images are trained on like those of train, and validation images "
            "are drawn from both; keep some of them elsewhere to test with"
        )
    ids = file_ids([sample.image for sample in samples])
    return replace(
        found,
        samples=[replace(sample, id=ids[sample.image]) for sample in samples],
        notes=[*notes, *found.notes],
    )


def _sound(listing: Listing) -> list[str]:
    """Return the pictures in folders that say that nothing is wrong with what they show."""
    folders = {_plain(part) for name in listing.images for part in name.split("/")[:-1]}
    # Beside no opposite, "normal" may hold maps of a surface's normals.
    words = _SOUND | ({"normal"} if folders & _OPPOSITES else set())
    masks = {file.name for file in parsed(listing.images) if file.role == "mask"}
    return [
        name
        for name in listing.images
        if name not in masks and any(_plain(part) in words for part in name.split("/")[:-1])
    ]


def _plain(folder: str) -> str:
    return re.sub(r"[\s_-]+", "", folder.casefold())
