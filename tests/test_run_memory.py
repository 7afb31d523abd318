"""Memory is set by the workers and the largest photo, not by how many photos there are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from runs import photo

from unetfast import imaging


def peak_mb(photos: Path, output: Path, model: Path) -> float:
    """Return the peak resident memory of a run in a process of its own, in MB."""
    code = (
        "import resource\nfrom pathlib import Path\nfrom unetfast.pipeline.run import run\n"
        "from unetfast.pipeline.settings import RunSettings\n"
        "s = RunSettings(inpaint=True, save_masks=True, workers=2, threads=1, batch=1)\n"
        f"done = run([{str(photos)!r}], Path({str(output)!r}), s, model={str(model)!r})\n"
        "assert not done.failed\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def linked(folder: Path, count: int, pictures: list[Path]) -> Path:
    folder.mkdir()
    for i in range(count):
        os.link(pictures[i % len(pictures)], folder / f"{i}.jpg")
    return folder


@pytest.mark.slow
def test_peak_memory_is_the_same_for_more_photos(tmp_path: Path, model: Path) -> None:
    # 1 MP each: 32 are in flight at once; after some 200 all stages have had as many as they ever have.
    few, many, side = 300, 900, 1000
    pictures = [tmp_path / f"{i}.jpg" for i in range(3)]
    for i, path in enumerate(pictures):
        imaging.write(path, imaging.Picture(photo(i, side, side), "jpeg"))
    small = peak_mb(linked(tmp_path / "few", few, pictures), tmp_path / "o1", model)
    large = peak_mb(linked(tmp_path / "many", many, pictures), tmp_path / "o2", model)
    assert large < 1.1 * small, f"{few} photos: {small:.0f} MB, {many} photos: {large:.0f} MB"
