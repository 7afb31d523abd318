"""Benchmarks are collected only by ``pytest --benchmark-only``."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Keep a plain ``pytest`` from timing anything."""
    del collection_path
    return None if config.getoption("benchmark_only") else True
