"""The same output folder again: changed photos, other folders, other settings, failing disks."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from runs import entries, folder_of_photos, photo, settings, tree

from unetfast import imaging
from unetfast.errors import ConfigError, ImageError
from unetfast.pipeline import ray_
from unetfast.pipeline.plan import plan
from unetfast.pipeline.run import run
from unetfast.pipeline.sources import Found, Item
from unetfast.pipeline.stages import Context, Job


def one_photo(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    imaging.write(path, imaging.Picture(photo(seed), path.suffix[1:]))
    return path


def test_the_results_of_another_folder_are_not_replaced(tmp_path: Path, model: Path) -> None:
    first, second, output = tmp_path / "siteA", tmp_path / "siteB", tmp_path / "out"
    one_photo(first / "IMG_0001.png", 1)
    one_photo(second / "IMG_0001.png", 2)
    one_photo(second / "IMG_0002.png", 3)
    run([str(first)], output, settings(), model=model)
    before, journal = tree(output), (output / "results.jsonl").read_bytes()
    for _ in range(2):
        with pytest.raises(ConfigError, match=rf"{second}/IMG_0001.png: .* {first}/IMG_0001.png; choose"):
            run([str(second)], output, settings(workers=1), model=model)
        assert tree(output).items() >= before.items()
        assert journal in (output / "results.jsonl").read_bytes()
    with pytest.raises(ConfigError, match="choose another --output"):
        list(plan([str(second)], str(output), settings(), Found(), model=model))
    assert run([str(first)], output, settings(), model=model).unchanged == 1
    for name in before:
        (output / name).unlink()  # the way out that the message names
    assert run([str(second)], output, settings(), model=model).failed == 0


def test_the_same_photos_under_another_path_are_the_same(tmp_path: Path, model: Path) -> None:
    photos = folder_of_photos(tmp_path / "a", 4)
    shutil.copytree(photos, tmp_path / "mounted")
    (tmp_path / "link").symlink_to(photos)
    done = [
        run([str(tmp_path / name)], tmp_path / "out", settings(shard=f"{i}/2"), model=model).done
        for i, name in ((1, "a"), (2, "mounted"))
    ]
    assert sum(done) == 4
    assert run([str(tmp_path / "mounted")], tmp_path / "out", settings(), model=model).unchanged == 4
    assert run([str(photos)], tmp_path / "out", settings(window_px=9), model=model).done == 4
    one_photo(photos / "p1.png", 99)  # edited in its place, whatever link leads there
    again = run([str(tmp_path / "link")], tmp_path / "out", settings(window_px=9), model=model)
    assert (again.done, again.unchanged) == (1, 3)


def test_results_of_what_a_photo_was_do_not_stay(tmp_path: Path, model: Path) -> None:
    path, output = one_photo(tmp_path / "in" / "a.png", 1), tmp_path / "out"
    run([str(path.parent)], output, settings(overlay=True), model=model)
    run([str(path.parent)], output, settings(save_masks=False), model=model)
    assert sorted(tree(output)) == ["a.png", "masks/a.png", "overlays/a.jpg"]  # nobody asked to remove them
    one_photo(path, 2)
    run([str(path.parent)], output, settings(save_masks=False), model=model)
    assert sorted(tree(output)) == ["a.png"]
    path.write_bytes(path.read_bytes()[:2000])
    assert run([str(path.parent)], output, settings(), model=model).failed == 1
    assert tree(output) == {}


def test_a_mask_that_is_not_the_one_that_was_replaced_is_named(tmp_path: Path, model: Path) -> None:
    path, output = one_photo(tmp_path / "in" / "a.png", 1), tmp_path / "out"
    run([str(path.parent)], output, settings(overlay=True), model=model)
    same = run([str(path.parent)], output, settings(save_masks=False, window_px=9), model=model)
    assert (same.done, same.outdated) == (1, 0)  # another filling of the same pixels
    assert "outdated" not in entries(output)["a.png"]
    other = run([str(path.parent)], output, settings(save_masks=False, dilate_px=5), model=model)
    assert (other.done, other.outdated) == (1, 1)
    assert entries(output)["a.png"]["outdated"] == ["mask", "overlay"]
    back = run([str(path.parent)], output, settings(save_masks=False, overlay=True), model=model)
    assert (back.done, back.outdated) == (1, 0)  # the mask of the first run is right again


def test_what_somebody_else_wrote_there_stays(tmp_path: Path, model: Path) -> None:
    path, output = one_photo(tmp_path / "in" / "a.png", 1), tmp_path / "out"
    run([str(path.parent)], output, settings(), model=model)
    (output / "a.png").write_bytes(b"retouched by hand")
    path.write_text("no picture any more")
    assert run([str(path.parent)], output, settings(), model=model).failed == 1
    assert tree(output) == {"a.png": b"retouched by hand"}


def test_a_new_photo_that_changes_names_leaves_no_old_ones(tmp_path: Path, model: Path) -> None:
    one_photo(tmp_path / "in" / "a.png", 1)
    run([str(tmp_path / "in")], tmp_path / "out", settings(), model=model)
    one_photo(tmp_path / "in" / "a.bmp", 2)
    run([str(tmp_path / "in")], tmp_path / "out", settings(window_px=9), model=model)
    assert sorted(tree(tmp_path / "out")) == ["a.bmp", "a.png", "masks/a.bmp.png", "masks/a.png.png"]


def test_a_photo_on_a_failing_disk_fails_alone_and_keeps_its_results(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, output = folder_of_photos(tmp_path / "in", 3), tmp_path / "out"
    run([str(photos)], output, settings(limit=2), model=model)
    before, bad, real = tree(output), os.stat(photos / "p1.png").st_ino, os.fstat

    def fstat(descriptor: int) -> os.stat_result:
        status = real(descriptor)
        if status.st_ino == bad:
            raise OSError(errno.EIO, "Input/output error")
        return status

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", fstat)
        for unchanged in (1, 2):
            summary = run([str(photos)], output, settings(workers=1), model=model)
            assert (summary.failed, summary.unchanged) == (1, unchanged)
    assert tree(output).items() >= before.items()
    assert entries(output)["p1.png"]["reason"] == f"{photos}/p1.png: cannot be read: Input/output error"
    assert run([str(photos)], output, settings(), model=model).done == 1
    (photos / "p1.png").write_bytes(b"")  # that the reading failed in between changes nothing
    run([str(photos)], output, settings(), model=model)
    assert "p1.png" not in tree(output)


def test_an_output_on_a_failing_disk_stops_the_run(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = folder_of_photos(tmp_path / "in", 3)

    def replace(source: object, target: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(ImageError, match=rf"{tmp_path}/out/.*: cannot be written: Input/output"):
        run([str(photos)], tmp_path / "out", settings(), model=model)


def test_shards_with_other_settings_are_not_taken_for_done(tmp_path: Path, model: Path) -> None:
    """BMP files of one size have one length, whatever is in them."""
    path, output = one_photo(tmp_path / "in" / "b.bmp", 1), tmp_path / "out"
    run([str(path.parent)], output, settings(), model=model)
    first = tree(output)
    assert run([str(path.parent)], output, settings(window_px=31, shard="1/1"), model=model).done == 1
    assert tree(output) != first
    assert run([str(path.parent)], output, settings(), model=model).done == 1
    assert tree(output) == first


def test_what_cannot_be_cleaned_has_its_mask_and_overlay(tmp_path: Path, model: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(photo()).convert("CMYK").save(tmp_path / "in" / "a.jpg", quality=95)
    tifffile.imwrite(tmp_path / "in" / "b.tif", photo(), photometric="rgb", compression="jpeg2000")
    for _ in range(2):
        chosen = settings(overlay=True, jpeg="re-encode")  # CMYK is cleaned block by block only
        summary = run([str(tmp_path / "in")], tmp_path / "out", chosen, model=model)
        assert (summary.done, summary.failed) == (0, 2)
        made = ["masks/a.png", "masks/b.png", "overlays/a.jpg", "overlays/b.jpg"]
        assert sorted(tree(tmp_path / "out")) == made
        lines: dict[str, Any] = entries(tmp_path / "out")
        assert lines["a.jpg"]["outputs"] == {"mask": "masks/a.png", "overlay": "overlays/a.jpg"}
    assert np.asarray(imaging.read_mask(tmp_path / "out" / "masks" / "a.png").values).any()


def test_a_worker_of_ray_refuses_another_photo_s_results_too(tmp_path: Path, model: Path) -> None:
    first, second = (one_photo(tmp_path / name / "a.png", i) for i, name in enumerate(("x", "y")))
    output = str(tmp_path / "out")
    run([str(first.parent)], output, settings(), model=model)
    before = tree(tmp_path / "out")
    job = Job(Item(second, "a.png", "a"), {"input": "a.png", "path": str(second)})
    job.before = entries(tmp_path / "out")["a.png"]
    context = Context(settings(window_px=9), "")
    try:
        row = ray_._read({"job": pickle.dumps(job), "known": ""}, context, output)
        line = json.loads(ray_._finish({**row, "classes": 2}, context, output)["entry"])
    finally:
        ray_._outputs.pop(output).close()
    assert line["status"] == "collision"
    assert f"another photo of that name, {first}" in line["reason"]
    assert tree(tmp_path / "out") == before
