"""The values that masks are meant to hold, told from the smear that edges leave between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container

import numpy as np

from unetfast.data.encoding import NEAR
from unetfast.data.masks import distances

__all__ = ["INVERTED", "MOST_CLASSES", "Levels", "void_of"]

MOST_CLASSES = 64  # found without being told; more are instances, a soft map or a photograph
INVERTED = 0.8  # a foreground larger than this share is more likely the background

_FEW = 3  # values beside those that fill areas; smear leaves more


def void_of(values: Container[int]) -> int:
    """Return the value that masks with these usually store where a pixel does not count.

    It is -1 to many programs, which is 255 in 8 bits and 65535 in 16.
    """
    return 65535 if 65535 in values else 255


class Levels:
    """The values that are meant, told from the smear of edges between them.

    A value that is meant fills areas: some of its pixels have eight equal neighbours. What
    anti-aliasing makes has none, and what JPEG makes lies near a heavier value.

    Parameters
    ----------
    domain : {"grey", "index", "colour", "alpha"}
    counts, flat, between : Counter
        Pixels of each code, those among equal neighbours, and those between a smaller and a larger
        one; as a :class:`Survey` has them.
    lossy : bool
        Some masks are JPEG files.

    Attributes
    ----------
    centres : list of int
        The codes that are meant, in order.
    smeared : bool
        There are others, of edges.
    doubtful : list of int
        Codes that fill no area and are hardly ever between two others: a thin class, or thin lines
        of which all is edge.
    share : float
        Of the pixels that lie near a centre, in [0, 1].
    """

    def __init__(
        self,
        domain: str,
        counts: Counter[int],
        flat: Counter[int],
        between: Counter[int],
        *,
        lossy: bool,
    ) -> None:
        self.domain, self.counts, self.total = domain, counts, sum(counts.values())
        self.centres = sorted(counts)
        self.smeared = False
        self.doubtful: list[int] = []
        self.share = 1.0
        ids = [code for code in counts if code != void_of(counts)]
        small_ids = domain != "colour" and bool(ids) and max(ids) < MOST_CLASSES and not lossy
        if len(counts) <= 2 or domain == "index" or small_ids or (not lossy and self._all_fill(flat)):
            return
        centres = self._heavy(flat, lossy)
        odd = len(counts) - len(centres)
        two_greys = domain != "colour" and len(centres) == 2
        if not lossy and not (two_greys and odd) and odd <= max(_FEW, len(centres) // 4):
            return  # a few values that fill no area are thin classes, not smear
        if two_greys and not lossy and odd <= _FEW:
            inside = {code for code in counts if min(centres) < code < max(centres)}
            self.doubtful = sorted(code for code in inside if 2 * between[code] < counts[code])
            if self.doubtful or len(inside) < odd:  # what lies outside is no mixture of the two
                return
        if domain != "colour" and len(centres) == 1 and max(counts) - centres[0] >= 100:
            centres = [centres[0], max(counts)]  # thin lines, all of them edge
        self.centres, self.smeared = sorted(centres), True
        near = distances(domain, list(counts), self.centres).min(axis=1, initial=1 << 24) <= NEAR
        self.share = float(np.array(list(counts.values()))[near].sum()) / self.total

    @property
    def clear(self) -> bool:
        """Whether nearly all pixels lie near a few levels, as in masks and not in photographs."""
        return self.share >= 0.8 and 2 <= len(self.centres) <= MOST_CLASSES

    def _all_fill(self, flat: Counter[int]) -> bool:
        """Whether nearly all of many greys fill areas: ADE20K has 150 classes, and smear fills none."""
        if self.domain == "colour" or len(self.counts) <= MOST_CLASSES:
            return False
        filling = sum(10 * flat[code] >= count for code, count in self.counts.items())
        return filling >= 0.9 * len(self.counts)

    def _heavy(self, flat: Counter[int], lossy: bool) -> list[int]:
        least = max(16, (5e-4 if lossy else 1e-5) * sum(flat.values()))
        centres: list[int] = []
        for code, count in flat.most_common():
            if count < least or len(centres) > MOST_CLASSES:
                break
            apart = distances(self.domain, [code], centres)[0] if centres else np.array([256])
            nearest = int(apart.argmin())
            satellite = apart[nearest] <= NEAR and (lossy or count < 0.05 * flat[centres[nearest]])
            if not satellite:
                centres.append(code)
        return centres
