"""The Ray engine gives the same bytes, also when a worker dies on the way."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from runs import entries, folder_of_photos, settings, tree

from unetfast.pipeline.run import run

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
PHOTOS = 48  # enough that the first are written while the last are not yet read


def kill_a_worker(output: Path, killed: list[int]) -> None:
    """Kill one of Ray's workers (by its id, a child of ours) as soon as there is a result."""
    psutil = pytest.importorskip("psutil")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if any(output.glob("*.png")):
            for child in psutil.Process().children(recursive=True):
                if "MapWorker" in " ".join(child.cmdline()):
                    child.kill()
                    killed.append(child.pid)
                    return
        time.sleep(0.05)


def test_ray_gives_the_same_bytes_though_a_worker_is_killed(tmp_path: Path, model: Path) -> None:
    ray = pytest.importorskip("ray")
    photos = folder_of_photos(tmp_path / "in", PHOTOS, height=700, width=900)
    (photos / "bad.jpg").write_text("text")
    run([str(photos)], tmp_path / "local", settings(), model=model)
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    killed: list[int] = []
    killer = threading.Thread(target=kill_a_worker, args=(tmp_path / "ray", killed))
    killer.start()
    summary = run([str(photos)], tmp_path / "ray", settings(engine="ray", workers=2), model=model)
    killer.join()
    assert killed
    assert (summary.done, summary.failed, summary.exit_code) == (PHOTOS, 1, 3)
    assert tree(tmp_path / "ray") == tree(tmp_path / "local")
    assert entries(tmp_path / "ray")["bad.jpg"]["reason"] == entries(tmp_path / "local")["bad.jpg"]["reason"]
    assert not list((tmp_path / "ray").glob(".unetfast*"))
    again = run([str(photos)], tmp_path / "ray", settings(), model=model)
    assert (again.unchanged, again.done) == (PHOTOS, 0)
