"""The command group: help, errors, exit codes."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from unetfast import errors
from unetfast.cli import main as main_module
from unetfast.cli.main import COMMANDS, cli
from unetfast.cli.options import from_command_line, settings_options
from unetfast.errors import ConfigError, MissingDependencyError
from unetfast.registry import Registry
from unetfast.settings import Settings, from_mapping, from_toml, setting, to_toml

Command = Callable[..., CompletedProcess[str]]


@dataclasses.dataclass(frozen=True)
class Paint(Settings):
    """Settings as a command has them."""

    width_px: int = setting(15, "Window.", low=1, high=99)
    colour: str = setting("red", "Colour.", choices=("red", "blue"))
    gloss: float = setting(0.5, "Gloss.", low=0.0, high=1.0)
    dry: bool = setting(False, "Dry?")
    layers: tuple[str, ...] = setting((), "Layers.")
    where: Path | None = setting(None, "Where.", type=Path, flag="-w/--where")


@pytest.mark.parametrize("name", list(COMMANDS))
def test_help_of_every_command_explains_and_shows_an_example(name: str) -> None:
    done = CliRunner().invoke(cli, [name, "--help"])
    assert done.exit_code == 0, done.output
    assert "Example" in done.output
    assert "--verbose" in done.output


def test_misspelt_command_is_a_usage_error_with_a_suggestion(unetfast_command: Command) -> None:
    done = unetfast_command("trian", "data")
    assert done.returncode == 2
    assert "did you mean 'train'?" in done.stderr


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (errors.ConfigError("x"), 2),
        (errors.ImageError("x"), 1),
        (errors.ParityError("x"), 4),
        (KeyboardInterrupt(), 130),
        (MemoryError(), 1),
        (ZeroDivisionError("x"), 1),
    ],
)
def test_errors_become_one_line_and_an_exit_code(
    raised: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(main_module.cli, "main", fail)
    with pytest.raises(SystemExit) as left:
        main_module.main(["anything"])
    assert left.value.code == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("unetfast: ")


def test_a_current_folder_that_was_deleted_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = (
        f"import os, sys; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r}); "
        f"from unetfast.cli.main import main; main(['run', {str(tmp_path)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "unetfast: the current folder no longer exists; cd into one that does\n",
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_standard_output_that_takes_nothing_is_one_line(unbuffered: str) -> None:
    command = [sys.executable, "-m", "unetfast", "info", "crack"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == b"unetfast: standard output cannot be written: No space left on device\n"


def test_verbose_shows_the_traceback(unetfast_command: Command, tmp_path: Path) -> None:
    missing = tmp_path / "none.onnx"
    plain = unetfast_command("info", missing)
    assert plain.returncode == 1
    assert plain.stderr.startswith(f"unetfast: {missing}")
    assert "Traceback" not in plain.stderr
    assert "Traceback" in unetfast_command("info", missing, "--verbose").stderr


def test_registry_suggests_and_imports_late() -> None:
    registry = Registry("codec", {"json": "json:dumps", "absent": "no_such_module:x"})
    assert registry["json"]([1]) == "[1]"
    assert "absent" in registry
    with pytest.raises(ConfigError, match=r"unknown codec 'jsno'; did you mean 'json'\?"):
        registry["jsno"]


def test_require_names_the_extra() -> None:
    with pytest.raises(MissingDependencyError, match=r"pip install 'unetfast\[train\]'"):
        errors.require("surely_not_installed.sub", "train")


def test_command_line_wins_over_file_over_default(tmp_path: Path) -> None:
    file = tmp_path / "paint.toml"
    file.write_text('width-px = 21\ncolour = "blue"\n')
    merged = from_command_line(Paint, {"width_px": 33, "colour": None, "layers": ()}, file)
    assert (merged.width_px, merged.colour, merged.gloss) == (33, "blue", 0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wdith_px = 3", "unknown setting 'wdith_px'; did you mean 'width_px'?"),
        ("width_px = 0", "width_px must be in 1 .. 99; got 0"),
        ("width_px = true", "width_px must be int"),
        ('colour = "rde"', "did you mean 'red'?"),
        ("width_px = ", "not a TOML file"),
        ("[paint]\nwidth_px = 3", "unknown setting 'paint'; settings belong at the top of the file"),
        ("layers = [1, 2]", "layers must be a list of strings; got [1, 2]"),
    ],
)
def test_bad_configuration_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "paint.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        from_command_line(Paint, {}, file)
    assert str(raised.value).startswith(f"{file}: ")
    assert message in str(raised.value)


@given(
    st.builds(
        Paint,
        width_px=st.integers(1, 99),
        colour=st.sampled_from(["red", "blue"]),
        gloss=st.floats(0, 1),
        dry=st.booleans(),
        layers=st.lists(st.text(st.characters(exclude_categories=["Cs"]))).map(tuple),
        where=st.none() | st.sampled_from([Path("a b"), Path('q"\\\n.png')]),
    )
)
def test_settings_survive_toml(paint: Paint) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "args.toml"
        file.write_text(to_toml(paint), encoding="utf-8", newline="")
        assert from_mapping(Paint, from_toml(file), "file") == paint


def test_settings_become_options() -> None:
    @click.command()
    @settings_options(Paint)
    def paint(**said: object) -> None:
        click.echo(from_command_line(Paint, said))

    done = CliRunner().invoke(
        paint, ["--width-px", "21", "--dry", "--layers", "a", "--layers", "b", "-w", "x"]
    )
    assert done.exit_code == 0, done.output
    assert "width_px=21" in done.output
    assert "layers=('a', 'b')" in done.output
    assert "dry=True" in done.output
    assert CliRunner().invoke(paint, ["--width-px", "100"]).exit_code == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--loss", "bce+dicee"], "unknown loss 'dicee'; did you mean 'dice'?"),
        (["--device", "cuda:99"], "device cuda:99: torch sees"),
        (["--device", "cpu", "--amp", "fp16"], "amp fp16 needs CUDA"),
        (["--device", "cpu", "--batch", "auto"], "batch auto needs a CUDA device"),
        (["-o", "."], ".: holds a training run already; go on with it"),
        (["-o", "args.toml/out"], "args.toml/out: this folder cannot be made: Not a directory"),
        (["--lr", "nan"], "lr must be in 1e-09 .. 100.0; got nan"),
        (["--config", "paint.toml"], "paint.toml: logger must be one of tensorboard"),
    ],
)
def test_slips_are_found_before_the_data_is_read(
    options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("args.toml").touch()
    Path("paint.toml").write_text('logger = "tensorbord"\n')
    with pytest.raises(ConfigError) as raised:
        main_module.cli.main(["train", "there_is_no_data", *options], standalone_mode=False)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"width_px": 0}, "width_px must be in 1 .. 99; got 0"),
        ({"width_px": "9"}, "width_px must be int; got '9'"),
        ({"width_px": None}, "width_px must be int; got None"),
        ({"gloss": float("nan")}, "gloss must be in 0.0 .. 1.0; got nan"),
        ({"colour": "rde"}, "colour must be one of red, blue; got 'rde', did you mean 'red'?"),
    ],
)
def test_settings_made_in_python_are_checked_too(said: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Paint(**said)
    assert str(raised.value).startswith(message.partition(", did")[0])
    paint = Paint(width_px=np.int64(7), gloss=1, layers="a", where="x")  # type: ignore[arg-type]
    assert paint == Paint(7, gloss=1.0, layers=("a",), where=Path("x"))
    assert isinstance(paint.gloss, float)
