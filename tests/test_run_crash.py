"""Whatever ends a run, no partial file is left and the next run completes it."""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from runs import entries, folder_of_photos, settings, tree

from unetfast import imaging
from unetfast.cli.run import _stopped_by_signals
from unetfast.errors import BackendError, ImageError
from unetfast.pipeline.run import run
from unetfast.segment import Segmenter

PHOTOS = 24


def command(photos: Path, output: Path, model: Path) -> list[str]:
    arguments = ["run", photos, "--inpaint", "--save-masks", "-m", model, "-o", output, "--threads", "1"]
    return [sys.executable, "-m", "unetfast", *map(str, arguments)]


def wait_for_a_result(process: subprocess.Popen[str], output: Path) -> None:
    """Wait until the process has written to the journal, or has ended."""
    journal = output / "results.jsonl"
    size = journal.stat().st_size if journal.is_file() else 0
    deadline = time.monotonic() + 60
    while process.poll() is None and (not journal.is_file() or journal.stat().st_size <= size):
        assert time.monotonic() < deadline
        time.sleep(0.002)


def assert_whole(output: Path) -> None:
    """Every file under its final name decodes, and every line's files are there."""
    for name in tree(output):
        if not name.startswith(".unetfast"):
            imaging.read(output / name)


def killed_until_done(kills: int, photos: Path, output: Path, model: Path) -> None:
    """Start the same command again and again, killing it at a random moment, then let it finish."""
    randomly, amid = random.Random(kills), 0
    for _ in range(kills):
        there = [output / name for name in (tree(output) if output.is_dir() else ()) if "/" not in name]
        for path in randomly.sample(there, min(len(there), PHOTOS // 2)):
            path.unlink()  # so that there is always work to be killed in
        process = subprocess.Popen(command(photos, output, model), stderr=subprocess.DEVNULL, text=True)
        wait_for_a_result(process, output)
        time.sleep(randomly.uniform(0, 0.2))
        amid += process.poll() is None
        process.kill()
        process.wait()
        assert_whole(output)
    assert amid > kills // 2
    done = subprocess.run(command(photos, output, model), capture_output=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    assert not list(output.glob(".unetfast*"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of_photos(tmp_path_factory.mktemp("photos") / "in", PHOTOS, height=400, width=500)


@pytest.mark.parametrize("kills", [4, pytest.param(24, marks=pytest.mark.slow)])
def test_killed_runs_leave_whole_files_and_finish_byte_identical(
    kills: int, photos: Path, tmp_path: Path, model: Path
) -> None:
    run([str(photos)], tmp_path / "uninterrupted", settings(), model=model)
    killed_until_done(kills, photos, tmp_path / "killed", model)
    assert tree(tmp_path / "killed") == tree(tmp_path / "uninterrupted")
    assert all(line["status"] == "done" for line in entries(tmp_path / "killed").values())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_130_and_keeps_what_is_done(
    number: signal.Signals, photos: Path, tmp_path: Path, model: Path
) -> None:
    output = tmp_path / "out"
    # These tests may have been started under nohup, which a run respects.
    before = signal.signal(number, signal.SIG_DFL)
    process = subprocess.Popen(
        command(photos, output, model), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    signal.signal(number, before)
    wait_for_a_result(process, output)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=90)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "interrupted; what was finished is kept" in stdout
    assert_whole(output)
    assert not list(output.glob(".unetfast*"))
    done = [line for line in entries(output).values() if line["status"] == "done"]
    assert 0 < len(done) < PHOTOS
    assert len(tree(output)) == 2 * len(done)
    again = run([str(photos)], output, settings(), model=model)
    assert (again.done, again.unchanged) == (PHOTOS - len(done), len(done))


def test_a_signal_while_libraries_are_loaded_ends_a_run_as_any_other() -> None:
    def load_a_library(*, number: int | None) -> None:
        try:
            if number is not None:
                signal.raise_signal(number)
        except KeyboardInterrupt as exc:
            raise ImportError("initialization failed") from exc  # as pybind11 does
        raise ImportError("not there")

    with pytest.raises(KeyboardInterrupt), _stopped_by_signals():
        load_a_library(number=signal.SIGTERM)
    with pytest.raises(ImportError, match="not there"), _stopped_by_signals():
        load_a_library(number=None)


def test_a_terminal_that_closes_does_not_end_a_run_under_nohup(
    photos: Path, tmp_path: Path, model: Path
) -> None:
    output = tmp_path / "out"
    process = subprocess.Popen(
        ["nohup", *command(photos, output, model)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for_a_result(process, output)
    process.send_signal(signal.SIGHUP)
    stdout, stderr = process.communicate(timeout=90)
    assert process.returncode == 0, stderr
    assert f"{PHOTOS} photos done, 0 failed" in stdout


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_log_that_nobody_reads_any_more_does_not_end_a_run(
    unbuffered: str, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    photos = folder_of_photos(tmp_path / "in", 3)
    (photos / "bad.jpg").write_bytes(b"")  # something to say on standard error
    gone, pipe = os.pipe()
    os.close(gone)  # as after `| head`
    done = subprocess.run(
        [*command(photos, tmp_path / "out", model), "--profile"], stdout=pipe, stderr=pipe, check=False
    )
    assert done.returncode == 3
    assert [line["status"] for line in entries(tmp_path / "out").values()].count("done") == 3
    (photos / "bad.jpg").unlink()
    for more in ([], ["--dry-run"]):
        done = subprocess.run(
            [*command(photos, tmp_path / "out", model), *more],
            stdout=pipe,
            stderr=subprocess.PIPE,
            check=False,
        )
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    os.close(pipe)


def test_a_full_disk_is_one_clear_line(photos: Path, tmp_path: Path, model: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        done = subprocess.run(
            command(photos, disk / "out", model), capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("unetfast: ")]
        assert "No space left on device" in line
        assert line.startswith(f"unetfast: {disk}")
        assert "Traceback" not in done.stderr
        assert_whole(disk / "out")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_failing_disk_stops_the_run_and_keeps_what_is_done(
    photos: Path, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shim for machines where no small disk can be mounted: the 20th fsync finds it full."""
    real, calls = os.fsync, []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) >= 20:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(ImageError, match="No space left on device"):
        run([str(photos)], tmp_path / "out", settings(), model=model)
    monkeypatch.setattr(os, "fsync", real)
    assert_whole(tmp_path / "out")
    assert not list((tmp_path / "out").glob(".unetfast*"))
    summary = run([str(photos)], tmp_path / "out", settings(), model=model)
    assert summary.done + summary.unchanged == PHOTOS


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_an_error(photos: Path, tmp_path: Path, model: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(ImageError, match="cannot be written"):
        run([str(photos)], tmp_path / "out", settings(), model=model)


def test_a_signal_while_the_journal_is_written_loses_no_line_of_it(
    photos: Path, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, output, sent = os.fsync, tmp_path / "out", threading.Event()

    def fsync(descriptor: int) -> None:
        real(descriptor)
        journal = output / "results.jsonl"
        if not sent.is_set() and os.path.samestat(os.fstat(descriptor), journal.stat()):
            sent.set()
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(os, "fsync", fsync)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        summary = run([str(photos)], output, settings(), model=model)
    finally:
        signal.signal(signal.SIGINT, before)
    with open(output / "results.csv", newline="", encoding="utf-8") as table:
        rows = {row["input"] for row in csv.DictReader(table)}
    written = entries(output)
    assert summary.interrupted
    assert 0 < summary.done == len(written) == len(list(output.glob("*.png")))
    assert rows == written.keys()


def test_a_signal_that_another_thread_takes_ends_a_run_in_time(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = folder_of_photos(tmp_path / "in", 1)
    over = threading.Event()

    def large_photo(self: Segmenter, images: Any) -> Any:
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        over.wait(60)
        raise BackendError("it took too long")

    monkeypatch.setattr(Segmenter, "segment_all", large_photo)
    monkeypatch.setattr("unetfast.pipeline.run.JOIN_S", 0.1)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    begun = time.monotonic()
    try:
        summary = run([str(photos)], tmp_path / "out", settings(), model=model)
    finally:
        signal.signal(signal.SIGINT, before)
    over.set()
    assert (summary.interrupted, summary.ended, summary.exit_code) == (True, False, 130)
    assert time.monotonic() - begun < 50
