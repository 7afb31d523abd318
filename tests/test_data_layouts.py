"""Every layout found on disk as people leave it, and what is refused."""

from __future__ import annotations

import base64
import json
import unicodedata
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
from drawn_data import H, W, pairs, photo, png, save, truth
from numpy.typing import NDArray

from unetfast.data import open_dataset
from unetfast.data.doctor import inspect
from unetfast.data.labels import LabelEncoding, read_pair
from unetfast.data.layouts import LAYOUTS
from unetfast.errors import ConfigError, DatasetError, ImageError

# Images and masks as in data sets that are out there; {} is the number of the sample.
NAMINGS = {
    "plain": ("images/{}.jpg", "masks/{}.png"),
    "singular": ("image/{}.png", "label/{}.png"),
    "upper case": ("Images/IMG_{}.JPG", "GroundTruth/IMG_{}.png"),
    "camvid": ("train/{}.png", "trainannot/{}.png"),
    "camvid of Kaggle": ("train/a_{}.png", "train_labels/a_{}_L.png"),
    "fast.ai": ("images/0016E5_{}.png", "labels/0016E5_{}_P.png"),
    "deepcrack": ("train_img/{}.jpg", "train_lab/{}.png"),
    "isic": ("ISIC2018_Training_Input/ISIC_{}.jpg", "ISIC2018_Task1_GroundTruth/ISIC_{}_segmentation.png"),
    "one folder": ("{}.jpg", "{}_mask.png"),
    "one folder, sat": ("{}_sat.jpg", "{}_mask.png"),
    "one folder, twins": ("crop/{}.jpg", "crop/{}.png"),
    "one folder, first word": ("all/image_{}.png", "all/mask_{}.png"),
    "one folder, glued": ("all/img{}.png", "all/mask{}.png"),
    "split below": ("images/training/ADE_{}.jpg", "annotations/training/ADE_{}.png"),
    "split above": ("data/train/images/{}.png", "data/train/masks/{}.png"),
    "cityscapes": ("leftImg8bit/val/bonn/b_{}_leftImg8bit.png", "gtFine/val/bonn/b_{}_gtFine_labelIds.png"),
    "voc": ("VOC/JPEGImages/2007_{}.jpg", "VOC/SegmentationClass/2007_{}.png"),
    "drive": ("training/images/{}_training.tif", "training/1st_manual/{}_manual1.png"),
    "chase": ("Image_{}L.jpg", "Image_{}L_1stHO_mask.png"),
    "patient folders": ("TCGA_CS_4941/TCGA_{}.tif", "TCGA_CS_4941/TCGA_{}_mask.tif"),
    "masks inside": ("photos/{}.jpg", "photos/masks/{}.png"),
    "images at the top": ("{}.jpg", "masks/{}.png"),
    "name of the whole": ("crack_mask_dataset/images/{}.jpg", "crack_mask_dataset/masks/{}.jpg"),
    "spaces": ("Original Images/photo ({}).png", "Mask Images/photo ({}).png"),
    "unnamed masks": ("images/{}.jpg", "cracks/{}.png"),
    "unicode": ("fotos/größe {}.jpg", "masks/größe {}.png"),
    "ph2": ("IMD{0}/IMD{0}_Dermoscopic_Image/IMD{0}.bmp", "IMD{0}/IMD{0}_lesion/IMD{0}_lesion.bmp"),
    "one folder a sample": ("sample{}/image.png", "sample{}/mask.png"),
    "carvana": ("train/fff{}_01.jpg", "train_masks/fff{}_01_mask.gif"),
    "drive gif": ("training/images/{}_training.tif", "training/1st_manual/{}_manual1.gif"),
    "nuclei": ("{0}abc/images/{0}abc.png", "{0}abc/masks/1f.png"),
}  # fmt: skip


@pytest.mark.parametrize("naming", NAMINGS)
def test_namings_of_the_wild(naming: str, tmp_path: Path) -> None:
    images, masks = NAMINGS[naming]
    found = open_dataset(pairs(tmp_path, 4, images, masks))
    assert len(found.samples) == 4
    assert found.classes[0] == "background"
    assert len(found.classes) == 2
    assert len({sample.id for sample in found.samples}) == 4
    for sample in found.samples:
        number = next(i for i in range(4) if sample.image.path == tmp_path / images.format(i))
        image, labels = read_pair(sample, found.encoding, 3)
        if not sample.image.name.lower().endswith("jpg"):
            np.testing.assert_array_equal(image, photo(number), err_msg=sample.id)
        if "jpg" not in masks:
            np.testing.assert_array_equal(labels, truth(number), err_msg=sample.id)


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


def test_manual_truth_is_not_the_field_of_view(tmp_path: Path) -> None:
    """DRIVE: images/21_training.tif, 1st_manual/21_manual1.gif and mask/21_training_mask.gif."""
    for i in range(6):
        save(tmp_path / f"training/images/{i}_training.tif", photo(i))
        save(tmp_path / f"training/1st_manual/{i}_manual1.png", truth(i) * 255)
        save(tmp_path / f"training/mask/{i}_training_mask.png", 255 - truth(i) * 255)
    found = open_dataset(tmp_path)
    assert {sample.masks[0].path.parent.name for sample in found.samples} == {"1st_manual"}
    assert "mask" in dict(found.decisions)["files"]


def test_a_second_observer_is_no_image_without_a_mask(tmp_path: Path) -> None:
    """CHASE_DB1: Image_01L.jpg, Image_01L_1stHO.png, Image_01L_2ndHO.png."""
    for i in range(4):
        save(tmp_path / f"Image_{i:02}L.jpg", photo(i))
        for observer in ("1stHO", "2ndHO"):
            save(tmp_path / f"Image_{i:02}L_{observer}.png", truth(i) * 255)
    found = open_dataset(tmp_path, mask_name="2ndHO")
    assert [sample.masks[0].name for sample in found.samples] == [
        f"Image_{i:02}L_2ndHO.png" for i in range(4)
    ]


def test_trainval_is_training_where_it_stands_alone(tmp_path: Path) -> None:
    """Oxford-IIIT Pet: annotations/trainval.txt and test.txt; in Pascal VOC train.txt and val.txt win."""
    pairs(tmp_path, 8)
    (tmp_path / "trainval.txt").write_text("".join(f"{i} 1 1 1\n" for i in range(6)))
    (tmp_path / "test.txt").write_text("6 1 1 1\n7 1 1 1\n")
    splits = [sample.split for sample in open_dataset(tmp_path).samples]
    assert splits == ["train"] * 6 + ["test"] * 2
    (tmp_path / "train.txt").write_text("".join(f"{i}\n" for i in range(4)))
    (tmp_path / "val.txt").write_text("4\n5\n")
    splits = [sample.split for sample in open_dataset(tmp_path).samples]
    assert splits == ["train"] * 4 + ["val"] * 2 + ["test"] * 2


def test_a_folder_with_an_archive_says_to_pass_it(tmp_path: Path) -> None:
    (tmp_path / "stage1_train.zip").write_bytes(b"PK")
    with pytest.raises(DatasetError, match=r"pass .*stage1_train\.zip itself"):
        open_dataset(tmp_path)


def test_better_name_of_two_sets_of_masks_wins_and_says_so(tmp_path: Path) -> None:
    pairs(tmp_path)
    for i in range(4):
        save(tmp_path / f"masks_color/{i}.png", photo(99))
    found = open_dataset(tmp_path)
    assert found.samples[0].masks[0].path.parent.name == "masks"
    assert any("masks_color" in text for _, text in found.decisions)


def test_equal_sets_of_masks_are_refused_and_mask_settles_it(tmp_path: Path) -> None:
    pairs(tmp_path, masks="leftMask/{}.png")
    for i in range(4):
        save(tmp_path / f"rightMask/{i}.png", np.roll(truth(i), 9, axis=1) * 255)
    with pytest.raises(DatasetError, match=r"several sets of masks: .*leftMask.*--mask leftMask"):
        open_dataset(tmp_path)
    right = open_dataset(tmp_path, mask_name="rightMask")
    assert len(right.samples) == 4
    assert right.samples[0].masks[0].path.parent.name == "rightMask"
    both = open_dataset(tmp_path, mask_name="leftMask,rightMask")
    labels = read_pair(both.samples[0], both.encoding, 3)[1]
    np.testing.assert_array_equal(labels, truth(0) | np.roll(truth(0), 9, axis=1))


def test_several_masks_of_one_image_are_merged(tmp_path: Path) -> None:
    """BUSI: benign (1)_mask.png and benign (1)_mask_1.png."""
    for i in range(3):
        save(tmp_path / f"benign/benign ({i}).png", photo(i))
        save(tmp_path / f"benign/benign ({i})_mask.png", truth(i) * 255)
    save(tmp_path / "benign/benign (0)_mask_1.png", np.roll(truth(0), 9, axis=1) * 255)
    found = open_dataset(tmp_path)
    assert [len(sample.masks) for sample in found.samples] == [2, 1, 1]
    labels = read_pair(found.samples[0], found.encoding, 3)[1]
    np.testing.assert_array_equal(labels, truth(0) | np.roll(truth(0), 9, axis=1))


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


def test_a_mask_that_fits_two_images_says_so(tmp_path: Path) -> None:
    pairs(tmp_path)
    save(tmp_path / "images/2.bmp", photo(8))
    with pytest.raises(DatasetError, match=r"masks/2\.png \(fits images/2\.bmp, images/2\.jpg\)"):
        open_dataset(tmp_path)


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
    with pytest.raises(DatasetError, match="no such file"):
        open_dataset(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no files"):
        open_dataset(tmp_path / "empty")


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


def test_dsb2018_merges_objects(tmp_path: Path) -> None:
    for i in range(3):
        name = f"{i:064x}"
        save(tmp_path / f"stage1_train/{name}/images/{name}.png", photo(i))
        labels = truth(i, classes=4)
        for k in (1, 2, 3):
            save(tmp_path / f"stage1_train/{name}/masks/{k}f.png", (labels == k) * np.uint8(255))
    save(tmp_path / "stage1_test/ffff/images/ffff.png", photo(9))
    found = open_dataset(tmp_path)
    assert found.layout == "dsb2018"
    assert len(found.samples) == 3
    assert found.samples[0].split == "train"
    np.testing.assert_array_equal(read_pair(found.samples[1], found.encoding, 3)[1], truth(1, classes=4) > 0)


def test_isic_leaves_superpixels_alone(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / f"ISIC-2017_Training_Data/ISIC_000000{i}.jpg", photo(i))
        save(tmp_path / f"ISIC-2017_Training_Data/ISIC_000000{i}_superpixels.png", photo(i + 50))
        save(
            tmp_path / f"ISIC-2017_Training_Part1_GroundTruth/ISIC_000000{i}_segmentation.png", truth(i) * 255
        )
    found = open_dataset(tmp_path)
    assert found.layout == "isic"
    assert len(found.samples) == 3
    assert found.classes == ("background", "lesion")


def _variants(root: Path) -> Path:
    for i in range(3):
        for k, kind in enumerate(("CRACK", "LANE", "POTHOLE")):
            save(root / f"train/10{i}_RS/10{i}_RS_{kind}.png", np.roll(truth(i), k, axis=0) * 255)
        save(root / f"train/10{i}_RS/10{i}_RS_RAW.jpg", photo(i))
    return root


def test_several_masks_a_sample_need_a_word(tmp_path: Path) -> None:
    _variants(tmp_path)
    with pytest.raises(DatasetError, match="CRACK, LANE, POTHOLE; say which with --mask"):
        open_dataset(tmp_path)
    found = open_dataset(tmp_path, mask_name="LANE")
    assert found.layout == "variants"
    assert found.classes == ("background", "lane")
    np.testing.assert_array_equal(
        read_pair(found.samples[0], found.encoding, 3)[1], np.roll(truth(0), 1, axis=0)
    )
    with pytest.raises(DatasetError, match="masks called 'ROAD'"):
        open_dataset(tmp_path, mask_name="ROAD")


def test_labelme_exports_take_the_label(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / f"scan{i}_json/img.png", photo(i))
        save(tmp_path / f"scan{i}_json/label.png", truth(i) * 255)
        save(tmp_path / f"scan{i}_json/label_viz.png", photo(i + 9))
    found = open_dataset(tmp_path)
    assert found.layout == "variants"
    assert found.samples[0].masks[0].name == "label.png"


def test_camvid_lists_of_another_machine(tmp_path: Path) -> None:
    pairs(tmp_path, 6, "CamVid/train/{}.png", "CamVid/trainannot/{}.png")
    rows = [f"/SegNet/CamVid/train/{i}.png /SegNet/CamVid/trainannot/{i}.png" for i in range(4)]
    (tmp_path / "CamVid/train.txt").write_text("\n".join(rows))
    (tmp_path / "CamVid/val.txt").write_text("train/4.png\ttrainannot/4.png\r\n\r\n")
    found = open_dataset(tmp_path)
    assert found.layout == "list"
    assert [s.split for s in found.samples] == ["train"] * 4 + ["val"]
    (tmp_path / "CamVid/val.txt").write_text("train/4.png trainannot/4.png\ntrain/0.png trainannot/0.png\n")
    with pytest.raises(DatasetError, match=r"0\.png is listed for train and for val"):
        open_dataset(tmp_path)
    assert len(open_dataset(tmp_path / "CamVid/val.txt").samples) == 2


def test_a_file_that_is_missing_is_not_taken_from_another_folder(tmp_path: Path) -> None:
    pairs(tmp_path, masks="good/{}.png")
    pairs(tmp_path, masks="old/{}.png")
    table = tmp_path / "list.csv"
    table.write_text("image,mask\n" + "\n".join(f"images/{i}.jpg,good/{i}.png" for i in range(4)))
    assert {s.masks[0].path.parent.name for s in open_dataset(table).samples} == {"good"}
    (tmp_path / "good/2.png").unlink()
    with pytest.raises(DatasetError, match=r"1 images have no mask: list\.csv:4: good/2\.png"):
        open_dataset(table)
    # An absolute path of this machine means itself, whatever lies in the data set under the same name.
    save(tmp_path.parent / "elsewhere" / "old/2.png", truth(9) * 255)
    rows = [
        f"images/{i}.jpg,{tmp_path.parent / 'elsewhere' if i == 2 else tmp_path}/old/{i}.png"
        for i in range(4)
    ]
    table.write_text("image,mask\n" + "\n".join(rows))
    found = open_dataset(table)
    np.testing.assert_array_equal(read_pair(found.samples[2], found.encoding, 3)[1], truth(9))


def test_names_that_differ_in_case_or_in_how_accents_are_stored(tmp_path: Path) -> None:
    """Windows does not tell X from x, and macOS takes letters with accents apart."""
    apart = [unicodedata.normalize(form, "Riß à ") for form in ("NFC", "NFD")]
    pairs(tmp_path / "a", images=f"images/{apart[0]}{{}}.jpg", masks=f"masks/{apart[1]}{{}}.png")
    assert len(open_dataset(tmp_path / "a").samples) == 4
    pairs(tmp_path / "b", images=f"x/{apart[0]}{{}}.jpg", masks="y/M{}.png")
    rows = [f"C:\\Set\\X\\{apart[1]}{i}.JPG;C:\\Set\\Y\\m{i}.png" for i in range(4)]
    (tmp_path / "b/list.csv").write_text("image;mask\r\n" + "\r\n".join(rows), encoding="utf-8-sig")
    assert len(open_dataset(tmp_path / "b").samples) == 4


def test_tables_named_after_splits_go_together(tmp_path: Path) -> None:
    pairs(tmp_path, 5)
    for name, numbers in (("train", range(3)), ("val", range(3, 5))):
        rows = "".join(f"images/{i}.jpg,masks/{i}.png\n" for i in numbers)
        (tmp_path / f"{name}.csv").write_text(f"image,mask\n{rows}")
    assert [(s.id, s.split) for s in open_dataset(tmp_path).samples] == [
        *((str(i), "train") for i in range(3)),
        *((str(i), "val") for i in range(3, 5)),
    ]
    (tmp_path / "val.csv").write_text("image,mask\nimages/0.jpg,masks/0.png\n")
    with pytest.raises(DatasetError, match=r"0\.jpg is in two of the tables"):
        open_dataset(tmp_path)
    (tmp_path / "val.csv").rename(tmp_path / "more.csv")
    with pytest.raises(DatasetError, match="several tables"):
        open_dataset(tmp_path)


def test_lists_of_names_with_spaces_of_paths_and_with_gaps(tmp_path: Path) -> None:
    """A list that was not understood left its images to be drawn anew, test images among them."""
    one = pairs(tmp_path / "one", images="images/wall {}.jpg", masks="masks/wall {}.png")
    (one / "train.txt").write_text("wall 0.jpg\nwall 1\n")
    (one / "test.txt").write_text("images/wall 2.jpg\nwall 3\n")
    assert [s.split for s in open_dataset(one).samples] == ["train", "train", "test", "test"]
    (one / "train.txt").write_text("images/wall 0.jpg masks/wall 0.png\nimages/wall 1.jpg masks/wall 1.png\n")
    (one / "test.txt").unlink()
    assert [s.split for s in open_dataset(one).samples] == ["train", "train"]
    two = pairs(tmp_path / "two", 2, "images/a/{}.jpg", "masks/a/{}.png")
    pairs(two, 2, "images/b/{}.jpg", "masks/b/{}.png")
    (two / "train.txt").write_text("a/0\na/1\n")
    (two / "val.txt").write_text("images/b/0.jpg\nb/1.jpg\n")
    assert [s.split for s in open_dataset(two).samples] == ["train", "train", "val", "val"]
    (two / "val.txt").write_text("b/0\nb/7\nb/8\n")
    with pytest.raises(DatasetError, match=r"2 images have no mask: val\.txt: b/7, val\.txt: b/8"):
        open_dataset(two)


def test_lists_by_other_names_and_lists_that_are_not_used(tmp_path: Path) -> None:
    one = pairs(tmp_path / "one")
    (one / "list_train.txt").write_text("0\n1\n")
    (one / "list_val.txt").write_text("2\n3\n")
    assert [s.split for s in open_dataset(one).samples] == ["train", "train", "val", "val"]
    two = pairs(tmp_path / "two")
    (two / "train.txt").write_text("images/0.jpg masks/0.png\nimages/1.jpg masks/1.png\n")
    (two / "test.txt").write_text("images/8.jpg masks/8.png\nimages/9.jpg masks/9.png\n")
    notes = " ".join(text for _, text in open_dataset(two).decisions)
    assert "test.txt is not used: 0 of its 2 lines are pairs that are here" in notes


def test_names_that_nearly_fit_are_shown(tmp_path: Path) -> None:
    pairs(tmp_path, masks="masks/00{}.png")
    with pytest.raises(DatasetError, match=r"4 files are images, such as images/0\.jpg.*masks/000\.png"):
        open_dataset(tmp_path)


def test_folders_that_could_be_classes_are_said_to_be_places(tmp_path: Path) -> None:
    pairs(tmp_path / "crack")
    pairs(tmp_path / "spall")
    assert (
        "files",
        "the folders crack, spall are places, not classes: their masks mean the same",
    ) in open_dataset(tmp_path).decisions


def test_merged_masks_are_named(tmp_path: Path) -> None:
    """A copy that the mouse made, say."""
    pairs(tmp_path)
    save(tmp_path / "masks/2 (1).png", truth(9) * 255)
    notes = [text for topic, text in open_dataset(tmp_path).decisions if topic == "files"]
    assert notes == ["1 images have several masks, which are merged, such as masks/2 (1).png and masks/2.png"]


def test_labels_for_detection_are_no_masks(tmp_path: Path) -> None:
    save(tmp_path / "images/0.jpg", photo(0))
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/0.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(DatasetError, match="all 1 lines in the text files are boxes, as for detection"):
        open_dataset(tmp_path)


def test_outlines_thinner_than_a_pixel_are_counted(tmp_path: Path) -> None:
    thin = {"label": "crack", "points": [[2, 5.6], [40, 5.6], [40, 5.9]], "shape_type": "polygon"}
    _labelme(tmp_path, 0, SQUARE, thin)
    _labelme(tmp_path, 1, SQUARE)
    (found,) = [finding for finding in inspect(open_dataset(tmp_path)) if finding.topic == "outlines"]
    assert (found.severity, found.files) == ("warning", ("0 (1)",))
    assert str(found).startswith("1 of 3 outlines mark no pixel: they are thinner than a pixel")


def test_an_image_is_not_its_own_mask(tmp_path: Path) -> None:
    """A mask that is missing must not be found in the image of the same name."""
    for i in range(4):
        save(tmp_path / f"train/{i}.png", photo(i))
        if i:
            save(tmp_path / f"trainannot/{i}.png", truth(i))
    lines = [f"/other/machine/train/{i}.png /other/machine/trainannot/{i}.png" for i in range(4)]
    (tmp_path / "train.txt").write_text("\n".join(lines))
    with pytest.raises(DatasetError, match=r"1 images have no mask: train\.txt: /other/machine/train/0\.png"):
        open_dataset(tmp_path)


def test_voc_image_sets(tmp_path: Path) -> None:
    for i in range(6):
        save(tmp_path / f"JPEGImages/2007_{i}.jpg", photo(i))
    for i in range(4):
        save(tmp_path / f"SegmentationClass/2007_{i}.png", truth(i) * 255)
        save(tmp_path / f"SegmentationObject/2007_{i}.png", truth(i) * 255)
    sets = tmp_path / "ImageSets/Segmentation"
    sets.mkdir(parents=True)
    (sets / "train.txt").write_text("2007_0\n2007_1\n")
    (sets / "val.txt").write_text("2007_2\n2007_3\n")
    (sets / "trainval.txt").write_text("2007_0\n2007_1\n2007_2\n2007_3\n")
    (tmp_path / "ImageSets/Main").mkdir()
    (tmp_path / "ImageSets/Main/train.txt").write_text("2007_0\n2007_5\n")
    found = open_dataset(tmp_path)
    assert found.layout == "list"
    assert [s.split for s in found.samples] == ["train", "train", "val", "val"]
    assert found.samples[0].masks[0].path.parent.name == "SegmentationClass"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_with_splits(delimiter: str, tmp_path: Path) -> None:
    pairs(tmp_path)
    rows = [["image", "mask", "split"], *([f"images/{i}.jpg", f"masks/{i}.png", "train"] for i in range(3))]
    rows.append([str(tmp_path / "images/3.jpg"), str(tmp_path / "masks/3.png"), "val"])
    (tmp_path / "data.csv").write_text("\n".join(delimiter.join(row) for row in rows), encoding="utf-8-sig")
    found = open_dataset(tmp_path)
    assert found.layout == "csv"
    assert [s.split for s in found.samples] == ["train"] * 3 + ["val"]
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    listed = elsewhere / "list.csv"
    listed.write_text(f"image,mask\n../images/0.jpg,{tmp_path}/masks/0.png\n../images/1.jpg,../masks/1.png\n")
    assert len(open_dataset(listed).samples) == 2


def test_csv_of_deepglobe(tmp_path: Path) -> None:
    pairs(tmp_path, 4, "train/{}_sat.png", "train/{}_mask.png")
    save(tmp_path / "valid/9_sat.png", photo(9))
    rows = [f"{i},train,train/{i}_sat.png,train/{i}_mask.png" for i in range(4)]
    text = "image_id,split,sat_image_path,mask_path\n" + "\n".join([*rows, "9,valid,valid/9_sat.png,"])
    (tmp_path / "metadata.csv").write_text(text)
    found = open_dataset(tmp_path)
    assert found.layout == "csv"
    assert [s.split for s in found.samples] == ["train"] * 4
    assert found.samples[0].image.name == "0_sat.png"


def test_masks_in_folders_of_classes_are_not_merged_in_silence(tmp_path: Path) -> None:
    pairs(tmp_path, masks="masks/crack/{}.png")
    for i in range(4):
        save(tmp_path / f"masks/spall/{i}.png", np.roll(truth(i), 9, axis=1) * 255)
    with pytest.raises(DatasetError, match=r"'masks crack' .*'masks spall' .*--mask crack"):
        open_dataset(tmp_path)
    assert len(open_dataset(tmp_path, mask_name="spall").samples) == 4


def test_csv_of_anything_else_is_not_one(tmp_path: Path) -> None:
    pairs(tmp_path)
    (tmp_path / "depths.csv").write_text("id,z\n0,12\n1,30\n")
    (tmp_path / "rle.csv").write_text("ImageId,EncodedPixels\n0,1 3\n")
    assert open_dataset(tmp_path).layout == "paired"
    with pytest.raises(DatasetError, match="must name the columns image and mask"):
        open_dataset(tmp_path / "depths.csv")
    (tmp_path / "bad.csv").write_text("image,mask\nimages/0.jpg,masks/0.png\nimages/1.jpg,masks/none.png\n")
    with pytest.raises(DatasetError, match=r"bad.csv:3: masks/none.png"):
        open_dataset(tmp_path / "bad.csv")


def test_csv_that_lists_nothing_says_what_is_missing(tmp_path: Path) -> None:
    save(tmp_path / "images/0.png", photo(0))
    table = tmp_path / "pairs.csv"
    table.write_text("image,mask\n")
    with pytest.raises(DatasetError, match=r"pairs\.csv: lists no image with a mask$"):
        open_dataset(table)
    table.write_text("image,mask\nimages/0.png,masks/0.png\n")
    with pytest.raises(DatasetError, match=r"none of these files is there: pairs\.csv:2: masks/0\.png"):
        open_dataset(table)


def test_ome_tiff_beside_plain_masks(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / f"images/{i}.ome.tif", photo(i))
        save(tmp_path / f"masks/{i}.tif", truth(i) * 255)
    assert len(open_dataset(tmp_path).samples) == 3


def test_masks_for_machines_not_for_people(tmp_path: Path) -> None:
    """As Supervisely writes them."""
    for i in range(3):
        save(tmp_path / f"ds0/img/{i}.png", photo(i))
        save(tmp_path / f"ds0/masks_machine/{i}.png", truth(i))
        save(tmp_path / f"ds0/masks_human/{i}.png", photo(i + 10))
    found = open_dataset(tmp_path)
    assert {sample.masks[0].path.parent.name for sample in found.samples} == {"masks_machine"}


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
    with pytest.raises(DatasetError, match="no category 'gap'; it has all, hole, slab"):
        open_dataset(tmp_path, mask_name="gap")


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
        with pytest.raises(DatasetError, match=r"1\.json: a shape without proper points"):
            open_dataset(tmp_path)


def test_a_labelme_mask_of_another_image_size_is_refused(tmp_path: Path) -> None:
    text = base64.b64encode(png(np.full((9, 6), 255, np.uint8))).decode()
    shape = {"label": "crack", "shape_type": "mask", "points": [[7, 11], [12, 19]], "mask": text}
    _labelme(tmp_path, 0, shape)
    found = open_dataset(tmp_path)
    save(tmp_path / "0.jpg", np.zeros((H + 10, W + 20, 3), np.uint8))
    with pytest.raises((DatasetError, ImageError), match=r"0\.jpg: .*another size"):
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
    for i in range(3):
        _labelme(tmp_path, i, ignored)
    with pytest.raises(DatasetError, match="no outline is of a class that counts"):
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
    assert "1 pictures are not listed" in notes
    for annotation in content["annotations"]:
        annotation["segmentation"] = []
    file.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match="are boxes without an outline"):
        open_dataset(root)


def test_mat_of_crackforest_and_of_others(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / f"cfd/image/00{i}.jpg", photo(i))
        segmentation = truth(i) + 1
        segmentation[:4, :4] = 3
        inner = {"Segmentation": segmentation, "Boundaries": truth(i)}
        (tmp_path / "cfd/groundTruth").mkdir(exist_ok=True)
        scipy.io.savemat(tmp_path / f"cfd/groundTruth/00{i}.mat", {"groundTruth": inner})
        save(tmp_path / f"other/img/{i}.jpg", photo(i))
        scipy.io.savemat(tmp_path / f"other/{i}.mat", {"mask": truth(i)})
    cfd = open_dataset(tmp_path / "cfd")
    assert cfd.layout == "mat"
    assert cfd.classes == ("background", "crack")
    np.testing.assert_array_equal(read_pair(cfd.samples[0], cfd.encoding, 3)[1], truth(0))
    other = open_dataset(tmp_path / "other")
    np.testing.assert_array_equal(read_pair(other.samples[0], other.encoding, 3)[1], truth(0))
    (tmp_path / "other/0.mat").write_bytes(b"not a mat file")
    with pytest.raises(DatasetError, match=r"0\.mat: not a readable"):
        read_pair(other.samples[0], other.encoding, 3)


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
    assert any("6 lines are boxes" in text for _, text in found.decisions)


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


def test_damaged_runs_are_named(tmp_path: Path) -> None:
    save(tmp_path / "images/a.png", photo(0))
    (tmp_path / "train.csv").write_text("ImageId,EncodedPixels\na.png,1 9999999\n")
    found = open_dataset(tmp_path)
    with pytest.raises(DatasetError, match=r"a\.png: a run-length mask does not fill"):
        read_pair(found.samples[0], found.encoding, 3)
    (tmp_path / "train.csv").write_text("ImageId,EncodedPixels\na.png,1 2 3\n")
    with pytest.raises(DatasetError, match=r"train\.csv:2: not runs"):
        open_dataset(tmp_path / "train.csv")
