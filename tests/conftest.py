"""Fixtures shared by all tests; what benchmarks need too is in the conftest.py above."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]

# A busy machine is slow now and then, and what these tests prove has no clock.
hypothesis.settings.register_profile("unetfast", deadline=None)
hypothesis.settings.load_profile("unetfast")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the tests out of ``pytest --benchmark-only``, which would skip them one by one."""
    del collection_path
    return True if config.getoption("benchmark_only") else None


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an ONNX model whose answer is known; see darkness_model.py."""
    from darkness_model import write_darkness_model

    return write_darkness_model(tmp_path_factory.mktemp("model") / "dark.onnx")


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the root of the checkout."""
    return ROOT


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a random generator with a fixed seed."""
    return np.random.default_rng(0)


@pytest.fixture
def command_here(
    capfd: pytest.CaptureFixture[str],
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the real command line in this process, which has imported torch already."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        from unetfast.cli.main import main

        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in arguments])
        shown = capfd.readouterr()
        code = left.value.code
        assert isinstance(code, int)
        return subprocess.CompletedProcess(arguments, code, shown.out, shown.err)

    return run


@pytest.fixture(scope="session")
def unetfast_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the real command line in a process of its own."""

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "unetfast", *map(str, arguments)]
        defaults = {"capture_output": True, "text": True, "timeout": 240, "check": False}
        return subprocess.run(command, **{**defaults, **options})  # type: ignore[call-overload]

    return run
