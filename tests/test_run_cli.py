"""How ``unetfast run`` behaves as a command: pipes, dry runs, profiles, logs, privacy."""

from __future__ import annotations

import importlib
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from darkness_model import darkness
from PIL import Image
from runs import Command, folder_of_photos, photo, settings, tree

import unetfast
from unetfast import imaging
from unetfast.inpainting.mask import dilate
from unetfast.pipeline.run import run


def test_a_pipe_in_a_pipe_out(tmp_path: Path, model: Path) -> None:
    data = io.BytesIO()
    Image.fromarray(photo()).save(data, "PNG")
    command = [sys.executable, "-m", "unetfast", "run", "-", "--inpaint", "-m", str(model)]
    done = subprocess.run(
        command, input=data.getvalue(), capture_output=True, timeout=120, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    wanted = unetfast.inpaint(photo(), dilate(darkness(photo()), 2), 0)
    assert np.array_equal(imaging.read(done.stdout).pixels, wanted)
    bad = subprocess.run(command, input=b"no image", capture_output=True, timeout=120, check=False)
    assert bad.returncode == 1
    assert b"<stdin>: not an image" in bad.stderr
    assert bad.stdout == b""
    assert list(tmp_path.iterdir()) == []
    with open("/dev/full", "wb") as full:
        lost = subprocess.run(
            command, input=data.getvalue(), stdout=full, stderr=subprocess.PIPE, timeout=120, check=False
        )
    assert lost.returncode == 1
    assert lost.stderr == b"unetfast: <stdout>: cannot be written: No space left on device\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_pipe_that_is_closed_amid_the_result_is_an_error(unbuffered: str, model: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)  # more than a pipe holds
    command = [sys.executable, "-m", "unetfast", "run", "-", "--inpaint", "-m", str(model)]
    pipe = subprocess.PIPE
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(imaging.encode(imaging.Picture(noise, "png")))
        process.stdin.close()
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b"unetfast: <stdout>: cannot be written: Broken pipe\n"
    assert process.returncode == 1


def test_a_result_of_a_pipe_is_called_what_it_is(tmp_path: Path, model: Path) -> None:
    data = imaging.encode(imaging.Picture(photo(), "jpeg"))
    for inpaint, name, wanted in ((["--inpaint"], "a.png", "a.jpg"), ([], "a.jpg", "a.png")):
        command = [sys.executable, "-m", "unetfast", "run", "-", *inpaint, "-m", str(model), "-o", name]
        done = subprocess.run(
            command, input=data, capture_output=True, timeout=120, check=False, cwd=tmp_path
        )
        assert done.returncode == 2
        assert f"call it {wanted}\n".encode() in done.stderr
        assert list(tmp_path.iterdir()) == []


def test_standard_files_that_are_closed_change_nothing(tmp_path: Path, model: Path) -> None:
    photos = folder_of_photos(tmp_path / "in", 1)
    run([str(photos)], tmp_path / "wanted", settings(), model=model)
    command = f"{sys.executable} -m unetfast run {photos} -m {model} --inpaint --save-masks -o {tmp_path}/out"
    done = subprocess.run(f"{command} <&- >&- 2>&-", shell=True, timeout=120, check=False)
    assert done.returncode == 0
    assert tree(tmp_path / "out") == tree(tmp_path / "wanted")
    command = f"{sys.executable} -m unetfast run - -m {model}"
    for closed, reason in (("<&-", "<stdin>: the file is empty"), (">&-", "standard output is closed")):
        done = subprocess.run(
            f"{command} {closed}", shell=True, stderr=subprocess.PIPE, timeout=120, check=False, text=True
        )
        assert done.returncode != 0
        assert reason in done.stderr


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_names_that_standard_output_cannot_encode_end_nothing(
    encoding: str, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a log is not in UTF-8, and where a name is not."""
    monkeypatch.setenv("PYTHONIOENCODING", f"{encoding}:strict")
    photos = folder_of_photos(tmp_path / "in", 1)
    (photos / "p0.png").rename(photos / "\u6f22.png")
    output = os.fsdecode(os.fsencode(tmp_path / "out\u6f22") + b"\xff")
    command = [sys.executable, "-m", "unetfast", "run", str(photos), "-m", str(model), "-o", output]
    for more, words in (
        (["--dry-run"], "1 to process"),
        ([], "1 photo done"),
        (["--dry-run"], "1 done already"),
    ):
        done = subprocess.run([*command, *more], capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert words.encode() in done.stdout + done.stderr


def test_a_picture_is_not_written_to_a_terminal(model: Path) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "unetfast", "run", "-", "-m", str(model)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE, timeout=120, check=False
    )
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 2
    assert b"redirect standard output" in done.stderr


def test_dry_run_lists_and_writes_nothing(tmp_path: Path, unetfast_command: Command) -> None:
    photos = folder_of_photos(tmp_path / "in", 3)
    done = unetfast_command("run", photos, "--dry-run", "--limit", 2, "-o", tmp_path / "out", "--inpaint")
    assert done.returncode == 0, done.stderr
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    assert lines == [["new", f"{photos}/p{i}.png -> {tmp_path}/out/p{i}.png"] for i in range(2)]
    assert not (tmp_path / "out").exists()


def test_dry_run_says_what_is_done_and_why_the_rest_is_not(
    tmp_path: Path, model: Path, unetfast_command: Command
) -> None:
    photos = folder_of_photos(tmp_path / "in", 4)
    command = ("run", photos, "-o", tmp_path / "out", "--inpaint", "-m", model)
    assert unetfast_command(*command, "--limit", 3).returncode == 0
    (tmp_path / "out" / "p1.png").unlink()
    imaging.write(photos / "p2.png", imaging.Picture(photo(99), "png"))
    before = tree(tmp_path / "out")
    dry = unetfast_command(*command, "--dry-run")
    assert [line[:7].strip() for line in dry.stdout.splitlines()] == ["done", "again", "again", "new"]
    assert "p1.png (a result is missing or was changed)" in dry.stdout
    assert "p2.png (the photo changed)" in dry.stdout
    assert "photos: 1 to process, 2 to process again, 1 done already" in dry.stderr
    other = unetfast_command(*command, "--dry-run", "--dilate", 5)
    assert "p0.png (the settings, the model or the version changed)" in other.stdout
    assert tree(tmp_path / "out") == before


def test_run_never_imports_torch(tmp_path: Path, model: Path) -> None:
    photos = folder_of_photos(tmp_path / "in", 1)
    code = (
        "import sys\nfrom unetfast.cli.main import main\n"
        f"try: main(['run', {str(photos)!r}, '-m', {str(model)!r}, '-o', {str(tmp_path / 'o')!r}])\n"
        "except SystemExit as exc: assert exc.code == 0, exc.code\n"
        "sys.exit(' '.join({'torch', 'matplotlib', 'onnx', 'ray'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_nothing_is_kept_or_sent_about_the_use(
    backend: str, tmp_path: Path, model: Path, unetfast_command: Command
) -> None:
    """The runtimes leave an identity for their reports in the home folder, unless they are told not to."""
    pytest.importorskip(backend)
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "XDG_CACHE_HOME")}
    photos = folder_of_photos(tmp_path / "in", 1)
    done = unetfast_command(
        *("run", photos, "-m", model, "-o", tmp_path / "out", "--backend", backend),
        env={**kept, "HOME": str(home)},
    )
    assert done.returncode == 0, done.stderr
    assert not list(home.rglob("*"))


def test_ray_is_kept_from_reporting_its_use() -> None:
    """The import of unetfast makes the difference; whoever has set the variable decides."""
    pytest.importorskip("ray")
    asked = "from ray._common.usage.usage_lib import usage_stats_enabled as asked; print(asked())"
    plain = {name: value for name, value in os.environ.items() if name != "RAY_USAGE_STATS_ENABLED"}
    said = [
        subprocess.run(
            [sys.executable, "-c", f"import {first}; {asked}"],
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout.split()[-1]
        for first, env in (
            ("os", plain),
            ("unetfast", plain),
            ("unetfast", {**plain, "RAY_USAGE_STATS_ENABLED": "1"}),
        )
    ]
    assert said == ["True", "False", "True"]


def test_profile_shows_every_stage(tmp_path: Path, model: Path, unetfast_command: Command) -> None:
    photos = folder_of_photos(tmp_path / "in", 2)
    done = unetfast_command("run", photos, "--profile", "-m", model, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    for stage in ("read", "network", "clean", "write"):
        assert any(line.startswith(stage) for line in done.stdout.splitlines())


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    command = sys.modules.get("unetfast.cli.run") or importlib.import_module("unetfast.cli.run")
    monkeypatch.setattr(command, "TELL_EVERY_S", 0.0)
    out = io.StringIO()
    tell = command._teller(Console(file=out))
    for status in ("done", "done", "failed"):
        tell({"status": status})
    assert out.getvalue().splitlines()[-1].endswith(" s: 2 done, 1 failed")
