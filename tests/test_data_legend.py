"""Legends beside the masks name their classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from drawn_data import truth
from drawn_masks import COLOURS, labels_of, mask_set

from unetfast.data import open_dataset


def test_legends_name_classes(tmp_path: Path) -> None:
    root = mask_set(tmp_path / "ids", lambda i: truth(i, classes=4))
    (root / "codes.txt").write_text("sky\nroad\nvoid\ncar\npole\n")
    found = open_dataset(root)
    assert found.classes == ("sky", "road", "car", "pole")
    np.testing.assert_array_equal(labels_of(found), np.array([0, 1, 255, 2])[truth(0, classes=4)])
    root = mask_set(tmp_path / "colours", lambda i: COLOURS[truth(i, classes=4)])
    for name, text in {
        "class_dict.csv": "name,r,g,b\nRed thing,255,0,0\nNothing,0,0,0\nGreen,0,255,0\n"
        "Blue,0,0,255\nNever,9,9,9\n",
        "label_colors.txt": "255 0 0\tRed thing\n0 0 0\t\tNothing\n0 255 0 Green\n"
        "0 0 255 Blue\n9 9 9 Never\n",
        "labelmap.txt": "# label:color_rgb:parts:actions\nRed thing:255,0,0::\nNothing:0,0,0::\n"
        "Green:0,255,0::\nBlue:0,0,255::\nNever:9,9,9::\n",
    }.items():
        (root / name).write_text(text)
        found = open_dataset(root)
        assert found.classes == ("Red thing", "Nothing", "Green", "Blue", "Never"), name
        np.testing.assert_array_equal(labels_of(found), np.array([1, 0, 2, 3])[truth(0, classes=4)])
        (root / name).unlink()


def test_legends_of_labelme_and_roboflow(tmp_path: Path) -> None:
    """LabelMe's first name is of -1; read as of 0 it made every class the one before it."""
    root = mask_set(tmp_path / "labelme", lambda i: truth(i, classes=3))
    (root / "labels.txt").write_text("__ignore__\n_background_\ncrack\nspall\n")
    found = open_dataset(root)
    assert found.classes == ("_background_", "crack", "spall")
    np.testing.assert_array_equal(labels_of(found), truth(0, classes=3))
    root = mask_set(tmp_path / "roboflow", lambda i: truth(i, classes=3))
    (root / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, crack\n2, spall\n")
    assert open_dataset(root).classes == ("background", "crack", "spall")


def test_legends_that_leave_the_background_out(tmp_path: Path) -> None:
    root = mask_set(tmp_path, lambda i: truth(i, classes=3))
    (root / "classes.txt").write_text("crack\nspall\n")
    found = open_dataset(root)
    assert found.classes == ("background", "crack", "spall")
    np.testing.assert_array_equal(labels_of(found), truth(0, classes=3))
    # CamVid's eleven names and 11 for what has none look the same: both readings are said.
    said = "so 0 is taken for the background; if 2 is what has no name: --ignore-label 2"
    assert said in str(found.decisions)
    assert open_dataset(root, ignore_label=2).classes == ("crack", "spall")
    (root / "classes.txt").write_text("bg\ncrack\n")  # too short, and it begins with the background
    assert open_dataset(root).classes == ("background", "class_1", "class_2")
