"""Masks and overlays of GeoTIFF photos lie where the photos lie."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from darkness_model import write_darkness_model

from unetfast import imaging
from unetfast.pipeline.run import run
from unetfast.pipeline.settings import RunSettings

UTM = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32632)  # projected, pixels are areas, EPSG:32632
SCALE = (33550, "d", 3, (0.1, 0.2, 0.0))
TIE = (33922, "d", 6, (0.0, 0.0, 0.0, 500000.0, 5200000.0, 0.0))
PLACED = [SCALE, TIE, (34735, "H", 16, UTM)]


def geotiff(tags: list[Any], **options: Any) -> bytes:
    image = np.full((96, 80, 3), 170, np.uint8)
    image[40:43] = 30
    out = io.BytesIO()
    tifffile.imwrite(out, image, photometric="rgb", rowsperstrip=8, extratags=tags, metadata=None, **options)
    return out.getvalue()


def keys(*rows: tuple[int, int]) -> tuple[int, str, int, tuple[int, ...]]:
    values = (1, 1, 0, len(rows), *(number for key, value in rows for number in (key, 0, 1, value)))
    return 34735, "H", len(values), values


@pytest.mark.parametrize(
    ("tags", "affine", "system"),
    [
        (PLACED, (500000.0, 0.1, 0.0, 5200000.0, 0.0, -0.2), "EPSG:32632"),
        # Coordinates of the middle of a pixel; the tie is the pixel at x 10, y 20.
        (
            [
                SCALE,
                (33922, "d", 6, (10.0, 20.0, 0.0, 500001.0, 5199996.0, 0.0)),
                keys((1024, 1), (1025, 2), (3072, 2056)),
            ],
            (499999.95, 0.1, 0.0, 5200000.1, 0.0, -0.2),
            "EPSG:2056",
        ),
        (
            [
                (34264, "d", 16, (0.8, 0.6, 0.0, 5.0, 0.6, -0.8, 0.0, 7.0, *[0.0] * 7, 1.0)),
                keys((1024, 2), (2048, 4326)),
            ],
            (5.0, 0.8, 0.6, 7.0, 0.6, -0.8),
            "EPSG:4326",
        ),
        ([SCALE, TIE, keys((1024, 1), (3072, 32767))], (500000.0, 0.1, 0.0, 5200000.0, 0.0, -0.2), None),
        ([SCALE, TIE], (500000.0, 0.1, 0.0, 5200000.0, 0.0, -0.2), None),  # by listgeo, or from a world file
        ([keys((1024, 1), (3072, 32632))], None, None),
        ([(33550, "d", 3, (float("nan"), 0.1, 0.0)), TIE], None, None),
        ([(33550, "d", 3, (0.0, 0.0, 0.0)), TIE], None, None),
        ([SCALE, (33922, "d", 12, TIE[3] * 2)], None, None),  # two points are too few
        ([*PLACED, (274, "H", 1, 3)], None, None),
    ],
)
def test_the_tags_of_geotiff(tags: list[Any], affine: tuple[float, ...] | None, system: str | None) -> None:
    place = imaging.read(geotiff(tags)).place
    if affine is None:
        assert place is None
        return
    assert place is not None
    found = re.search(r"<GeoTransform>(.*)</GeoTransform>", text := (place.aux_xml() or b"").decode())
    assert found is not None
    np.testing.assert_allclose([float(number) for number in found[1].split(",")], affine, rtol=1e-15)
    assert re.findall(r"<SRS>(.*)</SRS>", text) == ([system] if system else [])


@pytest.mark.parametrize("max_memory", ["2GB", "100kB"])  # as a whole, and in bands
def test_results_lie_where_the_photo_lies(tmp_path: Path, max_memory: str) -> None:
    model, photo, out = tmp_path / "dark.onnx", tmp_path / "in/p.tif", tmp_path / "out"
    write_darkness_model(model)
    photo.parent.mkdir()
    photo.write_bytes(geotiff(PLACED))
    settings = RunSettings(inpaint=True, save_masks=True, overlay=True, max_memory=max_memory)
    assert run([str(photo.parent)], out, settings, model=model).done == 1
    beside = out / "masks/p.png.aux.xml"
    assert (place := imaging.read(photo.read_bytes()).place) is not None
    assert beside.read_bytes() == place.aux_xml()
    assert (out / "overlays/p.jpg.aux.xml").exists() == (max_memory == "2GB")
    kinds = json.loads((out / "results.jsonl").read_text())["outputs"]
    assert kinds["mask_place"] == "masks/p.png.aux.xml"

    # A GIS program adds its statistics; the photo is done all the same, and they stay.
    beside.write_text(beside.read_text().replace("</PAM", "<Metadata/></PAM"))
    assert run([str(photo.parent)], out, settings, model=model).unchanged == 1
    assert "Metadata" in beside.read_text()
    # Beside a mask whose name has 255 bytes there can be none.
    long = photo.rename(photo.with_name(f"{'n' * 251}.tif"))
    assert run([str(photo.parent)], out, settings, model=model).noted == 1
    long.rename(photo)
    # Of a photo that lies nowhere, nothing says that it does.
    photo.write_bytes(geotiff(PLACED))
    beside.unlink()
    assert run([str(photo.parent)], out, settings, model=model).done == 1
    photo.write_bytes(geotiff([]))
    assert run([str(photo.parent)], out, settings, model=model).done == 1
    assert not beside.exists()
