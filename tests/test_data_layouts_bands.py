"""Images whose channels are files of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from drawn_data import H, W, photo, save, truth
from numpy.typing import NDArray

from unetfast.data import open_dataset
from unetfast.data.labels import read_pair
from unetfast.errors import DatasetError, ImageError

BANDS = ("B02", "B03", "B08")


def _band(i: int, band: int) -> NDArray[np.uint16]:
    return photo(i)[..., band].astype(np.uint16) * 40


def _tiff(path: Path, pixels: NDArray[np.uint16]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels)


NAMINGS = {
    "Sentinel": ("images/T32_{i}_{band}.tif", "masks/T32_{i}.png"),
    "with resolution": ("images/T32_{i}_{band}_10m.tif", "masks/T32_{i}_10m.png"),
    "a folder an image": ("scene{i}/{band}.tif", "scene{i}/mask.png"),
    "cloud cover": ("train_features/c{i}/{band}.tif", "train_labels/c{i}.png"),
}


@pytest.mark.parametrize("naming", NAMINGS)
def test_bands_become_the_channels_of_one_image(naming: str, tmp_path: Path) -> None:
    image, mask = NAMINGS[naming]
    for i in range(3):
        for k, band in enumerate(BANDS):
            _tiff(tmp_path / image.format(i=i, band=band), _band(i, k))
        save(tmp_path / mask.format(i=i), truth(i) * 255)
    found = open_dataset(tmp_path)
    assert (found.layout, found.channels, len(found.samples)) == ("bands", 3, 3)
    assert "its channels in this order: B02, B03, B08" in " ".join(text for _, text in found.decisions)
    for i, sample in enumerate(found.samples):
        pixels, labels = read_pair(sample, found.encoding, found.channels)
        expected = [np.rint(_band(i, k) / 257) for k in range(3)]
        np.testing.assert_allclose(pixels.transpose(2, 0, 1).astype(float), expected, atol=1)
        np.testing.assert_array_equal(labels, truth(i))


def test_colours_named_by_folder_and_file_come_red_first(tmp_path: Path) -> None:
    """As of 38-Cloud."""
    for i in range(3):
        for k, band in enumerate(("blue", "green", "nir", "red")):
            _tiff(tmp_path / f"train_{band}/{band}_patch_{i}.TIF", _band(i, k % 3))
        save(tmp_path / f"train_gt/gt_patch_{i}.TIF", truth(i) * 255)
    found = open_dataset(tmp_path)
    assert [ref.name[:3] for s in found.samples[:1] for ref in (s.image, *s.image.further)] == [
        *("red", "gre", "blu", "nir")
    ]


def test_two_times_of_a_place_are_six_channels(tmp_path: Path) -> None:
    """As of LEVIR-CD: A, B, label."""
    for split in ("train", "val"):
        for i in range(2):
            save(tmp_path / f"{split}/A/{split}_{i}.png", photo(i))
            save(tmp_path / f"{split}/B/{split}_{i}.png", photo(10 + i))
            save(tmp_path / f"{split}/label/{split}_{i}.png", truth(i) * 255)
    found = open_dataset(tmp_path)
    assert (found.channels, [s.split for s in found.samples]) == (6, ["train"] * 2 + ["val"] * 2)
    pixels, _ = read_pair(found.samples[0], found.encoding, found.channels)
    np.testing.assert_array_equal(pixels, np.concatenate([photo(0), photo(10)], axis=2))


def test_the_earlier_time_comes_first_whatever_it_is_called(tmp_path: Path) -> None:
    for i in range(2):
        save(tmp_path / f"before/{i}.png", photo(i))
        save(tmp_path / f"after/{i}.png", photo(10 + i))
        save(tmp_path / f"masks/{i}.png", truth(i) * 255)
    found = open_dataset(tmp_path)
    pixels, _ = read_pair(found.samples[0], found.encoding, found.channels)
    np.testing.assert_array_equal(pixels, np.concatenate([photo(0), photo(10)], axis=2))


def test_coarser_bands_are_enlarged_and_others_refused(tmp_path: Path) -> None:
    for i in range(2):
        _tiff(tmp_path / f"images/{i}_B02.tif", _band(i, 0))
        _tiff(tmp_path / f"images/{i}_B11.tif", _band(i, 1)[::2, ::2])
        save(tmp_path / f"masks/{i}.png", truth(i) * 255)
    found = open_dataset(tmp_path)
    pixels, _ = read_pair(found.samples[0], found.encoding, found.channels)
    assert pixels.shape == (H, W, 2)
    np.testing.assert_array_equal(pixels[::2, ::2, 1], pixels[1::2, 1::2, 1])
    _tiff(tmp_path / "images/0_B11.tif", _band(0, 1)[:30])
    with pytest.raises(ImageError, match=r"0_B11\.tif: 64x30, but .*0_B02\.tif is 64x48"):
        read_pair(found.samples[0], found.encoding, found.channels)


def test_an_image_that_lacks_a_band_is_named(tmp_path: Path) -> None:
    for i in range(3):
        for k, band in enumerate(BANDS):
            _tiff(tmp_path / f"images/{i}_{band}.tif", _band(i, k))
        save(tmp_path / f"masks/{i}.png", truth(i) * 255)
    (tmp_path / "images/1_B03.tif").unlink()
    with pytest.raises(DatasetError, match=r"images/1\.tif \(has B02, B08 alone\)"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("image", "mask", "bands"),
    [
        ("BraTS_{i}/BraTS_{i}_{band}.tif", "BraTS_{i}/BraTS_{i}_seg.png", ("flair", "t1", "t1ce", "t2")),
        ("images/pos{i}_{band}.tif", "masks/pos{i}.png", ("ch00", "ch01")),  # Leica
        ("s{i}_{band}.tif", "s{i}_mask.png", ("w1", "w2")),  # MetaMorph
    ],
)
def test_sequences_and_channels_of_microscopes(
    image: str, mask: str, bands: tuple[str, ...], tmp_path: Path
) -> None:
    for i in range(3):
        for k, band in enumerate(bands):
            _tiff(tmp_path / image.format(i=i, band=band), _band(i, k % 3))
        save(tmp_path / mask.format(i=i), truth(i) * 255)
    found = open_dataset(tmp_path)
    assert (found.layout, found.channels, len(found.samples)) == ("bands", len(bands), 3)
    order = next(text for _, text in found.decisions if "in this order" in text)
    for i, sample in enumerate(found.samples):
        pixels, labels = read_pair(sample, found.encoding, found.channels)
        np.testing.assert_array_equal(labels, truth(i))
        for k, band in enumerate(bands):
            at = order.partition("order: ")[2].partition(";")[0].split(", ").index(band)
            np.testing.assert_allclose(pixels[..., at].astype(float), np.rint(_band(i, k % 3) / 257), atol=1)
