"""How much of a data set each class takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unetfast.data.collection import DataSet
from unetfast.spec import IGNORE

__all__ = ["ClassShare", "class_shares", "shares"]


@dataclass(frozen=True)
class ClassShare:
    """How much of a data set a class takes.

    Attributes
    ----------
    name : str
    share : float
        Of the pixels that count.
    images : int
        That hold any of it.
    """

    name: str
    share: float
    images: int


def class_shares(dataset: DataSet) -> list[ClassShare]:
    """Return how much of the pixels each class takes, by class id, as the survey of the masks counted.

    Data sets of polygons have no such survey: the list is empty.
    """
    if dataset.survey is None:
        return []
    counts = [dataset.encoding.counts_of(stat.counts) for stat in dataset.survey.stats]
    return shares(counts, dataset.classes)


def shares(counts: Sequence[dict[int, int]], classes: Sequence[str]) -> list[ClassShare]:
    """Return how much each class takes, by class id, of the pixels of each class id in each mask."""
    total = sum(n for one in counts for id_, n in one.items() if id_ != IGNORE) or 1
    return [
        ClassShare(name, sum(one.get(i, 0) for one in counts) / total, sum(i in one for one in counts))
        for i, name in enumerate(classes)
    ]
