"""The parts of a run: which files, which names, what the journal remembers, where results go."""

from __future__ import annotations

import contextlib
import errno
import inspect
import json
import os
import shutil
import sys
import threading
import unicodedata
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unetfast.errors import ConfigError, ImageError
from unetfast.pipeline import output as output_module
from unetfast.pipeline.earlier import refuse_another, settle
from unetfast.pipeline.journal import Journal, is_done, journal_name, write_csv
from unetfast.pipeline.local import Budget
from unetfast.pipeline.output import Output, refuse_overlap
from unetfast.pipeline.run import check_places
from unetfast.pipeline.settings import RunSettings
from unetfast.pipeline.sources import Found, Item, Skipped, find, input_root, parse_shard, select
from unetfast.pipeline.stages import names


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def listed(folder: Path, **options: object) -> list[Item | Skipped]:
    root, paths = input_root([str(folder)])
    chosen = {key: options.pop(key) for key in ("include", "exclude", "shard") if key in options}
    return list(select(find(root, paths, Found(), **options), **chosen))


def relatives(folder: Path, **options: object) -> list[str]:
    return [item.relative for item in listed(folder, **options)]


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


# -- journal


def entry(name: str, status: str = "done", **more: object) -> dict[str, object]:
    return {"input": name, "status": status, **more}


def found(journal: Journal, name: str) -> dict[str, object]:
    """Return a photo's latest line without the time that it was written at."""
    line = journal.find(name)
    assert line is not None
    assert isinstance(line.pop("time"), float)
    return line


@pytest.mark.parametrize(
    "line",
    [
        *(b"\x00\xff\n", b"[1]\n", b'{"status": "done"}\n', b'{"input": "a", "time": "x"}\n'),
        *(b'{"input": "a", "status": "done", "outputs": 3}\n', b'{"input": 1}\n'),
    ],
)
def test_a_line_that_no_run_wrote_is_passed_over(line: bytes, tmp_path: Path) -> None:
    with Journal(tmp_path, "results.jsonl") as journal:
        journal.append([entry("a", key="1")])
    with open(tmp_path / "results.jsonl", "ab") as file:
        file.write(line)
    with Journal(tmp_path, "results.jsonl") as journal:
        assert found(journal, "a") == entry("a", key="1")
        assert len(list(journal.latest())) == 1


def test_the_latest_line_counts_and_survives_reopening(tmp_path: Path) -> None:
    odd = "caf\udce9 \n.jpg"
    with Journal(tmp_path, "results.jsonl") as journal:
        journal.append([entry("a", "failed"), entry(odd, key="k" * 5000)])
        journal.append([entry("a", key="1")])
        assert found(journal, "a") == entry("a", key="1")
    with Journal(tmp_path, "results.jsonl") as journal:
        assert found(journal, "a") == entry("a", key="1")
        assert found(journal, odd) == entry(odd, key="k" * 5000)
        assert journal.find("b") is None
        assert len(list(journal.latest())) == 2
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["input"] for line in lines] == ["a", odd, "a"]


@given(st.integers(0, 400))
@settings(max_examples=40)
def test_a_line_cut_short_by_a_crash_is_lost_alone(cut: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Journal(folder, "results.jsonl") as journal:
            journal.append([entry(f"{i}", width=i) for i in range(8)])
        path = folder / "results.jsonl"
        whole = path.read_bytes()
        path.write_bytes(whole[: min(cut, len(whole))])
        kept = whole[: min(cut, len(whole))].count(b"\n")
        with Journal(folder, "results.jsonl") as journal:
            assert len(journal) in (kept, kept + 1)  # a line without its newline is whole if it parses
            journal.append([entry("new")])
            assert found(journal, "new") == entry("new")
        with Journal(folder, "results.jsonl") as journal:
            assert found(journal, "new") == entry("new")
            assert len(journal) in (kept + 1, kept + 2)


SOUND = {
    "input": "a.jpg", "status": "done", "time": 1.5, "path": "/in/a.jpg", "sha256": "1", "key": "2",
    "mask_key": "3", "outputs": {"mask": "masks/a.png"}, "bytes": {"mask": 7}, "reason": "r", "width": 4,
    "earlier": {"cleaned": ["a.jpg", 5, 1.0, None]},
}  # fmt: skip
JSON = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.floats(), st.just(10**400)),
        st.text(st.characters(), max_size=9),  # surrogates and NUL among them
        st.sampled_from(["a.jpg", "\ud800", "../../etc", "/etc/hostname", "x" * 300, "=1+1"]),
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def journal_lines(draw: st.DrawFn) -> bytes:
    """Draw a line that is as a run writes it but for one thing, or that is anything at all."""
    field = draw(st.sampled_from([*SOUND, "new"]))
    value = draw(JSON)
    kind = draw(st.integers(0, 5))
    text = json.dumps({**SOUND, field: value})
    if kind == 0:
        text = text[:-1] + f", {json.dumps(field)}: {json.dumps(value)}" + "}"  # the same key twice
    elif kind == 1:
        text = json.dumps({**SOUND, "outputs": {"mask": value}, "earlier": {"mask": draw(JSON)}})
    elif kind == 2:
        text = json.dumps(value)
    elif kind == 3:
        text = draw(st.sampled_from(["[" * 10**5, '{"time": ' + "9" * 5000 + "}", "", "{}", "\ufeff" + text]))
    line = text.encode("utf-8", "surrogatepass")
    if draw(st.booleans()):
        at = draw(st.integers(0, len(line)))
        line = line[:at] + draw(st.sampled_from([b"", b"\0" * 9, b"\xff\xfe", b"\n", b"}"])) + line[at + 1 :]
    return line + draw(st.sampled_from([b"", b"\n", b"\r\n"]))


@given(st.lists(journal_lines(), min_size=1, max_size=3))
@settings(max_examples=150)
def test_a_journal_of_any_bytes_is_read_and_never_crashes(lines: list[bytes]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name, Output(Path(name)) as output:
        folder = Path(name)
        (folder / "results.jsonl").write_bytes(b"".join(lines))
        for _ in range(2):
            with Journal(folder, "results.jsonl") as journal:
                for latest in [*journal.latest(), journal.find("a.jpg")]:
                    new = {**SOUND, "sha256": "9", "path": "/elsewhere/a.jpg"}
                    if latest is not None:
                        is_done(latest, output.size)
                        with contextlib.suppress(ConfigError):
                            refuse_another(new, latest, output.size)
                    settle(new, latest, output)
                    journal.append([new])
                assert found(journal, "a.jpg")["sha256"] == "9"
                write_csv(journal, folder / "results.csv", output.temp)
        assert {path.name for path in folder.glob("[!.]*")} == {"results.jsonl", "results.csv"}


def test_lines_that_are_passed_over_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Journal(tmp_path, "results.jsonl") as journal:
        journal.append([entry("a"), entry("b"), entry("c")])
    path = tmp_path / "results.jsonl"
    whole = path.read_bytes()
    Journal(tmp_path, None).close()
    assert not caplog.messages
    path.write_bytes(whole[:-9])
    Journal(tmp_path, None).close()
    assert caplog.messages == [f"{path}: line 3 cut short, damaged or of another program: passed over"]
    path.write_bytes(whole.replace(b'"done"', b"7"))
    Journal(tmp_path, None).close()
    assert "line 1 and 2 more cut short" in caplog.messages[-1]


def test_two_runs_cannot_share_a_journal_but_shards_can_read_each_other(tmp_path: Path) -> None:
    with Journal(tmp_path, journal_name((1, 2))) as first:
        first.append([entry("a")])
        with pytest.raises(ConfigError, match="another run"):
            Journal(tmp_path, journal_name((1, 2)))
        with Journal(tmp_path, journal_name((2, 2))) as second:
            second.append([entry("b")])
        with Journal(tmp_path, journal_name(None)) as whole:
            assert whole.find("a") is not None
            assert whole.find("b") is not None


def test_more_journals_than_a_process_may_open_are_read(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    few = len(os.listdir("/proc/self/fd")) + 20
    for shard in range(1, 41):
        with Journal(tmp_path, journal_name((shard, 40))) as journal:
            journal.append([entry(str(shard))])
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, usual[1]))
    try:
        with Journal(tmp_path, journal_name(None)) as whole:
            assert found(whole, "17")["input"] == "17"
            assert len(list(whole.latest())) == 40
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)


def test_what_is_called_like_a_journal_and_is_none_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "results_.jsonl").mkdir()
    os.mkfifo(tmp_path / "results.1of2.jsonl")
    with Journal(tmp_path, journal_name(None)) as journal:
        journal.append([entry("a")])
        assert len(journal.files) == 1


def test_a_journal_that_is_a_link_or_a_pipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "results.jsonl").symlink_to("precious")
    os.mkfifo(tmp_path / "results.1of2.jsonl")
    for shard in (None, (1, 2)):
        with pytest.raises(ImageError, match="where the journal goes"):
            Journal(tmp_path, journal_name(shard))
    assert (tmp_path / "precious").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_a_journal_of_somebody_else_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "results.1of2.jsonl").touch(mode=0)
    with pytest.raises(ImageError, match=r"results.1of2.jsonl: cannot be read: Permission denied"):
        Journal(tmp_path, journal_name(None))


def test_of_several_journals_the_newest_line_counts_also_where_clocks_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["results.jsonl", journal_name((1, 1)), "results.jsonl", journal_name((1, 2))]
    for run, name in enumerate(names):
        monkeypatch.setattr("time.time", lambda run=run: 1e9 - 1000 * run)  # each clock behind the last
        with Journal(tmp_path, name) as journal:
            journal.append([entry("a", key=str(run))])
            assert found(journal, "a")["key"] == str(run)
    for name in names:
        with Journal(tmp_path, name) as journal:
            assert found(journal, "a")["key"] == "3"
            assert [line["key"] for line in journal.latest()] == ["3"]


def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(ImageError, match=r"results.jsonl: cannot be locked: No locks available; .* flock"):
        Journal(tmp_path, "results.jsonl")
    with pytest.raises(ImageError, match=r"No locks available; .* flock"):
        Output(tmp_path)
    assert not list(tmp_path.glob(".unetfast*"))


def test_the_table_has_a_row_a_photo_and_no_formulas(tmp_path: Path) -> None:
    import csv

    with Journal(tmp_path, "results.jsonl") as journal:
        journal.append(
            [entry("=cmd.jpg", outputs={"mask": "masks/x.png"}), entry("b", "failed", reason="why, so")]
        )
        journal.append([entry("b", "done")])
        write_csv(journal, tmp_path / "results.csv")
    rows = list(csv.DictReader((tmp_path / "results.csv").read_text().splitlines()))
    assert [(row["input"], row["status"], row["mask"]) for row in rows] == [
        ("'=cmd.jpg", "done", "masks/x.png"),
        ("b", "done", ""),
    ]


# -- output


def test_temporaries_of_the_dead_are_removed_those_of_the_living_are_not(tmp_path: Path) -> None:
    with Output(tmp_path) as living:
        (living.temp / "half.tmp").write_bytes(b"half")
        dead = tmp_path / ".unetfast-tmp-host-1-aa"
        dead.mkdir()
        (dead / "lock").write_bytes(b"")
        (dead / "half.tmp").write_bytes(b"half")
        killed_before_it_was_locked = tmp_path / ".unetfast-tmp-host-2-bb"
        killed_before_it_was_locked.mkdir()
        with Output(tmp_path) as second:
            assert not dead.exists()
            assert not killed_before_it_was_locked.exists()
            assert (living.temp / "half.tmp").exists()
            assert second.temp != living.temp
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_another_run_removes_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unetfast.pipeline import output as module

    real, calls = module.lock_file, 0

    def lock_file(file: BinaryIO) -> bool:
        nonlocal calls
        calls += 1
        if calls == 1:  # between our opening and our locking it
            shutil.rmtree(Path(file.name).parent)
        return real(file)

    monkeypatch.setattr(module, "lock_file", lock_file)
    with Output(tmp_path) as output:
        assert calls == 2
        assert (output.temp / "lock").exists()


def test_nothing_is_written_through_a_link_that_leads_out(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere")
    with Output(tmp_path / "out") as output:
        with pytest.raises(ImageError, match="leads out"):
            output.put("sub/a.jpg", b"x")
        assert output.put("fine/a.jpg", b"xy") == 2
        assert output.size("fine/a.jpg") == 2
        assert output.size("none") is None
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_output_must_not_lie_in_the_input(tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "alias").symlink_to(tmp_path / "in")
    source = str(tmp_path / "in")
    for output in ("in", "in/sub", "in/new", "alias", "alias/new"):
        with pytest.raises(ConfigError, match="input folder"):
            refuse_overlap(str(tmp_path / output), source)
    refuse_overlap(str(tmp_path / "input2"), source)
    refuse_overlap(str(tmp_path / "in" / "new"), source, inside=False)
    with pytest.raises(ConfigError, match="is the input"):
        refuse_overlap(source, source, inside=False)


def test_the_input_must_not_lie_in_the_output(tmp_path: Path) -> None:
    (tmp_path / "w" / "p").mkdir(parents=True)
    (tmp_path / "alias").symlink_to(tmp_path / "w")
    for output in ("w", "alias", "."):
        for inside in (True, False):
            with pytest.raises(ConfigError, match="lies inside the output folder"):
                refuse_overlap(str(tmp_path / output), str(tmp_path / "w" / "p"), inside=inside)


def test_beside_the_folders_that_are_named_is_room_for_results(tmp_path: Path) -> None:
    monday, tuesday = tmp_path / "monday", tmp_path / "tuesday"
    for folder in (monday, tuesday):
        folder.mkdir()
        (folder / "p.jpg").touch()
    both = [str(monday), str(tuesday)]
    check_places(both, str(tmp_path / "cleaned"))  # in the folder that both share
    check_places([str(monday / "p.jpg"), str(tuesday)], str(monday / "cleaned"))
    for output in (monday, tuesday / "new", tmp_path):
        with pytest.raises(ConfigError, match="the output folder"):
            check_places(both, str(output))


def test_a_picture_is_no_folder_for_results(tmp_path: Path) -> None:
    photo, output = tmp_path / "p.jpg", tmp_path / "clean.JPG"
    photo.touch()
    with pytest.raises(ConfigError, match=r"run - < photo\.jpg -o "):
        check_places([str(photo)], str(output))
    output.mkdir()  # whoever has such a folder means it
    check_places([str(photo)], str(output))


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("s3://b/p", "s3://b/p/"),
        ("s3://b/p", "s3://b"),
        ("s3://b", "s3://b/p"),
        ("file:///w/p", "/w"),
        ("/w/p", "file:///w/./p"),
    ],
)
def test_urls_must_not_lie_in_each_other_either(source: str, output: str) -> None:
    with pytest.raises(ConfigError, match="the output folder"):
        refuse_overlap(output, source)
    refuse_overlap("s3://b/other", source if source != "s3://b" else "gs://b")


# -- budget


def test_large_pictures_are_limited_by_count_small_ones_by_pixels() -> None:
    stop, budget = threading.Event(), Budget(2, 100)
    for _ in range(2):
        budget.acquire(1000, stop)
    entered = threading.Event()

    def third() -> None:
        budget.acquire(1000, stop)
        entered.set()

    thread = threading.Thread(target=third)
    thread.start()
    assert not entered.wait(0.3)
    budget.release(1000)
    assert entered.wait(5)
    thread.join()
    small = Budget(1, 100)
    for _ in range(10):
        small.acquire(10, stop)
    stop.set()
    small.acquire(10, stop)  # a stopped run waits for nothing
