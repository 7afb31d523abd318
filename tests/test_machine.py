"""What a process may use of its machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from unetfast.errors import ConfigError
from unetfast.machine import _limits, available_memory
from unetfast.pipeline.settings import RunSettings

GB = 10**9


@pytest.mark.parametrize(
    ("member", "files", "expected"),
    [
        (
            "0::/slurm/job_7\n",
            {"slurm/job_7/memory.max": "8000000000\n", "slurm/memory.max": "max\n"},
            [8 * GB],
        ),
        ("0::/slurm/job_7\n", {"slurm/job_7/memory.max": "max", "slurm/memory.max": "3000000000"}, [3 * GB]),
        ("0::/\n", {"memory.max": "5000000000"}, [5 * GB]),  # within a container
        (
            "5:cpu,cpuacct:/a\n4:memory:/a/b\n0::/\n",
            {"memory/a/b/memory.limit_in_bytes": "4000000000", "a/memory.max": "1"},
            [4 * GB],
        ),
        ("4:memory:/of/the/host\n", {"memory/memory.limit_in_bytes": "6000000000"}, [6 * GB]),
        ("0::/\n", {}, []),
    ],
)
def test_limits_of_the_groups_around_a_process(
    tmp_path: Path, member: str, files: dict[str, str], expected: list[int]
) -> None:
    (tmp_path / "cgroup").write_text(member, encoding="utf-8")
    for name, text in files.items():
        path = tmp_path / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert _limits(tmp_path / "fs", tmp_path / "cgroup") == expected
    assert _limits(tmp_path / "fs", tmp_path / "none") == []


@pytest.mark.parametrize(
    ("memory", "expected"), [(1, 0.5), (3, 1.5), (4, 2), (6, 2), (12, 3), (64, 16), (512, 16), (None, 2)]
)
def test_a_run_takes_a_quarter_but_not_all_of_a_small_machine(
    monkeypatch: pytest.MonkeyPatch, memory: int | None, expected: float
) -> None:
    monkeypatch.setattr("unetfast.pipeline.settings.available_memory", lambda: memory and memory * GB)
    assert RunSettings().memory_bytes() == expected * GB
    assert RunSettings(engine="ray").memory_bytes() == 2 * GB


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="this system does not say how much memory it has")
def test_a_run_takes_a_quarter_of_the_memory() -> None:
    memory = available_memory()
    assert memory is not None
    assert RunSettings().memory_bytes() == min(max(memory // 4, 2 * GB), memory // 2, 16 * GB)
    assert RunSettings(engine="ray").memory_bytes() == 2 * GB
    assert RunSettings(max_memory="500MB").memory_bytes() == GB // 2
    with pytest.raises(ConfigError, match="max_memory must be a number with a unit"):
        RunSettings(max_memory="much").memory_bytes()
