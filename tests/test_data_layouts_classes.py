"""A folder of masks a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_data import photo, save, truth
from numpy.typing import NDArray

from unetfast.data import open_dataset
from unetfast.data.doctor import inspect
from unetfast.data.labels import read_pair
from unetfast.errors import DatasetError


def _spall(i: int) -> NDArray[np.uint8]:
    return np.roll(truth(i), 30, axis=1) & np.uint8(1)


def _draw(root: Path, crack: str = "masks/crack/{}.png", spall: str = "masks/spall/{}.png") -> Path:
    for i in range(6):
        save(root / f"images/{i}.png", photo(i))
        if i != 0:  # an image need not have every class
            save(root / crack.format(i), truth(i) * 255)
        save(root / spall.format(i), _spall(i) * 255)
    return root


def _labels(i: int) -> NDArray[np.uint8]:
    """Spall covers a little less of the six images than crack, or as much: what is less lies on top."""
    crack = truth(i) * (i != 0)
    return np.where(crack, 1, 2 * _spall(i)).astype(np.uint8)


@pytest.mark.parametrize(
    ("crack", "spall"),
    [
        ("masks/crack/{}.png", "masks/spall/{}.png"),
        ("crack/masks/{}.png", "spall/masks/{}.png"),
        ("masks/1. crack/{}_C.png", "masks/2. spall/{}_SP.png"),  # IDRiD
        ("labels/crack/{}_mask.png", "labels/spall/{}_mask.png"),
    ],
)
def test_folders_become_classes(crack: str, spall: str, tmp_path: Path) -> None:
    found = open_dataset(_draw(tmp_path, crack, spall))
    assert (found.layout, found.classes) == ("classes", ("background", "crack", "spall"))
    assert len(found.samples) == 6
    for i, sample in enumerate(found.samples):
        image, labels = read_pair(sample, found.encoding, 3)
        np.testing.assert_array_equal(image, photo(i))
        np.testing.assert_array_equal(labels, _labels(i))
    assert not [finding for finding in inspect(found) if finding.severity == "error"]
    assert "the class with less area lies on top: spall < crack" in " ".join(t for _, t in found.decisions)


def test_classes_are_taken_or_merged_by_name(tmp_path: Path) -> None:
    _draw(tmp_path)
    some = open_dataset(tmp_path, layout="classes", mask_name="spall")
    assert some.classes == ("background", "spall")
    np.testing.assert_array_equal(read_pair(some.samples[2], some.encoding, 3)[1], _spall(2))
    others = open_dataset(tmp_path, layout="classes", mask_name="crack")
    assert not read_pair(others.samples[0], others.encoding, 3)[1].any(), "it has a mask of spall alone"
    assert not [finding for finding in inspect(others) if finding.severity == "error"]
    merged = open_dataset(tmp_path, mask_name="crack,spall")
    assert merged.layout == "paired"
    np.testing.assert_array_equal(read_pair(merged.samples[2], merged.encoding, 3)[1], _labels(2) > 0)
    with pytest.raises(DatasetError, match="no class hole; the classes are crack, spall"):
        open_dataset(tmp_path, layout="classes", mask_name="hole")


def test_masks_of_one_class_hold_two_values(tmp_path: Path) -> None:
    _draw(tmp_path)
    for i in range(6):
        save(tmp_path / f"masks/spall/{i}.png", truth(i, classes=4))
    with pytest.raises(DatasetError, match="these hold background, class_1, class_2, class_3"):
        open_dataset(tmp_path, skip_unmatched=True)


def test_smeared_inverted_and_void_masks_of_classes(tmp_path: Path) -> None:
    """They are read by the rules of binary masks, all in one way."""
    _draw(tmp_path, "masks/crack/{}.jpg", "masks/spall/{}.jpg")
    found = open_dataset(tmp_path)
    labels = read_pair(found.samples[3], found.encoding, 3)[1]
    assert (labels == _labels(3)).mean() > 0.97
    white = _draw(tmp_path / "white")
    for i in range(6):
        for name, mask in (("crack", truth(i)), ("spall", _spall(i))):
            save(white / f"masks/{name}/{i}.png", 255 - mask * 255)
    with pytest.raises(DatasetError, match="may be inverted"):
        open_dataset(white)
    told = open_dataset(white, mask_values=["0=x,255=background"])
    assert set(np.unique(read_pair(told.samples[3], told.encoding, 3)[1])) == {0, 1, 2}


def test_places_and_opinions_are_no_classes(tmp_path: Path) -> None:
    for i in range(6):
        save(tmp_path / f"bridges/images/{i}.png", photo(i))
        save(tmp_path / f"bridges/masks/{'bonn' if i % 2 else 'aachen'}/{i}.png", truth(i) * 255)
        save(tmp_path / f"people/images/{i}.png", photo(i))
        save(tmp_path / f"people/masks/anna/{i}.png", truth(i) * 255)
        save(tmp_path / f"people/masks/bert/{i}.png", np.roll(truth(i), 1, axis=0) * 255)
        save(tmp_path / f"rounds/images/{i}.png", photo(i))
        for k in (1, 2):
            save(tmp_path / f"rounds/masks/round {k}/{i}.png", np.roll(truth(i), k, axis=0) * 255)
    with pytest.raises(
        DatasetError, match=r"classes \(--layout classes\), or places of one class \(--layout paired"
    ):
        open_dataset(tmp_path / "bridges")
    assert open_dataset(tmp_path / "bridges", layout="paired").classes == ("background", "foreground")
    assert len(open_dataset(tmp_path / "bridges", layout="classes").classes) == 3
    with pytest.raises(DatasetError, match=r"anna and bert mark the same pixels to 9.%"):
        open_dataset(tmp_path / "people")
    assert len(open_dataset(tmp_path / "people", mask_name="bert").samples) == 6
    with pytest.raises(DatasetError, match=r"several sets of masks.*--mask 'round 1'"):
        open_dataset(tmp_path / "rounds")


def test_ends_of_names_are_classes_where_asked(tmp_path: Path) -> None:
    for i in range(6):
        save(tmp_path / f"{i}_RAW.jpg", photo(i), quality=95)
        save(tmp_path / f"{i}_CRACK.png", truth(i) * 255)
        save(tmp_path / f"{i}_SPALL.png", _spall(i) * 255)
    with pytest.raises(DatasetError, match="--layout classes takes each as a class"):
        open_dataset(tmp_path)
    found = open_dataset(tmp_path, layout="classes")
    assert found.classes == ("background", "crack", "spall")
    labels = read_pair(found.samples[4], found.encoding, 3)[1]
    np.testing.assert_array_equal(labels, np.where(_spall(4), 2, truth(4)))


def test_a_model_of_classes_reads_other_folders(tmp_path: Path) -> None:
    known = open_dataset(_draw(tmp_path / "a")).encoding
    other = open_dataset(_draw(tmp_path / "b"), encoding=known)
    np.testing.assert_array_equal(read_pair(other.samples[2], other.encoding, 3)[1], _labels(2))
    strange = _draw(tmp_path / "c", spall="masks/hole/{}.png")
    with pytest.raises(DatasetError, match="masks of crack, hole, but the model's classes are"):
        open_dataset(strange, encoding=known)


def test_real_roads_of_three_classes(shared_data: Path) -> None:
    """br_cracks_potholes: <id>_CRACK.png, <id>_LANE.png, <id>_POTHOLE.png beside <id>_RAW.jpg."""
    found = open_dataset(shared_data / "br_cracks_potholes/test", layout="classes")
    assert found.classes == ("background", "crack", "lane", "pothole")
    assert len(found.samples) == 25
    one = open_dataset(shared_data / "br_cracks_potholes/test", mask_name="CRACK")
    lane = open_dataset(shared_data / "br_cracks_potholes/test", mask_name="LANE")
    total = 0
    for a, b, c in zip(found.samples, one.samples, lane.samples, strict=True):
        labels, cracks = read_pair(a, found.encoding, 3)[1], read_pair(b, one.encoding, 3)[1]
        lanes = read_pair(c, lane.encoding, 3)[1]
        assert (labels[(cracks == 1) & (lanes == 0)] != 0).all()
        assert (cracks[labels == 1] == 1).all()
        total += int((labels == 1).sum())
    assert total > 1000


@pytest.mark.parametrize(
    ("left", "right", "names", "auto"),
    [
        ("masks/fold/left lung/{}.png", "masks/fold/heart/{}.png", ("heart", "left lung"), True),  # JSRT
        ("Manual/leftMask/{}.png", "Manual/rightMask/{}.png", ("leftMask", "rightMask"), False),  # Montgomery
        ("GT/{0}/soft/{0}_cup.png", "GT/{0}/soft/{0}_disc.png", ("cup", "disc"), False),  # Drishti-GS
    ],
)
def test_classes_are_named_by_what_tells_them_apart(
    left: str, right: str, names: tuple[str, ...], auto: bool, tmp_path: Path
) -> None:
    for i in range(4):
        save(tmp_path / f"images/{i}.png", photo(i))
        save(tmp_path / left.format(i), (truth(i, classes=3) == 1).astype(np.uint8) * 255)
        save(tmp_path / right.format(i), (truth(i, classes=3) == 2).astype(np.uint8) * 255)
    if not auto:
        with pytest.raises(DatasetError, match=r"several sets of masks: .*--layout classes"):
            open_dataset(tmp_path)
    found = open_dataset(tmp_path, layout="auto" if auto else "classes")
    assert found.classes == ("background", *names)
    for i, sample in enumerate(found.samples):
        labels = read_pair(sample, found.encoding, 3)[1]
        ids = np.array([0, *(1 + names.index(name) for name in _left_right(left, right, names))])
        np.testing.assert_array_equal(labels, ids[truth(i, classes=3)])


def _left_right(left: str, right: str, names: tuple[str, ...]) -> list[str]:
    return [next(name for name in names if name in file) for file in (left, right)]
