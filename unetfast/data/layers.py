"""Masks of single classes, a file each: how those files are read, and which lies on top."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unetfast.data.decide import decide
from unetfast.data.encoding import LabelEncoding
from unetfast.data.layouts import Found
from unetfast.data.masks import read_masks
from unetfast.data.survey import Survey, survey
from unetfast.data.threads import Progress, in_threads
from unetfast.errors import DatasetError, UnetfastError
from unetfast.spec import Sample

__all__ = ["with_readings"]

_LOOKED_AT = 100  # images, for masks that mark the same
_SAME = 0.5  # intersection over union from which on two classes are two opinions on one thing


def with_readings(
    found: Found,
    root: Path,
    mask_values: Sequence[str],
    ignore_label: int | None,
    progress: Progress | None = None,
) -> tuple[Found, list[str]]:
    """Find out how the masks of classes are read, all of them in one way, and lay rare classes on top.

    Returns
    -------
    Found
        Its samples know how each of their masks is read.
    list of str
        What was decided and why.

    Raises
    ------
    DatasetError
        When they hold more than two values, or masks of different classes mark the same.
    """
    single = [
        replace(sample, id=f"{sample.id} {name}", masks=(ref,), reader="raster", layers=())
        for sample in found.samples
        for ref, (name, _) in zip(sample.masks, sample.layers, strict=True)
    ]
    looked = survey(single, progress)
    decision = decide(looked, root, mask_values=mask_values, ignore_label=ignore_label)
    reading = decision.encoding
    if len(reading.classes) != 2:
        raise DatasetError(
            f"{root}: a mask of a single class marks it and nothing else, but these hold "
            f"{', '.join(reading.classes)}; take one set of them with --layout paired --mask NAME"
        )
    areas = _areas(found.samples, looked, reading)
    order = sorted(areas, key=lambda name: (-areas[name], name))
    samples = [_ordered(sample, order, reading) for sample in found.samples]
    shared = _shared(samples, order)
    worst = max(shared, key=shared.__getitem__, default=None)
    if worst is not None and shared[worst] > _SAME and not found.hints.get("asked"):
        raise DatasetError(
            f"{root}: the masks of {' and '.join(worst)} mark the same pixels to {shared[worst]:.0%}: are "
            f"they classes, or several opinions on one thing? --mask {worst[0]} takes one, --layout classes "
            "takes both as classes"
        )
    reasons = [*decision.reasons]
    if any(shared.values()):
        reasons.append(f"where masks overlap, the class with less area lies on top: {' < '.join(order)}")
    return replace(found, samples=samples), reasons


def _areas(samples: Sequence[Sample], looked: Survey, reading: LabelEncoding) -> Counter[str]:
    areas: Counter[str] = Counter()
    names = (name for sample in samples for name, _ in sample.layers)
    for name, stat in zip(names, looked.stats, strict=True):
        areas[name] += reading.counts_of(stat.counts).get(1, 0)
    return areas


def _ordered(sample: Sample, order: Sequence[str], reading: LabelEncoding) -> Sample:
    pairs = sorted(
        ((ref, name) for ref, (name, _) in zip(sample.masks, sample.layers, strict=True)),
        key=lambda pair: order.index(pair[1]),
    )
    return replace(
        sample, masks=tuple(ref for ref, _ in pairs), layers=tuple((name, reading) for _, name in pairs)
    )


def _shared(samples: Sequence[Sample], order: Sequence[str]) -> dict[tuple[str, str], float]:
    """Return the intersection over union of each two classes, over some of the images that have both."""
    several = [sample for sample in samples if len({name for name, _ in sample.layers}) > 1]
    both: Counter[tuple[str, str]] = Counter()
    either: Counter[tuple[str, str]] = Counter()
    for marked in in_threads(_marked, several[:: max(1, len(several) // _LOOKED_AT)]):
        for a, b in combinations([name for name in order if name in marked], 2):
            if marked[a].shape == marked[b].shape:
                both[a, b] += int((marked[a] & marked[b]).sum())
                either[a, b] += int((marked[a] | marked[b]).sum())
    return {pair: both[pair] / either[pair] for pair in either if either[pair]}


def _marked(sample: Sample) -> dict[str, NDArray[np.bool_]]:
    found: dict[str, NDArray[np.bool_]] = {}
    try:
        for ref, mask, (name, reading) in zip(sample.masks, read_masks(sample), sample.layers, strict=True):
            marked = reading.apply(mask, str(ref)) == 1
            found[name] = marked | found[name] if name in found else marked
    except (UnetfastError, ValueError):
        return {}  # the doctor says what is wrong with it
    return found
