"""Fixtures shared by tests and benchmarks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data sets ($UNETFAST_DATA), or skip."""
    folder = Path(os.environ.get("UNETFAST_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "README.md").is_file():
        pytest.skip(f"real data sets are not at {folder}; set UNETFAST_DATA to run this test")
    return folder
