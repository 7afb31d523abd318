"""Outlines and run lengths: COCO, YOLO, LabelMe, Kaggle's tables."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_data import H, W, pairs, photo, png, save, truth
from numpy.typing import NDArray

from unetfast.data import open_dataset
from unetfast.data.doctor import inspect
from unetfast.data.encoding import LabelEncoding
from unetfast.data.labels import read_pair
from unetfast.errors import ConfigError, DatasetError, ImageError


def test_labels_for_detection_are_no_masks(tmp_path: Path) -> None:
    save(tmp_path / "images/0.jpg", photo(0))
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/0.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(DatasetError, match="all 1 annotations are boxes, lines or points, as for detection"):
        open_dataset(tmp_path)


def test_outlines_thinner_than_a_pixel_are_counted(tmp_path: Path) -> None:
    thin = {"label": "crack", "points": [[2, 5.6], [40, 5.6], [40, 5.9]], "shape_type": "polygon"}
    _labelme(tmp_path, 0, SQUARE, thin)
    _labelme(tmp_path, 1, SQUARE)
    (found,) = [finding for finding in inspect(open_dataset(tmp_path)) if finding.topic == "outlines"]
    assert (found.severity, found.files) == ("warning", ("0 (1)",))
    assert str(found).startswith("1 of 3 outlines mark no pixel: they are thinner than a pixel")


def _coco(root: Path, name: str = "annotations.json", folder: str = "images") -> Path:
    images, annotations = [], []
    for i in range(3):
        save(root / folder / f"{i}.png", photo(i))
        images.append({"id": i, "file_name": f"{i}.png", "width": W, "height": H})
        box = [8, 8, 24, 8, 24, 24, 8, 24]
        annotations.append({"id": 2 * i, "image_id": i, "category_id": 3, "segmentation": [box]})
        annotations.append(
            {
                "id": 2 * i + 1,
                "image_id": i,
                "category_id": 7,
                "segmentation": [[12, 12, 16, 12, 16, 16, 12, 16]],
            }
        )
    images.append({"id": 9, "file_name": "9.png", "width": W, "height": H})
    save(root / folder / "9.png", photo(9))
    categories = [{"id": 1, "name": "all"}, {"id": 3, "name": "slab"}, {"id": 7, "name": "hole"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("folder", ["/project/pictures", "D:\\\\project\\\\pictures"])
def test_coco_of_another_machine_is_said_to_be_found_by_its_ends(folder: str, tmp_path: Path) -> None:
    path = _coco(tmp_path)
    separator = "\\\\" if "\\" in folder else "/"
    path.write_text(path.read_text().replace('"file_name": "', f'"file_name": "{folder}{separator}'))
    found = open_dataset(tmp_path)
    assert len(found.samples) == 4
    said = " ".join(text for _, text in found.decisions)
    assert (
        "4 images are listed by absolute paths and were found again by their ends, such as images/0.png"
        in said
    )


def test_coco_with_annotations_by_their_ids(tmp_path: Path) -> None:
    """As LIVECell has them."""
    path = _coco(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"] = {str(entry["id"]): entry for entry in content["annotations"]}
    plain = open_dataset(tmp_path)
    path.write_text(json.dumps(content))
    found = open_dataset(tmp_path)
    assert found.layout == "coco"
    assert [sample.polygons for sample in found.samples] == [sample.polygons for sample in plain.samples]


def test_coco_draws_small_over_large(tmp_path: Path) -> None:
    path = _coco(tmp_path, "annotations/instances_train2017.json", "train2017")
    for root in (tmp_path, path):
        found = open_dataset(root)
        assert found.layout == "coco"
        assert found.classes == ("background", "slab", "hole")
        assert len(found.samples) == 4
        assert found.samples[0].split == "train"
        labels = read_pair(found.samples[0], found.encoding, 3)[1]
        expected = np.zeros((H, W), np.uint8)
        expected[8:25, 8:25], expected[12:17, 12:17] = 1, 2
        assert (labels != expected).sum() <= 2 * (17 + 5)  # OpenCV draws the outline's pixels too, or not
        assert not read_pair(found.samples[3], found.encoding, 3)[1].any()
    only = open_dataset(tmp_path, mask_name="hole")
    assert only.classes == ("background", "hole")
    with pytest.raises(DatasetError, match="no class 'gap'; there are all, slab, hole"):
        open_dataset(tmp_path, mask_name="gap")


def test_coco_whose_images_are_elsewhere(tmp_path: Path) -> None:
    _coco(tmp_path)
    for image in (tmp_path / "images").iterdir():
        image.unlink()
    with pytest.raises(
        DatasetError, match=r"None of the \d images that annotations\.json names is in this folder"
    ):
        open_dataset(tmp_path)


def test_a_coco_file_of_other_images_does_not_hide_another_layout(tmp_path: Path) -> None:
    _coco(tmp_path / "old")
    yolo = tmp_path / "yolo"
    for i in range(3):
        save(yolo / f"images/{i}.png", photo(i))
        (yolo / "labels").mkdir(exist_ok=True)
        (yolo / f"labels/{i}.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n")
    content = json.loads((tmp_path / "old/annotations.json").read_text())
    for entry in content["images"]:
        entry["file_name"] = "other_" + entry["file_name"]
    (yolo / "annotations.json").write_text(json.dumps(content))
    found = open_dataset(yolo)
    assert (found.layout, len(found.samples)) == ("yolo", 3)


def test_roboflow_folders(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        _coco(tmp_path, f"{split}/_annotations.coco.json", split)
    found = open_dataset(tmp_path)
    assert found.layout == "coco"
    assert len(found.samples) == 12
    assert {sample.split for sample in found.samples} == {"train", "val", "test"}


def test_coco_runs_are_those_of_the_reference() -> None:
    """The string is pycocotools' encoding of the mask below (encode(asfortranarray(mask)))."""
    from unetfast.data.polygons import decode_runs

    mask = np.zeros((5, 6), bool)
    mask[1:4, 2:5] = True
    counts = [11, 3, 2, 3, 2, 3, 6]
    np.testing.assert_array_equal(decode_runs(5, 6, counts, "x"), mask)
    np.testing.assert_array_equal(decode_runs(5, 6, _encode_runs(counts), "x"), mask)
    with pytest.raises(DatasetError, match="does not fill"):
        decode_runs(5, 7, counts, "x")


def _encode_runs(counts: list[int]) -> str:
    """rleToString of maskApi.c, read and written again."""
    text = ""
    for i, count in enumerate(counts):
        x = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            c = x & 0x1F
            x >>= 5
            more = x != -1 if c & 0x10 else x != 0
            text += chr((c | 0x20 if more else c) + 48)
    return text


def test_labelme_files(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / f"{i}.jpg", photo(i))
        shapes = [
            {"label": "crack", "shape_type": "polygon", "points": [[5, 5], [30, 5], [30, 20]]},
            {"label": "hole", "shape_type": "circle", "points": [[45, 30], [50, 30]]},
            {"label": "crack", "shape_type": "point", "points": [[1, 1]]},
        ]
        (tmp_path / f"{i}.json").write_text(json.dumps({"shapes": shapes, "imagePath": f"{i}.jpg"}))
    found = open_dataset(tmp_path)
    assert found.layout == "labelme"
    assert found.classes == ("background", "crack", "hole")
    labels = read_pair(found.samples[0], found.encoding, 3)[1]
    assert abs(int((labels == 2).sum()) - np.pi * 25) < 20
    assert (labels == 1).sum() > 100


def _labelme(root: Path, i: int, *shapes: dict[str, object]) -> None:
    save(root / f"{i}.jpg", photo(i))
    content = {"shapes": shapes, "imagePath": f"{i}.jpg", "imageHeight": H, "imageWidth": W}
    (root / f"{i}.json").write_text(json.dumps(content))


SQUARE = {"label": "crack", "shape_type": "polygon", "points": [[5, 5], [30, 5], [30, 20], [5, 20]]}


def test_outlines_are_as_large_as_they_are_drawn(tmp_path: Path) -> None:
    """Against the same outline at 16 times the size, of whose pixels those on the edge are few."""
    _labelme(tmp_path, 0, SQUARE)
    found = open_dataset(tmp_path)
    expected = np.zeros((H, W), np.uint8)
    expected[5:20, 5:30] = 1
    np.testing.assert_array_equal(read_pair(found.samples[0], found.encoding, 3)[1], expected)
    rng = np.random.default_rng(0)
    for _ in range(20):  # some of them leave the image
        turn = np.sort(rng.random(9)) * 2 * np.pi
        ring = np.array([[W / 2], [H / 2]]) + rng.uniform(3, 40, 9) * np.array([np.cos(turn), np.sin(turn)])
        _labelme(tmp_path, 0, {**SQUARE, "points": ring.T.tolist()})
        labels = read_pair(open_dataset(tmp_path).samples[0], found.encoding, 3)[1]
        large = np.zeros((16 * H, 16 * W), np.uint8)
        cv2.fillPoly(large, [np.rint(16 * ring.T - 0.5).astype(np.int32)], (1,))
        covered = large.reshape(H, 16, W, 16).mean(axis=(1, 3))
        assert (labels != (covered > 0.5)).sum() <= 12
        assert labels.sum() == pytest.approx(covered.sum(), rel=0.02)


def test_labelme_masks(tmp_path: Path) -> None:
    mask = np.zeros((9, 6), np.uint8)
    mask[1:8, 2] = mask[4, 1:5] = 255
    text = base64.b64encode(png(mask)).decode()
    shape = {"label": "crack", "shape_type": "mask", "points": [[7, 11], [12, 19]], "mask": text}
    _labelme(tmp_path, 0, shape)
    _labelme(tmp_path, 1, {**shape, "points": [[W - 6, H - 9], [W, H]]})
    found = open_dataset(tmp_path)
    for sample, (left, top) in zip(found.samples, [(7, 11), (W - 6, H - 9)], strict=True):
        expected = np.zeros((H, W), np.uint8)
        expected[top : top + 9, left : left + 6] = mask > 0
        np.testing.assert_array_equal(read_pair(sample, found.encoding, 3)[1], expected)
    for damage in ({"points": [[W - 5, 0], [W, 9]]}, {"mask": "iVBORw0KGgo="}, {"mask": "?"}, {"mask": None}):
        _labelme(tmp_path, 1, {**shape, **damage})
        with pytest.raises(DatasetError, match=r"1\.json: a malformed shape"):
            open_dataset(tmp_path)


def test_a_labelme_mask_of_another_image_size_is_refused(tmp_path: Path) -> None:
    text = base64.b64encode(png(np.full((9, 6), 255, np.uint8))).decode()
    shape = {"label": "crack", "shape_type": "mask", "points": [[7, 11], [12, 19]], "mask": text}
    _labelme(tmp_path, 0, shape)
    found = open_dataset(tmp_path)
    save(tmp_path / "0.jpg", np.zeros((H + 10, W + 20, 3), np.uint8))
    with pytest.raises((DatasetError, ImageError), match=rf"0\.jpg: .*drawn on {W}x{H} px"):
        read_pair(found.samples[0], found.encoding, 3)


def test_outlines_that_are_background_or_do_not_count(tmp_path: Path) -> None:
    ignored = {**SQUARE, "label": "__ignore__", "points": [[40, 5], [50, 5], [50, 15], [40, 15]]}
    hole = {**SQUARE, "label": "_background_", "points": [[10, 10], [20, 10], [20, 15], [10, 15]]}
    for i in range(3):
        _labelme(tmp_path, i, {**SQUARE, "label": "bg2"})
    assert open_dataset(tmp_path).classes == ("background", "bg2")
    for i in range(3):
        _labelme(tmp_path, i, SQUARE, ignored, hole)
    found = open_dataset(tmp_path)
    assert found.classes == ("background", "crack")
    labels = read_pair(found.samples[0], found.encoding, 3)[1]
    assert [labels[7, 7], labels[12, 15], labels[10, 45], labels[0, 0]] == [1, 0, 255, 0]
    assert [finding for finding in inspect(found) if finding.severity == "error"] == []
    found = open_dataset(tmp_path, mask_name="crack")  # they cut pieces out of whatever is taken
    np.testing.assert_array_equal(read_pair(found.samples[0], found.encoding, 3)[1], labels)
    for i in range(3):
        _labelme(tmp_path, i, ignored)
    with pytest.raises(DatasetError, match="no outline belongs to a class that counts"):
        open_dataset(tmp_path)


def test_outlines_have_no_mask_values(tmp_path: Path) -> None:
    for i in range(3):
        _labelme(tmp_path, i, SQUARE)
    with pytest.raises(ConfigError, match="--mask-values and --ignore-label are for masks stored"):
        open_dataset(tmp_path, mask_values=["255=crack"])
    with pytest.raises(ConfigError, match="are for masks stored as pictures"):
        open_dataset(tmp_path, ignore_label=255)


def test_outlines_take_the_models_classes_by_name(tmp_path: Path) -> None:
    """The order of names in the data says nothing about the order of the model's classes."""
    for i in range(3):
        _labelme(tmp_path, i, SQUARE, {**SQUARE, "label": "area", "points": [[40, 5], [50, 5], [50, 15]]})
    model = LabelEncoding("grey", "exact", ((0, 0), (1, 1), (2, 2)), None, ("background", "crack", "area"))
    found = open_dataset(tmp_path, encoding=model)
    assert found.classes == model.classes
    assert read_pair(found.samples[0], found.encoding, 3)[1][10, 10] == 1
    with pytest.raises(DatasetError, match=r"outlines of area, crack, but the model's classes are .*, hole"):
        open_dataset(tmp_path, encoding=replace(model, classes=("background", "crack", "hole")))


def test_coco_says_what_it_left_out(tmp_path: Path) -> None:
    file = _coco(tmp_path)
    root, content = tmp_path, json.loads(file.read_text())
    save(root / "images/spare.jpg", photo(9))
    content["annotations"].append({**content["annotations"][0], "id": 99, "image_id": 99})
    file.write_text(json.dumps(content))
    notes = " ".join(text for _, text in open_dataset(root).decisions)
    assert "1 annotations are of images that are not listed" in notes
    assert "1 pictures without annotations are left out" in notes
    for annotation in content["annotations"]:
        annotation["segmentation"] = []
    file.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match="all 6 annotations are boxes, lines or points"):
        open_dataset(root)


def test_images_with_boxes_alone_are_no_background(tmp_path: Path) -> None:
    file = _coco(tmp_path / "coco")
    content = json.loads(file.read_text())
    for annotation in content["annotations"]:
        if annotation["image_id"] == 1:
            annotation["segmentation"] = []
    file.write_text(json.dumps(content))
    yolo = tmp_path / "yolo"
    (yolo / "labels").mkdir(parents=True)
    for i in range(3):
        save(yolo / f"images/{i}.png", photo(i))
        outline = "0.5 0.5 0.2 0.2" if i == 1 else "0.1 0.1 0.5 0.1 0.5 0.5"
        (yolo / f"labels/{i}.txt").write_text(f"0 {outline}\n")
    for root in (tmp_path / "coco", yolo):
        with pytest.raises(
            DatasetError, match=r"1 images have no mask: .*1\.png \(boxes, lines or points alone\)"
        ):
            open_dataset(root)
        ids = [sample.id for sample in open_dataset(root, skip_unmatched=True).samples]
        assert "1" not in ids
        assert {"0", "2"} <= set(ids)
    # Of a class that is not asked for, the image is background.
    (yolo / "labels/1.txt").write_text("1 0.5 0.5 0.2 0.2\n")
    assert len(open_dataset(yolo, mask_name="class_0").samples) == 3


def test_a_class_of_yolo_without_a_name_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("names: [crack]")
    (tmp_path / "labels").mkdir()
    for i in range(3):
        save(tmp_path / f"images/{i}.png", photo(i))
        (tmp_path / f"labels/{i}.txt").write_text(f"{i} 0.1 0.1 0.5 0.1 0.5 0.5\n")
    with pytest.raises(DatasetError, match=r"text file of 2 has class 2, but the names are those of 0"):
        open_dataset(tmp_path)
    (tmp_path / "data.yaml").unlink()
    assert open_dataset(tmp_path).classes == ("background", "class_0", "class_1", "class_2")


YAMLS = {
    "list": "train: ../train/images\nnc: 2\nnames: ['crack', \"pot hole\"]  # two\n",
    "dashes": "names:\n- crack\n- pot hole\nnc: 2\n",
    "table": "path: x\nnames:\n  0: crack\n  1: pot hole\n\ntrain: y\n",
}


@pytest.mark.parametrize("names", YAMLS)
def test_yolo(names: str, tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(YAMLS[names])
    for split in ("train", "valid"):
        for i in range(4):
            save(tmp_path / f"{split}/images/{i}.png", photo(i))
        (tmp_path / f"{split}/labels").mkdir()
        for i in range(3):
            text = "0 0.25 0.25 0.5 0.25 0.5 0.75 0.25 0.75\n1 0.75 0.5 1 0.5 1 1 0.75 1\n1 0.5 0.5 0.1 0.1\n"
            (tmp_path / f"{split}/labels/{i}.txt").write_text(text)
    found = open_dataset(tmp_path)
    assert found.layout == "yolo"
    assert found.classes == ("background", "crack", "pot hole")
    assert sorted(str(s.split) for s in found.samples) == ["train"] * 4 + ["val"] * 4
    assert len({s.id for s in found.samples}) == 8
    labels = read_pair(found.samples[0], found.encoding, 3)[1]
    assert abs(int((labels == 1).sum()) - H * W // 8) < 50
    assert (labels[H // 2 + 2 :, W * 3 // 4 + 2 :] == 2).all()
    assert sum(not read_pair(s, found.encoding, 3)[1].any() for s in found.samples) == 2
    assert any("6 shapes are boxes" in text for _, text in found.decisions)


def test_yolo_boxes_are_counted_of_the_classes_that_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("names: [crack, hole]\n")
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for i in range(3):
        save(tmp_path / f"images/{i}.png", photo(i))
        (tmp_path / f"labels/{i}.txt").write_text("0 0.2 0.2 0.8 0.2 0.8 0.8\n1 0.5 0.5 0.1 0.1\n")
    found = open_dataset(tmp_path, mask_name="crack")
    assert found.classes == ("background", "crack")
    assert not any("boxes" in text for _, text in found.decisions)
    with pytest.raises(DatasetError, match="all 3 annotations of hole are boxes"):
        open_dataset(tmp_path, mask_name="hole")


@pytest.mark.parametrize("names", ["classes.txt", "obj.names"])
@pytest.mark.parametrize("labels", ["labels", "images"])
def test_yolo_of_label_studio_and_beside_the_images(labels: str, names: str, tmp_path: Path) -> None:
    for i in range(4):
        save(tmp_path / f"images/{i}.png", photo(i))
        text = tmp_path / f"{labels}/{i}.txt"
        text.parent.mkdir(exist_ok=True)
        text.write_text(f"{i % 2} 0.25 0.25 0.5 0.25 0.5 0.75 0.25 0.75\n")
    (tmp_path / names).write_text("crack\npot hole\n")
    found = open_dataset(tmp_path)
    assert found.layout == "yolo"
    assert found.classes == ("background", "crack", "pot hole")
    assert [int(read_pair(s, found.encoding, 3)[1].max()) for s in found.samples] == [1, 2, 1, 2]


def test_captions_beside_images_are_no_outlines(tmp_path: Path) -> None:
    pairs(tmp_path)
    for i in range(4):
        (tmp_path / f"images/{i}.txt").write_text("0 cracks, wall 1 2 3 4\n")
    assert open_dataset(tmp_path).layout == "paired"


@pytest.mark.parametrize(
    "annotation",
    [
        {"image_id": 0, "category_id": 3, "segmentation": {"counts": [1, 2]}},
        {"image_id": 0, "category_id": 3, "segmentation": "abc"},
        {"image_id": 0, "category_id": 3, "segmentation": [5]},
        {"image_id": 0, "category_id": 3, "segmentation": [["a", 1, 2, 3, 4, 5]]},
        {"image_id": 0, "category_id": 3, "segmentation": {"size": [H, W], "counts": [5]}},
        {"image_id": 0, "category_id": 3, "segmentation": {"size": [10**6, 10**6], "counts": [10**12]}},
        {"image_id": 0, "category_id": 3, "segmentation": [[1e9, 0, 5, 5, 0, 9]]},
        {"image_id": 0, "category_id": 99, "segmentation": [[1, 0, 5, 5, 0, 9]]},
    ],
)
def test_damaged_coco_is_a_dataset_error(annotation: dict[str, object], tmp_path: Path) -> None:
    path = _coco(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"].append(annotation)
    path.write_text(json.dumps(content))

    def read_all() -> None:
        found = open_dataset(tmp_path)
        for sample in found.samples:
            read_pair(sample, found.encoding, 3)

    with pytest.raises(DatasetError, match=str(tmp_path)):
        read_all()


def _runs(mask: NDArray[np.bool_]) -> str:
    """Encode as Kaggle does, the slow way: start and length, from 1, down the columns."""
    flat = [*mask.T.ravel().tolist(), False]
    words, start = [], None
    for i, inside in enumerate(flat):
        if inside and start is None:
            start = i
        elif not inside and start is not None:
            words += [start + 1, i - start]
            start = None
    return " ".join(map(str, words))


@pytest.mark.parametrize(
    "style", ["ImageId,EncodedPixels", "ImageId,ClassId,EncodedPixels", "both", "id,rle_mask"]
)
def test_run_lengths_as_on_kaggle(style: str, tmp_path: Path) -> None:
    several = style in ("both", "ImageId,ClassId,EncodedPixels")
    lines = ["Image_Label,EncodedPixels" if style == "both" else style]
    for i in range(5):
        save(tmp_path / f"train_images/{i}.png", photo(i))
        for kind in (1, 2) if several else (1,):
            runs = _runs(truth(i, classes=3) == kind) if i else ""  # the first image shows nothing
            lines.append(
                {
                    "ImageId,EncodedPixels": f"{i}.png,{runs}",
                    "ImageId,ClassId,EncodedPixels": f"{i}.png,{kind},{runs}",
                    "both": f"{i}.png_{'ab'[kind - 1]},{runs}",
                    "id,rle_mask": f"{i},{runs}",
                }[style]
            )
    (tmp_path / "train.csv").write_text("\n".join(lines) + "\n")
    found = open_dataset(tmp_path)
    assert found.layout == "rle"
    names = ("a", "b") if style == "both" else ("class_1", "class_2") if several else ("foreground",)
    assert found.classes == ("background", *names)
    for i, sample in enumerate(found.samples):
        wanted = truth(i, classes=3) * (i > 0)
        wanted = wanted if several else (wanted == 1).astype(np.uint8)
        np.testing.assert_array_equal(read_pair(sample, found.encoding, 3)[1], wanted)
    for name in (
        names[0],
        names[0].removeprefix("class_"),
    ):  # as the classes are shown, or as the table has it
        assert open_dataset(tmp_path, mask_name=name).classes == ("background", names[0])


def _flat_runs(mask: NDArray[np.uint8], order: str) -> str:
    """Runs of the flattened mask, down its columns (F) or along its rows (C), as notebooks write them."""
    edges = np.flatnonzero(np.diff(mask.flatten(order), prepend=0, append=0)) + 1  # type: ignore[arg-type]
    edges[1::2] -= edges[::2]
    return " ".join(map(str, edges))


@pytest.mark.parametrize("order", ["F", "C"])
@pytest.mark.parametrize("column", ["encoding", "annotation", "rle_mask"])
def test_the_direction_of_runs_is_told_from_how_lines_fit(order: str, column: str, tmp_path: Path) -> None:
    """Carvana, Sartorius and UW-Madison count along the rows, most others down the columns."""
    rows = [f"id,{column}"]
    for i in range(3):
        save(tmp_path / f"train/{i}.png", photo(i))
        rows.append(f"{i},{_flat_runs(truth(i), order)}")
    (tmp_path / "train.csv").write_text("\n".join(rows))
    found = open_dataset(tmp_path)
    for i, sample in enumerate(found.samples):
        np.testing.assert_array_equal(read_pair(sample, found.encoding, 3)[1], truth(i))
    assert any("along the rows" in text for _, text in found.decisions) == (order == "C")


def test_runs_that_do_not_tell_their_direction_go_down_the_columns(tmp_path: Path) -> None:
    rows = ["id,rle_mask"]
    for i, (height, width) in enumerate([(48, 48), (200, 40)]):
        line = np.zeros((height, width), np.uint8)
        line[4:-4, 10] = 1  # longer than the image is wide
        save(tmp_path / f"train/{i}.png", photo(i, height, width))
        rows.append(f"{i},{_flat_runs(line, 'F')}")
    (tmp_path / "train.csv").write_text("\n".join(rows))
    found = open_dataset(tmp_path)
    assert any("mirrored along the diagonal" in text for _, text in found.decisions)
    for sample in found.samples:
        labels = read_pair(sample, found.encoding, 3)[1]
        assert np.flatnonzero(labels.any(axis=0)).tolist() == [10]


def test_runs_of_images_that_folders_and_names_call_together(tmp_path: Path) -> None:
    """UW-Madison: case1_day20_slice_0001 is case1/case1_day20/scans/slice_0001_64_48_1.50.png."""
    rows = ["id,class,segmentation"]
    for day in (20, 22):
        for i in range(2):
            save(tmp_path / f"train/case1/case1_day{day}/scans/slice_000{i}_64_48_1.50.png", photo(day + i))
            rows.append(f"case1_day{day}_slice_000{i},stomach,{_flat_runs(truth(day + i), 'C')}")
    (tmp_path / "train.csv").write_text("\n".join(rows))
    found = open_dataset(tmp_path)
    assert found.classes == ("background", "stomach")
    for sample, seed in zip(found.samples, (20, 21, 22, 23), strict=True):
        np.testing.assert_array_equal(read_pair(sample, found.encoding, 3)[0], photo(seed))
        np.testing.assert_array_equal(read_pair(sample, found.encoding, 3)[1], truth(seed))
    (tmp_path / "train.csv").write_text("id,class,segmentation\nelse_1,stomach,1 4\n")
    with pytest.raises(DatasetError, match="no image is called as its id says, such as else_1"):
        open_dataset(tmp_path)


def test_damaged_runs_are_named(tmp_path: Path) -> None:
    save(tmp_path / "images/a.png", photo(0))
    (tmp_path / "train.csv").write_text("ImageId,EncodedPixels\na.png,1 9999999\n")
    found = open_dataset(tmp_path)
    with pytest.raises(DatasetError, match=r"a\.png: a run-length mask does not fill"):
        read_pair(found.samples[0], found.encoding, 3)
    (tmp_path / "train.csv").write_text("ImageId,EncodedPixels\na.png,1 2 3\n")
    with pytest.raises(DatasetError, match=r"train\.csv:2: not runs"):
        open_dataset(tmp_path / "train.csv")


def test_the_example_of_an_answer_is_no_truth(tmp_path: Path) -> None:
    """Airbus and Severstal have a sample_submission.csv beside the table; it comes first by its name."""
    for i in range(3):
        save(tmp_path / f"train_v2/{i}.jpg", photo(i))
        save(tmp_path / f"test_v2/t{i}.jpg", photo(9 + i))
    rows = "".join(f"{i}.jpg,{1 + i} 20\n" for i in range(3))
    (tmp_path / "train_ship_segmentations_v2.csv").write_text("ImageId,EncodedPixels\n" + rows)
    (tmp_path / "sample_submission_v2.csv").write_text("ImageId,EncodedPixels\nt0.jpg,1 2\nt1.jpg,1 2\n")
    found = open_dataset(tmp_path)
    assert [sample.id for sample in found.samples] == ["0", "1", "2"]
    said = " ".join(text for _, text in found.decisions)
    assert "train_ship_segmentations_v2.csv" in said
    assert "3 pictures without annotations are left out" in said


def test_several_tables_of_runs_are_splits_or_asked_about(tmp_path: Path) -> None:
    for i in range(4):
        save(tmp_path / f"images/{i}.png", photo(i))
    for name, first in (("train", 0), ("val", 2)):
        rows = "".join(f"{i}.png,1 20\n" for i in (first, first + 1))
        (tmp_path / f"{name}.csv").write_text("ImageId,EncodedPixels\n" + rows)
    assert [sample.split for sample in open_dataset(tmp_path).samples] == ["train"] * 2 + ["val"] * 2
    (tmp_path / "train.csv").rename(tmp_path / "ships.csv")
    with pytest.raises(DatasetError, match=r"several tables list runs: ships\.csv, val\.csv; pass the one"):
        open_dataset(tmp_path)
