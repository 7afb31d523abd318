"""Defects with masks beside sound parts without any."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from drawn_data import H, W, pairs, photo, save, truth

from unetfast.data import open_dataset
from unetfast.data.doctor import inspect
from unetfast.data.labels import read_pair


def _mvtec(root: Path) -> Path:
    for i in range(3):
        save(root / f"tile/train/good/{i:03}.png", photo(10 + i))
        save(root / f"tile/test/good/{i:03}.png", photo(20 + i))
        save(root / f"tile/test/crack/{i:03}.png", photo(i))
        save(root / f"tile/ground_truth/crack/{i:03}_mask.png", truth(i) * 255)
    return root


def test_good_parts_of_mvtec_are_background(tmp_path: Path) -> None:
    found = open_dataset(_mvtec(tmp_path))
    assert (found.layout, len(found.samples), {s.split for s in found.samples}) == ("anomaly", 9, {None})
    said = " ".join(text for _, text in found.decisions)
    assert (
        "6 images without a mask count as background, by their folders: tile/test/good, tile/train/good"
        in said
    )
    assert "all masks belong to test" in said
    marked = [int(read_pair(s, found.encoding, found.channels)[1].sum()) for s in found.samples]
    assert marked == [int(truth(i).sum()) for i in range(3)] + [0] * 6
    findings = inspect(found)
    assert not [finding for finding in findings if finding.severity == "error"]
    assert any("6 of 9 masks hold nothing but background" in finding.text for finding in findings)


def test_splits_that_have_masks_are_kept(tmp_path: Path) -> None:
    """As VisA would be with masks in both."""
    for split in ("train", "test"):
        for i in range(2):
            save(tmp_path / split / f"images/anomaly/{split}{i}.png", photo(i))
            save(tmp_path / split / f"masks/anomaly/{split}{i}.png", truth(i) * 255)
            save(tmp_path / split / f"images/normal/{split}n{i}.png", photo(5 + i))
    found = open_dataset(tmp_path)
    assert (found.layout, [s.split for s in found.samples].count("train")) == ("anomaly", 4)


def test_what_counts_as_background_is_not_said_to_be_left_out(tmp_path: Path) -> None:
    pairs(tmp_path, 3)
    for i in range(2):
        save(tmp_path / f"ok/{10 + i}.png", photo(10 + i))
        save(tmp_path / f"others/{20 + i}.png", photo(20 + i))
    found = open_dataset(tmp_path)
    said = [text for topic, text in found.decisions if topic == "files"]
    assert (found.layout, len(found.samples)) == ("anomaly", 5)
    assert [text for text in said if "left out" in text] == [
        "2 pictures left out, in neither an image nor a mask folder: others"
    ]


def test_maps_of_normals_are_no_background(tmp_path: Path) -> None:
    pairs(tmp_path, 3)
    for i in range(3):
        save(tmp_path / f"normal/{i}.png", photo(i))
    found = open_dataset(tmp_path)
    assert (found.layout, len(found.samples)) == ("paired", 3)


def test_negatives_with_masks_are_read_as_all_others(tmp_path: Path) -> None:
    for kind, first in (("positive", 0), ("negative", 4)):
        for i in range(first, first + 3):
            save(tmp_path / f"images/{kind}/{i}.png", photo(i))
            mask = truth(i) * 255 if kind == "positive" else np.zeros((H, W), np.uint8)
            save(tmp_path / f"masks/{kind}/{i}.png", mask)
    assert open_dataset(tmp_path).layout == "paired"
