"""Numbers of objects, told from class ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from unetfast.data.levels import MOST_CLASSES, Levels, void_of
from unetfast.data.survey import MaskStats

__all__ = ["are_pieces", "number_objects", "seldom_recur"]


def number_objects(stats: Sequence[MaskStats], values: Sequence[int], levels: Levels) -> str | None:
    """Return why the values that are meant look like numbers of objects, or None where they do not."""
    void = void_of(values)
    # Among others it is the number of an object, too.
    none = {0} if void - 1 in values else {0, void}
    ids_of = [set(stat.counts) - none for stat in stats if stat.error is None]
    ids_of = [ids for ids in ids_of if ids]
    if _count_up(ids_of):
        return "each mask counts up from 1"
    many = len(values) > MOST_CLASSES and not levels.smeared
    if (many and not _recur(stats, ids_of)) or _are_scattered(stats, ids_of):
        return "few masks share one"
    return "each is one connected piece" if not levels.clear and are_pieces(stats) else None


def seldom_recur(stats: Sequence[MaskStats], colours: Sequence[int]) -> bool:
    """Whether most of many colours are in one mask alone, as those of objects are; those of classes recur."""
    meant = set(colours)
    of_masks = [of_one for stat in stats if len(of_one := meant.intersection(stat.counts)) > 1]
    shared = Counter(colour for of_one in of_masks for colour in of_one)
    usual = float(np.median(list(shared.values()))) if shared else 0.0
    return len(of_masks) >= 4 and len(shared) > 8 and usual <= max(1.0, 0.05 * len(of_masks))


def are_pieces(stats: Sequence[MaskStats]) -> bool:
    """Whether nearly everywhere each value is one connected piece: so are objects, and parts of a body."""
    pieces = [stat.objects for stat in stats if stat.objects is not None]
    return len(pieces) >= 3 and sum(pieces) >= 0.8 * len(pieces)


def _count_up(ids_of: Sequence[set[int]]) -> bool:
    """Whether masks hold 1..n, with n different from file to file."""
    counting = sum(ids == set(range(1, len(ids) + 1)) for ids in ids_of)
    sizes = {len(ids) for ids in ids_of}
    few = len(ids_of) < 4  # of few masks, 1, 2 and 1 .. 4 may well be classes
    enough = min(3, len(ids_of)) if len(ids_of) < 10 else max(3, len(ids_of) // 10)
    return counting >= 0.9 * len(ids_of) > 1 and len(sizes) >= enough and max(sizes) > (8 if few else 3)


def _recur(stats: Sequence[MaskStats], ids_of: Sequence[set[int]]) -> bool:
    """Whether values are classes, of which there may be many: each in many masks, a few in each, in pieces.

    Of neurites, which recur from slice to slice and come in pieces, too, a slice shows a large part.
    """
    shared = Counter(id_ for ids in ids_of for id_ in ids)
    usual = float(np.median(list(shared.values()))) if shared else 0.0
    in_one = float(np.median([len(ids) for ids in ids_of])) if ids_of else 0.0
    often = usual >= max(3.0, 0.02 * len(ids_of)) and in_one <= 0.25 * len(shared)
    return often and not are_pieces(stats)


def _are_scattered(stats: Sequence[MaskStats], ids_of: Sequence[set[int]]) -> bool:
    """Whether most values are in one mask alone, far apart, and each is one connected piece.

    Classes recur, and their ids are dense: parts, fields and organs are one piece each, too.
    """
    shared = Counter(id_ for ids in ids_of for id_ in ids)
    usual = float(np.median(list(shared.values()))) if shared else 0.0
    return (
        len(shared) > 8
        and are_pieces(stats)
        and usual <= max(1.0, 0.05 * len(ids_of))
        and max(shared) > 3 * len(shared)
    )
