"""The notebook in examples/ runs from the first cell to the last."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_train_and_inspect(root: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "train_and_inspect.ipynb", tmp_path / "executed.ipynb"
    shutil.copy(root / "examples" / source.name, source)  # it writes into its own folder
    command = tmp_path / "bin" / "unetfast"  # this checkout's, whatever is installed
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m unetfast "$@"\n')
    command.chmod(0o755)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", str(source)),
            *("--output", str(out), "--ExecutePreprocessor.timeout=280"),
        ],
        capture_output=True,
        text=True,
        timeout=290,
        env={**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}", "PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    cells = json.loads(out.read_text())["cells"]
    assert all(cell["execution_count"] for cell in cells if cell["cell_type"] == "code")
    pictures = [o for cell in cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(pictures) == 4
    cleaned = {path.name for path in (tmp_path / "cleaned").iterdir() if path.is_file()}
    assert {path.name for path in (tmp_path / "photos").iterdir()} <= cleaned


def test_the_notebook_is_stored_without_outputs(root: Path) -> None:
    cells = json.loads((root / "examples" / "train_and_inspect.ipynb").read_text())["cells"]
    assert not any(cell.get("outputs") for cell in cells)
