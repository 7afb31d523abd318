"""The Cell Tracking Challenge: frames ``01/t000.tif`` with ``01_GT/SEG/man_seg000.tif`` or ``01_ST/SEG/…``.

Of the gold truth (GT) only frames are taken in which every cell that is tracked (``TRA``) has an
outline: most have a few. The silver truth (ST) has all cells, and is taken where it is there;
``--mask GT`` takes the gold one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from unetfast.data.layouts.found import Found, unique_ids
from unetfast.data.layouts.paths import split_in
from unetfast.data.listing import Listing
from unetfast.errors import DatasetError
from unetfast.imaging import read_mask
from unetfast.spec import FileRef, Sample

__all__ = ["find"]

_FRAME = re.compile(r"(.*/|)(\d\d)/t(\d{3,4})\.tiff?$", re.IGNORECASE)
_TRUTH = re.compile(r"(.*/|)(\d\d)_(GT|ST)/(SEG/man_seg_?|TRA/man_track)([\d_]+)\.tiff?$", re.IGNORECASE)
_CELLS = ("1-65535=cell", "*=background")

Frame = tuple[str, str]  # the sequence with its folder, and the number of the frame


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find the frames of the challenge's sequences with their cells; see :mod:`~unetfast.data.layouts`."""
    frames, truths = _files(listing)
    if not frames or not (truths["GT"] or truths["ST"]):
        return None
    slices = [name for kind in ("GT", "ST") for (_, number), name in truths[kind].items() if "_" in number]
    if slices:
        raise DatasetError(
            f"{listing.root}: {slices[0]} is the truth of one slice of a volume; save the slices that have "
            "one as pictures of their own, with masks of the same names"
        )
    chosen = (mask or ("ST" if truths["ST"] else "GT")).upper()
    if chosen not in ("GT", "ST") or not truths[chosen]:
        return None
    notes = [f"cells of the {'silver' if chosen == 'ST' else 'gold'} truth ({chosen}), their numbers merged"]
    if truths["ST"] and truths["GT"]:
        notes[0] += f"; {'gold' if chosen == 'ST' else 'silver'}: --mask {'GT' if chosen == 'ST' else 'ST'}"
    kept = {frame: name for frame, name in truths[chosen].items() if frame in frames}
    lone = [name for frame, name in truths[chosen].items() if frame not in frames]
    unlabelled = len(frames) - len(kept)
    if chosen == "GT":
        kept, said = _whole(listing, kept, truths["TRA"])
        notes += said
    if not kept:
        raise DatasetError(
            f"{listing.root}: no frame has outlines of all its cells (the gold truth has those of some); "
            "download the silver truth (ST) beside it"
        )
    if unlabelled:
        notes.append(f"{unlabelled} frames have no outlines, and are left out")
    ids = unique_ids([frames[frame] for frame in kept])
    samples = [
        Sample(ids[frames[frame]], listing.ref(frames[frame]), (listing.ref(name),), split_in(frames[frame]))
        for frame, name in kept.items()
    ]
    return Found(samples, [], lone, notes, {"values": _CELLS, "name": "cell"})


def _files(listing: Listing) -> tuple[dict[Frame, str], dict[str, dict[Frame, str]]]:
    """Return the image of each frame, and its outlines (GT, ST) and markers (TRA)."""
    frames: dict[Frame, str] = {}
    truths: dict[str, dict[Frame, str]] = defaultdict(dict)
    for name in listing.images:
        if match := _FRAME.match(name):
            frames[match[1] + match[2], match[3]] = name
        elif match := _TRUTH.match(name):
            kind = "TRA" if match[4].upper().startswith("TRA") else match[3].upper()
            truths[kind][match[1] + match[2], match[5]] = name
    return frames, truths


def _whole(
    listing: Listing, truths: Mapping[Frame, str], tracks: Mapping[Frame, str]
) -> tuple[dict[Frame, str], list[str]]:
    """Keep the frames in which every tracked cell has an outline, and say which others there are."""
    whole, notes = {}, []
    for frame, name in truths.items():
        if frame not in tracks or not _lacks(listing.ref(name), listing.ref(tracks[frame])):
            whole[frame] = name
    if unmarked := [name for frame, name in truths.items() if frame not in tracks]:
        notes.append(
            f"{len(unmarked)} frames have no markers (TRA) to tell whether all cells have an outline, such "
            f"as that of {unmarked[0]}: cells without count as background"
        )
    if partial := [name for frame, name in truths.items() if frame not in whole]:
        notes.append(
            f"{len(partial)} frames left out: cells that are tracked there have no outline, such as in "
            f"{partial[0]}"
        )
    return whole, notes


def _lacks(outlines: FileRef, markers: FileRef) -> bool:
    """Whether a marker of a cell lies outside all outlines."""
    cells, marks = read_mask(outlines).values, read_mask(markers).values
    if cells.shape != marks.shape or cells.ndim != 2:
        return False  # the doctor says what is wrong with it
    tracked, inside = np.unique(marks), np.unique(marks[cells > 0])
    return bool(set(tracked.tolist()) - set(inside.tolist()) - {0})
