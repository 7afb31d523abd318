"""Input that cannot be processed is named once, and settings that do not go together are refused."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from runs import Command, entries, folder_of_photos, settings, tree

from unetfast.cli.main import main
from unetfast.errors import ConfigError, ImageError
from unetfast.pipeline.run import run

# -- what fails


def bad_folder(folder: Path) -> Path:
    folder_of_photos(folder, 2)
    good = (folder / "p0.png").read_bytes()
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("I am a text\nof two lines")
    (folder / "cut.png").write_bytes(good[: len(good) // 2])
    (folder / "broken.jpg").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.png")
    return folder


def test_bad_files_are_named_once_and_the_rest_is_done(
    tmp_path: Path, model: Path, unetfast_command: Command
) -> None:
    photos = bad_folder(tmp_path / "in")
    done = unetfast_command("run", photos, "--inpaint", "-m", model, "-o", tmp_path / "out", "--threads", 1)
    assert done.returncode == 3, done.stderr
    lines = [line for line in done.stderr.splitlines() if str(photos) in line]
    assert len(lines) == 4, done.stderr
    assert all(line.startswith(str(photos)) for line in lines)
    assert "Traceback" not in done.stderr
    assert "2 photos done, 1 skipped, 4 failed" in done.stdout
    assert "MP/s" in done.stdout
    assert sorted(tree(tmp_path / "out")) == ["p0.png", "p1.png"]
    reasons = {name: line.get("reason", "") for name, line in entries(tmp_path / "out").items()}
    assert "empty" in reasons["empty.jpg"]
    assert "text" in reasons["text.jpg"]
    assert "cut off" in reasons["cut.png"]
    assert "no such file" in reasons["broken.jpg"]
    assert "pipe" in reasons["pipe.png"]


def test_fail_fast_stops_at_the_first(tmp_path: Path, model: Path) -> None:
    photos = bad_folder(tmp_path / "in")
    told: list[dict[str, Any]] = []
    chosen = settings(fail_fast=True, workers=1)
    summary = run([str(photos)], tmp_path / "out", chosen, model=model, on_entry=told.append)
    assert summary.exit_code == 3
    assert summary.failed >= 1
    assert summary.done + summary.failed < 6
    # What was finished while it stopped is told too.
    assert sorted(line["input"] for line in told) == sorted(entries(tmp_path / "out"))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["{in}/none"], 1, "{in}/none: no such file or folder"),
        (["{in}/*.gif"], 1, "{in}/*.gif: no file matches"),
        (["{in}", "-o", "{in}"], 2, "is the input folder"),
        (["{in}", "-o", "{in}/out"], 2, "inside the input folder"),
        (["{in}", "-o", "{in}/.."], 2, "inside the output folder"),
        (["{in}", "-o", "{in}/..", "--dry-run"], 2, "inside the output folder"),
        (["{in}", "--window", "4"], 2, "odd"),
        (["{in}", "--threads", "9999"], 2, "threads must be in 0 .. "),
        (["{in}", "--workers", "9999"], 2, "workers must be in 0 .. "),
        (["{in}", "--tile", "16"], 2, "--tile must be 0 or at least 64"),
        (["{in}", "--max-memory", "1.2.3GB"], 2, "such as 2GB; got '1.2.3GB'"),
        (["{in}", "--dilate", "100000"], 2, "--dilate"),
        (
            ["{in}", "--include", "zzz", "--exclude", "*.gif"],
            1,
            "none is left by --include zzz --exclude *.gif",
        ),
        (["-", "--dry-run"], 2, "--dry-run needs files"),
        (["-", "--overlay"], 2, "--overlay: a photo from standard input has one result"),
        (["-", "--inpaint", "--save-masks"], 2, "--save-masks: a photo from standard input has one result"),
        (["{in}", "--shard", "3/2"], 2, "i/n"),
        (["{in}", "-o", ""], 2, "--output is empty"),
        (["{in}", "-m", "{in}/none.onnx"], 1, "{in}/none.onnx: no such model"),
        (["{in}", "-o", "{in}/p0.png/out"], 2, "inside the input folder"),
        (["{in}/p0.png", "-o", "/proc/none"], 1, "/proc/none: cannot be written"),
        (
            ["{in}/p0.png", "-o", "/dev/null"],
            1,
            "/dev/null: a file, and results go into a folder; name another",
        ),
        (["-", "{in}"], 2, "only input"),
        (["{in}", "--shrad", "1/2"], 2, "--shard"),
    ],
)
def test_bad_input_is_one_clear_line(
    arguments: list[str],
    code: int,
    words: str,
    tmp_path: Path,
    model: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photos = folder_of_photos(tmp_path / "in", 1)
    filled = [argument.replace("{in}", str(photos)) for argument in arguments]
    if "-m" not in filled:
        filled += ["-m", str(model)]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as left:
        main(["run", *filled])
    stderr = capsys.readouterr().err
    assert left.value.code == code, stderr
    assert words.replace("{in}", str(photos)) in stderr
    assert "Traceback" not in stderr
    assert sorted(path.name for path in photos.iterdir()) == ["p0.png"]


def test_an_empty_folder_is_named_with_what_was_passed_over(
    tmp_path: Path, model: Path, unetfast_command: Command
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.HEIC", "b.heic", "notes.txt", "README", "x.\x1b[2J", "c.JPG~"):
        (tmp_path / "in" / name).write_text("x")
    done = unetfast_command("run", tmp_path / "in", "-m", model, "-o", tmp_path / "out")
    assert done.returncode == 1
    passed = "passed over: 6 no image by name (2 without ending, 2 .heic, 1 .jpg~, 1 .txt)"
    assert f"{tmp_path / 'in'}: no photos found; {passed};" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_photo_in_the_output_folder_is_never_replaced(tmp_path: Path, model: Path) -> None:
    photos = folder_of_photos(tmp_path / "in", 1)
    original = folder_of_photos(tmp_path / "out", 1, height=64) / "p0.png"
    (photos / "p0.png").unlink()
    (photos / "p0.png").symlink_to(original)
    before = original.read_bytes()
    for source in (photos, photos / "p0.png"):
        summary = run([str(source)], tmp_path / "out", settings(follow_links=True), model=model)
        assert (summary.done, summary.skipped) == (0, 1)
    assert original.read_bytes() == before


def test_a_vanished_input_is_one_failure(tmp_path: Path, model: Path) -> None:
    photos = folder_of_photos(tmp_path / "in", 3)
    seen: list[str] = []

    def vanish(entry: dict[str, Any]) -> None:
        seen.append(entry["input"])

    from unetfast.pipeline import sources

    original = sources._refusal

    def remove(entry: os.DirEntry[str], inside: str, follow: bool) -> str:
        if entry.name == "p2.png":
            os.unlink(entry.path)
            return ""
        return original(entry, inside, follow)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "_refusal", remove)
        summary = run([str(photos)], tmp_path / "out", settings(), model=model, on_entry=vanish)
    assert (summary.done, summary.failed) == (2, 1)
    assert sorted(seen) == ["p0.png", "p1.png", "p2.png"]


def test_settings_that_do_not_go_together(tmp_path: Path, model: Path) -> None:
    with pytest.raises(ConfigError, match="odd"):
        run([str(tmp_path)], tmp_path / "o", settings(window_px=2), model=model)
    with pytest.raises(ImageError, match="no such file"):
        run([str(tmp_path / "none")], tmp_path / "o", settings(), model=model)
