"""Samples that lists and tables name."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from drawn_data import pairs, photo, save, truth

from unetfast.data import open_dataset
from unetfast.data.labels import read_pair
from unetfast.errors import DatasetError


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


def test_a_list_means_the_file_of_this_machine_as_a_table_does(tmp_path: Path) -> None:
    """Not one of the same name in the data set."""
    data = pairs(tmp_path / "data")
    save(tmp_path / "elsewhere/masks/2.png", truth(9) * 255)
    rows = [
        f"images/{i}.jpg {tmp_path / 'elsewhere' if i == 2 else tmp_path / 'data'}/masks/{i}.png"
        for i in range(4)
    ]
    (data / "train.txt").write_text("\n".join(rows))
    found = open_dataset(data)
    np.testing.assert_array_equal(read_pair(found.samples[2], found.encoding, 3)[1], truth(9))
    save(tmp_path / "elsewhere/images/2.jpg", photo(9))
    (data / "train.txt").write_text(f"images/0.jpg\n{tmp_path}/elsewhere/images/2.jpg\n")
    with pytest.raises(DatasetError, match=r"train\.txt: names .*2\.jpg, which lies outside the data set"):
        open_dataset(data)
    (data / "train.txt").write_text("\n".join(f"{data}/images/{i}.jpg" for i in range(3)))
    assert len(open_dataset(data).samples) == 3


def test_ids_of_tables_are_paths_below_what_all_share(tmp_path: Path) -> None:
    """They stand in per_image.csv, where nobody looks for the folders of a machine."""
    for split in ("train", "val"):
        pairs(tmp_path / split, 2)
        rows = "".join(f"{split}/images/{i}.jpg,{tmp_path}/{split}/masks/{i}.png\n" for i in range(2))
        (tmp_path / f"{split}.csv").write_text(f"image,mask\n{rows}")
    ids = [sample.id for sample in open_dataset(tmp_path).samples]
    assert ids == ["train-images-0", "train-images-1", "val-images-0", "val-images-1"]


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


def test_bare_names_in_a_table_mean_the_image_and_its_mask(tmp_path: Path) -> None:
    """Both are called 0.png; a table whose splits were dropped in silence drew validation images anew."""
    pairs(tmp_path, masks="masks/{}.jpg")
    sets = ("Train", "training", "Valid", "TEST")
    rows = "".join(f"{i}.jpg,{i}.jpg,{split}\n" for i, split in enumerate(sets))
    (tmp_path / "meta.csv").write_text(f"image,label,set\n{rows}")
    found = open_dataset(tmp_path)
    assert [sample.split for sample in found.samples] == ["train", "train", "val", "test"]
    assert {sample.masks[0].path.parent.name for sample in found.samples} == {"masks"}


def test_numbered_folds_are_no_splits(tmp_path: Path) -> None:
    pairs(tmp_path)
    rows = "".join(f"images/{i}.jpg,masks/{i}.png,{i % 2}\n" for i in range(4))
    (tmp_path / "folds.csv").write_text(f"img_path,mask_path,fold\n{rows}")
    found = open_dataset(tmp_path)
    assert {sample.split for sample in found.samples} == {None}
    assert (
        "files",
        "its folds are numbers, not train, val or test: validation images are drawn anew",
    ) in found.decisions


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


def test_json_lines_of_image_folders(tmp_path: Path) -> None:
    """Hugging Face's metadata.jsonl, a file a split; a list of masks is merged."""
    for split in ("train", "validation"):
        lines = []
        for i in range(2):
            save(tmp_path / split / f"{i}.png", photo(i))
            for j in range(2):
                save(tmp_path / split / f"m{i}{j}.png", truth(i + j) * 255)
            masks = [f"m{i}0.png", f"m{i}1.png"] if split == "train" else f"m{i}0.png"
            lines.append(json.dumps({"file_name": f"{i}.png", "mask_file_name": masks, "text": "x"}))
        (tmp_path / split / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    found = open_dataset(tmp_path)
    assert found.layout == "csv"
    assert [(s.split, len(s.masks)) for s in found.samples] == [("train", 2)] * 2 + [("val", 1)] * 2


def test_json_lines_that_are_none_are_refused_where_they_are_named(tmp_path: Path) -> None:
    pairs(tmp_path)
    (tmp_path / "talk.jsonl").write_text("[1, 2]\n")
    assert open_dataset(tmp_path).layout == "paired"
    with pytest.raises(DatasetError, match="each line must be an object"):
        open_dataset(tmp_path / "talk.jsonl")
