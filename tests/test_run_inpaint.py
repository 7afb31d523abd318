"""``unetfast inpaint``: a photo, a mask, a cleaned photo."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

import unetfast
from unetfast import imaging
from unetfast.cli.main import main
from unetfast.inpainting.mask import dilate

Command = Callable[..., subprocess.CompletedProcess[str]]
RNG = np.random.default_rng(3)
PHOTO = RNG.integers(100, 180, (60, 80, 3), np.uint8)
MASK = np.zeros((60, 80), bool)
MASK[10:13, 5:70] = True


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    imaging.write(tmp_path / "wall.png", imaging.Picture(PHOTO, "png"))
    imaging.write_mask(tmp_path / "mask.png", MASK)
    return tmp_path


def test_the_mask_is_filled_and_nothing_else(folder: Path, unetfast_command: Command) -> None:
    done = unetfast_command("inpaint", folder / "wall.png", folder / "mask.png", "--window", 7)
    assert done.returncode == 0, done.stderr
    cleaned = imaging.read(folder / "wall_clean.png").pixels
    assert np.array_equal(cleaned, unetfast.inpaint(PHOTO, MASK, 7, method="reference"))
    assert f"{MASK.sum()} pixels replaced" in done.stdout


def test_a_pixmap_is_cleaned_into_a_format_that_is_written(folder: Path, unetfast_command: Command) -> None:
    Image.fromarray(PHOTO).save(folder / "wall.ppm")
    done = unetfast_command("inpaint", folder / "wall.ppm", folder / "mask.png", "-o", folder / "clean.png")
    assert done.returncode == 0, done.stderr


def test_grain_is_added_on_demand_and_by_seed(folder: Path) -> None:
    def cleaned(*options: str) -> object:
        target = folder / "grainy.png"
        command = ["inpaint", str(folder / "wall.png"), str(folder / "mask.png"), "-o", str(target)]
        with pytest.raises(SystemExit, match="0"):
            main([*command, "--window", "7", *options])
        return imaging.read(target).pixels.tobytes()

    for seed in (0, 3):
        expected = unetfast.inpaint(PHOTO, MASK, 7, grain=True, seed=seed)
        assert cleaned("--grain", "--seed", str(seed)) == expected.tobytes()
    assert cleaned() == unetfast.inpaint(PHOTO, MASK, 7).tobytes()


def test_nothing_is_filled_from_what_holds_no_data(folder: Path) -> None:
    image, blank = PHOTO.copy(), np.zeros(MASK.shape, bool)
    blank[:, :20] = True
    image[blank] = 0
    nodata = (42113, "s", 0, "0", True)
    tifffile.imwrite(folder / "survey.tif", image, photometric="rgb", metadata=None, extratags=[nodata])
    command = ["inpaint", str(folder / "survey.tif"), str(folder / "mask.png"), "--dilate", "3"]
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--window", "7"])
    cleaned = imaging.read(folder / "survey_clean.tif").pixels
    filled = MASK | dilate(MASK, 3) & ~blank  # what is marked by hand is filled there too, its rim is not
    assert np.array_equal(cleaned[~filled], image[~filled])
    assert np.array_equal(cleaned[filled], unetfast.inpaint(image, filled | blank, 7)[filled])
    assert cleaned[filled].min() >= 100


@pytest.mark.parametrize("kind", ["grey", "rgb", "rgba", "palette", "one"])
def test_masks_of_every_kind_mean_the_same(kind: str, folder: Path) -> None:
    from unetfast.cli.inpaint import _marked

    grey = np.where(MASK, 255, 0).astype(np.uint8)
    image = {
        "grey": Image.fromarray(grey),
        "rgb": Image.fromarray(np.stack([grey] * 3, axis=2)),
        "rgba": Image.fromarray(np.dstack([grey] * 3 + [np.full_like(grey, 255)])),
        "palette": Image.fromarray(MASK.astype(np.uint8), "L").convert("P"),
        "one": Image.fromarray(MASK.astype(np.uint8)),
    }[kind]
    image.save(folder / "kind.png")
    assert np.array_equal(_marked(imaging.read_mask(folder / "kind.png"), 127, folder / "kind.png"), MASK)


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float16, np.float32])
@pytest.mark.parametrize("ending", [".npy", ".tif"])
def test_masks_of_0_and_255_in_any_type_mean_the_same(kind: type, ending: str, folder: Path) -> None:
    from unetfast.cli.inpaint import _marked

    path = folder / f"kind{ending}"
    values = np.where(MASK, 255, 0).astype(kind)
    if ending == ".npy":
        np.save(path, values)
    else:
        tifffile.imwrite(path, values)
    assert np.array_equal(_marked(imaging.read_mask(path), 127, path), MASK)


def _wrong_size(folder: Path) -> list[str]:
    imaging.write_mask(folder / "small.png", MASK[:9])
    return ["wall.png", "small.png"]


def _faint(folder: Path) -> list[str]:
    imaging.write_mask(folder / "faint.png", MASK.astype(np.uint8) * 9)
    return ["wall.png", "faint.png"]


def _full(folder: Path) -> list[str]:
    imaging.write_mask(folder / "full.png", np.ones_like(MASK))
    return ["wall.png", "full.png"]


def _in_alpha(colour: int) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        layer = np.full((*MASK.shape, 4), colour, np.uint8)
        layer[..., 3] = np.where(MASK, 255, 0)
        imaging.write(folder / "layer.png", imaging.Picture(layer, "png"))
        return ["wall.png", "layer.png"]

    return make


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (_in_alpha(0), 1, "layer.png: transparency alone tells its pixels apart, and marks none"),
        (_in_alpha(255), 1, "layer.png: transparency alone"),
        (_wrong_size, 1, "small.png: 80x9 px, but"),
        (_faint, 1, "faint.png: no pixel is above 127 (the largest value is 9); set --mask-above"),
        (_full, 1, "full.png: every pixel is masked"),
        (lambda _: ["mask.png", "wall.png"], 1, "wall.png: 100% of it is neither dark nor bright"),  # swapped
        (lambda _: ["none.png", "mask.png"], 1, "none.png: no such file"),
        (lambda _: ["wall.png", "none.png"], 1, "none.png: no such file"),
        (lambda _: ["wall.png", "mask.png", "-o", "wall.png"], 2, "would replace an input"),
        (lambda _: ["wall.png", "mask.png", "-o", "wall.gif"], 1, "wall.gif: unknown image ending"),
        (
            lambda _: ["wall.ppm", "mask.png"],
            1,
            "wall_clean.ppm: unknown image ending '.ppm'; name the output: -o",
        ),
        (lambda _: ["wall.png", "mask.png", "--window", "4"], 2, "4"),
        (lambda _: ["wall.png", "mask.png", "--dilate", "-1"], 2, "--dilate"),
        (lambda _: ["wall.png", "mask.png", "--dilate", "100000"], 2, "--dilate"),
        (lambda _: ["wall.png", "mask.png", "--threads", "9999"], 2, "threads must be in"),
    ],
)
def test_bad_input_is_one_clear_line(
    make: Callable[[Path], list[str]],
    code: int,
    words: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as left:
        main(["inpaint", *make(folder)])
    stderr = capsys.readouterr().err
    assert left.value.code == code, stderr
    assert words in stderr
    assert "Traceback" not in stderr
    assert np.array_equal(imaging.read(folder / "wall.png").pixels, PHOTO)


def test_a_soft_mask_is_taken_with_the_limit_that_is_said(folder: Path) -> None:
    with pytest.raises(SystemExit) as left:
        main(["inpaint", str(folder / "wall.png"), str(folder / "wall.png"), "--mask-above", "170"])
    assert left.value.code == 0


@pytest.mark.parametrize("colours", [[(255,) * 3, (0,) * 3], [(0,) * 3, (255,) * 3], [(20,) * 3, (200,) * 3]])
def test_white_marks_in_a_palette_mask_whatever_its_index(
    colours: list[tuple[int, ...]], folder: Path
) -> None:
    white = max(range(2), key=lambda index: colours[index])
    mask = Image.fromarray(np.where(MASK, white, 1 - white).astype(np.uint8), "P")
    mask.putpalette([value for colour in colours for value in colour])
    mask.save(folder / "mask.png")
    with pytest.raises(SystemExit) as left:
        main(["inpaint", str(folder / "wall.png"), str(folder / "mask.png"), "--window", "7"])
    assert left.value.code == 0
    wanted = unetfast.inpaint(PHOTO, MASK, 7, method="reference")
    assert np.array_equal(imaging.read(folder / "wall_clean.png").pixels, wanted)


@pytest.mark.parametrize("ending", ["png", "webp", "tif", "bmp"])
@pytest.mark.parametrize("source", ["a.tif", "a.png"])
def test_a_turned_photo_stays_upright_in_every_other_format(
    source: str, ending: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PHOTO).save(folder / source, exif=exif)
    upright = np.rot90(PHOTO, -1)
    imaging.write_mask(folder / "mask.png", np.rot90(MASK, -1))
    out = folder / f"out.{ending}"
    with pytest.raises(SystemExit) as left:
        main(["inpaint", str(folder / source), str(folder / "mask.png"), "-o", str(out)])
    assert left.value.code == 0, capsys.readouterr().err
    again = imaging.read(out).pixels
    assert np.array_equal(again[~np.rot90(MASK, -1)], upright[~np.rot90(MASK, -1)])
    with Image.open(out) as image:  # another reader turns it the same way
        turned = ImageOps.exif_transpose(image).convert("RGB")
    assert np.array_equal(np.asarray(turned), again)
    if source[-3:] != ending:
        assert ("EXIF" in capsys.readouterr().out) == (source == "a.png" and ending in ("png", "webp"))


@pytest.mark.parametrize("ending", ["jpg", "tif"])
def test_cmyk_stays_cmyk_in_its_own_format(ending: str, folder: Path) -> None:
    inks = np.dstack([PHOTO, PHOTO[..., 0] // 2])
    Image.fromarray(inks, "CMYK").save(folder / f"a.{ending}", quality=95)
    with pytest.raises(SystemExit, match="0"):
        main(["inpaint", str(folder / f"a.{ending}"), str(folder / "mask.png"), "--window", "7"])
    before = imaging.read(folder / f"a.{ending}")
    after = imaging.read(folder / f"a_clean.{ending}")
    assert after.inks is not None
    wanted = unetfast.inpaint(before.samples, MASK, 7)
    if ending == "tif":
        assert np.array_equal(after.inks, wanted)
    else:
        new = MASK[:, :, None] & (before.samples != wanted)
        assert np.abs(after.inks.astype(int) - wanted)[new].mean() < 12  # noise, at quality 95
    with Image.open(folder / f"a_clean.{ending}") as image:
        assert image.mode == "CMYK"


def test_cmyk_in_another_format_says_so_and_drops_its_profile(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(PHOTO).convert("CMYK").save(folder / "a.jpg", icc_profile=b"x" * 200)
    with pytest.raises(SystemExit):
        main(["inpaint", str(folder / "a.jpg"), str(folder / "mask.png"), "-o", str(folder / "out.png")])
    assert "CMYK rendered as RGB; metadata kept: none" in capsys.readouterr().out
    assert imaging.read(folder / "out.png").icc is None
