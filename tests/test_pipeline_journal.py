"""What the journal of a run remembers."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unetfast.errors import ConfigError, ImageError
from unetfast.pipeline.earlier import refuse_another, settle
from unetfast.pipeline.journal import Journal, is_done, journal_name, write_csv
from unetfast.pipeline.output import Output

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


def test_nothing_new_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run over a million photos waited for the disk a million times, with nothing to write."""
    waits: list[int] = []
    monkeypatch.setattr(os, "fsync", waits.append)
    with Journal(tmp_path, "results.jsonl") as journal:
        unchanged = [entry("a", "unchanged")]
        assert journal.record(unchanged) == unchanged
        assert waits == []
        journal.record([*unchanged, entry("b")])
        assert len(waits) == 1


def test_the_table_has_a_row_a_photo_and_no_formulas(tmp_path: Path) -> None:
    import csv

    with Journal(tmp_path, "results.jsonl") as journal:
        journal.append(
            [entry("=cmd.jpg", outputs={"mask": "masks/x.png"}), entry("b", "failed", reason="why, so")]
        )
        journal.append([entry("\t=cmd.jpg", outputs={"mask": "masks/y.png"})])
        journal.append([entry("b", "done")])
        write_csv(journal, tmp_path / "results.csv")
    rows = list(csv.DictReader((tmp_path / "results.csv").read_text().splitlines()))
    assert [(row["input"], row["status"], row["mask"]) for row in rows] == [
        ("'=cmd.jpg", "done", "masks/x.png"),
        ("'\t=cmd.jpg", "done", "masks/y.png"),
        ("b", "done", ""),
    ]
