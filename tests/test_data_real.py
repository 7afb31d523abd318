"""The real data sets, in their own layouts and bytes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from unetfast.data import open_dataset
from unetfast.data.class_shares import class_shares
from unetfast.data.doctor import inspect
from unetfast.data.labels import read_pair
from unetfast.spec import IGNORE

# folder, options, layout, samples, classes, share of class 1 as the folders' READMEs and manifests give it
SETS = [
    ("crackforest", {}, "paired", 118, 2, 0.0162),
    ("crackforest", {"layout": "mat"}, "mat", 118, 2, 0.0162),
    ("crack500/test", {}, "paired", 65, 2, None),
    ("cracktile/train", {}, "paired", 80, 2, None),
    ("cracktile/crackconcrete_size_mismatch", {}, "paired", 8, 2, None),
    ("br_cracks_potholes/test", {"mask_name": "CRACK"}, "variants", 25, 2, None),
    ("dsb2018/test", {}, "dsb2018", 30, 2, None),
    ("isic_like_ham10000", {}, "isic", 5, 2, 0.2827),
    ("camvid", {"ignore_label": 11}, "list", 68, 11, None),
    ("sandstone/test", {}, "paired", 2, 4, None),
    ("sandstone/extra_gray4", {}, "paired", 1, 4, None),
]


@pytest.mark.parametrize(("folder", "options", "layout", "count", "classes", "share"), SETS)
def test_real_sets_are_understood(
    shared_data: Path,
    folder: str,
    options: dict[str, object],
    layout: str,
    count: int,
    classes: int,
    share: float | None,
) -> None:
    found = open_dataset(shared_data / folder, **options)  # type: ignore[arg-type]
    assert (found.layout, len(found.samples), len(found.classes)) == (layout, count, classes)
    if share is not None:
        assert class_shares(found)[1].share == pytest.approx(share, abs=1e-4)
    image, labels = read_pair(found.samples[0], found.encoding, found.channels)
    assert image.shape[:2] == labels.shape
    assert set(np.unique(labels)) <= {*range(classes), IGNORE}
    assert not [finding for finding in inspect(found) if finding.severity == "error"]


def test_ground_truth_of_crackforest_is_the_same_either_way(shared_data: Path) -> None:
    png, mat = (open_dataset(shared_data / "crackforest/test", layout=name) for name in ("paired", "mat"))
    for a, b in zip(png.samples, mat.samples, strict=True):
        assert a.id == b.id
        np.testing.assert_array_equal(read_pair(a, png.encoding, 3)[1], read_pair(b, mat.encoding, 3)[1])


def test_rotated_photos_fit_their_masks(shared_data: Path) -> None:
    found = open_dataset(shared_data / "large_photos", skip_unmatched=True)
    rotated = [sample for sample in found.samples if sample.id.startswith("craquelure")]
    assert rotated
    for sample in rotated:
        image, labels = read_pair(sample, found.encoding, 1)
        assert image.shape == (*labels.shape, 1)
        # Cracks are darker or lighter than their surroundings: a mask turned wrongly would not be.
        grey = image[:, :, 0].astype(float)
        assert abs(grey[labels == 1].mean() - grey[labels == 0].mean()) > 5


def test_an_archive_is_the_folder(shared_data: Path, tmp_path: Path) -> None:
    some = sorted((shared_data / "dsb2018/test").iterdir())[:3]
    for one in some:
        shutil.copytree(one, tmp_path / "stage1" / one.name)
    archive = shutil.make_archive(str(tmp_path / "stage1"), "zip", tmp_path / "stage1")
    zipped, folder = open_dataset(archive), open_dataset(tmp_path / "stage1")
    assert [s.id for s in zipped.samples] == [s.id for s in folder.samples]
    for a, b in zip(zipped.samples, folder.samples, strict=True):
        for x, y in zip(read_pair(a, zipped.encoding, 3), read_pair(b, folder.encoding, 3), strict=True):
            np.testing.assert_array_equal(x, y)
