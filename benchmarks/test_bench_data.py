"""Data loading: a training crop from memory and from disk, and the look at every mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from unetfast.data import open_dataset
from unetfast.data.augment import Augmentation
from unetfast.data.dataset import Crops
from unetfast.data.survey import survey


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 24 photos of 480x320 px of grain, as JPEG, with thin binary masks."""
    root = tmp_path_factory.mktemp("cracks")
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (root / kind).mkdir()
    for i in range(24):
        photo = rng.normal(120, 25, (320, 480, 3)).clip(0, 255).astype(np.uint8)
        mask = np.zeros((320, 480), np.uint8)
        points = np.cumsum(rng.integers(-8, 30, (40, 2)), axis=0).astype(np.int32)
        cv2.polylines(mask, [points], False, 255, 3)
        for kind, ending, array in (("images", ".jpg", photo), ("masks", ".png", mask)):
            (root / kind / f"{i}{ending}").write_bytes(cv2.imencode(ending, array)[1].tobytes())
    return root


@pytest.mark.parametrize("cache", ["ram", "none"])
def test_crop(benchmark: Any, folder: Path, cache: str) -> None:
    found = open_dataset(folder)
    crops = Crops(found.samples, found.encoding, 3, 256, augmentation=Augmentation(), cache=cache)
    places = iter(range(10**9))

    def one() -> Any:
        place = next(places)
        return crops[place // len(crops), place % len(crops)]

    image, labels = benchmark(one)
    assert image.shape == (256, 256, 3)
    assert labels.shape == (256, 256)


def test_survey(benchmark: Any, folder: Path) -> None:
    samples = open_dataset(folder).samples
    assert set(benchmark(survey, samples).counts) == {0, 255}
