"""What annotation tools write: CVAT, Supervisely, the VGG Image Annotator, Label Studio, ImageScope."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drawn_data import H, W, photo, png, save, truth
from numpy.typing import NDArray

from unetfast.data import open_dataset
from unetfast.data.labels import read_pair
from unetfast.errors import DatasetError

HOLE, SLAB = (slice(10, 14), slice(20, 26)), (slice(6, 24), slice(9, 40))


def _squares() -> NDArray[np.uint8]:
    """(H, W): a slab of class 1 with a hole in it."""
    expected = np.zeros((H, W), np.uint8)
    expected[SLAB] = 1
    expected[HOLE] = 0
    return expected


def _ring(area: tuple[slice, slice]) -> list[list[int]]:
    rows, columns = area
    return [
        [columns.start, rows.start],
        [columns.stop, rows.start],
        [columns.stop, rows.stop],
        [columns.start, rows.stop],
    ]


def _labels(root: Path, index: int = 0, **options: str) -> NDArray[np.uint8]:
    found = open_dataset(root, **options)  # type: ignore[arg-type]
    return read_pair(found.samples[index], found.encoding, found.channels)[1]


def _supervisely(root: Path, *objects: dict[str, object]) -> Path:
    for i in range(2):
        save(root / f"ds/img/{i}.png", photo(i))
        content = {"size": {"height": H, "width": W}, "objects": [*objects], "tags": []}
        (root / "ds/ann").mkdir(exist_ok=True)
        (root / f"ds/ann/{i}.png.json").write_text(json.dumps(content))
    return root


def test_supervisely_cuts_holes_out_of_polygons(tmp_path: Path) -> None:
    points = {"exterior": _ring(SLAB), "interior": [_ring(HOLE)]}
    _supervisely(tmp_path, {"classTitle": "slab", "geometryType": "polygon", "points": points})
    np.testing.assert_array_equal(_labels(tmp_path), _squares())


def test_supervisely_bitmaps_lie_where_their_origin_says(tmp_path: Path) -> None:
    inside = _squares()[SLAB]
    rgba = np.zeros((*inside.shape, 4), np.uint8)
    rgba[..., 3] = inside * 255
    data = base64.b64encode(zlib.compress(png(rgba))).decode()
    bitmap = {"data": data, "origin": [SLAB[1].start, SLAB[0].start]}
    _supervisely(tmp_path, {"classTitle": "slab", "geometryType": "bitmap", "bitmap": bitmap})
    np.testing.assert_array_equal(_labels(tmp_path), _squares())


def test_a_supervisely_bitmap_that_leaves_its_image_is_refused(tmp_path: Path) -> None:
    data = base64.b64encode(zlib.compress(png(np.full((9, 9), 255, np.uint8)))).decode()
    thing = {"classTitle": "x", "geometryType": "bitmap", "bitmap": {"data": data, "origin": [W - 3, 0]}}
    with pytest.raises(DatasetError, match=r"0\.png\.json: .*leaves its image of 64x48"):
        open_dataset(_supervisely(tmp_path, thing))


def _cvat(root: Path, shapes: str, *, images: bool = True) -> Path:
    for i in range(2) if images else ():
        save(root / f"images/sub/{i}.png", photo(i))
    entries = "".join(
        f'<image id="{i}" name="sub/{i}.png" width="{W}" height="{H}">{shapes}</image>' for i in range(2)
    )
    root.mkdir(exist_ok=True)
    (root / "annotations.xml").write_text(
        f'<?xml version="1.0"?>\n<annotations>\n<version>1.1</version>{entries}</annotations>'
    )
    return root


def test_cvat_polygons_and_masks(tmp_path: Path) -> None:
    points = ";".join(f"{x}.0,{y}.0" for x, y in _ring(SLAB))
    rows, columns = HOLE[0].stop - HOLE[0].start, HOLE[1].stop - HOLE[1].start
    mask = (
        f'<mask label="hole" rle="1, {rows * columns - 1}" left="{HOLE[1].start}" top="{HOLE[0].start}" '
        f'width="{columns}" height="{rows}"/>'
    )
    _cvat(tmp_path, f'<polygon label="slab" points="{points}"/>{mask}')
    found = open_dataset(tmp_path)
    assert (found.layout, found.classes) == ("cvat", ("background", "hole", "slab"))
    expected = np.zeros((H, W), np.uint8)
    expected[SLAB] = 2
    expected[HOLE] = 1
    expected[HOLE[0].start, HOLE[1].start] = 2  # its runs begin with one pixel of 0
    np.testing.assert_array_equal(_labels(tmp_path), expected)
    only = _labels(tmp_path, mask_name="hole")
    np.testing.assert_array_equal(only, expected == 1)


def test_cvat_boxes_alone_and_images_that_are_elsewhere_are_refused(tmp_path: Path) -> None:
    box = '<box label="slab" xtl="1" ytl="2" xbr="10" ybr="20"/>'
    with pytest.raises(DatasetError, match="all 2 annotations are boxes, lines or points"):
        open_dataset(_cvat(tmp_path / "boxes", box))
    with pytest.raises(DatasetError, match="none of the 2 annotated images is here, such as that of"):
        open_dataset(_cvat(tmp_path / "alone", box, images=False))


def test_xml_with_entities_is_refused(tmp_path: Path) -> None:
    _cvat(tmp_path, "")
    bomb = (
        (tmp_path / "annotations.xml").read_text().replace("\n<ann", '\n<!DOCTYPE a [<!ENTITY b "c">]><ann')
    )
    (tmp_path / "annotations.xml").write_text(bomb)
    with pytest.raises(DatasetError, match="document type"):
        open_dataset(tmp_path)


def _via(regions: object, file: str = "0.jpg") -> dict[str, object]:
    return {f"{file}123": {"filename": file, "size": 123, "regions": regions, "file_attributes": {}}}


def _polygon(area: tuple[slice, slice], **attributes: object) -> dict[str, object]:
    x, y = zip(*_ring(area), strict=True)
    shape = {"name": "polygon", "all_points_x": x, "all_points_y": y}
    return {"shape_attributes": shape, "region_attributes": attributes}


@pytest.mark.parametrize(
    "wrap",
    [lambda content: content, lambda content: {"_via_settings": {}, "_via_img_metadata": content}],
    ids=["export", "project"],
)
@pytest.mark.parametrize("old", [False, True])
def test_via_regions(wrap: Callable[[object], object], old: bool, tmp_path: Path) -> None:
    content: dict[str, object] = {}
    for i in range(2):
        save(tmp_path / f"{i}.jpg", photo(i))
        regions = [_polygon(SLAB, kind="slab"), _polygon(HOLE, kind="hole")]
        content |= _via(dict(enumerate(regions)) if old else regions, f"{i}.jpg")
    (tmp_path / "via.json").write_text(json.dumps(wrap(content)))
    found = open_dataset(tmp_path)
    assert (found.layout, found.classes) == ("via", ("background", "hole", "slab"))
    expected = np.zeros((H, W), np.uint8)
    expected[SLAB] = 2
    expected[HOLE] = 1
    np.testing.assert_array_equal(_labels(tmp_path), expected)


def test_via_table_without_attributes_is_one_class(tmp_path: Path) -> None:
    lines = ["filename,region_count,region_id,region_shape_attributes,region_attributes"]
    for i in range(2):
        save(tmp_path / f"{i}.jpg", photo(i))
        shape = json.dumps(_polygon(SLAB)["shape_attributes"]).replace('"', '""')
        lines.append(f'{i}.jpg,1,0,"{shape}",{{}}')
    (tmp_path / "via_region_data.csv").write_text("\n".join(lines))
    found = open_dataset(tmp_path)
    assert (found.layout, found.classes) == ("via", ("background", "foreground"))
    assert (_labels(tmp_path)[SLAB] == 1).all()


def test_via_regions_with_several_attributes_are_asked_about(tmp_path: Path) -> None:
    save(tmp_path / "0.jpg", photo())
    (tmp_path / "via.json").write_text(json.dumps(_via([_polygon(SLAB, shade="dark", size="big")])))
    with pytest.raises(DatasetError, match="regions have the attributes shade, size, and none alone"):
        open_dataset(tmp_path)


def test_images_without_outlines_are_said_to_be_background(tmp_path: Path) -> None:
    for i in range(2):
        save(tmp_path / f"{i}.jpg", photo(i))
    content = _via([_polygon(SLAB)], "0.jpg") | _via([], "1.jpg")
    (tmp_path / "via.json").write_text(json.dumps(content))
    said = " ".join(text for _, text in open_dataset(tmp_path).decisions)
    assert "1 images have no outline at all and count as background, such as 1.jpg" in said


def test_an_image_annotated_for_two_splits_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "0.jpg", photo(0))
    for split in ("train", "val"):
        (tmp_path / f"{split}.json").write_text(json.dumps(_via([_polygon(SLAB)])))
    with pytest.raises(DatasetError, match=r"0\.jpg is annotated for train and for val"):
        open_dataset(tmp_path)


def test_ellipses_of_cvat_and_via_are_turned(tmp_path: Path) -> None:
    y, x = np.mgrid[:H, :W] + 0.5
    standing = ((x - 30) / 5) ** 2 + ((y - 20) / 12) ** 2 <= 1
    _cvat(tmp_path / "cvat", '<ellipse label="slab" cx="30" cy="20" rx="12" ry="5" rotation="90"/>')
    shape = {"name": "ellipse", "cx": 30, "cy": 20, "rx": 12, "ry": 5, "theta": np.pi / 2}
    save(tmp_path / "via/0.jpg", photo(0))
    region = {"shape_attributes": shape, "region_attributes": {}}
    (tmp_path / "via/via.json").write_text(json.dumps(_via([region])))
    for tool in ("cvat", "via"):
        assert np.count_nonzero((_labels(tmp_path / tool) == 1) != standing) <= 2, tool  # 64 corners


def _imagescope(name: str = "", attribute: str = "Description", negative: int = 0) -> str:
    def region(area: tuple[slice, slice], out: int = 0) -> str:
        vertices = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in _ring(area))
        return f'<Region Id="1" Type="0" NegativeROA="{out}"><Vertices>{vertices}</Vertices></Region>'

    return (
        f'<Annotations MicronsPerPixel="0.25"><Annotation Id="1" Name="{name}">'
        f'<Attributes><Attribute Name="{attribute}" Id="0" Value=""/></Attributes>'
        f"<Regions>{region(SLAB)}{region(HOLE, negative)}</Regions></Annotation></Annotations>"
    )


def test_monuseg(tmp_path: Path) -> None:
    for i in range(2):
        save(tmp_path / f"Tissue Images/TCGA-{i}.tif", photo(i))
        (tmp_path / "Annotations").mkdir(exist_ok=True)
        (tmp_path / f"Annotations/TCGA-{i}.xml").write_text(_imagescope(negative=1))
    found = open_dataset(tmp_path)
    assert (found.layout, found.classes) == ("imagescope", ("background", "foreground"))
    np.testing.assert_array_equal(_labels(tmp_path), _squares())


def test_imagescope_layers_are_classes(tmp_path: Path) -> None:
    for i, xml in enumerate((_imagescope("tumour"), _imagescope(attribute="Epithelial"))):
        save(tmp_path / f"p{i}/{i}.tif", photo(i))
        (tmp_path / f"p{i}/{i}.xml").write_text(xml)
    assert open_dataset(tmp_path).classes == ("background", "Epithelial", "tumour")


def _labelme(root: Path) -> Path:
    save(root / "0.png", photo(0))
    shape = {"label": "slab", "shape_type": "polygon", "points": _ring(SLAB)}
    content = {"imagePath": "0.png", "imageHeight": H, "imageWidth": W, "shapes": [shape]}
    (root / "0.json").write_text(json.dumps(content))
    return root / "0.png"


def _of_cvat(root: Path) -> Path:
    points = ";".join(f"{x},{y}" for x, y in _ring(SLAB))
    _cvat(root, f'<polygon label="slab" points="{points}"/>')
    return next(root.rglob("0.png"))


def _of_supervisely(root: Path) -> Path:
    points = {"exterior": _ring(SLAB), "interior": []}
    _supervisely(root, {"classTitle": "slab", "geometryType": "polygon", "points": points})
    return root / "ds/img/0.png"


def _of_coco(root: Path) -> Path:
    save(root / "0.png", photo(0))
    outline = [value for point in _ring(SLAB) for value in point]
    content = {
        "images": [{"id": 1, "file_name": "0.png", "width": W, "height": H}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [outline]}],
        "categories": [{"id": 1, "name": "slab"}],
    }
    (root / "coco.json").write_text(json.dumps(content))
    return root / "0.png"


@pytest.mark.parametrize("make", [_labelme, _of_coco, _of_cvat, _of_supervisely])
def test_outlines_of_another_size_of_image_are_refused(make: Callable[[Path], Path], tmp_path: Path) -> None:
    """Photos made smaller after they were annotated: the outlines would lie elsewhere, and silently."""
    image = make(tmp_path)
    assert _labels(tmp_path)[SLAB].all()
    save(image, photo(0)[::2, ::2])
    with pytest.raises(DatasetError, match=rf"0\.png: {W // 2}x{H // 2} px, but .* drawn on {W}x{H} px"):
        _labels(tmp_path)


def _packed(mask: NDArray[np.uint8]) -> list[int]:
    """Pack an RGBA picture of a mask as Label Studio's brush does: runs of equal bytes, and of others."""
    data = np.repeat(mask.ravel() * 255, 4)
    bits = f"{data.size:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"
    starts = [0, *(np.flatnonzero(np.diff(data)) + 1).tolist()]
    for start, end in zip(starts, [*starts[1:], data.size], strict=True):
        for at in range(start, end, 256):
            length = min(256, end - at)
            if length <= 8:
                bits += f"000{length - 1:03b}" + f"{data[at]:08b}" * length  # word by word
            else:
                bits += f"110{length - 1:08b}{data[at]:08b}"
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def _task(number: int, shapes: list[dict[str, object]], image: str) -> dict[str, object]:
    size = {"original_width": W, "original_height": H, "image_rotation": 0}
    results = [{**size, "type": "x", "value": shape} for shape in shapes]
    return {"id": number, "annotations": [{"id": 9, "result": results}], "data": {"image": image}}


def test_label_studio(tmp_path: Path) -> None:
    brush = truth(1)
    square: dict[str, object] = {
        "points": [[100 * x / W, 100 * y / H] for x, y in ((10, 5), (30, 5), (30, 20), (10, 20))],
        "polygonlabels": ["crack"],
    }
    box: dict[str, object] = {"x": 0, "y": 0, "width": 50, "height": 25, "rectanglelabels": ["plate"]}
    oval: dict[str, object] = {"x": 50, "y": 50, "radiusX": 20, "radiusY": 10, "ellipselabels": ["crack"]}
    stroke: dict[str, object] = {"format": "rle", "rle": _packed(brush), "brushlabels": ["crack"]}
    tasks = [
        _task(1, [square, {"choices": ["good"]}], "/data/upload/1/0a1b2c3d-IMG%200.jpg"),
        _task(2, [stroke], "/data/local-files/?d=photos/IMG 1.jpg"),
        _task(3, [box, oval], "https://bucket/x/IMG 2.jpg?token=1"),
        _task(4, [], "IMG 3.jpg"),
        {"id": 5, "annotations": [], "data": {"image": "IMG 4.jpg"}},  # not annotated yet
    ]
    for i in range(5):
        save(tmp_path / f"photos/IMG {i}.jpg", photo(i))
    (tmp_path / "project-1.json").write_text(json.dumps(tasks))
    found = open_dataset(tmp_path)
    assert found.classes == ("background", "crack", "plate")
    labels = [read_pair(sample, found.encoding, 3)[1] for sample in found.samples]
    assert len(labels) == 4
    assert labels[0].sum() == labels[0][5:20, 10:30].sum() == 15 * 20
    np.testing.assert_array_equal(labels[1], brush)
    assert (labels[2] == 2).sum() == (labels[2][: H // 4, : W // 2] == 2).sum() == H // 4 * W // 2
    assert labels[2][H // 2, W // 2] == 1
    assert not labels[3].any()
    assert any("1 pictures without annotations are left out" in text for _, text in found.decisions)


def test_label_studio_json_min_and_several_annotators(tmp_path: Path) -> None:
    save(tmp_path / "0.jpg", photo(0))
    ring = [[0, 0], [50, 0], [50, 50]]
    shape = {"points": ring, "polygonlabels": ["crack"], "original_width": W, "original_height": H}
    path = tmp_path / "min.json"
    path.write_text(json.dumps([{"image": "/data/upload/1/12345678-0.jpg", "id": 1, "label": [shape]}]))
    assert open_dataset(path).classes == ("background", "crack")
    task = _task(1, [shape], "0.jpg")
    other = {"id": 10, "result": [], "was_cancelled": True}
    path.write_text(json.dumps([task | {"annotations": [other, *task["annotations"], *task["annotations"]]}]))  # type: ignore[misc]
    found = open_dataset(path)
    assert len(found.samples[0].polygons) == 1
    assert any("1 tasks have several annotations" in text for _, text in found.decisions)
    turned = _task(1, [shape], "0.jpg")
    turned["annotations"][0]["result"][0]["image_rotation"] = 90  # type: ignore[index]
    path.write_text(json.dumps([turned]))
    with pytest.raises(DatasetError, match="turned by 90 degrees in Label Studio"):
        open_dataset(path)
    path.write_text(json.dumps([_task(1, [{"format": "rle", "rle": [1], "brushlabels": ["a"]}], "0.jpg")]))
    with pytest.raises(DatasetError, match="cut off"):
        open_dataset(path)


def test_brushes_of_label_studio_need_its_json(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / f"images/IMG_{i}.jpg", photo(i))
        save(tmp_path / f"masks/task-{i}-annotation-{i + 4}-by-1-tag-crack-0.png", truth(i) * 255)
    with pytest.raises(DatasetError, match=r"carries the number of a task .* export the project as JSON"):
        open_dataset(tmp_path)
