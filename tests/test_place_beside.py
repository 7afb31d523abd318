"""Photos that files beside them place, as GDAL and surveyors' tools write these, give results in that place.

The expected sides were also read back by gdalinfo 3.6.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from runs import photo
from test_place import PLACED, geotiff

from unetfast import imaging
from unetfast.imaging.place import Place, place_beside
from unetfast.pipeline.plan import plan
from unetfast.pipeline.run import Summary, run
from unetfast.pipeline.settings import RunSettings
from unetfast.pipeline.sources import Found

WORLD = "0.1\n0.0\n0.0\n-0.1\n500000.05\n5200047.95\n"  # of the middle of the first pixel
CORNER = (500000.0, 0.1, 0.0, 5200048.0, 0.0, -0.1)
AUX = """<PAMDataset><SRS dataAxisToSRSAxisMapping="2,1">EPSG:4326</SRS>
<Metadata><MDI key="a">1</MDI></Metadata>%s</PAMDataset>"""
EVERYTHING = RunSettings(inpaint=True, save_masks=True, overlay=True)


def jpeg(orientation: int = 1) -> bytes:
    data = imaging.encode(imaging.Picture(photo(), "jpeg"))
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHHI", 274, 3, 1, orientation, 0, 0)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]


def affine(file: Path) -> list[float]:
    root = ElementTree.fromstring(file.read_text())
    return [float(number) for number in (root.findtext("GeoTransform") or "").split(",")]


def process(folder: Path, model: Path, settings: RunSettings = EVERYTHING) -> Summary:
    return run([str(folder)], folder.with_name("out"), settings, model=model)


@pytest.mark.parametrize(
    ("picture", "world", "prj"),
    [
        ("a.jpg", "a.jgw", "a.prj"),
        ("a.jpg", "a.jpgw", "a.prj"),
        ("a.jpeg", "a.wld", "a.prj"),
        ("A.JPG", "A.JGW", "A.PRJ"),
        ("a.png", "a.pgw", "a.prj"),
        ("a.b.tif", "a.b.tfw", "a.b.prj"),
    ],
)
def test_world_files_under_all_their_names(tmp_path: Path, picture: str, world: str, prj: str) -> None:
    assert place_beside(tmp_path / picture) is None
    (tmp_path / world).write_text(WORLD)
    (tmp_path / prj).write_text('PROJCS["UTM"]\n')
    place = place_beside(tmp_path / picture)
    assert place is not None
    assert place.system == 'PROJCS["UTM"]'
    np.testing.assert_allclose(place.affine, CORNER, rtol=1e-15)


def test_every_result_lies_where_the_world_file_says(tmp_path: Path, model: Path) -> None:
    (folder := tmp_path / "in").mkdir()
    (folder / "a.jpg").write_bytes(jpeg())
    assert process(folder, model).done == 1
    assert not list(tmp_path.glob("out/**/*.xml"))
    (folder / "a.jgw").write_text(WORLD)  # comes later: the results are made again
    step = next(plan([str(folder)], str(tmp_path / "out"), EVERYTHING, Found(), model=model))
    assert (step.what, step.why) == ("again", "the files beside it that say where it lies changed")
    assert process(folder, model).done == 1
    sides = [tmp_path / "out" / name for name in ("a.jpg", "masks/a.png", "overlays/a.jpg")]
    for side in sides:
        np.testing.assert_allclose(affine(Path(f"{side}.aux.xml")), CORNER, rtol=1e-15)
    assert process(folder, model).unchanged == 1
    (folder / "a.jgw").unlink()  # and is gone again: nothing says any more where they lie
    assert process(folder, model).done == 1
    assert not list(tmp_path.glob("out/**/*.xml"))


def test_what_is_beside_a_geotiff_counts_before_what_is_in_it(tmp_path: Path, model: Path) -> None:
    (folder := tmp_path / "in").mkdir()
    (folder / "p.tif").write_bytes(geotiff(PLACED))
    (aux := folder / "p.tif.aux.xml").write_text(AUX % "")  # as statistics leave it: no place of its own
    inside = imaging.read(folder / "p.tif").place
    beside = place_beside(folder / "p.tif")
    assert inside is not None
    assert beside == Place("EPSG:4326", "2,1")
    assert beside.over(inside) == Place("EPSG:4326", "2,1", inside.affine)
    aux.write_text(AUX % "<GeoTransform> 1, 2, 0, 3, 0, -2</GeoTransform>")
    assert process(folder, model).done == 1
    for name in ("p.tif", "masks/p.png", "overlays/p.jpg"):
        assert affine(tmp_path / f"out/{name}.aux.xml") == [1, 2, 0, 3, 0, -2]
        assert b"MDI" not in (tmp_path / f"out/{name}.aux.xml").read_bytes()  # the statistics of other pixels
    small = RunSettings(inpaint=True, save_masks=True, max_memory="100kB")
    assert process(folder, model, small).done == 1
    for name in ("p.tif", "masks/p.png"):
        assert affine(tmp_path / f"out/{name}.aux.xml") == [1, 2, 0, 3, 0, -2]


def test_ground_control_points_go_with_the_mask() -> None:
    points = [(0.0, 0.0, 5e5, 52e5), (80.0, 0.0, 500008.0, 5200000.5), (0.0, 96.0, 5e5, 5199990.0)]
    ties = [number for x, y, east, north in points for number in (x, y, 0.0, east, north, 0.0)]
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32632)
    place = imaging.read(geotiff([(33922, "d", 18, tuple(ties)), (34735, "H", 16, keys)])).place
    assert place is not None
    listed = ElementTree.fromstring(place.aux_xml() or b"").find("GCPList")
    assert listed is not None
    assert listed.get("Projection") == "EPSG:32632"
    found = [[float(point.get(name, "")) for name in ("Pixel", "Line", "X", "Y")] for point in listed]
    assert found == [list(point) for point in points]


def test_points_beside_a_photo_are_kept(tmp_path: Path) -> None:
    points = "".join(f'<GCP Id="{i}" Pixel="{i}" Line="0" X="{i + 7}" Y="2"/>' for i in range(3))
    (tmp_path / "a.png.aux.xml").write_text(
        f'<PAMDataset><GCPList Projection="EPSG:2056">{points}</GCPList></PAMDataset>'
    )
    place = place_beside(tmp_path / "a.png")
    assert place == Place("EPSG:2056", points=tuple((float(i), 0.0, i + 7.0, 2.0, 0.0) for i in range(3)))
    (tmp_path / "b.png.aux.xml").write_bytes(place.aux_xml() or b"")
    assert place_beside(tmp_path / "b.png") == place


@pytest.mark.parametrize("side", ["a.jgw", "a.jpg.aux.xml"])
def test_damaged_side_files_are_named_and_the_photo_is_done(tmp_path: Path, model: Path, side: str) -> None:
    (folder := tmp_path / "in").mkdir()
    (folder / "a.jpg").write_bytes(jpeg())
    (folder / side).write_text("1 2 3 <")
    assert process(folder, model).noted == 1
    line = json.loads((tmp_path / "out/results.jsonl").read_text())
    assert f"{folder / side}: damaged" in line["notes"]


def test_a_photo_that_is_turned_upright_has_no_place(tmp_path: Path, model: Path) -> None:
    (folder := tmp_path / "in").mkdir()
    (folder / "a.jpg").write_bytes(jpeg(orientation=6))
    (folder / "a.jgw").write_text(WORLD)
    assert process(folder, model).done == 1
    assert not list(tmp_path.glob("out/**/*.xml"))


def test_world_files_with_decimal_commas_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.tfw").write_text(WORLD.replace("\n", "\r\n").replace(".", ","))
    place = place_beside(tmp_path / "a.tif")
    assert place is not None
    np.testing.assert_allclose(place.affine, CORNER, rtol=1e-15)
