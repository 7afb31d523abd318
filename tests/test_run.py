"""``unetfast run`` from end to end, with a model whose answer is known."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from darkness_model import darkness, write_darkness_model
from PIL import Image
from runs import entries, folder_of_photos, photo, settings, tree

import unetfast
from unetfast import imaging
from unetfast.cli.main import main
from unetfast.imaging.class_colours import class_colour
from unetfast.inpainting.mask import dilate
from unetfast.pipeline.run import run


def test_notes_are_in_the_table_and_the_closing_line(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    for name, scale in (("camera_of_12_bits", 16), ("whole_range", 257)):
        pixels = photo().astype(np.uint16) * scale
        tifffile.imwrite(tmp_path / f"in/{name}.tif", pixels, photometric="rgb")
    tifffile.imwrite(tmp_path / "in/blank.tif", np.full((40, 50), 60000, np.uint16))  # nothing to see
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as left:
        main(["run", str(tmp_path / "in"), "-m", str(model), "-o", str(out)])
    assert left.value.code == 0
    assert "; 1 photo with notes (`notes` in the journal)" in capsys.readouterr().out
    table = csv.DictReader(io.StringIO((out / "results.csv").read_text()))
    rows = {row["input"]: row["notes"] for row in table}
    assert rows["camera_of_12_bits.tif"].startswith("16-bit samples of ")
    assert rows["whole_range.tif"] == rows["blank.tif"] == ""


@pytest.mark.parametrize("max_memory", ["2GB", "100kB"])  # as a whole, and in bands
def test_of_several_classes_colours_and_counts_tell_which(tmp_path: Path, max_memory: str) -> None:
    classes = ("background", "grain", "=pore")
    model = write_darkness_model(tmp_path / "dark.onnx", classes=classes)
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in/p.tif", photo(), rowsperstrip=8)
    chosen = settings(inpaint=False, overlay=True, max_memory=max_memory)
    run([str(tmp_path / "in")], tmp_path / "out", chosen, model=model)
    pores = darkness(photo())
    assert (imaging.read(tmp_path / "out/masks/p.png").pixels[:, :, 0] == 2 * pores).all()
    entry = json.loads((tmp_path / "out/results.jsonl").read_text())
    counts = {"background": int((~pores).sum()), "grain": 0, "=pore": int(pores.sum())}
    assert entry["class_px"] == counts
    (row,) = csv.DictReader(io.StringIO((tmp_path / "out/results.csv").read_text("utf-8")))
    assert {name: int(row[f"px of {name}"]) for name in classes} == counts
    if max_memory == "2GB":
        shown = imaging.read(tmp_path / "out/overlays/p.jpg").pixels[pores].mean(axis=0)
        np.testing.assert_allclose(shown, np.add(class_colour(2), 30) / 2, atol=12)
    # Beside what is replaced, which --dilate widens, the counts are still of what the model found.
    chosen = settings(dilate_px=1, max_memory=max_memory)
    run([str(tmp_path / "in")], tmp_path / "cleaned", chosen, model=model)
    entry = json.loads((tmp_path / "cleaned/results.jsonl").read_text())
    assert entry["class_px"] == counts
    assert entry["masked_px"] > counts["=pore"]


def test_a_folder_becomes_cleaned_photos_and_masks(tmp_path: Path, model: Path) -> None:
    photos = folder_of_photos(tmp_path / "in")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in photos.iterdir()}
    summary = run([str(photos)], tmp_path / "out", settings(overlay=True), model=model)
    assert (summary.done, summary.failed, summary.exit_code) == (3, 0, 0)
    for one in (photos, str(photos)):  # is one input, no sequence of letters
        assert run(one, tmp_path / "out", settings(overlay=True), model=model).unchanged == 3
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in photos.iterdir()}
    for i in range(3):
        image = photo(i)
        mask = dilate(darkness(image), 2)
        cleaned = imaging.read(tmp_path / "out" / f"p{i}.png").pixels
        assert np.array_equal(cleaned, unetfast.inpaint(image, mask, 0, method="reference"))
        assert np.array_equal(cleaned[~mask], image[~mask])
        saved = tmp_path / "out" / "masks" / f"p{i}.png"
        with Image.open(saved) as opened:
            assert opened.mode == "1"
        assert np.array_equal(imaging.read_mask(saved).values.astype(bool), mask)
        assert imaging.read(tmp_path / "out" / "overlays" / f"p{i}.jpg").pixels.shape == image.shape
        line = entries(tmp_path / "out")[f"p{i}.png"]
        assert line["masked_px"] == mask.sum()
    rows = list(csv.DictReader((tmp_path / "out" / "results.csv").read_text("utf-8").splitlines()))
    assert {row["input"] for row in rows} == {"p0.png", "p1.png", "p2.png"}
    assert not list((tmp_path / "out").glob(".unetfast*"))


def test_grain_is_the_librarys_and_the_same_each_time(tmp_path: Path, model: Path) -> None:
    folder = folder_of_photos(tmp_path / "in", 1)
    run([str(folder)], tmp_path / "out", settings(grain=True), model=model)
    mask = dilate(darkness(photo(0)), 2)
    expected = unetfast.inpaint(photo(0), mask, 0, grain=True)
    assert not np.array_equal(expected, unetfast.inpaint(photo(0), mask, 0))
    assert np.array_equal(imaging.read(tmp_path / "out" / "p0.png").pixels, expected)


def test_without_inpaint_only_masks(tmp_path: Path, model: Path) -> None:
    photos = folder_of_photos(tmp_path / "in", 1)
    run([str(photos)], tmp_path / "out", settings(inpaint=False, save_masks=False), model=model)
    assert list(tree(tmp_path / "out")) == ["masks/p0.png"]
    mask = imaging.read_mask(tmp_path / "out" / "masks" / "p0.png").values
    assert np.array_equal(mask.astype(bool), darkness(photo(0)))


def test_tiles_batches_and_threads_change_no_byte(tmp_path: Path, model: Path) -> None:
    photos = folder_of_photos(tmp_path / "in", 9)
    run([str(photos)], tmp_path / "a", settings(workers=1, batch=1), model=model)
    run([str(photos)], tmp_path / "b", settings(workers=4, batch=5, tile=64, threads=2), model=model)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


# -- again


def test_the_same_command_again_does_only_what_is_new(tmp_path: Path, model: Path) -> None:
    photos = folder_of_photos(tmp_path / "in", 4)
    output = tmp_path / "out"
    run([str(photos)], output, settings(), model=model)
    first = tree(output)
    again = run([str(photos)], output, settings(), model=model)
    assert (again.done, again.unchanged) == (0, 4)
    imaging.write(photos / "p1.png", imaging.Picture(photo(77), "png"))  # changed
    (output / "p2.png").unlink()  # lost
    (output / "masks" / "p3.png").write_bytes(b"half")  # damaged
    third = run([str(photos)], output, settings(), model=model)
    assert (third.done, third.unchanged) == (3, 1)
    same = {name for name in first if "p1" not in name}
    assert {name: first[name] for name in same} == {name: tree(output)[name] for name in same}
    assert run([str(photos)], output, settings(window_px=9), model=model).done == 4
    assert run([str(photos)], output, settings(window_px=9, workers=1, tile=64), model=model).unchanged == 4


def test_another_model_is_another_result(tmp_path: Path, model: Path) -> None:
    photos = folder_of_photos(tmp_path / "in", 2)
    run([str(photos)], tmp_path / "out", settings(), model=model)
    grey = write_darkness_model(tmp_path / "grey.onnx", channels=1)
    assert run([str(photos)], tmp_path / "out", settings(), model=grey).done == 2


def test_shards_side_by_side_are_one_whole(tmp_path: Path, model: Path) -> None:
    photos = folder_of_photos(tmp_path / "in", 7)
    run([str(photos)], tmp_path / "whole", settings(), model=model)
    done = [
        run([str(photos)], tmp_path / "parts", settings(shard=f"{i}/3"), model=model).done for i in (1, 2, 3)
    ]
    assert sum(done) == 7
    assert tree(tmp_path / "parts") == tree(tmp_path / "whole")
    assert run([str(photos)], tmp_path / "parts", settings(), model=model).unchanged == 7


def test_real_photos(shared_data: Path, tmp_path: Path, model: Path) -> None:
    photos = shared_data / "large_photos"
    summary = run([str(photos / "craquelure_*.jpg")], tmp_path / "out", settings(), model=model)
    assert (summary.done, summary.failed) == (2, 0)
    rotated = imaging.read(tmp_path / "out" / "craquelure_ge230.jpg")
    assert rotated.orientation == imaging.read(photos / "craquelure_ge230.jpg").orientation == 8
