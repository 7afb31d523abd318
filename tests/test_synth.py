"""The generator of cracks: same seed, same picture; masks that say where the crack is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from unetfast import imaging
from unetfast.data.synth import draw, scenes
from unetfast.data.synth.cracks import Strand, cracked, network, rasterise, single
from unetfast.data.synth.distractors import DISTRACTORS
from unetfast.data.synth.folder import read_photos, write_scenes
from unetfast.data.synth.scenery import LAYERS, scenery
from unetfast.data.synth.surfaces import SURFACES, surface
from unetfast.errors import ConfigError, DatasetError

SIZE = 128


def test_same_seed_same_pictures_on_any_number_of_workers() -> None:
    alone = list(scenes(6, 3, SIZE))
    shared = list(scenes(6, 3, SIZE, workers=2))
    for (image, mask), (again, mask_again) in zip(alone, shared, strict=True):
        np.testing.assert_array_equal(image, again)
        np.testing.assert_array_equal(mask, mask_again)
    other, _ = next(scenes(1, 4, SIZE))
    assert not np.array_equal(other, alone[0][0])


_SCRIPT = """
from unetfast.data.synth import scenes
for image, mask in scenes({count}, 0, 64, workers=2):
    print("drawn", flush=True)
"""


@pytest.mark.parametrize("given", ["file", "stdin"])
def test_a_script_that_its_processes_cannot_import_ends_with_the_reason(given: str, tmp_path: Path) -> None:
    script = _SCRIPT.format(count=4)
    (tmp_path / "script.py").write_text(script)
    command = [sys.executable, *(["script.py"] if given == "file" else ["-"])]
    done = subprocess.run(command, input=script, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "drawn" not in done.stdout
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("unetfast.errors.BackendError: ")
    assert 'under if __name__ == "__main__":' in last


def test_processes_that_draw_end_with_the_one_that_was_killed(tmp_path: Path) -> None:
    guarded = "if __name__ == '__main__':" + _SCRIPT.format(count=10**6).replace("\n", "\n ")
    (tmp_path / "script.py").write_text(guarded)
    with subprocess.Popen(
        [sys.executable, "script.py"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as script:
        assert script.stdout is not None
        assert script.stdout.readline() == b"drawn\n"
        workers = psutil.Process(script.pid).children()
        assert len(workers) >= 2
        os.kill(script.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive


def test_pictures_are_rgb_and_masks_binary() -> None:
    shares = []
    for image, mask in scenes(30, 0, SIZE):
        assert image.shape == (SIZE, SIZE, 3)
        assert image.dtype == np.uint8
        assert mask.shape == (SIZE, SIZE)
        assert mask.dtype == np.uint8
        assert mask.max() <= 1
        shares.append(mask.mean())
    assert 0.3 < np.mean(np.array(shares) > 0) < 1.0
    assert 0.01 < np.mean(shares) < 0.25


def test_roads_seen_from_near_have_wide_cracks_and_bare_stones_none() -> None:
    for image, mask in scenes(4, 3, 96, subject="rough road"):
        assert image.shape == (96, 96, 3)
        assert set(np.unique(mask)) <= {0, 1}
    assert any(mask.mean() > 0.02 for _, mask in scenes(8, 3, 96, subject="rough road", cracked_share=1.0))
    assert not any(mask.any() for _, mask in scenes(3, 3, 96, subject="rough road", cracked_share=0.0))


def test_no_cracks_when_none_are_asked_for() -> None:
    assert not any(mask.any() for _, mask in scenes(5, 1, SIZE, cracked_share=0.0))


@pytest.mark.parametrize("name", SURFACES)
def test_each_surface_fills_the_picture(name: str, rng: np.random.Generator) -> None:
    image = SURFACES[name][0](rng, SIZE)
    assert image.shape == (SIZE, SIZE, 3)
    assert np.isfinite(image).all()
    assert image.std() > 1e-3


@pytest.mark.parametrize("name", DISTRACTORS)
def test_each_distractor_changes_the_picture(name: str) -> None:
    changed = 0.0
    for seed in range(3):
        before = np.full((SIZE, SIZE, 3), 0.5, np.float32)
        after, cover = DISTRACTORS[name](np.random.default_rng(seed), before.copy())
        assert after.shape == before.shape
        assert np.isfinite(after).all()
        assert cover is None or (cover.shape == (SIZE, SIZE) and cover.min() >= 0 and cover.max() <= 1)
        changed += float(np.abs(after - before).sum())
    assert changed > 0


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_of_scenery_hides_a_part_of_what_lies_behind(name: str) -> None:
    sky = np.full((SIZE, SIZE, 3), 0.7, np.float32)
    hidden = []
    for seed in range(6):
        shown = LAYERS[name](np.random.default_rng(seed), sky.copy())
        assert shown.shape == sky.shape
        assert np.isfinite(shown).all()
        hidden.append((np.abs(shown - sky).max(2) > 0.02).mean())
    assert max(hidden) > 0.02
    assert min(hidden) < 1.0


def test_scenery_has_no_cracks(rng: np.random.Generator) -> None:
    image = scenery(rng, SIZE)
    assert image.dtype == np.float32
    assert image.min() >= 0
    assert image.max() <= 1
    pictures = list(scenes(6, 2, SIZE, cracked_share=1.0, subject="scenery"))
    assert not any(mask.any() for _, mask in pictures)
    assert np.mean([image.std() for image, _ in pictures]) > 10  # of 255: there is something in them


def test_surfaces_are_cut_from_photos(rng: np.random.Generator) -> None:
    photo = np.zeros((90, 200, 3), np.uint8)
    photo[..., 1] = 255  # pure green: no procedural surface has it
    image = surface(rng, SIZE, [photo], share=1.0)
    np.testing.assert_allclose(image[..., 1], 1.0)
    np.testing.assert_allclose(image[..., 0], 0.0)


def test_coverage_of_a_line_is_its_area() -> None:
    points = np.stack([np.linspace(10, 110, 60), np.full(60, 64.0)], 1).astype(np.float32)
    for width in (0.5, 1.0, 3.0, 6.0):
        coverage, mask = rasterise([Strand(points, np.full(60, width, np.float32))], SIZE)
        assert coverage[:, 30:90].sum() / 60 == pytest.approx(width, abs=0.3)
        assert 3 <= mask[:, 60].sum() <= width + 3.5  # at least 3 px, one more on each side


def test_the_mask_covers_what_the_crack_changed(rng: np.random.Generator) -> None:
    plain = np.full((SIZE, SIZE, 3), 0.6, np.float32)
    found = 0
    for _ in range(8):
        image, mask = cracked(rng, plain)
        dark = np.abs(image - plain).max(2) > 0.25
        if mask.any():
            found += 1
            # What lies outside is the lit or crumbled edge, not the crack.
            assert (dark & (mask == 0)).sum() < 0.1 * max(1, dark.sum())
    assert found >= 5


@pytest.mark.parametrize("course", [single, network])
def test_strands_have_a_width_at_every_point(course, rng: np.random.Generator) -> None:  # type: ignore[no-untyped-def]
    strands = course(rng, SIZE, 2.0)
    for strand in strands:
        assert strand.points.shape == (len(strand.widths), 2)
        assert (strand.widths >= 0).all()


def test_straight_cracks_run_through_large_networks_along_rows_or_columns() -> None:
    straight = 0
    for seed in range(30):
        for strand in network(np.random.default_rng(seed), 320, 2.0):
            width, height = np.abs(strand.points[-1] - strand.points[0])
            # The borders of cells, of 130 px at most, are shorter.
            straight += bool(max(width, height) > 200 and min(width, height) < 0.3 * max(width, height))
    assert straight > 5


def test_folder_is_a_data_set(tmp_path: Path) -> None:
    out = tmp_path / "drawn"
    paths = list(write_scenes(out, 3, size_px=SIZE, seed=5))
    assert [path.name for path in paths] == ["000000.png", "000001.png", "000002.png"]
    for path, (image, mask) in zip(paths, scenes(3, 5, SIZE), strict=True):
        np.testing.assert_array_equal(imaging.read(path).pixels, image)
        stored = imaging.read_mask(out / "masks" / path.name).values
        np.testing.assert_array_equal(stored > 0, mask > 0)
    with pytest.raises(ConfigError, match="not an empty folder"):
        next(write_scenes(out, 1))


def test_photos_must_be_there_and_large_enough(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        read_photos(tmp_path / "none")
    with pytest.raises(DatasetError, match="no pictures"):
        read_photos(tmp_path)
    imaging.write(tmp_path / "a.png", imaging.Picture(np.zeros((20, 90, 3), np.uint8), "png"))
    with pytest.raises(DatasetError, match=r"a\.png: 90x20 is too small"):
        read_photos(tmp_path)


def test_the_smallest_picture() -> None:
    image, mask = draw(np.random.default_rng(0), 64)
    assert image.shape == (64, 64, 3)
    assert mask.shape == (64, 64)
