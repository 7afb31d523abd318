"""What a program that uses the package meets first."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "line",
    [
        "print(unetfast.imaging.read)",  # as the errors say that a file is read
        "from unetfast import *; print(imaging.read, load, inpaint, errors.InputError)",
    ],
)
def test_every_public_name_is_there_without_further_imports(line: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import unetfast; {line}"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
