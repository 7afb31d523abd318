"""Masks read as those that a model was trained with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn_data import H, W, truth
from drawn_masks import COLOURS, labels_of, mask_set, smooth

from unetfast.data import open_dataset
from unetfast.data.encoding import LabelEncoding
from unetfast.errors import DatasetError


def test_class_names_of_a_model_may_be_told_for_other_values(tmp_path: Path) -> None:
    """What the refusal asks for has to be taken; the order in which it is said means nothing."""
    model = LabelEncoding("polygons", "exact", (), 0, ("background", "crack", "hole"))
    root = mask_set(tmp_path, lambda i: np.array([10, 90, 50], np.uint8)[truth(i, classes=3)])
    with pytest.raises(DatasetError, match="Say what they mean in the model's class names"):
        open_dataset(root, encoding=model)
    found = open_dataset(root, encoding=model, mask_values=["50=hole,90=crack,10=background"])
    assert found.classes == model.classes
    np.testing.assert_array_equal(labels_of(found), truth(0, classes=3))
    with pytest.raises(DatasetError, match="Say what they mean in the model's class names"):
        open_dataset(root, encoding=model, mask_values=["50=pothole,90=crack,10=background"])


def test_encoding_of_a_model_is_kept_where_it_fits(tmp_path: Path) -> None:
    trained = open_dataset(
        mask_set(tmp_path / "a", lambda i: truth(i, classes=4)), mask_values=["2=x", "1=y", "3=z"]
    )
    some = mask_set(tmp_path / "b", lambda i: truth(i, classes=3))  # class 3 is not in it
    found = open_dataset(some, encoding=trained.encoding)
    assert found.encoding == trained.encoding
    other = mask_set(tmp_path / "c", lambda i: COLOURS[truth(i, classes=4)])
    with pytest.raises(DatasetError, match=r"values the model was trained with \(background, x, y, z\)"):
        open_dataset(other, encoding=trained.encoding)
    binary = open_dataset(mask_set(tmp_path / "d", truth)).encoding
    again = open_dataset(mask_set(tmp_path / "e", lambda i: truth(i) * 255), encoding=binary)
    np.testing.assert_array_equal(labels_of(again), truth(0))


def test_encoding_of_a_model_on_masks_that_show_little(tmp_path: Path) -> None:
    inverted = open_dataset(mask_set(tmp_path / "i", lambda i: 255 - truth(i) * 255), mask_values=["0=crack"])
    for name, draw, expected in (
        ("same", lambda i: 255 - truth(i) * 255, truth(0)),
        ("empty", lambda i: np.full((H, W), 255, np.uint8), truth(0) * 0),
        ("smeared", lambda i: 255 - smooth(truth(i)), truth(0)),
    ):
        found = open_dataset(mask_set(tmp_path / name, draw), encoding=inverted.encoding)
        assert found.classes == ("background", "crack")
        assert (labels_of(found) != expected).mean() < 0.01, name
    coloured = open_dataset(mask_set(tmp_path / "c", lambda i: COLOURS[truth(i, classes=4)]))
    black = open_dataset(
        mask_set(tmp_path / "b", lambda i: COLOURS[truth(i) * 0]), encoding=coloured.encoding
    )
    assert not labels_of(black).any()
    told = open_dataset(
        mask_set(tmp_path / "t", lambda i: truth(i) + 1), mask_values=["2=crack", "*=background"]
    )
    plain = open_dataset(mask_set(tmp_path / "p", lambda i: truth(i) * 255), encoding=told.encoding)
    np.testing.assert_array_equal(labels_of(plain), truth(0))
