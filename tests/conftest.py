"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the tests out of ``pytest --benchmark-only``, which would skip them one by one."""
    del collection_path
    return True if config.getoption("benchmark_only") else None


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data sets ($UNETFAST_DATA), or skip."""
    folder = Path(os.environ.get("UNETFAST_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "README.md").is_file():
        pytest.skip(f"real data sets are not at {folder}; set UNETFAST_DATA to run this test")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a random generator with a fixed seed."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def unetfast_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the real command line in a process of its own."""

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "unetfast", *map(str, arguments)]
        defaults = {"capture_output": True, "text": True, "timeout": 240, "check": False}
        return subprocess.run(command, **{**defaults, **options})  # type: ignore[call-overload]

    return run
