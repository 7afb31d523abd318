"""Benchmarks are collected only by ``pytest --benchmark-only``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Keep a plain ``pytest`` from timing anything."""
    del collection_path
    return None if config.getoption("benchmark_only") else True


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data sets ($UNETFAST_DATA), or skip."""
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("UNETFAST_DATA", root.parent / "shared" / "data"))
    if not (folder / "README.md").is_file():
        pytest.skip(f"real data sets are not at {folder}; set UNETFAST_DATA to run this benchmark")
    return folder
