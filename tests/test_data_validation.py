"""The split drawn by ourselves: at random, and never between near twins."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetfast.data.validation import draw, same_source


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        ([f"photo{p}_{y}_{x}" for p in range(6) for y in (0, 256) for x in (0, 256)], 6),
        ([f"site{p}_{y}_{x}" for p in range(3) for y in range(2) for x in range(3)], 3),
        ([f"rust_{y}_{x}" for y in range(4) for x in range(4)], 0),
        ([f"20160302_15591{p}_{y}_{x}" for p in range(6) for y in (1, 361) for x in (1, 641)], 6),
        ([f"w{p}_row{y}_col{x}" for p in range(6) for y in (0, 1) for x in (0, 1)], 6),
        # QuPath's, of three slides, cut where there is tissue: no two places are the same
        ([f"S{p}.svs [d=2,x={7 * p + 512 * x},y={p},w=512,h=512]" for p in range(3) for x in range(9)], 3),
        ([f"S [x={512 * x},y=0,w=512,h=512]" for x in range(9)], 1),
        ([f"wall_{p}_tile{t}" for p in range(6) for t in range(4)], 6),
        ([f"{p}-{t}" for p in range(60) for t in range(3)], 60),
        # copies that were turned or mirrored beforehand
        ([f"{p}{copy}" for p in range(6) for copy in ("", "_aug", "_flip_2")], 6),
        ([f"x{p}_jpg.rf.{copy * 32}" for p in range(6) for copy in "0af"], 6),
        ([f"photo{i}" for i in ("", "_1", "_2", "_3")], 0),
        # letters that number photos
        (["wall", *(f"wall_{letter}" for letter in "abcdefghij")], 0),
        ([f"{p}{copy}" for p in range(6) for copy in ("", "_h", "_v")], 6),
        # dates and times, running numbers, kinds: no two tiles of anything
        ([f"IMG_2016022{i}_08101{i}" for i in range(9)], 0),
        ([f"{i:03}" for i in range(40)], 0),
        ([f"frame_{i:04}" for i in range(40)], 0),
        ([f"{kind}_{i}" for kind in ("rust", "scab", "rot", "spot", "mould") for i in range(9)], 0),
        ([f"photo_{y}_{x}" for y in range(4) for x in range(4)], 0),
        ([], 0),
    ],
)
def test_names_tell_what_was_cut_out_of_one_photo(names: list[str], groups: int) -> None:
    found = same_source(names)
    assert len(found) == groups
    assert sorted(name for group in found for name in group) == (sorted(names) if groups else [])


_IDS = st.lists(st.integers(0, 60).map(str), min_size=2, max_size=40, unique=True)


@given(_IDS, st.data(), st.floats(0.01, 0.9), st.integers(0, 5))
def test_groups_stay_on_one_side(ids: list[str], data: st.DataObject, fraction: float, seed: int) -> None:
    groups = data.draw(st.lists(st.lists(st.sampled_from(ids), min_size=1, max_size=4), max_size=12))
    drawn, whole = draw(ids, groups, fraction, seed)
    assert 0 < len(drawn) < len(ids)
    assert drawn <= set(ids)
    if whole:
        assert all(drawn.isdisjoint(group) or drawn >= set(group) for group in groups)
    assert draw(list(reversed(ids)), groups, fraction, seed) == (drawn, whole)


@given(_IDS, st.floats(0.01, 0.9), st.integers(0, 5))
def test_alone_images_are_drawn_to_the_number(ids: list[str], fraction: float, seed: int) -> None:
    drawn, whole = draw(ids, [], fraction, seed)
    assert whole
    assert len(drawn) == min(max(1, round(fraction * len(ids))), len(ids) - 1)
    shuffled = sorted(ids)
    random.Random(seed).shuffle(shuffled)
    assert drawn == set(shuffled[: len(drawn)]), "a run that is repeated must draw the same"


@given(st.lists(st.integers(1, 12), min_size=3, max_size=30), st.floats(0.01, 0.9), st.integers(0, 5))
def test_the_share_is_as_near_as_whole_groups_allow(sizes: list[int], fraction: float, seed: int) -> None:
    groups = [[f"{number}_{i}" for i in range(size)] for number, size in enumerate(sizes)]
    ids = [id_ for group in groups for id_ in group]
    drawn, whole = draw(ids, groups, fraction, seed)
    wanted = round(fraction * len(ids))
    left = [len(group) for group in groups if drawn.isdisjoint(group)]
    if not whole:
        assert 2 * min(sizes) > len(ids)
        return
    assert sum(left) + len(drawn) == len(ids), "none on both sides"
    if len(drawn) > wanted:
        first = min(map(len, (group for group in groups if drawn >= set(group))))
        assert len(drawn) - wanted <= max(sizes)
        assert len(drawn) == first or len(drawn) - wanted <= max(sizes) / 2
    for size in left if len(left) > 1 else []:
        assert abs(len(drawn) + size - wanted) >= abs(len(drawn) - wanted), "one more would come nearer"


def test_a_film_is_torn_once() -> None:
    film = [f"f{i:02}" for i in range(20)]
    chain = [film[i : i + 2] for i in range(19)]
    assert draw(film, chain, 0.2, 0) == ({"f16", "f17", "f18", "f19"}, False)


def test_one_large_group_is_trained_on() -> None:
    ids = [f"f{i:02}" for i in range(20)]
    drawn, whole = draw(ids, [ids[:16]], 0.15, 3)
    assert whole
    assert drawn <= set(ids[16:])
    assert len(drawn) == 3
