"""``unetfast run`` from end to end, with a model whose answer is known."""

from __future__ import annotations

import csv
import importlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from coefficients import coefficient_difference
from darkness_model import darkness, write_darkness_model
from PIL import Image

import unetfast
from unetfast import imaging
from unetfast.cli.main import main
from unetfast.errors import ConfigError, ImageError
from unetfast.imaging.class_colours import class_colour
from unetfast.inpainting.mask import dilate
from unetfast.pipeline.run import run
from unetfast.pipeline.settings import RunSettings

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_darkness_model(tmp_path_factory.mktemp("model") / "dark.onnx")


def photo(seed: int = 0, height: int = 120, width: int = 160, channels: int = 3) -> np.ndarray:
    """Return a plaster-like (H, W, C) uint8 picture with a dark crack across it."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, channels), 170, np.uint8) + rng.integers(
        0, 8, (height, width, channels), np.uint8
    )
    points = np.stack([np.linspace(0, width, 9), height / 2 + rng.normal(0, height / 12, 9)], axis=1)
    crack = np.zeros((height, width), np.uint8)
    cv2.polylines(crack, [points.astype(np.int32)], False, 255, 3)
    image[crack > 0] = 30
    return image


def folder_of_photos(folder: Path, count: int = 3, **options: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        imaging.write(folder / f"p{i}.png", imaging.Picture(photo(i, **options), "png"))
    return folder


def settings(**changes: Any) -> RunSettings:
    return RunSettings(**{"threads": 1, "workers": 2, "inpaint": True, "save_masks": True, **changes})


def entries(output: Path) -> dict[str, dict[str, Any]]:
    lines = (output / "results.jsonl").read_text().splitlines()
    return {line["input"]: line for line in map(json.loads, lines)}


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("results")
    }


# -- what comes out


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


FORMATS: dict[str, Callable[[np.ndarray], bytes]] = {}


def _pillow(name: str, mode: str = "RGB", **options: Any) -> None:
    def make(image: np.ndarray) -> bytes:
        out = io.BytesIO()
        Image.fromarray(image).convert(mode, dither=Image.Dither.NONE).save(
            out, name.partition("-")[0].upper(), **options
        )
        return out.getvalue()

    FORMATS[f"{name}-{mode}"] = make


def _tiff(name: str, convert: Callable[[np.ndarray], np.ndarray], **options: Any) -> None:
    def make(image: np.ndarray) -> bytes:
        out = io.BytesIO()
        array = convert(image)
        tifffile.imwrite(out, array, photometric="rgb" if array.ndim == 3 else "minisblack", **options)
        return out.getvalue()

    FORMATS[f"tiff-{name}"] = make


for mode in ("RGB", "RGBA", "L", "LA", "1"):
    _pillow("png", mode)
_pillow("bmp")
_pillow("webp", lossless=True)
_tiff("8", lambda image: image)
_tiff("16-big-endian", lambda image: image.astype(np.uint16) * 257, byteorder=">", compression="lzw")
_tiff("tiled-bigtiff", lambda image: image, tile=(32, 32), bigtiff=True, compression="zlib", predictor=True)
_tiff("float", lambda image: (image[..., 0] / 255).astype(np.float32))


@pytest.mark.parametrize("name", FORMATS)
def test_lossless_formats_are_bit_identical_outside_the_mask(name: str, tmp_path: Path, model: Path) -> None:
    (tmp_path / "in").mkdir()
    ending = "tif" if name.startswith("tiff") else name.partition("-")[0]
    path = tmp_path / "in" / f"a.{ending}"
    path.write_bytes(FORMATS[name](photo()))
    summary = run([str(path.parent)], tmp_path / "out", settings(), model=model)
    assert summary.exit_code == 0, entries(tmp_path / "out")
    before, after = imaging.read(path), imaging.read(tmp_path / "out" / path.name)
    mask = imaging.read_mask(tmp_path / "out" / "masks" / "a.png").values.astype(bool)
    assert mask.any()
    assert after.pixels.dtype == before.pixels.dtype
    assert after.pixels.shape == before.pixels.shape
    assert np.array_equal(after.pixels[~mask], before.pixels[~mask])
    assert not np.array_equal(after.pixels[mask], before.pixels[mask])


def test_a_cmyk_photo_is_cleaned_and_stays_one(tmp_path: Path, model: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(photo()).convert("CMYK").save(tmp_path / "in" / "a.jpg", quality=95)
    assert run([str(tmp_path / "in")], tmp_path / "out", settings(), model=model).done == 1
    before, after = imaging.read(tmp_path / "in" / "a.jpg"), imaging.read(tmp_path / "out" / "a.jpg")
    mask = imaging.read_mask(tmp_path / "out" / "masks" / "a.png").values != 0
    assert mask.any()
    assert after.inks is not None
    assert before.pixels[mask].mean() + 30 < after.pixels[mask].mean()
    far = cv2.dilate(mask.astype(np.uint8), np.ones((49, 49), np.uint8)) == 0
    assert np.array_equal(after.samples[far], before.samples[far])


def test_what_was_let_through_is_noted(tmp_path: Path, model: Path) -> None:
    (tmp_path / "in").mkdir()
    padded = io.BytesIO()
    Image.fromarray(photo()).save(padded, "JPEG")
    padded = padded.getvalue().removesuffix(b"\xff\xd9") + bytes(9) + b"\xff\xd9"
    (tmp_path / "in" / "a.jpg").write_bytes(padded)
    run([str(tmp_path / "in")], tmp_path / "out", settings(), model=model)
    assert "extraneous bytes" in entries(tmp_path / "out")["a.jpg"]["notes"]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_rotated_jpeg_keeps_untouched_blocks_and_its_tag(
    orientation: int, tmp_path: Path, model: Path
) -> None:
    pytest.importorskip("jpeglib")

    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "in").mkdir()
    Image.fromarray(photo()).save(tmp_path / "in" / "a.jpg", quality=90, exif=exif)
    run([str(tmp_path / "in")], tmp_path / "out", settings(jpeg="lossless-blocks"), model=model)
    before, after = imaging.read(tmp_path / "in" / "a.jpg"), imaging.read(tmp_path / "out" / "a.jpg")
    assert after.orientation == orientation
    mask = imaging.read_mask(tmp_path / "out" / "masks" / "a.png").values.astype(bool)
    assert mask.shape == before.pixels.shape[:2]  # masks are upright, as the photo is seen
    assert before.source is not None
    assert after.source is not None
    assert coefficient_difference(before.source, after.source, imaging.unorient(mask, orientation)) == ""
    assert after.pixels[mask].mean() > before.pixels[mask].mean() + 30


# -- names


def test_names_never_collide(tmp_path: Path, model: Path) -> None:
    source = tmp_path / "in"
    pictures = {
        name: photo(i)
        for i, name in enumerate(
            ["a.png", "a.bmp", "A.png", "sub/a.png", "masks/a.png", "-x y\n.png", "overlays/ü.png"]
        )
    }
    for name, image in pictures.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        imaging.write(source / name, imaging.Picture(image, name[-3:]))
    summary = run([str(source)], tmp_path / "out", settings(recursive=True), model=model)
    assert (summary.done, summary.failed) == (len(pictures), 0)
    for name, line in entries(tmp_path / "out").items():
        wanted = unetfast.inpaint(pictures[name], dilate(darkness(pictures[name]), 2), 0)
        assert np.array_equal(imaging.read(tmp_path / "out" / line["outputs"]["cleaned"]).pixels, wanted), (
            name
        )


def test_a_name_that_lies_about_its_content_is_completed(tmp_path: Path, model: Path) -> None:
    photos = folder_of_photos(tmp_path / "in", 2)
    (photos / "p0.png").rename(photos / "p0.jpg")
    (photos / "p1.png").rename(photos / "p1.jpg")
    imaging.write(photos / "p1.jpg.png", imaging.Picture(photo(5), "png"))  # the name p1.jpg would need
    summary = run([str(photos)], tmp_path / "out", settings(save_masks=False), model=model)
    assert (summary.done, summary.failed) == (2, 1)
    assert sorted(tree(tmp_path / "out")) == ["p0.jpg.png", "p1.jpg.png"]
    assert "holds a PNG picture" in entries(tmp_path / "out")["p1.jpg"]["reason"]
    assert run([str(photos)], tmp_path / "out", settings(save_masks=False), model=model).unchanged == 2


# -- what fails


def bad_folder(folder: Path) -> Path:
    folder_of_photos(folder, 2)
    good = (folder / "p0.png").read_bytes()
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("I am a text\nof two lines")
    (folder / "cut.png").write_bytes(good[: len(good) // 2])
    (folder / "broken.jpg").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.png")
    return folder


def test_bad_files_are_named_once_and_the_rest_is_done(
    tmp_path: Path, model: Path, unetfast_command: Command
) -> None:
    photos = bad_folder(tmp_path / "in")
    done = unetfast_command("run", photos, "--inpaint", "-m", model, "-o", tmp_path / "out", "--threads", 1)
    assert done.returncode == 3, done.stderr
    lines = [line for line in done.stderr.splitlines() if str(photos) in line]
    assert len(lines) == 4, done.stderr
    assert all(line.startswith(str(photos)) for line in lines)
    assert "Traceback" not in done.stderr
    assert "2 photos done, 1 skipped, 4 failed" in done.stdout
    assert "MP/s" in done.stdout
    assert sorted(tree(tmp_path / "out")) == ["p0.png", "p1.png"]
    reasons = {name: line.get("reason", "") for name, line in entries(tmp_path / "out").items()}
    assert "empty" in reasons["empty.jpg"]
    assert "text" in reasons["text.jpg"]
    assert "cut off" in reasons["cut.png"]
    assert "no such file" in reasons["broken.jpg"]
    assert "pipe" in reasons["pipe.png"]


def test_fail_fast_stops_at_the_first(tmp_path: Path, model: Path) -> None:
    photos = bad_folder(tmp_path / "in")
    summary = run([str(photos)], tmp_path / "out", settings(fail_fast=True, workers=1), model=model)
    assert summary.exit_code == 3
    assert summary.failed >= 1
    assert summary.done + summary.failed < 6


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["{in}/none"], 1, "{in}/none: no such file or folder"),
        (["{in}/*.gif"], 1, "{in}/*.gif: no file matches"),
        (["{in}", "-o", "{in}"], 2, "is the input folder"),
        (["{in}", "-o", "{in}/out"], 2, "inside the input folder"),
        (["{in}", "-o", "{in}/.."], 2, "inside the output folder"),
        (["{in}", "-o", "{in}/..", "--dry-run"], 2, "inside the output folder"),
        (["{in}", "--window", "4"], 2, "odd"),
        (["{in}", "--threads", "9999"], 2, "threads must be in 0 .. "),
        (["{in}", "--workers", "9999"], 2, "workers must be in 0 .. "),
        (["{in}", "--tile", "16"], 2, "--tile must be 0 or at least 64"),
        (["{in}", "--max-memory", "1.2.3GB"], 2, "such as 2GB; got '1.2.3GB'"),
        (["{in}", "--dilate", "100000"], 2, "--dilate"),
        (
            ["{in}", "--include", "zzz", "--exclude", "*.gif"],
            1,
            "none is left by --include zzz --exclude *.gif",
        ),
        (["-", "--dry-run"], 2, "--dry-run needs files"),
        (["-", "--overlay"], 2, "--overlay: a photo from standard input has one result"),
        (["-", "--inpaint", "--save-masks"], 2, "--save-masks: a photo from standard input has one result"),
        (["{in}", "--shard", "3/2"], 2, "i/n"),
        (["{in}", "-o", ""], 2, "--output is empty"),
        (["{in}", "-m", "{in}/none.onnx"], 1, "{in}/none.onnx: no such model"),
        (["{in}", "-o", "{in}/p0.png/out"], 2, "inside the input folder"),
        (["{in}/p0.png", "-o", "/proc/none"], 1, "/proc/none: cannot be written"),
        (["-", "{in}"], 2, "only input"),
        (["{in}", "--shrad", "1/2"], 2, "--shard"),
    ],
)
def test_bad_input_is_one_clear_line(
    arguments: list[str],
    code: int,
    words: str,
    tmp_path: Path,
    model: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photos = folder_of_photos(tmp_path / "in", 1)
    filled = [argument.replace("{in}", str(photos)) for argument in arguments]
    if "-m" not in filled:
        filled += ["-m", str(model)]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as left:
        main(["run", *filled])
    stderr = capsys.readouterr().err
    assert left.value.code == code, stderr
    assert words.replace("{in}", str(photos)) in stderr
    assert "Traceback" not in stderr
    assert sorted(path.name for path in photos.iterdir()) == ["p0.png"]


def test_an_empty_folder_is_named_with_what_was_passed_over(
    tmp_path: Path, model: Path, unetfast_command: Command
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.HEIC", "b.heic", "notes.txt", "README", "x.\x1b[2J", "c.JPG~"):
        (tmp_path / "in" / name).write_text("x")
    done = unetfast_command("run", tmp_path / "in", "-m", model, "-o", tmp_path / "out")
    assert done.returncode == 1
    passed = "passed over: 6 no image by name (2 without ending, 2 .heic, 1 .jpg~, 1 .txt)"
    assert f"{tmp_path / 'in'}: no photos found; {passed};" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_photo_in_the_output_folder_is_never_replaced(tmp_path: Path, model: Path) -> None:
    photos = folder_of_photos(tmp_path / "in", 1)
    original = folder_of_photos(tmp_path / "out", 1, height=64) / "p0.png"
    (photos / "p0.png").unlink()
    (photos / "p0.png").symlink_to(original)
    before = original.read_bytes()
    for source in (photos, photos / "p0.png"):
        summary = run([str(source)], tmp_path / "out", settings(follow_links=True), model=model)
        assert (summary.done, summary.skipped) == (0, 1)
    assert original.read_bytes() == before


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


# -- the command line


def test_a_pipe_in_a_pipe_out(tmp_path: Path, model: Path) -> None:
    data = io.BytesIO()
    Image.fromarray(photo()).save(data, "PNG")
    command = [sys.executable, "-m", "unetfast", "run", "-", "--inpaint", "-m", str(model)]
    done = subprocess.run(
        command, input=data.getvalue(), capture_output=True, timeout=120, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    wanted = unetfast.inpaint(photo(), dilate(darkness(photo()), 2), 0)
    assert np.array_equal(imaging.read(done.stdout).pixels, wanted)
    bad = subprocess.run(command, input=b"no image", capture_output=True, timeout=120, check=False)
    assert bad.returncode == 1
    assert b"<stdin>: not an image" in bad.stderr
    assert bad.stdout == b""
    assert list(tmp_path.iterdir()) == []
    with open("/dev/full", "wb") as full:
        lost = subprocess.run(
            command, input=data.getvalue(), stdout=full, stderr=subprocess.PIPE, timeout=120, check=False
        )
    assert lost.returncode == 1
    assert lost.stderr == b"unetfast: <stdout>: cannot be written: No space left on device\n"


def test_a_result_of_a_pipe_is_called_what_it_is(tmp_path: Path, model: Path) -> None:
    data = imaging.encode(imaging.Picture(photo(), "jpeg"))
    for inpaint, name, wanted in ((["--inpaint"], "a.png", "a.jpg"), ([], "a.jpg", "a.png")):
        command = [sys.executable, "-m", "unetfast", "run", "-", *inpaint, "-m", str(model), "-o", name]
        done = subprocess.run(
            command, input=data, capture_output=True, timeout=120, check=False, cwd=tmp_path
        )
        assert done.returncode == 2
        assert f"call it {wanted}\n".encode() in done.stderr
        assert list(tmp_path.iterdir()) == []


def test_standard_files_that_are_closed_change_nothing(tmp_path: Path, model: Path) -> None:
    photos = folder_of_photos(tmp_path / "in", 1)
    run([str(photos)], tmp_path / "wanted", settings(), model=model)
    command = f"{sys.executable} -m unetfast run {photos} -m {model} --inpaint --save-masks -o {tmp_path}/out"
    done = subprocess.run(f"{command} <&- >&- 2>&-", shell=True, timeout=120, check=False)
    assert done.returncode == 0
    assert tree(tmp_path / "out") == tree(tmp_path / "wanted")
    command = f"{sys.executable} -m unetfast run - -m {model}"
    for closed, reason in (("<&-", "<stdin>: the file is empty"), (">&-", "standard output is closed")):
        done = subprocess.run(
            f"{command} {closed}", shell=True, stderr=subprocess.PIPE, timeout=120, check=False, text=True
        )
        assert done.returncode != 0
        assert reason in done.stderr


def test_a_picture_is_not_written_to_a_terminal(model: Path) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "unetfast", "run", "-", "-m", str(model)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE, timeout=120, check=False
    )
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 2
    assert b"redirect standard output" in done.stderr


def test_dry_run_lists_and_writes_nothing(tmp_path: Path, unetfast_command: Command) -> None:
    photos = folder_of_photos(tmp_path / "in", 3)
    done = unetfast_command("run", photos, "--dry-run", "--limit", 2, "-o", tmp_path / "out", "--inpaint")
    assert done.returncode == 0, done.stderr
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    assert lines == [["new", f"{photos}/p{i}.png -> {tmp_path}/out/p{i}.png"] for i in range(2)]
    assert not (tmp_path / "out").exists()


def test_dry_run_says_what_is_done_and_why_the_rest_is_not(
    tmp_path: Path, model: Path, unetfast_command: Command
) -> None:
    photos = folder_of_photos(tmp_path / "in", 4)
    command = ("run", photos, "-o", tmp_path / "out", "--inpaint", "-m", model)
    assert unetfast_command(*command, "--limit", 3).returncode == 0
    (tmp_path / "out" / "p1.png").unlink()
    imaging.write(photos / "p2.png", imaging.Picture(photo(99), "png"))
    before = tree(tmp_path / "out")
    dry = unetfast_command(*command, "--dry-run")
    assert [line[:7].strip() for line in dry.stdout.splitlines()] == ["done", "again", "again", "new"]
    assert "p1.png (a result is missing or was changed)" in dry.stdout
    assert "p2.png (the photo changed)" in dry.stdout
    assert "photos: 1 to process, 2 to process again, 1 done already" in dry.stderr
    other = unetfast_command(*command, "--dry-run", "--dilate", 5)
    assert "p0.png (the settings, the model or the version changed)" in other.stdout
    assert tree(tmp_path / "out") == before


def test_run_never_imports_torch(tmp_path: Path, model: Path) -> None:
    photos = folder_of_photos(tmp_path / "in", 1)
    code = (
        "import sys\nfrom unetfast.cli.main import main\n"
        f"try: main(['run', {str(photos)!r}, '-m', {str(model)!r}, '-o', {str(tmp_path / 'o')!r}])\n"
        "except SystemExit as exc: assert exc.code == 0, exc.code\n"
        "sys.exit(' '.join({'torch', 'matplotlib', 'onnx', 'ray'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_nothing_is_kept_or_sent_about_the_use(
    backend: str, tmp_path: Path, model: Path, unetfast_command: Command
) -> None:
    """The runtimes leave an identity for their reports in the home folder, unless they are told not to."""
    pytest.importorskip(backend)
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if name not in ("CI", "XDG_CACHE_HOME")}
    photos = folder_of_photos(tmp_path / "in", 1)
    done = unetfast_command(
        *("run", photos, "-m", model, "-o", tmp_path / "out", "--backend", backend),
        env={**kept, "HOME": str(home)},
    )
    assert done.returncode == 0, done.stderr
    assert not list(home.rglob("*"))


def test_ray_is_kept_from_reporting_its_use() -> None:
    """The import of unetfast makes the difference; whoever has set the variable decides."""
    pytest.importorskip("ray")
    asked = "from ray._common.usage.usage_lib import usage_stats_enabled as asked; print(asked())"
    plain = {name: value for name, value in os.environ.items() if name != "RAY_USAGE_STATS_ENABLED"}
    said = [
        subprocess.run(
            [sys.executable, "-c", f"import {first}; {asked}"],
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout.split()[-1]
        for first, env in (
            ("os", plain),
            ("unetfast", plain),
            ("unetfast", {**plain, "RAY_USAGE_STATS_ENABLED": "1"}),
        )
    ]
    assert said == ["True", "False", "True"]


def test_profile_shows_every_stage(tmp_path: Path, model: Path, unetfast_command: Command) -> None:
    photos = folder_of_photos(tmp_path / "in", 2)
    done = unetfast_command("run", photos, "--profile", "-m", model, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    for stage in ("read", "network", "clean", "write"):
        assert any(line.startswith(stage) for line in done.stdout.splitlines())


def test_a_vanished_input_is_one_failure(tmp_path: Path, model: Path) -> None:
    photos = folder_of_photos(tmp_path / "in", 3)
    seen: list[str] = []

    def vanish(entry: dict[str, Any]) -> None:
        seen.append(entry["input"])

    from unetfast.pipeline import sources

    original = sources._refusal

    def remove(entry: os.DirEntry[str], inside: str, follow: bool) -> str:
        if entry.name == "p2.png":
            os.unlink(entry.path)
            return ""
        return original(entry, inside, follow)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "_refusal", remove)
        summary = run([str(photos)], tmp_path / "out", settings(), model=model, on_entry=vanish)
    assert (summary.done, summary.failed) == (2, 1)
    assert sorted(seen) == ["p0.png", "p1.png", "p2.png"]


def test_settings_that_do_not_go_together(tmp_path: Path, model: Path) -> None:
    with pytest.raises(ConfigError, match="odd"):
        run([str(tmp_path)], tmp_path / "o", settings(window_px=2), model=model)
    with pytest.raises(ImageError, match="no such file"):
        run([str(tmp_path / "none")], tmp_path / "o", settings(), model=model)


def test_real_photos(shared_data: Path, tmp_path: Path, model: Path) -> None:
    photos = shared_data / "large_photos"
    summary = run([str(photos / "craquelure_*.jpg")], tmp_path / "out", settings(), model=model)
    assert (summary.done, summary.failed) == (2, 0)
    rotated = imaging.read(tmp_path / "out" / "craquelure_ge230.jpg")
    assert rotated.orientation == imaging.read(photos / "craquelure_ge230.jpg").orientation == 8


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    command = sys.modules.get("unetfast.cli.run") or importlib.import_module("unetfast.cli.run")
    monkeypatch.setattr(command, "TELL_EVERY_S", 0.0)
    out = io.StringIO()
    tell = command._teller(Console(file=out))
    for status in ("done", "done", "failed"):
        tell({"status": status})
    assert out.getvalue().splitlines()[-1].endswith(" s: 2 done, 1 failed")
