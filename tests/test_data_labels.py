"""An image and its labels: their sizes, orientation and channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_data import H, W, photo, save, truth
from drawn_masks import labels_of, mask_set
from PIL import Image

from unetfast.data import open_dataset
from unetfast.data.labels import read_pair
from unetfast.errors import DatasetError


def test_resized_masks(tmp_path: Path) -> None:
    root = tmp_path
    for i in range(3):
        save(root / f"images/{i}.png", photo(i, 3 * H, 3 * W))
        save(root / f"masks/{i}.png", truth(i) * 255)
    found = open_dataset(root)
    np.testing.assert_array_equal(labels_of(found), np.kron(truth(0), np.ones((3, 3), np.uint8)))
    for i in range(3):
        save(root / f"images/{i}.png", photo(i))
        mask = np.kron(truth(i), np.ones((2, 2), np.uint8)) * 255
        mask[1, :] = 255  # a line of one pixel must survive
        save(root / f"masks/{i}.png", mask)
    labels = labels_of(open_dataset(root))
    assert labels[0].all()
    np.testing.assert_array_equal(labels[1:], truth(0)[1:])


def test_sizes_off_by_a_pixel_are_cut_and_others_refused(tmp_path: Path) -> None:
    root = mask_set(tmp_path, lambda i: truth(i, H + 1, W - 1) * 255)
    found = open_dataset(root)
    image, labels = read_pair(found.samples[0], found.encoding, 3)
    assert image.shape == (H, W - 1, 3)
    np.testing.assert_array_equal(labels, truth(0, H + 1, W - 1)[:H])
    mask_set(root, lambda i: truth(i, H + 5, W) * 255)
    found = open_dataset(root)
    with pytest.raises(DatasetError, match=rf"masks/0.png: {W}x{H + 5}, but its image 0.png is {W}x{H}"):
        read_pair(found.samples[0], found.encoding, 3)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("drawn_on", ["shown", "stored"])
def test_rotated_photos(orientation: int, drawn_on: str, tmp_path: Path) -> None:
    if orientation == 3 and drawn_on == "stored":
        pytest.skip("cannot be told from the size")
    upright, labels = photo(1), truth(1)
    to_stored = {1: 0, 3: 2, 6: 1, 8: 3}[orientation]  # quarter turns to the left
    exif = Image.Exif()
    exif[0x0112] = orientation
    for i in range(3):
        save(tmp_path / f"images/{i}.jpg", np.rot90(upright, to_stored), exif=exif, quality=95)
        save(
            tmp_path / f"masks/{i}.png",
            (labels if drawn_on == "shown" else np.rot90(labels, to_stored)) * 255,
        )
    found = open_dataset(tmp_path)
    image, seen = read_pair(found.samples[0], found.encoding, 3)
    assert np.abs(image.astype(int) - upright).mean() < 3
    np.testing.assert_array_equal(seen, labels)


def test_rgba_and_grey_photos(tmp_path: Path) -> None:
    root = mask_set(tmp_path, lambda i: truth(i) * 255)
    for i in range(5):
        save(root / f"images/{i}.png", np.dstack([photo(i), np.full((H, W), 255, np.uint8)]))
    found = open_dataset(root)
    assert found.channels == 3
    np.testing.assert_array_equal(read_pair(found.samples[0], found.encoding, 3)[0], photo(0))
    for i in range(5):
        save(root / f"images/{i}.png", photo(i)[:, :, 0].astype(np.uint16) * 257)
    found = open_dataset(root)
    assert found.channels == 1
    np.testing.assert_array_equal(
        read_pair(found.samples[0], found.encoding, 1)[0][:, :, 0], photo(0)[:, :, 0]
    )
