"""Images with ground truth in MATLAB files of the same name, as in CrackForest.

Of CrackForest's ``groundTruth.Segmentation`` only the value 2 is crack: 3 and 4 are pieces of road
that cracks enclose.
"""

from __future__ import annotations

from dataclasses import replace

from unetfast.data.layouts import paired
from unetfast.data.layouts.found import Found
from unetfast.data.listing import Listing
from unetfast.data.masks import mat_arrays
from unetfast.spec import FileRef

__all__ = ["find"]


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find images with .mat files of the same name; see :mod:`~unetfast.data.layouts`."""
    truths = tuple(name for name in listing.names if name.lower().endswith(".mat"))
    if not truths:
        return None
    found = paired.pair(listing, listing.images, truths, mask)
    if found is None or not found.samples:
        return None
    found = replace(found, samples=[replace(sample, reader="mat") for sample in found.samples])
    if _is_crackforest(found.samples[0].masks[0]):
        hints = {"values": ("2=crack", "*=background")}
        return replace(found, hints=hints, notes=[*found.notes, "CrackForest: crack is Segmentation == 2"])
    return found


def _is_crackforest(ref: FileRef) -> bool:
    return sorted(name.lower() for name, _ in mat_arrays(ref)) == [
        "groundtruth.boundaries",
        "groundtruth.segmentation",
    ]
