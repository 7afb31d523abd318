"""Masks that can be read in several ways are refused, and every flag that a refusal names settles it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from drawn_data import H, W, photo, truth
from drawn_masks import COLOURS, Labels, instances, labels_of, mask_set, one_and_255
from numpy.typing import NDArray

from unetfast.data import open_dataset
from unetfast.errors import DatasetError


def _one_and_65535(i: int) -> Any:
    labels = truth(i).astype(np.uint16)
    labels[:2] = 65535
    return labels


def _instances_with_rims(i: int) -> Labels:
    labels = instances(i)
    labels[-3:] = 255
    return labels


def _scribble(i: int) -> Labels:
    return np.random.default_rng(i).integers(0, 256, (H, W), dtype=np.uint8)


def _pieces(i: int) -> Labels:
    """Draw numbers of objects of which some are gone, as cuts and filters leave them."""
    labels = np.zeros((H, W), np.uint8)
    places = [(y, x) for y in range(1, H - 3, 5) for x in range(1, W - 3, 5)]
    for k, (y, x) in enumerate(places[: 12 + 20 * i], 1):
        labels[y : y + 3, x : x + 3] = k if (k + i) % 3 else 0
    return labels


def _one_row_of_127(i: int) -> Labels:
    mask = truth(i) * np.uint8(254)
    mask[H - 3] = 127  # a class of thin lines, or lines thinner than a pixel
    return mask


def _own_ids(i: int) -> Labels:
    return np.where(truth(i, classes=4) > 0, truth(i, classes=4) * 7 + 31 * i + 1, 0).astype(np.uint8)


def _opaque_or_alpha(i: int) -> Labels:
    white = truth(i) * 255
    return np.dstack([white] * 3 + [white * 0 + 255] if i % 2 else [white * 0 + 255] * 3 + [white])


REFUSED: dict[str, tuple[Callable[[int], Any], str]] = {
    "0, 1 and 255": (one_and_255, "255 may mean.*1=foreground,255=ignore, or 1=foreground,255=for"),
    "0 1 and 0 255": (lambda i: truth(i) * (255 if i % 2 else 1), "some masks hold 0 and 1, others 0 and 2"),
    "inverted": (
        lambda i: 255 - 255 * (np.indices((H, W)).sum(0) % 16 == i).astype(np.uint8),
        "may be inverted.*--mask-values 255=foreground, or 0=foreground",
    ),
    "all black": (lambda i: truth(i) * 0, "every pixel of all 5 masks is 0"),
    "photographs": (lambda i: photo(i)[:, :, 0], "photographs or probability maps"),
    "noise": (_scribble, "photographs or probability maps"),
    "a thin class, or edges": (_one_row_of_127, "127 fills no area.*127=thin,254=foreground, or 127-254=for"),
    "objects of any number": (_own_ids, "few masks share one.*1-65535=object"),
    "8 and 16 bit": (
        lambda i: truth(i).astype(np.uint16) * 65535 if i % 2 else truth(i) * 255,
        "others 0 and 65535.*255=foreground,65535=foreground",
    ),
    "two ways": (_opaque_or_alpha, "3 masks are drawn in the alpha channel alone, 2 are opaque"),
    "photographs in colour": (
        lambda i: np.random.default_rng(i).integers(0, 256, (H, W, 3), np.uint8),
        "none of which stands out: these are photographs",
    ),
    "a channel per class": (lambda i: np.eye(3, dtype=np.uint8)[truth(i, classes=3)], "one for each class"),
    "two colours": (lambda i: COLOURS[1:][truth(i)], "neither is black.*'#00ff00=foreground', or '#ff"),
    "0, 1 and 65535": (_one_and_65535, "65535 may mean.*1=foreground,65535=ignore, or 1=fore"),
    "objects and what does not count": (_instances_with_rims, "numbers of obj.*1-254=object,255=ignore"),
    "objects": (instances, "numbers of objects.*--mask-values 1-65535=object"),
    "objects of which some are gone": (_pieces, "few masks share one.*1-65535=object"),
    "objects in colours": (
        lambda i: (np.arange(256)[:, None] * [37, 91, 53] % 256).astype(np.uint8)[_pieces(i)],
        "each is one connected piece.* '#000000=background,[*]=object'",
    ),
    "colours and greys": (
        lambda i: COLOURS[truth(i, classes=4)] if i % 2 else truth(i, classes=4) * np.uint8(60),
        "coded in colours",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_ambiguous_masks_are_refused_with_what_settles_them(case: str, tmp_path: Path) -> None:
    draw, message = REFUSED[case]
    with pytest.raises(DatasetError, match=message) as caught:
        open_dataset(mask_set(tmp_path, draw, count=5))
    assert str(caught.value).startswith(str(tmp_path))


FLAGS = [case for case, (_, message) in REFUSED.items() if "=" in message]


@pytest.mark.parametrize("case", FLAGS)
def test_every_flag_that_a_refusal_names_is_taken(case: str, tmp_path: Path) -> None:
    root = mask_set(tmp_path, REFUSED[case][0], count=5)
    with pytest.raises(DatasetError) as caught:
        open_dataset(root)
    flags = re.findall(r"(?:--mask-values|, or) '?([\d#][^ =]*=\S*[^\s,'])", str(caught.value))
    assert flags
    for flag in flags:
        assert len(open_dataset(root, mask_values=[flag]).classes) >= 2


def test_ids_that_may_be_objects_say_how_to_read_them_so(tmp_path: Path) -> None:
    found = open_dataset(mask_set(tmp_path, lambda i: np.where(_pieces(i + 2) > 12, 0, _pieces(i + 2))))
    told = "one class each, in this order; if they are numbers of objects: --mask-values 1-65535=object"
    assert any(text.endswith(told) for _, text in found.decisions)
    parts = open_dataset(mask_set(tmp_path / "parts", lambda i: _pieces(i) // 9 * 2))  # of several pieces
    assert len(parts.classes) > 8
    assert not any("numbers of objects" in text for _, text in parts.decisions)


def test_dark_jpeg_masks_take_the_flag_that_the_refusal_names(tmp_path: Path) -> None:
    root = mask_set(tmp_path, lambda i: truth(i) * np.uint8(9), ending="jpg", quality=90)
    with pytest.raises(DatasetError, match=r"--mask-values [56]-(9|1\d)=foreground$") as refused:
        open_dataset(root)
    found = open_dataset(root, mask_values=[str(refused.value).split()[-1]])
    assert (labels_of(found) != truth(0)).mean() < 0.01


def test_thin_colours_of_a_jpeg_take_the_flag_that_the_refusal_names(tmp_path: Path) -> None:
    """Chroma at half the resolution leaves no pixel of a thin line with the colour that was drawn."""

    def draw(i: int) -> Labels:
        drawn = np.zeros((H, W, 3), np.uint8)
        return cv2.line(drawn, (3, 5 + 7 * i), (W - 4, H - 6), (255, 0, 0), 3)

    root = mask_set(tmp_path, draw, ending="jpg", quality=85)
    with pytest.raises(DatasetError, match=r"--mask-values '(#[0-9a-f]{6}=foreground)'$") as refused:
        open_dataset(root)
    for flag in (shlex.split(str(refused.value))[-1], "#ff0000=crack"):
        found = open_dataset(root, mask_values=[flag])
        for i in range(5):
            labels, wanted = labels_of(found, i), draw(i)[:, :, 0] > 0
            assert 2 * (labels[wanted] == 1).sum() / (labels.sum() + wanted.sum()) > 0.97
    with pytest.raises(DatasetError, match="these masks are in colours; say #rrggbb=NAME"):
        open_dataset(root, mask_values=["128-255=crack"])


def test_probability_maps_take_the_flag_that_the_refusal_names(tmp_path: Path) -> None:
    def draw(i: int) -> Labels:
        soft = cv2.GaussianBlur(truth(i) * 200.0, (0, 0), 6) + np.linspace(0, 55, W)
        return np.asarray(soft, np.uint8)

    root = mask_set(tmp_path, draw)
    with pytest.raises(DatasetError, match="--mask-values 128-255=foreground"):
        open_dataset(root)
    found = open_dataset(root, mask_values=["128-255=foreground"])
    np.testing.assert_array_equal(labels_of(found), draw(0) >= 128)


def test_colours_without_black_say_which_is_class_0_and_how_to_change_it(tmp_path: Path) -> None:
    on_white = np.array([[255, 255, 255], [0, 0, 255], [255, 0, 0]], np.uint8)
    found = open_dataset(mask_set(tmp_path / "white", lambda i: on_white[truth(i, classes=3)]))
    assert found.classes == ("white", "blue", "red")  # most pixels are white
    np.testing.assert_array_equal(labels_of(found), truth(0, classes=3))
    told = (
        "#ffffff takes the place of the background, as no mask holds black; otherwise say which does, such "
        "as --mask-values '#ffffff=white,#0000ff=background,#ff0000=red'"
    )
    assert told in [reason for _, reason in found.decisions]
    other = open_dataset(tmp_path / "white", mask_values=[shlex.split(told)[-1]])
    assert other.classes == ("background", "white", "red")
    np.testing.assert_array_equal(labels_of(other), np.array([1, 0, 2])[truth(0, classes=3)])


def test_colours_that_are_much_the_same_are_refused(tmp_path: Path) -> None:
    def dark(i: int) -> NDArray[np.uint8]:
        return np.random.default_rng(i).integers(0, 9, (H, W, 3), dtype=np.uint8)

    with pytest.raises(DatasetError, match="colours that are all much the same"):
        open_dataset(mask_set(tmp_path, dark))
