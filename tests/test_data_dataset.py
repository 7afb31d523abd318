"""Training crops: where they are cut, that image and labels stay together, that runs repeat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_data import H, W, pairs, photo, save, truth
from numpy.typing import NDArray

from unetfast.data import DataSet, open_dataset
from unetfast.data.augment import NONE, Augmentation, crop_at, recolour
from unetfast.data.dataset import Crops
from unetfast.errors import ConfigError, ImageError
from unetfast.spec import IGNORE

GEOMETRY = Augmentation(tilt_deg=0, scale=1, light=0, grain=0)
ALL = Augmentation()


@pytest.fixture
def found(tmp_path: Path) -> DataSet:
    return open_dataset(pairs(tmp_path, 6, "images/{}.png"))


def _crops(found: DataSet, size_px: int = 32, **options: object) -> Crops:
    return Crops(found.samples, found.encoding, 3, size_px, **options)  # type: ignore[arg-type]


def test_a_crop_depends_on_seed_epoch_and_place_alone(found: DataSet) -> None:
    first, second = (_crops(found, augmentation=ALL, seed=1, cache=cache) for cache in ("ram", "none"))
    for key in ((0, 3), (2, 5), (0, 3)):
        for a, b in zip(first[key], second[key], strict=True):
            assert torch.equal(a, b)
    other = _crops(found, augmentation=ALL, seed=2)
    assert not torch.equal(first[0, 3][0], other[0, 3][0])
    assert not torch.equal(first[0, 3][0], first[1, 3][0])


def test_an_epoch_holds_every_image_equally(found: DataSet) -> None:
    crops = _crops(found, whole=True)
    assert len(crops) == 6
    seen = {crops[3, place][0].numpy().tobytes() for place in range(6)}
    assert len(seen) == 6
    order = [crops[e, 0][0].numpy().tobytes() for e in range(8)]
    assert len(set(order)) > 1


def test_plain_crops_are_pieces_of_the_images(found: DataSet) -> None:
    crops = _crops(found, crops=8)
    images = [photo(i) for i in range(6)]
    for place in range(len(crops)):
        image, labels = (x.numpy() for x in crops[0, place])
        assert image.shape == (32, 32, 3)
        assert labels.shape == (32, 32)
        assert image.dtype == labels.dtype == np.uint8
        assert any(_is_piece(image, labels, whole, truth(i)) for i, whole in enumerate(images))


def _is_piece(
    image: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    whole: NDArray[np.uint8],
    all_labels: NDArray[np.uint8],
) -> bool:
    side = len(image)
    for y in range(H - side + 1):
        for x in range(W - side + 1):
            if (whole[y, x] == image[0, 0]).all() and (whole[y : y + side, x : x + side] == image).all():
                return bool((all_labels[y : y + side, x : x + side] == labels).all())
    return False


def test_crops_look_for_foreground(tmp_path: Path) -> None:
    for i in range(3):
        mask = np.zeros((300, 300), np.uint8)
        mask[7:10, 150:153] = 255
        save(tmp_path / f"images/{i}.png", photo(i, 300, 300))
        save(tmp_path / f"masks/{i}.png", mask)
    found = open_dataset(tmp_path)
    seeking, blind = (_crops(found, crops=40, foreground=share) for share in (1.0, 0.0))
    assert all(seeking[0, place][1].any() for place in range(len(seeking)))
    assert sum(bool(blind[0, place][1].any()) for place in range(len(blind))) < 20
    # Not always in the middle: a network would learn the place.
    columns = {int(np.argwhere(seeking[0, p][1].numpy())[0, 1]) for p in range(len(seeking))}
    assert len(columns) > 5


def test_rare_classes_are_as_likely_as_common_ones(tmp_path: Path) -> None:
    for i in range(2):
        mask = np.zeros((200, 400), np.uint8)
        mask[:, :150] = 1
        mask[100:103, 300:303] = 2
        save(tmp_path / f"images/{i}.png", photo(i, 200, 400))
        save(tmp_path / f"masks/{i}.png", mask)
    crops = _crops(open_dataset(tmp_path), crops=100, foreground=1.0)
    with_rare = sum(bool((crops[0, place][1] == 2).any()) for place in range(len(crops)))
    assert 70 < with_rare < 130


def test_images_smaller_than_the_crop_are_mirrored_and_do_not_count_beyond(found: DataSet) -> None:
    crops = _crops(found, 128)
    image, labels = (x.numpy() for x in crops[0, 0])
    assert image.shape == (128, 128, 3)
    assert (labels != IGNORE).sum() == H * W
    assert image[labels == IGNORE].std() > 0


def test_whole_images_are_resized(found: DataSet) -> None:
    crops = _crops(found, 40, whole=True)
    image, labels = crops[0, 0]
    assert image.shape == (40, 40, 3)
    assert set(labels.unique().tolist()) == {0, 1}
    assert len(crops) == 6


@pytest.mark.parametrize("seed", range(12))
def test_quarter_turns_and_mirrors_are_exact(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (33, 33, 3), dtype=np.uint8)
    labels = image[:, :, 0].copy()
    out, seen = crop_at(image, labels, (16.5, 16.5), 33, GEOMETRY, rng)
    np.testing.assert_array_equal(out[:, :, 0], seen)
    same = [np.array_equal(np.rot90(side, k), out) for side in (image, image[:, ::-1]) for k in range(4)]
    assert sum(same) == 1


def test_all_eight_positions_come_up() -> None:
    image = np.arange(4, dtype=np.uint8).reshape(2, 2, 1)
    labels = np.zeros((2, 2), np.uint8)
    rng = np.random.default_rng(0)
    seen = {crop_at(image, labels, (1, 1), 2, GEOMETRY, rng)[0].tobytes() for _ in range(200)}
    assert len(seen) == 8
    upright = Augmentation(turn=False, tilt_deg=0, scale=1)
    seen = {crop_at(image, labels, (1, 1), 2, upright, rng)[0].tobytes() for _ in range(50)}
    assert seen == {bytes([0, 1, 2, 3]), bytes([1, 0, 3, 2])}


@pytest.mark.parametrize("seed", range(6))
def test_tilted_and_scaled_labels_stay_on_their_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = truth(seed, 200, 200)
    image = labels[:, :, None] * np.uint8(255)
    out, seen = crop_at(image, labels, (100, 100), 100, Augmentation(light=0, grain=0), rng)
    inside = seen != IGNORE
    assert ((out[:, :, 0] > 127) != (seen == 1))[inside].mean() < 0.005


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_recolouring_keeps_shape_and_is_off_where_it_is_off(channels: int, rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (20, 30, channels), dtype=np.uint8)
    np.testing.assert_array_equal(recolour(image, NONE, rng), image)
    before = image.copy()
    for _ in range(20):
        out = recolour(image, Augmentation(grain=1.0), rng)
        assert out.shape == image.shape
        assert out.dtype == np.uint8
    np.testing.assert_array_equal(image, before)


def test_grey_images(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / f"images/{i}.png", photo(i)[:, :, 0])
        save(tmp_path / f"masks/{i}.png", truth(i) * 255)
    found = open_dataset(tmp_path)
    crops = Crops(found.samples, found.encoding, found.channels, 32, augmentation=ALL)
    assert crops[0, 0][0].shape == (32, 32, 1)


def test_number_of_crops_covers_the_images(tmp_path: Path) -> None:
    for i in range(2):
        save(tmp_path / f"images/{i}.png", photo(i, 128, 192))
        save(tmp_path / f"masks/{i}.png", truth(i, 128, 192) * 255)
    found = open_dataset(tmp_path)
    assert _crops(found, 64).crops == 6
    assert _crops(found, 64, crops=3).crops == 3
    assert _crops(found, 512).crops == 1


def test_bad_arguments_and_files(found: DataSet, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cache must be auto, ram or none"):
        _crops(found, cache="disk")
    with pytest.raises(ConfigError, match="at least one sample"):
        Crops([], found.encoding, 3, 32)
    (tmp_path / "images/2.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"2\.png: the file is empty"):
        _crops(found)
