"""Images and masks told by the names of folders and files, as people leave them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from drawn_data import pairs, photo, save, truth

from unetfast.data import open_dataset
from unetfast.data.labels import read_pair
from unetfast.errors import DatasetError

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
    "nnU-Net": ("imagesTr/case_{}_0000.png", "labelsTr/case_{}.png"),
    "photo's whole name": ("images/{}.jpg", "masks/{}.jpg.png"),
    "keras": ("X_train/{}.png", "y_train/{}.png"),
    "keras, glued": ("trainx/{}.png", "trainy/{}.png"),
    "keras, below": ("train/X/{}.png", "train/Y/{}.png"),
    "mmsegmentation": ("img_dir/train/{}.jpg", "ann_dir/train/{}.png"),
    "original and truth": ("Original/{}.tif", "Ground Truth/{}.tif"),
    "imgs and annots": ("imgs/{}.png", "annots/{}.png"),
    "kitti": ("training/image_2/{}_10.png", "training/semantic/{}_10.png"),
    "chase, one bit": ("Image_{}L.jpg", "Image_{}L_1stHO.png"),
    "imagej": ("{}.tif", "Mask of {}.tif"),
    "german": ("Bilder/{}.png", "Masken/{}.png"),
    "enumerated": ("1. Original Images/a. Training Set/R_{}.png", "2. Groundtruths/a. Training Set/R_{}.png"),
    "one folder, msk": ("{}_img.png", "{}_msk.png"),
    "what a microscope saw": ("pos{}_phase.png", "pos{}_mask.png"),
    "what a microscope saw, folders": ("images/exp1_pos{}_ch0.tif", "segmented/exp1_pos{}_seg.tif"),
    "what a microscope saw, not said again": ("images/pos{}_BF.png", "masks/pos{}.png"),
    "what a microscope saw, first": ("images/DAPI_{}.png", "masks/mask_{}.png"),
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


def test_manual_truth_is_not_the_field_of_view(tmp_path: Path) -> None:
    """DRIVE: images/21_training.tif, 1st_manual/21_manual1.gif and mask/21_training_mask.gif."""
    for i in range(6):
        save(tmp_path / f"training/images/{i}_training.tif", photo(i))
        save(tmp_path / f"training/1st_manual/{i}_manual1.png", truth(i) * 255)
        save(tmp_path / f"training/mask/{i}_training_mask.png", 255 - truth(i) * 255)
    found = open_dataset(tmp_path)
    assert {sample.masks[0].path.parent.name for sample in found.samples} == {"1st_manual"}
    assert "mask" in dict(found.decisions)["files"]


def test_what_the_camera_saw_is_no_truth_where_the_truth_lacks(tmp_path: Path) -> None:
    """DRIVE as given out: the test images have the field of view alone; it was taken for their vessels."""
    for split, numbers in (("training", range(4)), ("test", range(4, 6))):
        for i in numbers:
            save(tmp_path / f"{split}/images/{i}_{split}.tif", photo(i))
            save(tmp_path / f"{split}/mask/{i}_{split}_mask.png", 255 - truth(i) * 255)
            if split == "training":
                save(tmp_path / f"{split}/1st_manual/{i}_manual1.png", truth(i) * 255)
    found = open_dataset(tmp_path)
    assert {sample.masks[0].path.parent.name for sample in found.samples} == {"1st_manual"}
    assert len(found.samples) == 4
    assert "2 images left out, in folders without any masks: test/images" in [t for _, t in found.decisions]


def test_the_first_of_two_observers_is_the_truth(tmp_path: Path) -> None:
    for i in range(4):
        save(tmp_path / f"images/{i}_test.tif", photo(i))
        save(tmp_path / f"1st_manual/{i}_manual1.png", truth(i) * 255)
        save(tmp_path / f"2nd_manual/{i}_manual2.png", np.roll(truth(i), 1, axis=0) * 255)
    found = open_dataset(tmp_path)
    assert {sample.masks[0].path.parent.name for sample in found.samples} == {"1st_manual"}
    assert "another: --mask NAME" in " ".join(text for _, text in found.decisions)
    second = open_dataset(tmp_path, mask_name="2nd_manual")
    assert {sample.masks[0].path.parent.name for sample in second.samples} == {"2nd_manual"}


def test_letters_are_roles_only_together(tmp_path: Path) -> None:
    for split, numbers in (("train", range(4)), ("val", range(4, 6)), ("test", range(6, 8))):
        for i in numbers:
            save(tmp_path / f"roads/X_{split}/{i}.png", photo(i))
            save(tmp_path / f"roads/y_{split}/{i}.png", truth(i) * 255)
            save(tmp_path / f"uavid_{split}/seq{i}/Images/0.png", photo(i))
            save(tmp_path / f"uavid_{split}/seq{i}/Labels/0.png", truth(i) * 255)
            save(tmp_path / f"alone/x_{split}/{i}.png", photo(i))
            save(tmp_path / f"alone/z_{split}/{i}.png", truth(i) * 255)
            save(tmp_path / f"pix/A/{i}.png", photo(i))
            save(tmp_path / f"pix/B/{i}.png", truth(i) * 255)
    roads = open_dataset(tmp_path / "roads")
    assert [sample.split for sample in roads.samples] == ["test"] * 2 + ["train"] * 4 + ["val"] * 2
    with pytest.raises(DatasetError, match="no images with masks"):
        open_dataset(tmp_path / "alone")
    with pytest.raises(DatasetError, match=r"A/ and B/ hold files of the same names.*such as --mask B"):
        open_dataset(tmp_path / "pix")
    assert len(open_dataset(tmp_path / "pix", mask_name="B").samples) == 8
    for folder in ("roads", "alone", "pix"):
        shutil.rmtree(tmp_path / folder)
    splits = [sample.split for sample in open_dataset(tmp_path).samples]
    assert [splits.count(split) for split in ("train", "val", "test")] == [4, 2, 2]


@pytest.mark.parametrize(
    ("images", "masks", "places", "splits"),
    [
        ("{}/images", "{}/masks", ("north_train", "north_val", "south_train", "south_val"), 2),
        ("images/{}", "masks/{}", ("north_train", "north_test", "south_train", "south_test"), 2),
        ("{}/images", "{}/masks", ("x", "y"), 1),
        ("images/{}", "masks/{}", ("x", "y", "z"), 1),
        ("{}_x", "{}_y", ("fold1", "fold2"), 1),
    ],
)
def test_folders_that_say_a_split_or_a_letter_are_places_too(
    images: str, masks: str, places: tuple[str, ...], splits: int, tmp_path: Path
) -> None:
    """The files of all places have the same names."""
    for number, place in enumerate(places):
        for i in range(3):
            save(tmp_path / images.format(place) / f"{i}.png", photo(10 * number + i))
            save(tmp_path / masks.format(place) / f"{i}.png", truth(10 * number + i) * 255)
    found = open_dataset(tmp_path)
    assert len(found.samples) == 3 * len(places)
    assert len({sample.split for sample in found.samples}) == splits
    for sample in found.samples:
        (place,) = [place for place in places if place in str(sample.image.path.relative_to(tmp_path).parent)]
        number = 10 * places.index(place) + int(sample.image.path.stem)
        image, labels = read_pair(sample, found.encoding, 3)
        np.testing.assert_array_equal(image, photo(number))
        np.testing.assert_array_equal(labels, truth(number))


def test_letters_at_the_end_are_images_of_their_own(tmp_path: Path) -> None:
    for i, name in enumerate(("wall", *(f"wall_{letter}" for letter in "abcdefg"))):
        save(tmp_path / f"images/{name}.jpg", photo(i))
        save(tmp_path / f"masks/{name}.png", truth(i) * 255)
    found = open_dataset(tmp_path)
    assert (found.layout, len(found.samples)) == ("paired", 8)


def test_pictures_of_masks_beside_them(tmp_path: Path) -> None:
    """EISeg writes x.png, x_cutout.png and x_pseudo.png into label/."""
    pairs(tmp_path, 4, "{}.jpg", "label/{}.png")
    for i in range(4):
        save(tmp_path / f"label/{i}_cutout.png", photo(i))
        save(tmp_path / f"label/{i}_pseudo.png", photo(i + 9))
    assert [s.masks[0].name for s in open_dataset(tmp_path).samples] == [f"{i}.png" for i in range(4)]


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


def test_pictures_called_as_an_image_and_more_are_said_to_be_left_out(tmp_path: Path) -> None:
    pairs(tmp_path, masks="masks/{}_mask.png")
    for i in range(4):
        save(tmp_path / f"images/{i}_aug.jpg", photo(i)[:, ::-1].copy())
    found = open_dataset(tmp_path)
    assert [sample.id for sample in found.samples] == ["0", "1", "2", "3"]
    note = (
        "4 pictures left out, without a mask and called as an image that has one, with a word more: "
        "images/0_aug.jpg"
    )
    assert ("files", note) in found.decisions


def test_test_folders_of_nnunet_are_no_training_images(tmp_path: Path) -> None:
    pairs(tmp_path, 2, "imagesTr/a{}_0000.png", "labelsTr/a{}.png")
    pairs(tmp_path, 2, "imagesTs/b{}_0000.png", "labelsTs/b{}.png")
    assert [sample.split for sample in open_dataset(tmp_path).samples] == ["train", "train", "test", "test"]


def test_channels_in_files_of_their_own_are_put_together(tmp_path: Path) -> None:
    """With the layout of pairs the network would be trained on the first channel alone."""
    pairs(tmp_path, 3, "imagesTr/a{}_0000.png", "labelsTr/a{}.png")
    pairs(tmp_path, 3, "imagesTr/a{}_0001.png", "labelsTr/a{}.png")
    found = open_dataset(tmp_path)
    assert (found.layout, found.channels, len(found.samples)) == ("bands", 6, 3)
    for skip in (False, True):
        with pytest.raises(
            DatasetError, match=r"a0_0001\.png: a further channel of a0_0000, .*--layout bands"
        ):
            open_dataset(tmp_path, layout="paired", skip_unmatched=skip)


def test_frames_are_no_channels(tmp_path: Path) -> None:
    pairs(tmp_path, 4, "images/f_000{}.png", "masks/f_000{}.png")
    save(tmp_path / "images/f_0007.png", photo(7))
    with pytest.raises(DatasetError, match=r"1 images have no mask: images/f_0007\.png"):
        open_dataset(tmp_path)
    assert len(open_dataset(tmp_path, skip_unmatched=True).samples) == 4


def test_a_folder_called_as_the_one_above_is_named(tmp_path: Path) -> None:
    """COCO-Stuff: train2017/1.jpg and stuffthingmaps/train2017/1.png."""
    pairs(tmp_path, 4, "train2017/{}.png", "stuffthingmaps/train2017/{}.png")
    with pytest.raises(
        DatasetError, match=r"2017/ and stuffthingmaps/train2017/ hold .*--mask stuffthingmaps"
    ):
        open_dataset(tmp_path)
    assert len(open_dataset(tmp_path, mask_name="stuffthingmaps").samples) == 4


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


def test_a_mask_that_fits_two_images_says_so(tmp_path: Path) -> None:
    pairs(tmp_path)
    save(tmp_path / "images/2.bmp", photo(8))
    with pytest.raises(DatasetError, match=r"masks/2\.png \(fits images/2\.bmp, images/2\.jpg\)"):
        open_dataset(tmp_path)


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


def test_names_that_nearly_fit_are_shown(tmp_path: Path) -> None:
    for i in range(4):
        save(tmp_path / f"images/{i}.jpg", photo(i))
        save(tmp_path / f"masks/cell{i + 1}.png", truth(i) * 255)  # 1 .. 4 beside 0 .. 3: which is which?
    with pytest.raises(DatasetError, match=r"4 files are images, such as images/0\.jpg.*masks/cell1\.png"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("images", "masks", "said"),
    [
        ("{}.tif", "{}.png", r"0\.png and 0\.tif lie side by side: put the masks into a folder of their own"),
        (
            "masks/{}.png",
            "labels/{}.png",
            r"all 8 are masks, such as labels/0\.png: their images are not",
        ),
    ],
)
def test_folders_that_lack_what_tells_masks(images: str, masks: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=said):
        open_dataset(pairs(tmp_path, 4, images, masks))


@pytest.mark.parametrize(
    ("images", "masks", "said"),
    [
        ("images/{}.jpg", "Etiketten/{}.png", "masks are in Etiketten/, the only other folder with the same"),
        ("images/{}.png", "masks/{:03}.png", "their names without leading zeros"),
        ("Polyps/{}.tif", "Ground Truth/p{}.tif", "the number in their names"),  # ETIS-Larib
        ("images/x{}a.png", "masks/x{}a/mask.png", "the folder that is called as the image"),
        ("images/frame_{:04}.png", "masks/frame_mask_{:04}.png", None),
        ("image_2/um_{:06}.png", "gt_image_2/um_road_{:06}.png", None),  # KITTI's roads
        ("tiles/t_{}.jpg", "tiles/t_{}_m.png", "masks are the files called as an image with _m behind it"),
        ("default/IMG_{}.png", "defaultannot/IMG_{}.png", None),  # CVAT's CamVid
        ("IMG_{}.jpg", "IMG_{}.jpg___fuse.png", None),  # SuperAnnotate
        ("train/images/P{}.png", "train/Semantic_masks/images/P{}_instance_color_RGB.png", None),  # iSAID
    ],
)
def test_names_that_fit_with_some_freedom(images: str, masks: str, said: str | None, tmp_path: Path) -> None:
    for i in range(12):
        save(tmp_path / images.format(i), photo(i))
        save(tmp_path / masks.format(i), truth(i) * 255)
    found = open_dataset(tmp_path)
    assert len(found.samples) == 12
    for i, sample in enumerate(found.samples):
        assert sample.image.path == tmp_path / images.format(i)
        assert [mask.path for mask in sample.masks] == [tmp_path / masks.format(i)]
    texts = [text for topic, text in found.decisions if topic == "files"]
    assert [said in text for text in texts] == [True] if said else not texts


def test_names_as_written_come_before_all_freedom(tmp_path: Path) -> None:
    pairs(tmp_path, 4, "images/{}.png", "masks/{}.png")
    pairs(tmp_path, 4, "images/0{}.png", "masks/0{}.png")
    for sample in open_dataset(tmp_path).samples:
        assert [mask.name for mask in sample.masks] == [sample.image.name]
    (tmp_path / "images/03.png").unlink()
    with pytest.raises(DatasetError, match=r"1 masks have no image: masks/03\.png"):
        open_dataset(tmp_path)


def test_folders_called_as_the_image_and_numbers_of_folders_name_no_set_of_masks(tmp_path: Path) -> None:
    """Drishti-GS keeps the masks of an image in its own folder, JSRT those of two halves in two."""
    for i in range(4):
        save(tmp_path / f"Images/eye_{i}.png", photo(i))
        for part in ("cup", "disc"):
            save(tmp_path / f"GT/eye_{i}/soft/eye_{i}_{part}.png", truth(i) * 255)
    with pytest.raises(
        DatasetError, match=r"'GT soft _cup' \(4 images\).*--mask cup; --mask cup,disc merges"
    ):
        open_dataset(tmp_path)
    assert {len(s.masks) for s in open_dataset(tmp_path, mask_name="cup,disc").samples} == {2}
    for i in range(4):
        save(tmp_path / f"other/images/{i}.png", photo(i))
        for k, part in enumerate(("heart", "left lung", "right lung"), 1):
            mask = (truth(i, classes=4) == k).astype(np.uint8) * 255
            save(tmp_path / f"other/fold{i % 2}/masks/{part}/{i}.png", mask)
    found = open_dataset(tmp_path / "other")
    assert found.classes == ("background", "heart", "left lung", "right lung")
    for i, sample in enumerate(found.samples):
        np.testing.assert_array_equal(read_pair(sample, found.encoding, 3)[1], truth(i, classes=4))


def test_opinions_in_numbered_folders_stay_apart(tmp_path: Path) -> None:
    pairs(tmp_path, 4, "images/{}.png", "masks1/{}.png")
    for i in range(4):
        save(tmp_path / f"masks2/{i}.png", truth(i + 1) * 255)
    with pytest.raises(DatasetError, match=r"--mask masks1; --mask masks1,masks2 merges two"):
        open_dataset(tmp_path)


def test_masks_of_all_classes_come_before_folders_of_single_ones(tmp_path: Path) -> None:
    """SUIM: masks/x.bmp, and of some images also masks/RI/x.bmp."""
    pairs(tmp_path, 4, "images/{}.png", "masks/{}.png")
    for i in range(2):
        save(tmp_path / f"masks/RI/{i}.png", truth(i) * 255)
        save(tmp_path / f"masks/FV/{i}.png", truth(i) * 255)
    found = open_dataset(tmp_path)
    assert {sample.masks[0].path.parent.name for sample in found.samples} == {"masks"}
    assert any("took 'masks'" in text for _, text in found.decisions)


@pytest.mark.parametrize("png", ["SegmentationClassPNG", "SegmentationClass"])
def test_arrays_and_pictures_of_the_masks_of_labelme(png: str, tmp_path: Path) -> None:
    """labelme2voc, of versions 4 and 5, writes the same masks as PNG and .npy, and drawn on the photo."""
    pairs(tmp_path, 4, "JPEGImages/{}.jpg", png + "/{}.png")
    arrays = tmp_path / ("SegmentationClassNpy" if png == "SegmentationClass" else "SegmentationClass")
    for i in range(4):
        arrays.mkdir(exist_ok=True)
        np.save(arrays / f"{i}.npy", truth(i).astype(np.int32))
        save(tmp_path / f"SegmentationClassVisualization/{i}.jpg", photo(i))
    found = open_dataset(tmp_path)
    assert {sample.masks[0].path.parent.name for sample in found.samples} == {png}


def test_the_masks_of_segments_ai_are_no_images(tmp_path: Path) -> None:
    for i in range(4):
        save(tmp_path / f"cell{i}.png", photo(i))
        for end in ("", "_colored", "_semantic", "_semantic_colored"):
            save(tmp_path / f"cell{i}_label_ground-truth{end}.png", truth(i))
    with pytest.raises(DatasetError, match=r"several sets of masks: '_label_ground-truth'.*--mask truth"):
        open_dataset(tmp_path)
    for sample in open_dataset(tmp_path, mask_name="semantic").samples:
        assert sample.image.name == f"{sample.id}.png"
        assert [mask.name for mask in sample.masks] == [f"{sample.id}_label_ground-truth_semantic.png"]


def test_overlays_are_no_masks_and_several_folders_are_named(tmp_path: Path) -> None:
    for folder in ("Images", "Overlay"):
        pairs(tmp_path / "one", 3, folder + "/{}.png", "x/{}.md.png")
    with pytest.raises(DatasetError, match="no images with masks"):
        open_dataset(tmp_path / "one")
    for folder in ("images", "rater_a", "rater_b"):
        for i in range(3):
            save(tmp_path / f"two/{folder}/{i}.png", truth(i) * 255)
    with pytest.raises(DatasetError, match="images/, rater_a/ and rater_b/ hold files of the same names"):
        open_dataset(tmp_path / "two")


def test_a_folder_of_two_splits_says_none(tmp_path: Path) -> None:
    """LIP: TrainVal_images/val_images is not for training."""
    for split in ("train", "val"):
        _ = pairs(
            tmp_path,
            3,
            f"TrainVal_images/{split}_images/{{}}.png",
            f"TrainVal_parsing_annotations/{split}_seg/{{}}.png",
        )
    assert (
        sorted(str(sample.split) for sample in open_dataset(tmp_path).samples) == ["train"] * 3 + ["val"] * 3
    )


def test_folders_that_could_be_classes_are_said_to_be_places(tmp_path: Path) -> None:
    pairs(tmp_path / "crack")
    pairs(tmp_path / "spall")
    assert (
        "files",
        "the folders crack, spall are taken for places, not classes: their masks mean the same",
    ) in open_dataset(tmp_path).decisions


def test_merged_masks_are_named(tmp_path: Path) -> None:
    """A copy that the mouse made, say."""
    pairs(tmp_path)
    save(tmp_path / "masks/2 (1).png", truth(9) * 255)
    notes = [text for topic, text in open_dataset(tmp_path).decisions if topic == "files"]
    assert notes == ["1 images have several masks, which are merged, such as masks/2 (1).png and masks/2.png"]


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
    (tmp_path / "other/train.txt").write_text("0\n1\n")  # as SBD has them
    (tmp_path / "other/val.txt").write_text("2\n")
    listed = open_dataset(tmp_path / "other")
    assert [sample.split for sample in listed.samples] == ["train", "train", "val"]
    assert listed.samples[2].reader == "mat"
    cfd = open_dataset(tmp_path / "cfd")
    assert cfd.layout == "mat"
    assert cfd.classes == ("background", "crack")
    np.testing.assert_array_equal(read_pair(cfd.samples[0], cfd.encoding, 3)[1], truth(0))
    other = open_dataset(tmp_path / "other")
    np.testing.assert_array_equal(read_pair(other.samples[0], other.encoding, 3)[1], truth(0))
    (tmp_path / "other/0.mat").write_bytes(b"not a mat file")
    with pytest.raises(DatasetError, match=r"0\.mat: not a readable"):
        read_pair(other.samples[0], other.encoding, 3)
