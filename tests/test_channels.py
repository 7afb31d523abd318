"""Images of any number of channels: .npy, TIFF samples and TIFF pages, from training to the command line."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from drawn_data import save, truth
from numpy.typing import NDArray

from unetfast.cli.main import cli
from unetfast.data import open_dataset
from unetfast.data.augment import Augmentation, crop_at, recolour
from unetfast.data.doctor import inspect, refuse_errors
from unetfast.data.labels import read_pair
from unetfast.errors import DatasetError, ImageError
from unetfast.imaging import preview, read, read_mask, resize

H, W = 48, 64


def stack(seed: int, channels: int, dtype: Any = np.uint8) -> NDArray[Any]:
    """(H, W, C): noise, with the truth visible in the last channel alone."""
    rng = np.random.default_rng(seed)
    top = 60000 if dtype == np.uint16 else 230
    pixels = rng.integers(top // 3, top // 2, (H, W, channels))
    pixels[:, :, -1] = np.where(truth(seed) == 1, top, top // 4)
    return pixels.astype(dtype)


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("channels", [2, 4, 5, 7])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_way_of_storing_a_stack_gives_the_same(channels: int, dtype: Any) -> None:
    pixels = stack(0, channels, dtype)
    first = np.moveaxis(pixels, -1, 0)
    stored = {
        "npy": npy(pixels),
        "npy, channels first": npy(first),
        "npy, Fortran order": npy(np.asfortranarray(pixels)),
        "samples": tiff(pixels, photometric="minisblack", planarconfig="contig"),
        "planes": tiff(first, photometric="minisblack", planarconfig="separate"),
        "pages": tiff(first, photometric="minisblack"),
        "ImageJ": tiff(first, imagej=True, metadata={"axes": "CYX"}, photometric="minisblack"),
        "rows as pages": tiff(pixels, photometric="minisblack"),
    }
    for name, data in stored.items():
        picture = read(data, pages=True)
        np.testing.assert_array_equal(picture.pixels, pixels, err_msg=name)
        assert picture.stack, name
        assert preview(picture.pixels).shape == (H, W, 3)


def test_what_is_no_stack_stays_what_it_is() -> None:
    rgba = stack(0, 4)
    for options in ({"photometric": "rgb"}, {"photometric": "rgb", "extrasamples": ["unassalpha"]}):
        assert not read(tiff(rgba, **options), pages=True).stack
    grey_alpha = tiff(rgba[:, :, :2], photometric="minisblack", planarconfig="contig", extrasamples=[2])
    assert not read(grey_alpha).stack
    assert not read(npy(rgba[:, :, :3])).stack
    assert not read(npy(rgba[:, :, 0])).stack
    with pytest.raises(ImageError, match="4 pages; split it"):
        read(tiff(np.moveaxis(rgba, -1, 0), photometric="minisblack"))
    with pytest.raises(ImageError, match="not the channels of one picture"):
        read(tiff(np.stack([rgba[:, :, :3]] * 4), photometric="rgb"), pages=True)


AS_COLOURS = {"photometric": "rgb", "planarconfig": "separate"}  # tifffile, of (3 or 4, H, W), untold


def test_four_planes_that_tifffile_calls_rgba_are_channels() -> None:
    pixels = stack(0, 4)
    first = np.moveaxis(pixels, -1, 0)
    with pytest.warns(DeprecationWarning, match="RGB with separate component planes"):
        untold = tiff(first)
    assert untold == tiff(first, **AS_COLOURS)
    picture = read(untold)
    assert picture.stack
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert not read(tiff(first, **AS_COLOURS, metadata=None)).stack  # as any other program writes RGBA
    three = read(tiff(first[:3], **AS_COLOURS))
    assert not three.stack
    np.testing.assert_array_equal(three.pixels, pixels[:, :, :3])
    for planes in (first, first[:3]):
        with pytest.raises(ImageError, match=r"planes, which may be slices, classes or one colour each"):
            read_mask(tiff(planes, **AS_COLOURS))


@pytest.mark.parametrize("memory", ["1GB", "30kB"])
def test_run_leaves_out_no_channel_of_a_stack(memory: str, tmp_path: Path) -> None:
    bands = tiff(np.moveaxis(stack(0, 4), -1, 0), photometric="minisblack", planarconfig="separate")
    (tmp_path / "bands.tif").write_bytes(bands)
    tifffile.imwrite(tmp_path / "rgba.tif", stack(0, 4), photometric="rgb", rowsperstrip=8)
    files = [str(tmp_path / name) for name in ("bands.tif", "rgba.tif")]
    done = CliRunner().invoke(cli, ["run", *files, "--max-memory", memory, "-o", str(tmp_path / "out")])
    assert "1 photo done, 1 failed" in done.output
    assert "bands.tif: has 4 channels; 3 are expected; of a stack none is left out" in done.output
    assert [path.name for path in (tmp_path / "out/masks").iterdir()] == ["rgba.png"]


def test_what_was_measured_and_is_called_alpha_is_said_to_be_left_out(tmp_path: Path) -> None:
    for name, alpha in {"near_infrared": None, "opaque": 255}.items():
        for i in range(8):
            pixels = stack(i, 4)
            pixels[:, :, 3] = pixels[:, :, 3] if alpha is None else alpha
            save(tmp_path / f"{name}/images/{i}.png", pixels)
            save(tmp_path / f"{name}/masks/{i}.png", truth(i) * 255)
    findings = inspect(open_dataset(tmp_path / "near_infrared"))
    assert [f for f in findings if f.topic == "channels" and "told --channels 4" in str(f)]
    assert not [f for f in inspect(open_dataset(tmp_path / "opaque")) if f.topic == "channels"]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 5, 6, 7), np.uint8), "shape"),
        (np.zeros((0, 5), np.uint8), "shape"),
        (np.zeros((100, 100, 65), np.uint8), "65 channels; up to 64"),
        (np.full((9, 9), -1), "values -1"),
        (np.full((9, 9), 70000), "0 .. 65535"),
        (np.full((9, 9), 1.5), "scale to 0..1"),
        (np.full((9, 9), np.nan), "not numbers .NaN."),
        (np.array([["a"]]), "numbers"),
        (np.zeros((9, 9), complex), "numbers"),
        (np.zeros((30_000, 30_000), np.bool_)[:1].repeat(1, 0), None),
    ],
)
def test_arrays_that_are_no_pictures(array: NDArray[Any], message: str | None) -> None:
    if message is None:
        assert read(npy(array)).pixels.shape == (1, 30_000, 1)
        return
    with pytest.raises(ImageError, match=message):
        read(npy(array))


def test_damaged_and_dangerous_arrays() -> None:
    whole = npy(stack(0, 5))
    for data in (whole[:-1], whole[:40], whole[:8], whole[:6] + b"\x09\x00" + whole[8:]):
        with pytest.raises(ImageError):
            read(data)
    file = io.BytesIO()
    np.save(file, np.array([print], object), allow_pickle=True)
    with pytest.raises(ImageError, match="save numbers"):
        read(file.getvalue())
    claims = whole.replace(b"(48, 64, 5)", b"(480000, 64000, 5)".ljust(11))[: len(whole)]
    with pytest.raises(ImageError):
        read(claims)


def test_masks_as_arrays(tmp_path: Path) -> None:
    labels = truth(1, classes=3)
    for dtype in (np.uint8, np.int64, np.float32):
        np.save(tmp_path / "mask.npy", (labels == 1).astype(dtype))
        np.testing.assert_array_equal(read_mask(tmp_path / "mask.npy").values, labels == 1)
    np.save(tmp_path / "mask.npy", labels.astype(np.int32))
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.npy").values, labels)
    np.save(tmp_path / "mask.npy", labels == 1)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.npy").values, (labels == 1) * 255)


@pytest.mark.parametrize("channels", [2, 5, 8])
def test_opencv_treats_channels_alike(channels: int) -> None:
    pixels, labels = stack(0, channels), truth(0)
    small = resize(pixels, 20, 30)
    how = Augmentation(light=0.0, grain=0.0)
    crop, _ = crop_at(pixels, labels, (20, 30), 32, how, np.random.default_rng(3))
    for c in range(channels):
        one = pixels[:, :, c : c + 1]
        np.testing.assert_array_equal(small[:, :, c : c + 1], resize(one, 20, 30))
        alone, _ = crop_at(one, labels, (20, 30), 32, how, np.random.default_rng(3))
        # Its paths for one and for more channels round sub-pixel positions differently.
        assert np.abs(crop[:, :, c : c + 1].astype(int) - alone).max() <= 5
    for seed in range(30):
        changed = recolour(crop, Augmentation(light=0.3, grain=1.0), np.random.default_rng(seed))
        assert changed.shape == crop.shape
    assert cv2.GaussianBlur(pixels, (0, 0), 1.0).shape == pixels.shape


def test_a_picture_of_other_channels_is_named(tmp_path: Path) -> None:
    for i in range(8):
        (tmp_path / "images").mkdir(exist_ok=True)
        np.save(tmp_path / f"images/{i}.npy", stack(i, 5 if i != 3 else 4))
        save(tmp_path / f"masks/{i}.png", truth(i) * 255)
    found = open_dataset(tmp_path)
    assert found.channels == 5
    with pytest.raises(DatasetError, match=r"channels: images that do not have the 5 channels.*: 3 \(4\)"):
        refuse_errors(found, inspect(found))
    with pytest.raises(ImageError, match=r"3.npy: has 4 channels; 5 are expected"):
        read_pair(found.samples[3], found.encoding, 5)


_SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("pages", "samples")]


@pytest.mark.parametrize("kind", ["npy", *_SLOW])
def test_end_to_end(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check, train, evaluate, export, run: only the last channel tells anything."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    pytest.importorskip("openvino")
    channels = {"npy": 5, "pages": 4, "samples": 2}[kind]
    for split, numbers in {"train": range(10), "test": range(20, 23)}.items():
        (tmp_path / split / "images").mkdir(parents=True)
        for i in numbers:
            _store(kind, stack(i, channels), tmp_path / split / f"images/{i}")
            save(tmp_path / split / f"masks/{i}.png", truth(i) * 255)
    monkeypatch.chdir(tmp_path)
    assert f"{channels} channels" in _say("check", "train", "--samples", 3)
    model = ("--arch", "unet", "--width", 4, "--depth", 2, "--imgsz", 32, "--lr", 0.02, "--val-fraction", 0.2)
    _say("train", "train", *model, "--epochs", 8, "--workers", 0, "--augment", "none", "-o", "made")
    _say("eval", "made/best.pt", "test", "-o", "scores")
    scores = json.loads((tmp_path / "scores/metrics.json").read_text())
    assert scores["pooled"]["dice"] > 0.8
    _say("export", "made/best.pt", "--to", "made/best.onnx", "--data", "test")
    _say("verify", "made/best.onnx", "--data", "test", "--backend", "openvino")
    images = sorted(Path("test/images").iterdir())
    _say("run", *images, "--model", "made/best.onnx", "--overlay", "-o", "found")
    for path in images:
        mask = read_mask(tmp_path / f"found/masks/{path.stem}.png").values
        assert (mask.astype(bool) == (truth(int(path.stem)) == 1)).mean() > 0.9


def _store(kind: str, pixels: NDArray[Any], path: Path) -> None:
    if kind == "npy":
        np.save(path, pixels)
    elif kind == "pages":
        tifffile.imwrite(f"{path}.tif", np.moveaxis(pixels, -1, 0), photometric="minisblack")
    else:
        tifffile.imwrite(f"{path}.tif", pixels, photometric="minisblack", planarconfig="contig")


def _say(*arguments: object) -> str:
    done = CliRunner().invoke(cli, [str(word) for word in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output
