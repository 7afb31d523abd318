"""Masks whose foreground is large, and masks that are inverted: which are read, and which are asked about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_data import photo, save
from numpy.typing import NDArray

from unetfast.data import open_dataset
from unetfast.data.labels import read_pair
from unetfast.errors import DatasetError

H, W = 96, 128
ROWS, COLUMNS = np.mgrid[:H, :W]


def _disc(radius: float, i: int) -> NDArray[np.bool_]:
    return np.hypot(ROWS - H / 2 - i, COLUMNS - W / 2 + i) < radius


# What is marked, where the objects are the foreground.
SETS = {
    "lesions": lambda i: _disc(30, i),
    "lesions from near": lambda i: _disc(47, i),
    "lesions from very near": lambda i: _disc(56, i),
    "field of view": lambda i: np.abs(COLUMNS - W / 2) < 53 - i,
    "road": lambda i: 40 + i < ROWS,
    "large road": lambda i: (ROWS > 30) & (np.abs(COLUMNS - W / 2) < ROWS - 20 + i),
    "sky": lambda i: 14 + i > ROWS,
    "cracks": lambda i: np.abs(ROWS - COLUMNS * 0.7 - i) < 2,
}
SAID = {"lesions from near", "lesions from very near", "field of view", "road", "sky"}


def _dataset(root: Path, name: str, *, inverted: bool) -> Path:
    for i in range(4):
        save(root / f"images/{i}.png", photo(i, H, W))
        save(root / f"masks/{i}.png", ((SETS[name](i) ^ inverted) * 255).astype(np.uint8))
    return root


@pytest.mark.parametrize("name", SETS)
def test_large_foreground_is_read_without_a_question(name: str, tmp_path: Path) -> None:
    found = open_dataset(_dataset(tmp_path, name, inverted=False))
    _, labels = read_pair(found.samples[0], found.encoding, found.channels)
    np.testing.assert_array_equal(labels == 1, SETS[name](0))
    said = any("if the masks are inverted" in text for _, text in found.decisions)
    assert said == (name in SAID)


@pytest.mark.parametrize("name", SETS)
def test_inverted_masks_are_asked_about(name: str, tmp_path: Path) -> None:
    """The ground before a road looks the same as a road in the wrong masks: there it is only said."""
    root = _dataset(tmp_path, name, inverted=True)
    if name == "road":
        said = " ".join(text for _, text in open_dataset(root).decisions)
        assert "if the masks are inverted: --mask-values 0=foreground" in said
        return
    with pytest.raises(DatasetError, match="so the masks may be inverted"):
        open_dataset(root)
