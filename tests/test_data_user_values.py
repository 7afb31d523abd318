"""What the user says that mask values mean."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from drawn_data import photo, save, truth
from drawn_masks import COLOURS, Labels, instances, labels_of, mask_set, one_and_255, palette_image

from unetfast.data import open_dataset
from unetfast.data.class_shares import class_shares
from unetfast.data.encoding import LabelEncoding
from unetfast.errors import ConfigError, DatasetError
from unetfast.imaging import MaskFile
from unetfast.spec import IGNORE


def test_the_flag_for_another_background_keeps_what_does_not_count(tmp_path: Path) -> None:
    def draw(i: int) -> Labels:
        labels = truth(i, classes=3) + np.uint8(1)
        labels[0] = 255
        return labels

    root = mask_set(tmp_path, draw)
    found = open_dataset(root)
    said = re.findall(r"--mask-values (\d\S*background\S*)", " ".join(text for _, text in found.decisions))
    again = open_dataset(root, mask_values=said)
    assert (labels_of(again)[0] == IGNORE).all()


def test_the_flag_settles_it(tmp_path: Path) -> None:
    root = mask_set(tmp_path, one_and_255)
    ignored = open_dataset(root, mask_values=["1=crack", "255=ignore"])
    assert ignored.classes == ("background", "crack")
    assert (labels_of(ignored)[:2] == IGNORE).all()
    both = open_dataset(root, mask_values=["1=crack,255=crack"])
    assert (labels_of(both)[:2] == 1).all()
    objects = open_dataset(mask_set(tmp_path / "b", instances), mask_values=("1-65535=nucleus",))
    assert objects.classes == ("background", "nucleus")
    np.testing.assert_array_equal(labels_of(objects), instances(0) > 0)


def test_ignore_label_beside_mask_values(tmp_path: Path) -> None:
    root = mask_set(tmp_path, one_and_255)
    found = open_dataset(root, mask_values=["1=crack"], ignore_label=255)
    labels = labels_of(found)
    assert set(np.unique(labels)) == {0, 1, IGNORE}
    assert open_dataset(root, mask_values="1=crack", ignore_label=255).encoding == found.encoding
    counted = sum(np.bincount(labels_of(found, i).ravel(), minlength=256)[:2] for i in range(5))
    shares = [share.share for share in class_shares(found)]
    np.testing.assert_allclose(shares, counted / counted.sum())


def test_user_values(tmp_path: Path) -> None:
    root = mask_set(tmp_path, lambda i: truth(i, classes=4))
    one = open_dataset(root, mask_values=["2=pole"])
    assert one.classes == ("background", "pole")
    np.testing.assert_array_equal(labels_of(one), truth(0, classes=4) == 2)
    all_named = open_dataset(root, mask_values=["3=d,1=b,0=a,2=c"])
    assert all_named.classes == ("d", "b", "a", "c")
    np.testing.assert_array_equal(labels_of(all_named), np.array([2, 1, 3, 0])[truth(0, classes=4)])
    rest = open_dataset(root, mask_values=["1=b", "*=ignore", "0=background"])
    np.testing.assert_array_equal(labels_of(rest), np.array([0, 1, 255, 255])[truth(0, classes=4)])
    merged = open_dataset(root, mask_values=["1=x", "3=x"])
    np.testing.assert_array_equal(labels_of(merged), np.array([0, 1, 0, 1])[truth(0, classes=4)])
    inverted = open_dataset(mask_set(tmp_path / "i", lambda i: 255 - truth(i) * 255), mask_values=["0=crack"])
    np.testing.assert_array_equal(labels_of(inverted), truth(0))
    for words in (["#ff0000=red"], ["red"], ["1"], ["x=y"], ["1=a", "#000000=b"]):
        with pytest.raises((ConfigError, DatasetError), match=r"mask.values"):
            open_dataset(root, mask_values=words)
    with pytest.raises(DatasetError, match="9=z: no mask holds that; found 0, 1, 2, 3"):
        open_dataset(root, mask_values=["9=z"])


def test_user_values_of_colours_palettes_and_smeared_masks(tmp_path: Path) -> None:
    four = lambda i: truth(i, classes=4)  # noqa: E731
    coloured = open_dataset(
        mask_set(tmp_path / "c", lambda i: COLOURS[four(i)]), mask_values=["#00ff00=grain"]
    )
    np.testing.assert_array_equal(labels_of(coloured), four(0) == 2)
    palette = [tuple(c) for c in COLOURS.tolist()]
    indexed = mask_set(tmp_path / "p", lambda i: palette_image(four(i), palette))
    for word in ("#00ff00=grain", "2=grain"):
        np.testing.assert_array_equal(labels_of(open_dataset(indexed, mask_values=[word])), four(0) == 2)
    smeared = mask_set(tmp_path / "s", lambda i: truth(i) * 255, ending="jpg", quality=70)
    for word, expected in (("255=crack", truth(0)), ("0=crack", 1 - truth(0))):
        found = open_dataset(smeared, mask_values=[word])
        assert (labels_of(found) != expected).mean() < 0.01


def test_ignore_label(tmp_path: Path) -> None:
    root = mask_set(tmp_path, lambda i: truth(i, classes=4))
    found = open_dataset(root, ignore_label=3)
    assert len(found.classes) == 3
    np.testing.assert_array_equal(labels_of(found), np.array([0, 1, 2, 255])[truth(0, classes=4)])
    binary = open_dataset(mask_set(tmp_path / "b", one_and_255), ignore_label=255)
    assert binary.classes == ("background", "foreground")
    assert (labels_of(binary)[:2] == IGNORE).all()
    np.testing.assert_array_equal(labels_of(binary)[2:], truth(0)[2:])


@pytest.mark.parametrize(("count", "side"), [(300, 5), (90, 4)])
def test_a_range_of_objects_does_not_swallow_the_background(count: int, side: int, tmp_path: Path) -> None:
    """0 is near 1, but 1-65535 does not name it: masks of hundreds of objects were all foreground."""
    objects = np.zeros((120, 160), np.uint16)
    for k in range(1, count + 1):
        y, x = divmod(k - 1, 20)
        objects[8 * y : 8 * y + side, 8 * x : 8 * x + side] = k
    root = mask_set(tmp_path, lambda i: np.where(objects <= count - i, objects, 0).astype(np.uint16))
    for i in range(5):
        save(tmp_path / f"images/{i}.png", photo(i, 120, 160))
    with pytest.raises(DatasetError, match="--mask-values 1-65535=object"):
        open_dataset(root)
    found = open_dataset(root, mask_values=["1-65535=object"])
    np.testing.assert_array_equal(labels_of(found), objects > 0)


def test_an_unknown_value_names_the_file_and_the_flag() -> None:
    encoding = LabelEncoding("grey", "exact", ((0, 0), (1, 1), (2, 2)), None, ("a", "b", "c"))
    with pytest.raises(
        DatasetError, match=r"^m.png: 1 pixels hold 7; known mask values are 0, 1, 2; .*7=ignore"
    ):
        encoding.apply(MaskFile(np.array([[0, 7]], np.uint8), None, "L"), "m.png")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("1=a", r"1=a; not named, and so background: 0 \(\d+\.\d+%\), 2 \(\d+\.\d+%\), 3 \(\d+\.\d+%\)$"),
        ("0=background,1=a,2=b", r"2=b; not named, and so background: 3 \(\d+\.\d+%\)$"),
        ("1=a,2=b,3=c", "3=c$"),
        ("1=a,*=b", "=b$"),
    ],
)
def test_what_nobody_named_is_said_to_be_background(told: str, said: str, tmp_path: Path) -> None:
    root = mask_set(tmp_path, lambda i: truth(i, classes=4))
    reasons = dict(open_dataset(root, mask_values=[told]).decisions)
    assert re.search(said, reasons["masks"])
