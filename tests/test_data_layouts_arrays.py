"""Data sets kept as arrays: .npy, .npz and TIFF stacks of all images beside those of all masks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from drawn_data import pairs, photo, save, truth
from numpy.typing import NDArray

from unetfast.data import open_dataset
from unetfast.data.class_shares import class_shares
from unetfast.data.doctor import inspect
from unetfast.data.labels import read_pair
from unetfast.errors import DatasetError, ImageError
from unetfast.imaging import read
from unetfast.spec import FileRef

COUNT = 12
IMAGES = np.stack([photo(i) for i in range(COUNT)])  # (N, H, W, C) uint8
MASKS = np.stack([truth(i) for i in range(COUNT)])  # (N, H, W) uint8 of 0 and 1

Arrays = dict[str, NDArray[Any]]


def _are_as_drawn(root: Path, splits: tuple[str | None, ...] = (None,), **options: Any) -> None:
    found = open_dataset(root, **options)
    assert found.layout == "arrays"
    assert len(found.samples) == COUNT
    assert len({sample.id for sample in found.samples}) == COUNT
    assert {sample.split for sample in found.samples} == set(splits)
    assert not [finding for finding in inspect(found) if finding.severity == "error"]
    seen = set()
    for sample in found.samples:
        image, labels = read_pair(sample, found.encoding, 3)
        (i,) = np.flatnonzero([np.array_equal(image, other) for other in IMAGES])
        np.testing.assert_array_equal(labels, MASKS[i], err_msg=sample.id)
        seen.add(int(i))
    assert len(seen) == COUNT


STORED: dict[str, Callable[[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]] = {
    "bytes": lambda x, y: (x, y * 255),
    "an axis of one": lambda x, y: (x, y[..., None]),
    "channels first": lambda x, y: (x.transpose(0, 3, 1, 2), y[:, None]),
    "shares of 1": lambda x, y: ((x / 255).astype(np.float32), y.astype(np.float64)),
    "bytes as float": lambda x, y: (x.astype(np.float64), y.astype(np.float32) * 255),
    "resized floats": lambda x, y: ((x + np.float32(0.3)).clip(0, 255), y.astype(bool)),
    "int64": lambda x, y: (x.astype(np.int64), y.astype(np.int64)),
    "one-hot": lambda x, y: (x, np.eye(2, dtype=np.float32)[y]),
    "Fortran's order": lambda x, y: (np.asfortranarray(x), np.asfortranarray(y)),
}


@pytest.mark.parametrize("stored", STORED)
def test_types_and_axes(stored: str, tmp_path: Path) -> None:
    x, y = STORED[stored](IMAGES, MASKS)
    np.save(tmp_path / "images.npy", x)
    np.save(tmp_path / "masks.npy", y)
    _are_as_drawn(tmp_path)


SPLIT = {"train": slice(0, 6), "val": slice(6, 9), "test": slice(9, 12)}


@pytest.mark.parametrize(
    "names",
    [
        ("X_{}", "y_{}"),
        ("{}_images", "{}_label"),  # MedSegBench
        ("data_{}", "mask_{}"),
        ("imgs_{}", "imgs_mask_{}"),
        ("{}x", "{}y"),
        ("{}/images", "{}/masks"),
    ],
)
@pytest.mark.parametrize("kind", ["npy", "npz", "npz itself", "zip"])
def test_names_and_splits(names: tuple[str, str], kind: str, tmp_path: Path) -> None:
    arrays = {names[0].format(split): IMAGES[part] for split, part in SPLIT.items()}
    arrays |= {names[1].format(split): MASKS[part] * 255 for split, part in SPLIT.items()}
    if kind.startswith("npz"):
        np.savez_compressed(tmp_path / "set_256.npz", **arrays)
        root = tmp_path / "set_256.npz" if kind == "npz itself" else tmp_path
    else:
        for name, array in arrays.items():
            (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
            np.save(tmp_path / "set" / f"{name}.npy", array)
        root = tmp_path / "set"
        if kind == "zip":
            root = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", root))
    _are_as_drawn(root, ("train", "val", "test"))


def test_tiff_stacks(tmp_path: Path) -> None:
    """The volumes of the first U-Net: train-volume.tif and train-labels.tif of 30 pages."""
    grey = {"photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "train-volume.tif", IMAGES[..., 1], compression="zlib", **grey)
    tifffile.imwrite(tmp_path / "train-labels.tif", MASKS * 255, **grey)
    tifffile.imwrite(tmp_path / "test-volume.tif", IMAGES[:3, ..., 1], **grey)
    found = open_dataset(tmp_path)
    assert (found.layout, found.channels, len(found.samples)) == ("arrays", 1, COUNT)
    assert (
        "left out, images without masks or masks without images: test-volume.tif"
        in dict(found.decisions)["files"]
    )
    for i, sample in enumerate(found.samples):
        image, labels = read_pair(sample, found.encoding, 1)
        np.testing.assert_array_equal(image[..., 0], IMAGES[i, ..., 1])
        np.testing.assert_array_equal(labels, MASKS[i])


@pytest.mark.parametrize("slices", [3, 4])
def test_a_stack_that_tifffile_calls_colours(slices: int, tmp_path: Path) -> None:
    untold = {"photometric": "rgb", "planarconfig": "separate"}  # what it takes (3, H, W) and (4, H, W) for
    tifffile.imwrite(tmp_path / "train-volume.tif", IMAGES[:slices, ..., 1], **untold)
    tifffile.imwrite(tmp_path / "train-labels.tif", MASKS[:slices], **untold)
    found = open_dataset(tmp_path)
    assert (found.layout, found.channels, len(found.samples)) == ("arrays", 1, slices)
    for i, sample in enumerate(found.samples):
        image, labels = read_pair(sample, found.encoding, 1)
        np.testing.assert_array_equal(image[..., 0], IMAGES[i, ..., 1])
        np.testing.assert_array_equal(labels, MASKS[i])


def test_a_stack_in_which_white_is_0(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "images.tif", IMAGES[..., 0], photometric="minisblack")
    tifffile.imwrite(tmp_path / "masks.tif", 255 - MASKS * 255, photometric="miniswhite")
    found = open_dataset(tmp_path)
    np.testing.assert_array_equal(read_pair(found.samples[1], found.encoding, 1)[1], MASKS[1])


def test_pictures_of_many_channels_are_no_series(tmp_path: Path) -> None:
    for i in range(4):
        save(tmp_path / f"masks/{i}.png", truth(i) * 255)
        (tmp_path / "images").mkdir(exist_ok=True)
        np.save(tmp_path / f"images/{i}.npy", np.repeat(photo(i), 4, axis=2))
    found = open_dataset(tmp_path)
    assert (found.layout, found.channels) == ("paired", 12)
    pages = pairs(tmp_path / "rgb", 3, "images/{}.tif", "masks/{}.tif")  # one page each
    assert open_dataset(pages).layout == "paired"


def test_arrays_that_do_not_fit_or_stand_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", IMAGES)
    np.save(tmp_path / "y.npy", MASKS[:5])
    with pytest.raises(DatasetError, match=r"x\.npy holds 12 images, but y\.npy 5 masks"):
        open_dataset(tmp_path)
    np.save(tmp_path / "y.npy", MASKS)
    np.save(tmp_path / "labels.npy", 1 - MASKS)
    with pytest.raises(DatasetError, match=r"several arrays of masks.*labels\.npy.*--mask labels\.npy"):
        open_dataset(tmp_path)
    _are_as_drawn(tmp_path, mask_name="y")
    np.save(tmp_path / "labels.npy", np.array([None], object), allow_pickle=True)
    _are_as_drawn(tmp_path)  # what is pickled is not opened
    (tmp_path / "y.npy").unlink()
    with pytest.raises(DatasetError, match=r"2 more are arrays|1 more are arrays"):
        open_dataset(tmp_path)


def test_what_is_white_is_said_by_the_whole_array(tmp_path: Path) -> None:
    """A dark picture of a 12-bit series stays dark, and units that nobody knows are refused."""
    series = np.stack([np.full((20, 30), 200, np.int32), np.full((20, 30), 4000, np.int32)])
    np.save(tmp_path / "a.npy", series)
    assert [read(FileRef(tmp_path / "a.npy", None, i)).pixels.dtype for i in (0, 1)] == [np.uint16] * 2
    np.save(tmp_path / "a.npy", (series - 900) / 700)
    with pytest.raises(ImageError, match=r"a\.npy\[0\]: float values .*scale to 0\.\.1"):
        read(FileRef(tmp_path / "a.npy", None, 0))
    with pytest.raises(ImageError, match=r"a\.npy\[2\]: cannot be read"):
        read(FileRef(tmp_path / "a.npy", None, 2))


def _bent(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at : at + 64] = b"\xff" * 64
    path.write_bytes(bytes(data))


def test_damaged_compressed_arrays_are_errors(tmp_path: Path) -> None:
    """Of a member, zlib says so, of a TIFF its codec: neither error is one of Python's usual ones."""
    stack = tmp_path / "images.tif"
    tifffile.imwrite(stack, IMAGES, photometric="rgb", compression="zlib")
    tifffile.imwrite(tmp_path / "masks.tif", MASKS, photometric="minisblack")
    with tifffile.TiffFile(stack) as file:
        at = file.pages[0].dataoffsets[0]
    _bent(stack, at)
    with pytest.raises(ImageError, match=r"images\.tif\[0\]: cannot be read"):
        read(FileRef(stack, None, 0))
    (finding, *_) = inspect(open_dataset(tmp_path))
    assert (finding.severity, finding.topic) == ("error", "unreadable")


def test_a_damaged_array_beside_them_hides_no_pairs(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "features.npz", features=IMAGES)
    _bent(tmp_path / "features.npz", 60)
    (tmp_path / "notes.npy").write_bytes(b"\x93NUMPY\x01\x00\x76\x00{'descr': ('|u1'," + b" " * 102 + b"\n")
    assert len(open_dataset(pairs(tmp_path)).samples) == 4


def test_a_cut_off_array_is_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    np.save(tmp_path / "masks.npy", MASKS)
    whole = (tmp_path / "masks.npy").read_bytes()
    (tmp_path / "masks.npy").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match=r"masks\.npy\[0\]: cannot be read"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    "values",
    [np.eye(5, dtype=np.uint8), np.eye(3, dtype=np.float64), np.eye(4, dtype=bool)],
    ids=["5", "3", "4"],
)
def test_one_hot_masks_of_single_files(values: NDArray[Any], tmp_path: Path) -> None:
    classes = len(values)
    for i in range(4):
        save(tmp_path / f"images/{i}.png", photo(i))
        (tmp_path / "masks").mkdir(exist_ok=True)
        np.save(tmp_path / f"masks/{i}.npy", values[truth(i, classes=classes)])
    found = open_dataset(tmp_path)
    assert len(found.classes) == classes
    assert "one-hot, a channel for each class" in " ".join(text for _, text in found.decisions)
    np.testing.assert_array_equal(
        read_pair(found.samples[2], found.encoding, 3)[1], truth(2, classes=classes)
    )


def test_channels_that_overlap_are_no_one_hot(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    np.save(tmp_path / "masks.npy", np.ones((*MASKS.shape, 6), np.uint8))
    with pytest.raises(DatasetError, match="a mask of 6 channels"):
        open_dataset(tmp_path)


def test_an_npz_a_sample(tmp_path: Path) -> None:
    """Synapse of TransUNet: case0005_slice012.npz with image and label."""
    for i in range(5):
        (tmp_path / "train_npz").mkdir(exist_ok=True)
        np.savez(tmp_path / f"train_npz/case{i}.npz", image=photo(i), label=truth(i))
    found = open_dataset(tmp_path)
    assert (found.layout, len(found.samples), found.samples[0].split) == ("npz", 5, "train")
    image, labels = read_pair(found.samples[3], found.encoding, 3)
    np.testing.assert_array_equal(image, photo(3))
    np.testing.assert_array_equal(labels, truth(3))
    np.savez(tmp_path / "train_npz/case9.npz", image=photo(9))
    with pytest.raises(DatasetError, match=r"1 images have no mask: train_npz/case9\.npz"):
        open_dataset(tmp_path)
    np.savez(tmp_path / "train_npz/case0.npz", image=photo(0), label=truth(0), label2=truth(0))
    with pytest.raises(DatasetError, match=r"holds several .*--mask label"):
        open_dataset(tmp_path)
    assert len(open_dataset(tmp_path, mask_name="label", skip_unmatched=True).samples) == 5


def test_real_photos_as_a_notebook_keeps_them(shared_data: Path, tmp_path: Path) -> None:
    """crackforest/test as X.npy and y.npy is crackforest/test."""
    folder = open_dataset(shared_data / "crackforest/test")
    images, masks = [], []
    for sample in folder.samples:
        image, labels = read_pair(sample, folder.encoding, 3)
        images.append(image[:320, :320])
        masks.append(labels[:320, :320])
    np.save(tmp_path / "X.npy", np.stack(images))
    np.save(tmp_path / "y.npy", np.stack(masks)[..., None].astype(bool))
    found = open_dataset(tmp_path)
    assert len(found.samples) == len(folder.samples) == 24
    share = np.stack(masks).mean()
    assert class_shares(found)[1].share == pytest.approx(share, rel=1e-9)
    for i, sample in enumerate(found.samples):
        image, labels = read_pair(sample, found.encoding, 3)
        np.testing.assert_array_equal(image, images[i])
        np.testing.assert_array_equal(labels, masks[i])


def test_a_channel_of_numbers_for_each_class(tmp_path: Path) -> None:
    """PanNuke: five channels with the numbers of nuclei, and a sixth that is 1 where there is none."""
    images = np.stack([photo(i) for i in range(4)]).astype(float)
    labels = np.stack([truth(i, classes=6) for i in range(4)])
    masks = np.zeros((*labels.shape, 6))
    for k in range(1, 6):
        masks[..., k - 1] = (labels == k) * (10.0 + k)
    masks[..., 5] = labels == 0
    for name, array in (("images", images), ("masks", masks)):
        (tmp_path / f"Fold 1/{name}/fold1").mkdir(parents=True)
        np.save(tmp_path / f"Fold 1/{name}/fold1/{name}.npy", array)
    found = open_dataset(tmp_path)
    told = next(text for _, text in found.decisions if "if that is the background" in text)
    found = open_dataset(tmp_path, mask_values=told.rpartition("--mask-values ")[2])
    assert found.classes[0] == "background"
    for i, sample in enumerate(found.samples):
        np.testing.assert_array_equal(read_pair(sample, found.encoding, 3)[1], labels[i])
