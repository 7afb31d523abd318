"""What holds no data (no-data value, mask, transparent, left out) is neither marked nor filled from."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from darkness_model import write_darkness_model
from numpy.typing import NDArray
from PIL import Image
from runs import photo, settings

from unetfast import imaging
from unetfast.inpainting import inpaint
from unetfast.pipeline.run import run

HEIGHT, WIDTH = 300, 260


def survey(channels: int = 3, value: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return a photo with a crack, of which a slanting half is blank, as an orthomosaic is at its rim."""
    image = photo(3, HEIGHT, WIDTH, channels)
    blank = np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)) > 300
    image[blank] = value
    return image, blank


def tiff(*pages: NDArray[Any], nodata: str = "", orientation: int = 1, **options: Any) -> bytes:
    tags: list[Any] = [(42113, "s", 0, nodata)] if nodata else []
    tags += [(274, "H", 1, orientation)]
    out = io.BytesIO()
    options = {"photometric": "rgb", "rowsperstrip": 16, **options}
    with tifffile.TiffWriter(out) as file:
        for page in pages:
            file.write(page, extratags=tags, metadata=None, **options)
    return out.getvalue()


def rgba(image: NDArray[np.uint8], blank: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.dstack([image, np.where(blank, 0, 255).astype(np.uint8)])


def process(tmp_path: Path, model: Path, name: str, data: bytes, **changes: Any) -> dict[str, Any]:
    (folder := tmp_path / "in").mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    assert run([str(folder)], tmp_path / "out", settings(**changes), model=model).done == 1
    line: dict[str, Any] = json.loads((tmp_path / "out/results.jsonl").read_text().splitlines()[-1])
    return line


@pytest.mark.parametrize("max_memory", ["2GB", "300kB"])
@pytest.mark.parametrize("window_px", [0, 7])
@pytest.mark.parametrize("kind", ["no-data 0", "no-data 255", "alpha", "grey"])
def test_the_rim_of_a_survey(tmp_path: Path, model: Path, kind: str, window_px: int, max_memory: str) -> None:
    image, blank = survey(value=255 if kind == "no-data 255" else 0)
    data = {
        "no-data 0": lambda: tiff(image, nodata="0"),
        "no-data 255": lambda: tiff(image, nodata="255.0"),
        "alpha": lambda: tiff(rgba(image, blank), extrasamples=["unassalpha"]),
        "grey": lambda: tiff(image[:, :, 0], nodata="0", photometric="minisblack"),
    }[kind]()
    changes: dict[str, Any] = {"window_px": window_px, "max_memory": max_memory}
    line = process(tmp_path, model, "a.tif", data, **changes)
    assert ("in windows" in line["how"]) == (max_memory != "2GB")
    assert f"{np.count_nonzero(blank)} pixels hold no data" in line["notes"]
    mask = imaging.read(tmp_path / "out/masks/a.png").pixels[:, :, 0] > 0
    assert mask.any()
    assert not (mask & blank).any()
    stored = imaging.decode(data, "a.tif").pixels
    cleaned = imaging.read(tmp_path / "out/a.tif").pixels
    assert np.array_equal(cleaned[~mask], stored[~mask])
    # As if all that is blank were to be filled: then nothing of it is there to be taken.
    wanted = inpaint(stored, mask | blank, window_px)
    assert np.array_equal(cleaned[mask], wanted[mask])


@pytest.mark.parametrize("max_memory", ["2GB", "1MB"])
@pytest.mark.parametrize("orientation", [1, 3])
def test_a_mask_in_a_page_of_its_own(tmp_path: Path, model: Path, orientation: int, max_memory: str) -> None:
    """GDAL writes one beside JPEG compression, which cannot hold an exact no-data value."""
    image, blank = survey()
    out = io.BytesIO()
    tags: list[Any] = [(274, "H", 1, orientation)]
    kept: dict[str, Any] = {"tile": (64, 64), "metadata": None, "extratags": tags, "compression": "zlib"}
    with tifffile.TiffWriter(out) as file:
        file.write(image, photometric="rgb", **kept)
        file.write(image[::2, ::2], photometric="rgb", subfiletype=1, **kept)
        file.write(~blank, photometric="mask", subfiletype=4, **kept)
        file.write(~blank[::2, ::2], photometric="mask", subfiletype=5, **kept)
    line = process(tmp_path, model, "a.tif", out.getvalue(), max_memory=max_memory, tile=96)
    assert ("in windows" in line["how"]) == (max_memory != "2GB")
    assert f"{np.count_nonzero(blank)} pixels hold no data" in line["notes"]
    found = imaging.read(tmp_path / "out/masks/a.png").pixels[:, :, 0] > 0
    mask = imaging.unorient(found, orientation)
    assert mask.any()
    assert not (mask & blank).any()
    cleaned = tifffile.imread(tmp_path / "out/a.tif")
    assert np.array_equal(cleaned[mask], inpaint(image, mask | blank, 0)[mask])
    assert np.array_equal(cleaned[~mask], image[~mask])
    with tifffile.TiffFile(tmp_path / "out/a.tif") as file:
        assert np.array_equal(file.pages[2].asarray(), ~blank)


@pytest.mark.parametrize("orientation", [1, 3])
@pytest.mark.parametrize("changes", [{"grain": True}, {"grain": True, "dilate_px": 9, "scale": 0.5}, {}])
def test_in_windows_as_in_whole(
    tmp_path: Path, model: Path, changes: dict[str, Any], orientation: int
) -> None:
    data = tiff(survey()[0], nodata="0", orientation=orientation, tile=(64, 64), rowsperstrip=None)
    for folder, memory in (("whole", "2GB"), ("bands", "1MB")):
        (tmp_path / folder).mkdir()
        line = process(tmp_path / folder, model, "a.tif", data, max_memory=memory, **changes)
        assert ("in windows" in line["how"]) == (folder == "bands")
    for name in ("a.tif", "masks/a.png"):
        bands, whole = (imaging.read(tmp_path / way / "out" / name).pixels for way in ("bands", "whole"))
        assert np.array_equal(bands, whole)


def test_pages_turned_by_a_quarter(tmp_path: Path, model: Path) -> None:
    image, blank = survey()
    line = process(tmp_path, model, "a.tif", tiff(image, image, nodata="0", orientation=6))
    assert f"{2 * np.count_nonzero(blank)} pixels hold no data" in line["notes"]
    mask = tifffile.imread(tmp_path / "out/masks/a.tif")[1] > 0
    assert mask.any()
    assert not (mask & np.rot90(blank, -1)).any()


@pytest.mark.parametrize("format", ["png", "webp"])
def test_transparent_pixels_of_other_formats(tmp_path: Path, model: Path, format: str) -> None:
    image, blank = survey()
    out = io.BytesIO()
    Image.fromarray(rgba(image, blank)).save(out, format, lossless=True, exact=True)
    line = process(tmp_path, model, f"a.{format}", out.getvalue())
    assert "hold no data" in line["notes"]
    mask = imaging.read(tmp_path / "out/masks/a.png").pixels[:, :, 0] > 0
    assert mask.any()
    assert not (mask & blank).any()
    cleaned = imaging.read(tmp_path / f"out/a.{format}").pixels
    assert (cleaned[mask][:, 3] == 255).all()
    assert np.array_equal(cleaned[~mask], rgba(image, blank)[~mask])


def test_classes_are_not_counted_where_nothing_is_known(tmp_path: Path) -> None:
    path = write_darkness_model(tmp_path / "three.onnx", classes=("background", "joint", "crack"))
    image, blank = survey()
    counts = process(tmp_path, path, "a.tif", tiff(image, nodata="0"), inpaint=False)["class_px"]
    assert counts["crack"] > 0
    assert counts["background"] >= np.count_nonzero(blank)


def test_of_a_survey_that_is_blank_all_over_nothing_is_marked(tmp_path: Path, model: Path) -> None:
    image, _ = survey()
    line = process(tmp_path, model, "a.png", png(rgba(image, np.ones((HEIGHT, WIDTH), np.bool_))))
    assert line["masked_px"] == 0


def png(pixels: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "png")
    return out.getvalue()


@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("nodata", ["", "255"])
def test_tiles_that_a_sparse_file_leaves_out_hold_no_data(
    tmp_path: Path, model: Path, nodata: str, planes: str
) -> None:
    """GDAL leaves them out (SPARSE_OK); as black squares their rims would be marked and filled from."""
    image, blank = photo(3, HEIGHT, WIDTH), np.zeros((HEIGHT, WIDTH), np.bool_)
    blank[64:192, 64:128] = True
    stored = image if planes == "contig" else np.moveaxis(image, -1, 0)
    path = tmp_path / "sparse.tif"
    path.write_bytes(tiff(stored, nodata=nodata, planarconfig=planes, tile=(64, 64), rowsperstrip=None))
    across, down = -(-WIDTH // 64), -(-HEIGHT // 64)
    number = [plane * across * down + row * across + 1 for plane in range(3) for row in (1, 2)]
    number = number[:2] if planes == "contig" else number
    with tifffile.TiffFile(path, mode="r+b") as file:
        for tag in (324, 325):
            values = list(file.pages[0].tags[tag].value)
            file.pages[0].tags[tag].overwrite([0 if n in number else v for n, v in enumerate(values)])
    results = {}
    for memory in ("2GB", "1MB"):
        (tmp_path / memory).mkdir()
        line = process(tmp_path / memory, model, "a.tif", path.read_bytes(), max_memory=memory, tile=96)
        assert ("in windows" in line["how"]) == (memory == "1MB")
        assert f"{blank.sum()} pixels hold no data" in line["notes"]
        mask = imaging.read(tmp_path / memory / "out/masks/a.png").pixels[:, :, 0] > 0
        assert mask.any()
        assert not (mask & blank).any()
        with tifffile.TiffFile(tmp_path / memory / "out/a.tif") as file:
            assert [n for n, place in enumerate(file.pages[0].dataoffsets) if not place] == number
        results[memory] = imaging.read(tmp_path / memory / "out/a.tif").pixels
        wanted = inpaint(image, mask | blank, 0)
        assert np.array_equal(results[memory][mask], wanted[mask])
    assert np.array_equal(results["2GB"], results["1MB"])
