"""What all layouts share: which one is found, splits, unmatched and stray files, what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from drawn_data import H, W, pairs, photo, save, truth

from unetfast.data import open_dataset
from unetfast.data.labels import read_pair
from unetfast.data.layouts import LAYOUTS
from unetfast.errors import ConfigError, DatasetError


def _add(root: Path, images: str, masks: str, numbers: range) -> None:
    for i in numbers:
        save(root / images.format(i), photo(i))
        save(root / masks.format(i), truth(i) * 255)


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("{split}/images/{{}}.png", "{split}/masks/{{}}.png"),
        ("images/{split}/{{}}.png", "masks/{split}/{{}}.png"),
        ("{split}/{{}}.png", "{split}_masks/{{}}.png"),
        ("{split}_img/{{}}.png", "{split}_lab/{{}}.png"),
        ("{split}ing/{{}}_image.png", "{split}ing/{{}}_gt.png"),
    ],
)
def test_splits_are_read_from_folders(images: str, masks: str, tmp_path: Path) -> None:
    if "ing" in images:
        wanted = {"train": range(4), "test": range(6, 9)}
    else:
        wanted = {"train": range(4), "val": range(4, 6), "test": range(6, 9)}
    for split, numbers in wanted.items():
        _add(tmp_path, images.format(split=split), masks.format(split=split), numbers)
    found = open_dataset(tmp_path)
    for split, numbers in wanted.items():
        assert sum(sample.split == split for sample in found.samples) == len(numbers)
    train, val = found.split(0.25, 0)
    assert {sample.split for sample in train} == {"train"}
    assert {sample.split for sample in val} == ({"val"} if "val" in wanted else {"train"})


def test_same_numbers_in_each_split_do_not_mix(tmp_path: Path) -> None:
    _add(tmp_path, "train/images/{}.png", "train/masks/{}.png", range(3))
    for i in range(3):
        save(tmp_path / f"test/images/{i}.png", photo(10 + i))
        save(tmp_path / f"test/masks/{i}.png", truth(10 + i) * 255)
    found = open_dataset(tmp_path)
    assert len({sample.id for sample in found.samples}) == 6
    for sample in found.samples:
        number = int(sample.image.name[0]) + (10 if sample.split == "test" else 0)
        image, labels = read_pair(sample, found.encoding, 3)
        np.testing.assert_array_equal(image, photo(number))
        np.testing.assert_array_equal(labels, truth(number))


def test_random_split_depends_on_the_seed_alone(tmp_path: Path) -> None:
    found = open_dataset(pairs(tmp_path, 10))
    first, second, other = (found.split(0.3, seed) for seed in (1, 1, 2))
    assert first == second
    assert first != other
    assert len(first[1]) == 3
    assert not {s.id for s in first[0]} & {s.id for s in first[1]}


def test_tiles_of_one_photo_stay_on_one_side(tmp_path: Path) -> None:
    for i, name in enumerate(f"p{p}_{y}_0" for p in range(6) for y in (0, 64)):
        save(tmp_path / f"images/{name}.png", photo(i))
        save(tmp_path / f"masks/{name}.png", truth(i) * 255)
    found = open_dataset(tmp_path)
    assert "p0_0_0, p0_64_0" in dict(found.decisions)["split"]
    train, val = ({sample.id[:2] for sample in side} for side in found.split(0.3, 0))
    assert len(val) == 2
    assert not train & val


def test_images_that_all_hang_together_are_said_to(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = open_dataset(pairs(tmp_path, 10)).keeping([[str(i) for i in range(10)]])
    _, val = found.split(0.3, 0)
    assert [sample.id for sample in val] == ["7", "8", "9"]
    assert "nearly all images show the same" in caplog.text


def test_a_folder_with_an_archive_says_to_pass_it(tmp_path: Path) -> None:
    (tmp_path / "stage1_train.zip").write_bytes(b"PK")
    with pytest.raises(DatasetError, match=r"pass .*stage1_train\.zip itself"):
        open_dataset(tmp_path)


def test_unmatched_files_are_refused_by_name_and_may_be_skipped(tmp_path: Path) -> None:
    pairs(tmp_path)
    save(tmp_path / "images/lonely.jpg", photo(8))
    save(tmp_path / "masks/orphan.png", truth(8) * 255)
    with pytest.raises(
        DatasetError, match=r"1 images have no mask: images/lonely.jpg; 1 masks .*orphan.png.*4 pairs"
    ):
        open_dataset(tmp_path)
    found = open_dataset(tmp_path, skip_unmatched=True)
    assert len(found.samples) == 4
    assert found.no_mask == ("images/lonely.jpg",)
    assert found.no_image == ("masks/orphan.png",)


def test_hidden_files_and_unlabelled_folders_are_left_out(tmp_path: Path) -> None:
    pairs(tmp_path, images="train/images/{}.png", masks="train/masks/{}.png")
    save(tmp_path / "test/images/9.png", photo(9))
    (tmp_path / "train/masks/._1.png").write_bytes(b"\0\5\26\7")
    (tmp_path / "train/images/Thumbs.db").write_bytes(b"\0")
    found = open_dataset(tmp_path)
    assert len(found.samples) == 4
    assert any("test/images" in text for _, text in found.decisions)


def test_links_are_followed_once(tmp_path: Path) -> None:
    real = pairs(tmp_path / "real")
    data = tmp_path / "data"
    data.mkdir()
    (data / "images").symlink_to(real / "images")
    (data / "masks").symlink_to(real / "masks")
    (data / "masks" / "up").symlink_to(tmp_path)
    assert len(open_dataset(data).samples) == 4


def test_nothing_found_says_what_is_there_and_what_was_looked_for(tmp_path: Path) -> None:
    save(tmp_path / "a/1.png", photo())
    (tmp_path / "a/notes.md").write_text("x")
    with pytest.raises(DatasetError) as caught:
        open_dataset(tmp_path)
    message = str(caught.value)
    assert message.startswith(str(tmp_path))
    assert "a/*.png (1)" in message
    assert "--mask" in message
    assert all(name in message for name in LAYOUTS)
    for name in ("images.zip", "masks.zip"):
        (tmp_path / "a" / name).write_bytes(b"")
    with pytest.raises(DatasetError, match="It holds 2 archives: unpack them side by side"):
        open_dataset(tmp_path)
    with pytest.raises(DatasetError, match="no such file"):
        open_dataset(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no files"):
        open_dataset(tmp_path / "empty")


PANOPTIC = {
    "images": [{"id": i, "file_name": f"{i}.jpg", "width": W, "height": H} for i in range(3)],
    "annotations": [{"image_id": i, "file_name": f"{i}.png", "segments_info": []} for i in range(3)],
    "categories": [{"id": 1, "name": "crack"}],
}
FOREIGN = {
    "a.xml": ("<annotation><object><bndbox/></object></annotation>", "holds boxes, as for detection"),
    "project.json": ('[{"id": 1, "data": {}, "annotations": []}]', "holds tasks of Label Studio"),
    "CT/I0001": ("\0" * 128 + "DICM", "is one of volumes: save their slices as PNG or TIFF"),
    "data/train-0.parquet": ("PAR1", "is one of tables of Hugging Face: write out their pictures"),
    "a.geojson": ('{"type": "FeatureCollection", "features": []}', "holds outlines as GeoJSON"),
    "0_RoiSet.zip": ("PK", "is one of regions of ImageJ: open each image in Fiji"),
    "x.nii.gz": ("x", "is one of volumes: save their slices as PNG or TIFF"),
    "roads.shp": ("x", "is one of maps' outlines: burn them into a mask for each image"),
    "x.zarr/0/0.0": ("x", "is a part of arrays in a container: save one .npy, PNG or TIFF"),
    "a/panoptic_val.json": (json.dumps(PANOPTIC), "holds panoptic segments.*: write class ids in grey"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_annotations_of_other_tools_are_named(name: str, tmp_path: Path) -> None:
    content, said = FOREIGN[name]
    save(tmp_path / "images/0.jpg", photo())
    (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / name).write_text(content)
    with pytest.raises(DatasetError, match=rf"{re.escape(name)} {said}") as error:
        open_dataset(tmp_path)
    assert "Looked for" not in str(error.value)


@pytest.mark.parametrize("name", ["x.nii.gz", "a.geojson"])
def test_one_file_of_another_tool_is_named(name: str, tmp_path: Path) -> None:
    content, said = FOREIGN[name]
    (tmp_path / name).write_text(content)
    with pytest.raises(DatasetError, match=rf"a data set is a folder.*{re.escape(name)} {said}"):
        open_dataset(tmp_path / name)


def test_panoptic_pngs_are_no_masks(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / f"val2017/{i}.jpg", photo(i))
        save(tmp_path / f"annotations/panoptic_val2017/{i}.png", photo(i) // 100)
    panoptic = tmp_path / "annotations/panoptic_val2017.json"
    panoptic.write_text(json.dumps(PANOPTIC))
    with pytest.raises(DatasetError, match=r"panoptic_val2017.json holds panoptic segments"):
        open_dataset(tmp_path)
    with pytest.raises(DatasetError, match=r"panoptic_val2017.json: holds panoptic segments"):
        open_dataset(panoptic)
    outlines = [
        {"id": i, "image_id": i, "category_id": 1, "segmentation": [[1, 1, 30, 1, 30, 30]]} for i in range(3)
    ]
    instances = panoptic.with_name("instances_val2017.json")
    instances.write_text(json.dumps({**PANOPTIC, "annotations": outlines}))
    found = open_dataset(tmp_path)
    assert (found.layout, len(found.samples)) == ("coco", 3)
    assert ("files", "outlines in annotations/instances_val2017.json") in found.decisions


def test_what_cellpose_pickles_is_refused_with_what_to_save(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / f"{i}.png", photo(i))
        np.save(tmp_path / f"{i}_seg.npy", np.array({"masks": truth(i)}), allow_pickle=True)
    with pytest.raises(DatasetError, match=r"_seg.npy: holds Python objects.*Save masks as PNG/tif"):
        open_dataset(tmp_path)


def test_json_that_resembles_a_tool_s_is_no_crash(tmp_path: Path) -> None:
    save(tmp_path / "images/0.jpg", photo())
    (tmp_path / "a.json").write_text('{"_via_img_metadata": [1]}')
    with pytest.raises(DatasetError, match="no images with masks found"):
        open_dataset(tmp_path)


def test_layout_can_be_overruled_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    pairs(tmp_path)
    (tmp_path / "train.txt").write_text("images/0.jpg masks/0.png\nimages/1.jpg masks/1.png\n")
    (tmp_path / "val.txt").write_text("images/2.jpg masks/2.png\n")
    assert len(open_dataset(tmp_path).samples) == 3
    assert len(open_dataset(tmp_path, layout="paired").samples) == 4
    with pytest.raises(DatasetError, match="not laid out as coco"):
        open_dataset(tmp_path, layout="coco")
    with pytest.raises(ConfigError, match="did you mean 'paired'"):
        open_dataset(tmp_path, layout="pared")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("train.txt", b"\xff\x00\xfe binary"),
        ("classes.txt", b"\xff\xff\xff"),
        ("notes.json", b"{"),
        ("deep.json", b"[" * 100_000),
        ("odd.csv", b"image,mask\n" + b"x" * 200_000 + b",y\n"),
        ("long.csv", b"image,mask\n" + b"x" * 9_000 + b",y\n\0,\0\n"),
        ("labels.yaml", b"\x80"),
        ("via.json", b'{"images": [1], "annotations": [], "categories": []}'),
        ("labels/x.txt", b"0 1 1 nan 1 1 1\n"),
        ("x.mat", b"MATLAB 5.0 MAT-file"),
    ],
)
def test_stray_files_do_not_hide_a_data_set(name: str, data: bytes, tmp_path: Path) -> None:
    pairs(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(data)
    assert len(open_dataset(tmp_path).samples) == 4


def test_names_that_are_not_text(tmp_path: Path) -> None:
    pairs(tmp_path)
    for folder, array in (("images", photo(8)), ("masks", truth(8) * 255)):
        save(tmp_path / folder / "x.png", array).rename(
            tmp_path / folder / b"caf\xe9.png".decode("utf-8", "surrogateescape")
        )
    found = open_dataset(tmp_path)
    assert len(found.samples) == 5
    for sample in found.samples:
        read_pair(sample, found.encoding, 3)
