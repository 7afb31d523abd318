"""Which files a run takes, and what their results are called."""

from __future__ import annotations

import errno
import inspect
import os
import sys
import unicodedata
from pathlib import Path

import pytest
from folders import listed, relatives, touch
from hypothesis import given, settings
from hypothesis import strategies as st

from unetfast.errors import ConfigError, ImageError
from unetfast.pipeline import output as output_module
from unetfast.pipeline.output import Output
from unetfast.pipeline.settings import RunSettings
from unetfast.pipeline.sources import Found, Item, Skipped, find, input_root, parse_shard
from unetfast.pipeline.stages import names

# -- sources


def test_only_images_in_a_fixed_order(tmp_path: Path) -> None:
    touch(tmp_path, "b.JPG", "a.png", ".hidden.jpg", "notes.txt", "sub/c.tif", ".git/d.png", "noending")
    root, paths = input_root([str(tmp_path)])
    found = Found()
    assert [item.relative for item in find(root, paths, found)] == ["a.png", "b.JPG"]
    assert (found.hidden, found.other.total(), found.folders) == (2, 2, 1)
    assert relatives(tmp_path, recursive=True) == ["a.png", "b.JPG", "sub/c.tif"]


def test_include_and_exclude(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "s/a.jpg", "s/t/c.jpg")
    assert relatives(tmp_path, recursive=True, include=["a*"]) == ["a.jpg", "s/a.jpg"]
    assert relatives(tmp_path, recursive=True, include=["s/*"], exclude=["c.*"]) == ["s/a.jpg"]


def test_odd_names_are_ordinary(tmp_path: Path) -> None:
    odd = [b"-rf.jpg", b"a b.jpg", b"new\nline.jpg", "ü漢.jpg".encode(), b"caf\xe9.jpg", b"=1+1.jpg"]
    for name in odd:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"x")
    assert sorted(os.fsencode(name) for name in relatives(tmp_path)) == sorted(odd)


def test_a_tree_deeper_than_the_stack_is_walked(tmp_path: Path) -> None:
    deep = "d/" * 200
    touch(tmp_path, f"{deep}a.png")
    frames, usual = len(inspect.stack(0)), sys.getrecursionlimit()
    sys.setrecursionlimit(frames + 100)
    try:
        assert relatives(tmp_path, recursive=True) == [f"{deep}a.png"]
    finally:
        sys.setrecursionlimit(usual)


def test_links_lead_nowhere_outside_unless_asked(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    touch(inside, "a.jpg", "sub/b.jpg")
    touch(outside, "secret.jpg")
    (inside / "to-secret.jpg").symlink_to(outside / "secret.jpg")
    (inside / "to-a.jpg").symlink_to("a.jpg")
    (inside / "broken.jpg").symlink_to("nothing")
    (inside / "itself.jpg").symlink_to("itself.jpg")
    (inside / "folder").symlink_to(outside)
    (inside / "sub" / "loop").symlink_to("..")
    items = listed(inside, recursive=True)
    skipped = {item.relative: item.reason for item in items if isinstance(item, Skipped)}
    assert set(skipped) == {"to-secret.jpg"}
    assert "--follow-links" in skipped["to-secret.jpg"]
    taken = [item.relative for item in items if isinstance(item, Item)]
    assert taken == ["a.jpg", "broken.jpg", "itself.jpg", "to-a.jpg", "sub/b.jpg"]
    followed = relatives(inside, recursive=True, follow_links=True)
    assert "folder/secret.jpg" in followed
    assert "to-secret.jpg" in followed
    assert not any("loop" in name for name in followed)


def test_what_takes_the_folders_that_are_passed_over_is_said(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.jpg", "in/sub/b.jpg", "elsewhere/c.jpg")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    passed = {}
    for recursive in (False, True):
        found = Found()
        list(find(tmp_path / "in", [tmp_path / "in"], found, recursive=recursive))
        passed[recursive] = str(found)
    assert passed[False] == "; passed over: 2 sub-folders (-r takes them)"
    assert passed[True] == "; passed over: 1 links to folders (--follow-links takes them)"


def test_pipes_are_skipped(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.jpg")
    (entry,) = listed(tmp_path)
    assert isinstance(entry, Skipped)
    assert "pipe" in entry.reason


def test_a_folder_that_cannot_be_read_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.jpg", "locked/b.jpg", "open/c.jpg", "searchless/d.jpg")
    scandir, stat = os.scandir, Path.stat

    def refuse(path: Path) -> object:
        if path.name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    def no_search(path: Path, **options: bool) -> os.stat_result:
        if path.name == "searchless":
            raise PermissionError(errno.EACCES, "Permission denied")
        return stat(path, **options)

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(Path, "stat", no_search)
    items = listed(tmp_path, recursive=True)
    assert [item.relative for item in items] == ["a.jpg", "locked", "open/c.jpg", "searchless"]
    for item in (items[1], items[3]):
        assert isinstance(item, Skipped)
        reason = f"{tmp_path}/{item.relative}: the folder cannot be read: Permission denied"
        assert item.line == {"input": item.relative, "status": "failed", "reason": reason}


def test_names_that_the_file_system_takes_for_one_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_on_a_mac(name: str) -> str:
        return unicodedata.normalize("NFC", name.casefold())

    monkeypatch.setattr(output_module, "_folding", lambda temp: as_on_a_mac)
    with Output(tmp_path / "out") as place:
        place.put("caf\u00e9.jpg", b"1")
        place.put("caf\u00e9.jpg", b"1")
        for other in ("CAF\u00c9.jpg", "cafe\u0301.jpg"):
            with pytest.raises(ImageError, match=r"takes it for caf.\.jpg, which is another photo's"):
                place.put(other, b"2")


def test_a_missing_input_and_a_glob_without_match(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"none: no such file"):
        input_root([str(tmp_path / "none")])
    with pytest.raises(ImageError, match="no file matches"):
        input_root([str(tmp_path / "*.jpg")])


def test_several_inputs_are_named_below_what_they_share(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.jpg", "b/x.jpg", "b/y.png")
    root, paths = input_root([str(tmp_path / "a"), str(tmp_path / "b" / "*"), str(tmp_path / "a" / "x.jpg")])
    assert root == tmp_path
    assert [item.relative for item in find(root, paths, Found())] == ["a/x.jpg", "b/x.jpg", "b/y.png"]


NAMES = st.text(st.sampled_from("aAbm_. "), min_size=1, max_size=4)


@given(
    st.sets(
        st.tuples(
            st.sampled_from(["", "masks/", "Masks/", "masks_/", "overlays/", "s/", "results/"]),
            NAMES,
            st.sampled_from([".jpg", ".JPG", ".png", ".jpg.jpg", ".jpg.png"]),
        ),
        max_size=12,
    )
)
@settings(max_examples=60)
def test_no_two_photos_share_an_output(parts: set[tuple[str, str, str]]) -> None:
    from unetfast.pipeline.sources import _by_folder, stems_of

    relative = sorted({"".join(part) for part in parts if not part[1].startswith(".")})
    stems = {name: stem for group in _by_folder(relative) for name, stem in stems_of(group).items()}
    items = [Item(Path(name), name, stems[name]) for name in relative]
    every = RunSettings(inpaint=True, save_masks=True, overlay=True)
    outputs = [path for item in items for path in names(item, every).values()]
    assert len(set(outputs)) == len(outputs)
    assert not {path for path in outputs if path.startswith(("results.jsonl", "results.csv"))}


def test_plain_names_stay_plain() -> None:
    every = RunSettings(inpaint=True, save_masks=True, overlay=True)
    assert names(Item(Path("s/a.jpg"), "s/a.jpg", "s/a"), every) == {
        "cleaned": "s/a.jpg",
        "mask": "masks/s/a.png",
        "overlay": "overlays/s/a.jpg",
    }
    assert names(Item(Path("a.jpg"), "a.jpg", "a"), RunSettings()) == {"mask": "masks/a.png"}


@given(st.integers(1, 7))
@settings(max_examples=20)
def test_shards_share_nothing_and_miss_nothing(count: int) -> None:
    from unetfast.pipeline.sources import _in_shard

    every = [f"s{i % 5}/{i}.jpg" for i in range(100)]
    parts = [[name for name in every if _in_shard(name, (i, count))] for i in range(1, count + 1)]
    assert sorted(name for part in parts for name in part) == sorted(every)


@pytest.mark.parametrize("text", ["0/3", "4/3", "a/b", "1", "1/0", "-1/2", "1/2/3"])
def test_bad_shards_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="i/n"):
        parse_shard(text)


def test_names_of_full_length_leave_room_for_an_ending(tmp_path: Path) -> None:
    long = ["a" * 251 + ending for ending in (".jpg", ".png")] + [
        "\u00e4" * 125 + "x.jpg",
        "b" * 247 + ".jpg",
    ]
    touch(tmp_path, *long)
    stems = {item.relative: item.stem for item in listed(tmp_path)}
    assert stems.pop(long[3]) == long[3]  # 251 bytes, and .png: it fits
    assert len(set(stems.values())) == 3
    for stem in stems.values():
        assert 240 < len(os.fsencode(stem)) <= 251
        (tmp_path / f"{stem}.png").touch()
    assert stems == {item.relative: item.stem for item in listed(tmp_path, include=long[:3])}
    touch(tmp_path, "c.jpg", "C.jpg")  # names that differ in case only make no other name longer
    assert stems.items() <= {item.relative: item.stem for item in listed(tmp_path)}.items()
