"""Which images are kept for validation, where a data set does not say: at random, but never a near twin.

Tiles of one photograph, frames of one film and copies of one picture stay on one side; otherwise
the validation score would measure memory. Whole patients, films and volumes are found in ``groups.py``.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["draw", "same_source"]

# Row and column of a tile; or one number, behind a source that is numbered itself (numbers behind mere
# words, scab_1 and rust_1, are no places: those are kinds, of which validation needs every one).
_PLACES = (
    re.compile(r"(.*\w)[ _.-]+[a-z]{0,5}(\d+)[ _.-]+[a-z]{0,5}(\d+)", re.IGNORECASE),
    re.compile(r"(.*\d.*?)[ _.-]+[a-z]{0,5}(\d+)", re.IGNORECASE),
)
# A tile of a slide as QuPath names it: "slide [d=2,x=512,y=0,w=512,h=512]". Nothing else is called so.
_QUPATH = re.compile(r"(.+?) *\[(?:[^\[\]]*,)?x=\d+,y=\d+,w=\d+,h=\d+[^\[\]]*\].*")
_COPY = re.compile(r"(.+)[._]rf[._][0-9a-f]{16,}", re.IGNORECASE)  # Roboflow's name of a changed copy
_NEW_WORD = re.compile(r"[ _.-]+(?=[ _.-]*[^\W\d_])")
_LARGEST = 0.25  # of the images may come from one source; otherwise the numbers mean something else
_FEWEST = 5  # sources


def same_source(names: Sequence[str]) -> list[list[str]]:
    """Return groups of names that say they come of one source: ``photo7_0_360``, ``photo7_360_0``.

    The end of a name counts as the place of a tile only where the same places come again and again:
    in ``20160222_081011`` the numbers are a date and a time, and no two images share them. QuPath's
    names of tiles say what they are. A changed copy has its source's name and a word more, as
    ``photo7_flip`` beside ``photo7``, or Roboflow's hash.

    Parameters
    ----------
    names : sequence of str
        Ids of samples.

    Returns
    -------
    list of list of str
        Groups of at least two; empty where names tell nothing.
    """
    if any(map(_QUPATH.fullmatch, names)):
        slides: dict[str, list[str]] = defaultdict(list)
        for name in names:
            tile = _QUPATH.fullmatch(name)
            slides[tile[1] if tile else name].append(name)
        return [group for group in slides.values() if len(group) > 1]
    for pattern in _PLACES:
        sources: dict[str, list[str]] = defaultdict(list)
        places: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        for name in names:
            found = pattern.fullmatch(name)
            source, *place = found.groups() if found else (name, name)
            sources[source].append(name)
            places[source].add(tuple(place))
        largest = max(map(len, sources.values()), default=0)
        repeated = len(set().union(*places.values())) <= 0.5 * len(names)
        many = len(sources) >= _FEWEST and 1 < largest <= max(2, _LARGEST * len(names))
        if repeated and (many or _is_grid(places)):
            return [group for group in sources.values() if len(group) > 1]
    return _copies(names)


def _is_grid(places: Mapping[str, set[tuple[str, ...]]]) -> bool:
    """Whether three sources or four, with numbers, are all cut into the same rows and columns."""
    if not 3 <= len(places) < _FEWEST:
        return False
    one, *others = places.values()
    rows, columns = ({place[axis] for place in one} for axis in (0, -1))
    whole = len(one) == len(rows) * len(columns) and min(len(rows), len(columns)) > 1
    numbered = all(any(map(str.isdigit, source)) for source in places)
    return whole and numbered and all(other == one for other in others)


def _copies(names: Sequence[str]) -> list[list[str]]:
    begins = _beginnings(names)
    sources: dict[str, list[str]] = defaultdict(list)
    for name in names:
        copy = _COPY.fullmatch(name)
        sources[copy[1] if copy else begins[name]].append(name)
    return [group for source, group in sources.items() if len(group) > 1 and not _is_series(source, group)]


def _is_series(source: str, group: Sequence[str]) -> bool:
    """Whether the letters a, b, c … number photos: ``wall``, ``wall_a``, ``wall_b``."""
    ends = sorted(name[len(source) :].strip(" _.-").lower() for name in group if name != source)
    return len(ends) > 1 and ends == [chr(ord("a") + i) for i in range(len(ends))]


def _beginnings(names: Sequence[str]) -> dict[str, str]:
    """Return for each name the shortest other one that it begins with, and adds a word to; else itself."""
    found: dict[str, str] = {}
    begun: list[str] = []  # all names that a name begins with come just before it, in order
    for name in sorted(set(names)):
        while begun and not name.startswith(begun[-1]):
            begun.pop()
        found[name] = next((known for known in begun if _NEW_WORD.match(name, len(known))), name)
        begun.append(name)
    return found


def draw(
    ids: Iterable[str], together: Iterable[Sequence[str]], fraction: float, seed: int
) -> tuple[set[str], bool]:
    """Draw the ids that are kept for validation: about the share, as near as whole groups come to it.

    Parameters
    ----------
    ids : iterable of str
        At least two.
    together : iterable of sequence of str
        Ids that stay on one side; groups that share an id are one.
    fraction : float
        Share to draw, in (0, 1).
    seed : int

    Returns
    -------
    set of str
        At least one, and never all.
    bool
        Whether no group was torn. It is False where nearly all ids hang together: then the last
        ones by name are taken, which tears a film only once.
    """
    ordered = sorted(ids)
    count = min(max(1, round(fraction * len(ordered))), len(ordered) - 1)
    groups = _joined(ordered, together)
    random.Random(seed).shuffle(groups)
    drawn: list[str] = []
    left: list[list[str]] = []
    for group in groups:
        if len(drawn) + len(group) <= count:
            drawn += group
        else:
            left.append(group)
    if drawn and left:  # none fits any more; the smallest may still come nearer to what is wanted
        more = min(left, key=len)
        if len(drawn) + len(more) - count < count - len(drawn) and len(drawn) + len(more) < len(ordered):
            drawn += more
    if not drawn:  # each group is larger than what is wanted: take the smallest, within reason
        smallest = min(groups, key=len)
        drawn = smallest if 2 * len(smallest) <= len(ordered) else []
    return (set(drawn), True) if drawn else (set(ordered[-count:]), False)


def _joined(ids: Sequence[str], together: Iterable[Sequence[str]]) -> list[list[str]]:
    """Return the ids as groups, in order; most are alone."""
    known = set(ids)
    leader = {id_: id_ for id_ in ids}

    def find(id_: str) -> str:
        while leader[id_] != id_:
            leader[id_] = leader[leader[id_]]
            id_ = leader[id_]
        return id_

    for group in together:
        first, *others = [id_ for id_ in group if id_ in known] or [""]
        for other in others:
            a, b = sorted((find(first), find(other)))
            leader[b] = a
    groups: dict[str, list[str]] = defaultdict(list)
    for id_ in ids:
        groups[find(id_)].append(id_)
    return list(groups.values())
