"""Every mask of a data set looked at once: which values it stores, how many of each, and where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from unetfast.data.masks import codes, kind_of, pack, plain_colour, read_masks
from unetfast.data.threads import Progress, counted, in_threads
from unetfast.errors import UnetfastError
from unetfast.imaging import MaskFile
from unetfast.spec import Sample

__all__ = ["MaskStats", "Survey", "survey"]

_MOST_COLOURS = 4096  # kept of one file; a photograph has more, a mask never


@dataclass(frozen=True)
class MaskStats:
    """What the masks of one sample store, in one domain.

    Attributes
    ----------
    kind : {"grey", "numbers", "index", "colour", "alpha"}
        What they are by themselves, see ``unetfast.data.masks.kind_of``; the most particular one.
    shape : (int, int)
        Of the first mask.
    counts : dict of int to int
        Pixels of each code.
    flat : dict of int to int
        Pixels of each code whose eight neighbours have the same code. Smeared edges have none.
        Only where there are more than two codes.
    between : dict of int to int
        Pixels of each code that has a smaller and a larger one beside it, as the smear of an edge has.
        Only of 3 to 8 grey codes.
    frame : dict of int to int
        Pixels of each code along the four sides. Only of at most 256 codes that are no colours.
    objects : bool or None
        Each code but 0 is one connected piece, as numbers of objects are (the eight largest are looked at).
        None where there are fewer than three.
    ring : bool
        Of two codes the larger one draws closed lines around far larger areas.
    palette : dict of int to int
        Packed colour of each index in use.
    plain : int or None
        The packed colour of every pixel, where a file with an alpha channel has but one.
    lossy : bool
        It is a JPEG or WebP file.
    one_hot : bool
        It has a channel for each class; the codes are their numbers.
    error : str or None
        Why it cannot be read.
    """

    kind: str = "grey"
    shape: tuple[int, int] = (0, 0)
    counts: dict[int, int] = field(default_factory=dict)
    flat: dict[int, int] = field(default_factory=dict)
    between: dict[int, int] = field(default_factory=dict)
    frame: dict[int, int] = field(default_factory=dict)
    objects: bool | None = None
    ring: bool = False
    palette: dict[int, int] = field(default_factory=dict)
    plain: int | None = None
    lossy: bool = False
    one_hot: bool = False
    error: str | None = None


@dataclass(frozen=True)
class Survey:
    """The statistics of all masks of a data set, in the order of its samples."""

    domain: str
    stats: list[MaskStats]

    @property
    def counts(self) -> Counter[int]:
        """Pixels of each code over the whole set."""
        return _sum(stats.counts for stats in self.stats)

    @property
    def flat(self) -> Counter[int]:
        """Pixels of each code inside flat areas over the whole set."""
        return _sum(stats.flat for stats in self.stats)

    @property
    def between(self) -> Counter[int]:
        """Pixels of each code between a smaller and a larger one over the whole set."""
        return _sum(stats.between for stats in self.stats)

    @property
    def frame(self) -> Counter[int]:
        """Pixels of each code along the sides of the masks."""
        return _sum(stats.frame for stats in self.stats)

    @property
    def lossy(self) -> bool:
        """Some masks are JPEG files."""
        return any(stats.lossy for stats in self.stats)


def _sum(parts: Iterable[dict[int, int]]) -> Counter[int]:
    total: Counter[int] = Counter()
    for part in parts:
        total.update(part)
    return total


def survey(samples: Sequence[Sample], progress: Progress | None = None, domain: str | None = None) -> Survey:
    """Read every mask and count its values; `domain` is what a code is, else what suits all together."""
    stats = list(counted(in_threads(_looked_at, samples), len(samples), progress))
    domain = domain or _domain(stats)
    fits = (domain, "numbers") if domain == "grey" else (domain,)
    other = [i for i, stat in enumerate(stats) if stat.error is None and stat.kind not in fits]
    again = in_threads(lambda i: _looked_at(samples[i], domain, stats[i].kind), other)
    for i, stat in zip(other, again, strict=True):
        stats[i] = stat
    return Survey(domain, stats)


def _domain(stats: Sequence[MaskStats]) -> str:
    kinds = {stat.kind for stat in stats if stat.error is None}
    if "index" in kinds and "colour" not in kinds:
        seen: dict[int, int] = {}
        agree = all(
            seen.setdefault(index, colour) == colour
            for stat in stats
            for index, colour in stat.palette.items()
        )
        # Files whose palettes disagree only agree in what they show.
        return "index" if agree else "colour"
    for kind in ("colour", "index", "alpha"):
        if kind in kinds:
            return "colour" if kind == "index" else kind
    return "grey"


def _looked_at(sample: Sample, domain: str | None = None, own_kind: str = "grey") -> MaskStats:
    if not sample.masks:
        return MaskStats(kind=domain or "grey")  # an image of background
    try:
        masks = read_masks(sample)
    except UnetfastError as exc:
        return MaskStats(error=str(exc))
    kinds = {kind_of(mask) for mask in masks} if domain is None else {domain}
    kind = next((k for k in ("colour", "index", "alpha", "numbers") if k in kinds), "grey")
    found = codes(masks[0], kind)
    for mask in masks[1:]:  # of single objects, which are merged
        more = codes(mask, kind)
        if more.shape != found.shape:
            return MaskStats(error=f"{sample.masks[0]}: the masks of this image differ in size")
        np.maximum(found, more, out=found)
    counts = _counted(found)
    palette: dict[int, int] = {}
    for mask in masks:
        palette.update(_palette(mask))
    lossy = any(ref.name.lower().endswith((".jpg", ".jpeg", ".webp")) for ref in sample.masks)
    own = kind if domain is None else own_kind
    return MaskStats(
        own,
        (found.shape[0], found.shape[1]),
        counts,
        _flat(found) if len(counts) > 2 else {},
        _between(found) if kind != "colour" and 3 <= len(counts) <= 8 else {},
        _frame(found) if kind != "colour" and len(counts) <= 256 else {},
        _are_pieces(found, counts),
        _is_ring(found, counts),
        palette,
        plain_colour(masks[0]),
        lossy,
        masks[0].mode == "one-hot",
    )


def _counted(found: NDArray[np.int32]) -> dict[int, int]:
    """Return the pixels of each code; of many colours, of the most frequent ones."""
    flat = found.ravel()
    if flat.max(initial=0) < 65536:
        numbers = np.bincount(flat)
        return {value: int(numbers[value]) for value in np.flatnonzero(numbers).tolist()}
    # Masks are made of long runs of one colour: sorting the runs is far less than sorting the pixels.
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(starts, append=flat.size)
    values, run = np.unique(flat[starts], return_inverse=True)
    numbers = np.bincount(run, weights=lengths).astype(np.int64)
    most = np.argsort(numbers)[::-1][:_MOST_COLOURS]
    return dict(zip(values[most].tolist(), numbers[most].tolist(), strict=True))


def _flat(found: NDArray[np.int32]) -> dict[int, int]:
    if min(found.shape) < 3:
        return {}
    across = (found[:, :-2] == found[:, 1:-1]) & (found[:, 1:-1] == found[:, 2:])
    inside = across[:-2] & across[1:-1] & across[2:]
    middle = found[1:-1, 1:-1]
    inside &= (found[:-2, 1:-1] == middle) & (found[2:, 1:-1] == middle)
    return _counted(middle[inside])


def _frame(found: NDArray[np.int32]) -> dict[int, int]:
    return _counted(np.concatenate([found[0], found[-1], found[1:-1, 0], found[1:-1, -1]]))


def _between(found: NDArray[np.int32]) -> dict[int, int]:
    codes_ = found.astype(np.uint16)
    around = np.ones((3, 3), np.uint8)
    return _counted(found[(cv2.erode(codes_, around) < codes_) & (codes_ < cv2.dilate(codes_, around))])


def _are_pieces(found: NDArray[np.int32], counts: dict[int, int]) -> bool | None:
    ids = sorted((code for code in counts if code), key=counts.__getitem__)
    if len(ids) < 3:
        return None
    # The largest, and no dots: of a photograph, rare values have a pixel each.
    return counts[ids[-1]] > 8 and all(
        cv2.connectedComponents((found == id_).astype(np.uint8))[0] == 2 for id_ in ids[-8:]
    )


def _is_ring(found: NDArray[np.int32], counts: dict[int, int]) -> bool:
    """Whether each piece of what is marked has one hole, which takes most of it."""
    if len(counts) != 2:
        return False
    marked = (found == max(counts)).astype(np.uint8)
    rings, tree = cv2.findContours(marked, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    parents = tree[0, :, 3]
    outer = [ring for ring, parent in zip(rings, parents, strict=True) if parent < 0]
    holes = sorted(parent for parent in parents.tolist() if parent >= 0)
    each = holes == [i for i, parent in enumerate(parents.tolist()) if parent < 0]
    return each and counts[max(counts)] < 0.2 * sum(map(cv2.contourArea, outer))


def _palette(mask: MaskFile) -> dict[int, int]:
    if mask.palette is None:
        return {}
    used = np.unique(mask.values)
    packed = pack(mask.palette[used[used < len(mask.palette)]])
    return dict(zip(used.tolist(), packed.tolist(), strict=False))
