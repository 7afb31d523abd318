"""Mask values become class ids: every way in which people store them, and what is refused."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from drawn_data import H, W, photo, save, truth
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from unetfast.data import DataSet, open_dataset
from unetfast.data.doctor import class_shares
from unetfast.data.encoding import LabelEncoding
from unetfast.data.labels import read_pair
from unetfast.errors import ConfigError, DatasetError, InputError
from unetfast.imaging import MaskFile
from unetfast.spec import IGNORE

Labels = NDArray[np.uint8]
COLOURS = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]], np.uint8)


def _dataset(
    root: Path, draw: Callable[[int], Any], count: int = 5, ending: str = "png", **options: Any
) -> Path:
    for i in range(count):
        save(root / f"images/{i}.png", photo(i))
        save(root / f"masks/{i}.{ending}", draw(i), **options)
    return root


def _labels(found: DataSet, i: int = 0) -> Labels:
    return read_pair(found.samples[i], found.encoding, 3)[1]


def _palette(labels: Labels, colours: list[tuple[int, int, int]]) -> Image.Image:
    indexed = Image.new("P", labels.shape[::-1])
    indexed.putdata(labels.ravel().tolist())
    indexed.putpalette([value for colour in colours for value in colour])
    return indexed


def _smooth(labels: Labels) -> Labels:
    """Anti-aliased: drawn four times as large and averaged down."""
    large = cv2.resize(labels * 255, (4 * W, 4 * H), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.resize(cv2.GaussianBlur(large, (0, 0), 3), (W, H), interpolation=cv2.INTER_AREA))


BINARY: dict[str, Callable[[int], Any]] = {
    "0 and 1": truth,
    "0 and 255": lambda i: truth(i) * 255,
    "0 and 128": lambda i: truth(i) * 128,
    "1 and 2": lambda i: truth(i) + 1,
    "1 bit": lambda i: Image.fromarray(truth(i) * 255).convert("1"),
    "RGB grey": lambda i: np.repeat(truth(i)[:, :, None] * 255, 3, axis=2),
    "RGBA grey": lambda i: np.dstack([*[truth(i) * 255] * 3, np.full((H, W), 255, np.uint8)]),
    "alpha": lambda i: np.dstack([np.zeros((H, W, 3), np.uint8), truth(i) * 255]),
    "transparent background": lambda i: np.dstack([*[truth(i) * 165 + 90] * 3, truth(i) * 255]),
    "LA": lambda i: Image.merge("LA", [Image.fromarray(truth(i) * 255), Image.new("L", (W, H), 255)]),
    "16 bit": lambda i: truth(i).astype(np.uint16) * 65535,
    "red on black": lambda i: COLOURS[truth(i)],
    "palette black and white": lambda i: _palette(truth(i), [(0, 0, 0), (255, 255, 255)]),
    "palette inverted": lambda i: _palette(1 - truth(i), [(255, 255, 255), (0, 0, 0)]),
    "palette red": lambda i: _palette(truth(i), [(0, 0, 0), (128, 0, 0)]),
    "palette all black": lambda i: _palette(truth(i), [(0, 0, 0), (0, 0, 0)]),
    "palette 0 and 255": lambda i: _palette(truth(i) * 255, [(v, v, v) for v in range(256)]),
    "mixed 1 bit and 8 bit": lambda i: Image.fromarray(truth(i) * 255).convert("1" if i % 2 else "L"),
}  # fmt: skip


@pytest.mark.parametrize("case", BINARY)
def test_two_values_are_background_and_foreground(case: str, tmp_path: Path) -> None:
    found = open_dataset(_dataset(tmp_path, BINARY[case]))
    assert found.classes == ("background", "foreground")
    for i in range(3):
        np.testing.assert_array_equal(_labels(found, i), truth(i), err_msg=f"{case} {i}")


@pytest.mark.parametrize(
    ("ending", "options"), [("png", {}), ("jpg", {"quality": 60}), ("jpg", {"quality": 95})]
)
def test_smeared_edges_are_split_at_the_middle(ending: str, options: dict[str, int], tmp_path: Path) -> None:
    draw = (lambda i: truth(i) * 255) if ending == "jpg" else (lambda i: _smooth(truth(i)))
    found = open_dataset(_dataset(tmp_path, draw, ending=ending, **options))
    assert found.classes == ("background", "foreground")
    assert found.encoding.rule == "threshold"
    for i in range(3):
        labels = _labels(found, i)
        assert set(np.unique(labels)) == {0, 1}
        assert (labels != truth(i)).mean() < 0.01


def test_thin_anti_aliased_lines(tmp_path: Path) -> None:
    """No white area anywhere: every pixel of the line is edge."""

    def draw(i: int) -> Labels:
        mask = np.zeros((H, W), np.uint8)
        cv2.line(mask, (3, 5 + i), (60, 40), 255, 1, cv2.LINE_AA)
        return mask

    found = open_dataset(_dataset(tmp_path, draw))
    assert found.encoding.rule == "threshold"
    assert 30 < _labels(found).sum() < 120


def test_foreground_255_is_never_taken_for_ignore(tmp_path: Path) -> None:
    found = open_dataset(_dataset(tmp_path, lambda i: truth(i) * 255))
    assert IGNORE not in _labels(found)
    assert _labels(found).sum() == truth(0).sum()


MULTI: dict[str, Callable[[Labels], Any]] = {
    "ids": lambda t: t,
    "grey codes": lambda t: np.array([33, 65, 201, 231, 120], np.uint8)[t],
    "16 bit ids": lambda t: t.astype(np.uint16),
    "colours": lambda t: COLOURS[t],
    "RGB ids": lambda t: np.repeat(t[:, :, None], 3, axis=2),
    "palette": lambda t: _palette(t, [tuple(c) for c in COLOURS.tolist()]),
}


@pytest.mark.parametrize("case", MULTI)
def test_several_values_are_classes(case: str, tmp_path: Path) -> None:
    found = open_dataset(_dataset(tmp_path, lambda i: MULTI[case](truth(i, classes=4))))
    assert len(found.classes) == 4
    seen = _labels(found)
    for k in range(4):  # the order of colours and codes is the data's, but every class is one id
        assert len(np.unique(seen[truth(0, classes=4) == k])) == 1
    if case not in ("grey codes", "colours"):
        np.testing.assert_array_equal(seen, truth(0, classes=4))


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("coded", ["grey codes", "colours"])
def test_smeared_edges_of_several_classes_take_a_neighbour(coded: str, quality: int, tmp_path: Path) -> None:
    """Between grey 33 and 231 JPEG makes 120 and 201, which are classes of their own elsewhere."""
    draw = lambda i: MULTI[coded](truth(i, 96, 160, classes=5))  # noqa: E731
    for i in range(4):
        save(tmp_path / f"images/{i}.png", photo(i, 96, 160))
        save(tmp_path / f"masks/{i}.jpg", draw(i), quality=quality, subsampling=0)
    found = open_dataset(tmp_path)
    assert len(found.classes) == 5, found.decisions
    assert found.encoding.rule == "nearest"
    labels, expected = _labels(found), truth(0, 96, 160, classes=5)
    order = [int(np.bincount(labels[expected == k]).argmax()) for k in range(5)]
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert (labels != np.array(order, np.uint8)[expected]).mean() < 0.03


def test_thin_classes_of_lossless_masks_stay(tmp_path: Path) -> None:
    def draw(i: int) -> Labels:
        mask = np.array([10, 90, 170], np.uint8)[truth(i, classes=3)]
        mask[H - 3] = 250  # one pixel high: no neighbourhood is flat
        return mask

    found = open_dataset(_dataset(tmp_path, draw))
    assert len(found.classes) == 4
    assert (_labels(found)[H - 3] == 3).all()


def test_ids_without_a_0_say_which_is_the_background_and_how_to_change_it(tmp_path: Path) -> None:
    """Oxford's pets: 1 is the animal, 2 the background, 3 the border."""
    root = _dataset(tmp_path, lambda i: np.array([2, 1, 3], np.uint8)[truth(i, classes=3)])
    reasons = " ".join(text for _, text in open_dataset(root).decisions)
    assert "1 takes the place of the background, as no mask holds 0" in reasons
    found = open_dataset(root, mask_values=[reasons.partition("--mask-values ")[2].split()[0]])
    assert found.classes == ("background", "class_1", "class_3")
    np.testing.assert_array_equal(_labels(found), truth(0, classes=3))


def test_marks_on_photographs_are_suggested_as_the_foreground(tmp_path: Path) -> None:
    def draw(i: int) -> Labels:
        marked = np.random.default_rng(i).integers(60, 200, (H, W, 3)).astype(np.uint8)
        marked[truth(i) > 0] = (255, 0, 0)
        return marked

    with pytest.raises(DatasetError, match=r"--mask-values '#ff0000=foreground'$"):
        open_dataset(_dataset(tmp_path, draw))


def test_255_beside_ids_does_not_count(tmp_path: Path) -> None:
    def draw(i: int) -> Labels:
        labels = truth(i, classes=4)
        labels[:2] = 255
        return labels

    found = open_dataset(_dataset(tmp_path, draw))
    assert len(found.classes) == 4
    assert (_labels(found)[:2] == IGNORE).all()
    assert any("255 does not count" in text for _, text in found.decisions)


def test_minus_one_in_16_bits_beside_ids_does_not_count_either(tmp_path: Path) -> None:
    def draw(i: int) -> Any:
        labels = truth(i, classes=4).astype(np.uint16)
        labels[:2] = 65535
        return labels

    root = _dataset(tmp_path, draw)
    found = open_dataset(root)
    assert len(found.classes) == 4
    assert (_labels(found)[:2] == IGNORE).all()
    for names in ("bg\nroad\ncar\ntree\n", "road\ncar\ntree\n"):
        (root / "classes.txt").write_text(names)
        found = open_dataset(root)
        assert found.classes[1:] == ("road", "car", "tree")
        assert (_labels(found)[:2] == IGNORE).all()


def test_void_of_pascal_voc(tmp_path: Path) -> None:
    colours = [(0, 0, 0), (128, 0, 0), *[(0, 0, 0)] * 253, (224, 224, 192)]

    def draw(i: int) -> Image.Image:
        labels = truth(i)
        labels[0] = 255
        return _palette(labels, colours)

    found = open_dataset(_dataset(tmp_path, draw))
    assert found.classes == ("background", "foreground")
    assert (_labels(found)[0] == IGNORE).all()


def _one_and_255(i: int) -> Labels:
    labels = truth(i)
    labels[:2] = 255
    return labels


def _one_and_65535(i: int) -> Any:
    labels = truth(i).astype(np.uint16)
    labels[:2] = 65535
    return labels


def _instances_with_rims(i: int) -> Labels:
    labels = _instances(i)
    labels[-3:] = 255
    return labels


def _scribble(i: int) -> Labels:
    return np.random.default_rng(i).integers(0, 256, (H, W), dtype=np.uint8)


def _instances(i: int) -> Labels:
    labels = np.zeros((H, W), np.uint8)
    for k in range(3 + i):
        labels[4 * k % 40 : 4 * k % 40 + 3, 5 * k % 55 : 5 * k % 55 + 4] = k + 1
    return labels


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


def _alpha(i: int, *, paint: int) -> Labels:
    return np.dstack([np.full((H, W, 3), paint, np.uint8), truth(i) * 255])


def test_alpha_masks_may_be_foreground_all_over(tmp_path: Path) -> None:
    full = np.full((H, W, 4), 255, np.uint8)
    root = _dataset(tmp_path, lambda i: full if i == 3 else _alpha(i, paint=255))
    found = open_dataset(root)
    assert _labels(found, 3).all()
    np.testing.assert_array_equal(_labels(found, 2), truth(2))
    # Black and opaque beside others that are drawn in white may as well be background all over.
    save(root / "masks/3.png", np.dstack([np.zeros((H, W, 3), np.uint8), full[:, :, 3]]))
    with pytest.raises(DatasetError, match="4 masks are drawn in the alpha channel alone, 1 are opaque"):
        open_dataset(root)


def _parts(i: int) -> Labels:
    """Four of twelve classes, each in one piece, as organs, fields and parts of a thing are; 255 is void."""
    labels = np.zeros((H, W), np.uint8)
    for k, class_ in enumerate(np.random.default_rng(i).permutation(11)[:4] + 1):
        labels[4:20, 12 * k + 2 : 12 * k + 12] = class_
    labels[:2] = 255
    return labels


def test_class_ids_in_one_piece_each_are_no_objects(tmp_path: Path) -> None:
    found = open_dataset(_dataset(tmp_path, _parts, count=20))
    assert found.classes == ("background", *(f"class_{k}" for k in range(1, 12)))
    assert (_labels(found)[:2] == IGNORE).all()


def test_the_flag_for_another_background_keeps_what_does_not_count(tmp_path: Path) -> None:
    def draw(i: int) -> Labels:
        labels = truth(i, classes=3) + np.uint8(1)
        labels[0] = 255
        return labels

    root = _dataset(tmp_path, draw)
    found = open_dataset(root)
    said = re.findall(r"--mask-values (\d\S*background\S*)", " ".join(text for _, text in found.decisions))
    again = open_dataset(root, mask_values=said)
    assert (_labels(again)[0] == IGNORE).all()


REFUSED: dict[str, tuple[Callable[[int], Any], str]] = {
    "0, 1 and 255": (_one_and_255, "255 may mean.*1=foreground,255=ignore, or 1=foreground,255=for"),
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
    "photographs cut out": (
        lambda i: np.dstack([np.random.default_rng(i).integers(0, 256, (H, W, 3), np.uint8), truth(i) * 255]),
        "none of which stands out: these are photographs",
    ),
    "a channel a class": (lambda i: np.eye(3, dtype=np.uint8)[truth(i, classes=3)], "one for each class"),
    "two colours": (lambda i: COLOURS[1:][truth(i)], "neither is black.*'#00ff00=foreground', or '#ff"),
    "0, 1 and 65535": (_one_and_65535, "65535 may mean.*1=foreground,65535=ignore, or 1=fore"),
    "objects and what does not count": (_instances_with_rims, "numbers of obj.*1-254=object,255=ignore"),
    "objects": (_instances, "numbers of objects.*--mask-values 1-65535=object"),
    "objects of which some are gone": (_pieces, "each is one connected piece.*1-65535=object"),
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
        open_dataset(_dataset(tmp_path, draw, count=5))
    assert str(caught.value).startswith(str(tmp_path))


FLAGS = [case for case, (_, message) in REFUSED.items() if "=" in message]


@pytest.mark.parametrize("case", FLAGS)
def test_every_flag_that_a_refusal_names_is_taken(case: str, tmp_path: Path) -> None:
    root = _dataset(tmp_path, REFUSED[case][0], count=5)
    with pytest.raises(DatasetError) as caught:
        open_dataset(root)
    flags = re.findall(r"(?:--mask-values|, or) '?([\d#][^ =]*=\S*[^\s,'])", str(caught.value))
    assert flags
    for flag in flags:
        assert len(open_dataset(root, mask_values=[flag]).classes) >= 2


def test_ids_that_may_be_objects_say_how_to_read_them_so(tmp_path: Path) -> None:
    found = open_dataset(_dataset(tmp_path, lambda i: np.where(_pieces(i + 2) > 12, 0, _pieces(i + 2))))
    told = "one class each, in this order; if they are numbers of objects: --mask-values 1-65535=object"
    assert any(text.endswith(told) for _, text in found.decisions)
    parts = open_dataset(_dataset(tmp_path / "parts", lambda i: _pieces(i) // 9 * 2))  # of several pieces
    assert len(parts.classes) > 8
    assert not any("numbers of objects" in text for _, text in parts.decisions)


def test_dark_jpeg_masks_take_the_flag_that_the_refusal_names(tmp_path: Path) -> None:
    root = _dataset(tmp_path, lambda i: truth(i) * np.uint8(9), ending="jpg", quality=90)
    with pytest.raises(DatasetError, match=r"--mask-values [56]-(9|1\d)=foreground$") as refused:
        open_dataset(root)
    found = open_dataset(root, mask_values=[str(refused.value).split()[-1]])
    assert (_labels(found) != truth(0)).mean() < 0.01


def test_a_thin_class_brighter_than_both_areas_stays(tmp_path: Path) -> None:
    def draw(i: int) -> Labels:
        mask = truth(i) * np.uint8(127)
        mask[H - 3] = 254
        return mask

    found = open_dataset(_dataset(tmp_path, draw))
    assert len(found.classes) == 3
    assert (_labels(found)[H - 3] == 2).all()


def test_masks_stored_as_float(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    for i in range(4):
        save(tmp_path / f"images/{i}.png", photo(i))
        tifffile.imwrite(tmp_path / f"masks/{i}.tif", truth(i).astype(np.float32) * 255)
    np.testing.assert_array_equal(_labels(open_dataset(tmp_path)), truth(0))
    for i in range(4):
        (tmp_path / f"masks/{i}.tif").unlink()
        np.save(tmp_path / f"masks/{i}.npy", cv2.GaussianBlur(truth(i).astype(np.float32), (0, 0), 1))
    # Cut down to whole numbers, only what is certain to the last digit would be foreground.
    with pytest.raises(DatasetError, match=r"0.npy: \d+ of 3072 mask values are fractions such as 0\.9"):
        open_dataset(tmp_path)


def test_the_flag_settles_it(tmp_path: Path) -> None:
    root = _dataset(tmp_path, _one_and_255)
    ignored = open_dataset(root, mask_values=["1=crack", "255=ignore"])
    assert ignored.classes == ("background", "crack")
    assert (_labels(ignored)[:2] == IGNORE).all()
    both = open_dataset(root, mask_values=["1=crack,255=crack"])
    assert (_labels(both)[:2] == 1).all()
    objects = open_dataset(_dataset(tmp_path / "b", _instances), mask_values=("1-65535=nucleus",))
    assert objects.classes == ("background", "nucleus")
    np.testing.assert_array_equal(_labels(objects), _instances(0) > 0)


def test_thin_colours_of_a_jpeg_take_the_flag_that_the_refusal_names(tmp_path: Path) -> None:
    """Chroma at half the resolution leaves no pixel of a thin line with the colour that was drawn."""

    def draw(i: int) -> Labels:
        drawn = np.zeros((H, W, 3), np.uint8)
        return cv2.line(drawn, (3, 5 + 7 * i), (W - 4, H - 6), (255, 0, 0), 3)

    root = _dataset(tmp_path, draw, ending="jpg", quality=85)
    with pytest.raises(DatasetError, match=r"--mask-values '(#[0-9a-f]{6}=foreground)'$") as refused:
        open_dataset(root)
    for flag in (shlex.split(str(refused.value))[-1], "#ff0000=crack"):
        found = open_dataset(root, mask_values=[flag])
        for i in range(5):
            labels, wanted = _labels(found, i), draw(i)[:, :, 0] > 0
            assert 2 * (labels[wanted] == 1).sum() / (labels.sum() + wanted.sum()) > 0.97
    with pytest.raises(DatasetError, match="these masks are in colours; say #rrggbb=NAME"):
        open_dataset(root, mask_values=["128-255=crack"])


def test_probability_maps_take_the_flag_that_the_refusal_names(tmp_path: Path) -> None:
    def draw(i: int) -> Labels:
        soft = cv2.GaussianBlur(truth(i) * 200.0, (0, 0), 6) + np.linspace(0, 55, W)
        return np.asarray(soft, np.uint8)

    root = _dataset(tmp_path, draw)
    with pytest.raises(DatasetError, match="--mask-values 128-255=foreground"):
        open_dataset(root)
    found = open_dataset(root, mask_values=["128-255=foreground"])
    np.testing.assert_array_equal(_labels(found), draw(0) >= 128)


@pytest.mark.parametrize("kind", [np.int32, np.uint32, np.int64, np.int16, np.int8])
def test_label_ids_of_other_integers_in_tiff(kind: Any, tmp_path: Path) -> None:
    """What label images of microscopy are stored as; 1 .. n are objects."""
    for i in range(5):
        save(tmp_path / f"images/{i}.png", photo(i))
        (tmp_path / "masks").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / f"masks/{i}.tif", truth(i, classes=3 + i).astype(kind))
    found = open_dataset(tmp_path, mask_values=["1-65535=nucleus"])
    np.testing.assert_array_equal(_labels(found, 4), truth(4, classes=7) > 0)
    tifffile.imwrite(tmp_path / "masks/0.tif", truth(0).astype(kind) * 2 - 1)
    if kind is not np.uint32:
        broken = open_dataset(tmp_path, mask_values=["1-65535=nucleus"])
        assert broken.survey is not None
        error = str(broken.survey.stats[0].error)
        assert "0.tif: values -1 .. 1; masks hold 0 .. 65535 (write what does not count as 255" in error


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64])
def test_ids_in_arrays_of_any_type(kind: Any, tmp_path: Path) -> None:
    """Training code keeps masks of 0.0, 1.0 and 2.0, or of 0.0 and 255.0, in .npy files."""
    for name, values in (("ids", (0, 1, 2)), ("grey", (0, 255))):
        root = tmp_path / name
        (root / "masks").mkdir(parents=True)
        for i in range(5):
            save(root / f"images/{i}.png", photo(i))
            labels = truth(i, classes=len(values))
            np.save(root / f"masks/{i}.npy", np.array(values, kind)[labels][None, :, :])
        found = open_dataset(root)
        assert len(found.classes) == len(values)
        np.testing.assert_array_equal(_labels(found, 3), truth(3, classes=len(values)))
    np.save(root / "masks/0.npy", truth(0).astype(kind) - 1)
    broken = open_dataset(root).survey
    assert broken is not None
    assert "0.npy: values -1 .. 0; masks hold 0 .. 65535" in str(broken.stats[0].error)


def test_colours_without_black_say_which_is_class_0_and_how_to_change_it(tmp_path: Path) -> None:
    on_white = np.array([[255, 255, 255], [0, 0, 255], [255, 0, 0]], np.uint8)
    found = open_dataset(_dataset(tmp_path / "white", lambda i: on_white[truth(i, classes=3)]))
    assert found.classes == ("white", "blue", "red")  # most pixels are white
    np.testing.assert_array_equal(_labels(found), truth(0, classes=3))
    told = (
        "#ffffff takes the place of the background, as no mask holds black; otherwise say which does, such "
        "as --mask-values '#ffffff=white,#0000ff=background,#ff0000=red'"
    )
    assert told in [reason for _, reason in found.decisions]
    other = open_dataset(tmp_path / "white", mask_values=[shlex.split(told)[-1]])
    assert other.classes == ("background", "white", "red")
    np.testing.assert_array_equal(_labels(other), np.array([1, 0, 2])[truth(0, classes=3)])


def test_ignore_label_beside_mask_values(tmp_path: Path) -> None:
    root = _dataset(tmp_path, _one_and_255)
    found = open_dataset(root, mask_values=["1=crack"], ignore_label=255)
    labels = _labels(found)
    assert set(np.unique(labels)) == {0, 1, IGNORE}
    assert open_dataset(root, mask_values="1=crack", ignore_label=255).encoding == found.encoding
    counted = sum(np.bincount(_labels(found, i).ravel(), minlength=256)[:2] for i in range(5))
    shares = [share.share for share in class_shares(found)]
    np.testing.assert_allclose(shares, counted / counted.sum())


def test_class_names_of_a_model_may_be_told_for_other_values(tmp_path: Path) -> None:
    """What the refusal asks for has to be taken; the order in which it is said means nothing."""
    model = LabelEncoding("polygons", "exact", (), 0, ("background", "crack", "hole"))
    root = _dataset(tmp_path, lambda i: np.array([10, 90, 50], np.uint8)[truth(i, classes=3)])
    with pytest.raises(DatasetError, match="Say what they mean in the model's class names"):
        open_dataset(root, encoding=model)
    found = open_dataset(root, encoding=model, mask_values=["50=hole,90=crack,10=background"])
    assert found.classes == model.classes
    np.testing.assert_array_equal(_labels(found), truth(0, classes=3))
    with pytest.raises(DatasetError, match="Say what they mean in the model's class names"):
        open_dataset(root, encoding=model, mask_values=["50=pothole,90=crack,10=background"])


def test_user_values(tmp_path: Path) -> None:
    root = _dataset(tmp_path, lambda i: truth(i, classes=4))
    one = open_dataset(root, mask_values=["2=pole"])
    assert one.classes == ("background", "pole")
    np.testing.assert_array_equal(_labels(one), truth(0, classes=4) == 2)
    all_named = open_dataset(root, mask_values=["3=d,1=b,0=a,2=c"])
    assert all_named.classes == ("d", "b", "a", "c")
    np.testing.assert_array_equal(_labels(all_named), np.array([2, 1, 3, 0])[truth(0, classes=4)])
    rest = open_dataset(root, mask_values=["1=b", "*=ignore", "0=background"])
    np.testing.assert_array_equal(_labels(rest), np.array([0, 1, 255, 255])[truth(0, classes=4)])
    merged = open_dataset(root, mask_values=["1=x", "3=x"])
    np.testing.assert_array_equal(_labels(merged), np.array([0, 1, 0, 1])[truth(0, classes=4)])
    inverted = open_dataset(_dataset(tmp_path / "i", lambda i: 255 - truth(i) * 255), mask_values=["0=crack"])
    np.testing.assert_array_equal(_labels(inverted), truth(0))
    for words in (["#ff0000=red"], ["red"], ["1"], ["x=y"], ["1=a", "#000000=b"]):
        with pytest.raises((ConfigError, DatasetError), match=r"mask.values"):
            open_dataset(root, mask_values=words)
    with pytest.raises(DatasetError, match="9=z: no mask holds that; found 0, 1, 2, 3"):
        open_dataset(root, mask_values=["9=z"])


def test_user_values_of_colours_palettes_and_smeared_masks(tmp_path: Path) -> None:
    four = lambda i: truth(i, classes=4)  # noqa: E731
    coloured = open_dataset(
        _dataset(tmp_path / "c", lambda i: COLOURS[four(i)]), mask_values=["#00ff00=grain"]
    )
    np.testing.assert_array_equal(_labels(coloured), four(0) == 2)
    palette = [tuple(c) for c in COLOURS.tolist()]
    indexed = _dataset(tmp_path / "p", lambda i: _palette(four(i), palette))
    for word in ("#00ff00=grain", "2=grain"):
        np.testing.assert_array_equal(_labels(open_dataset(indexed, mask_values=[word])), four(0) == 2)
    smeared = _dataset(tmp_path / "s", lambda i: truth(i) * 255, ending="jpg", quality=70)
    for word, expected in (("255=crack", truth(0)), ("0=crack", 1 - truth(0))):
        found = open_dataset(smeared, mask_values=[word])
        assert (_labels(found) != expected).mean() < 0.01


def test_ignore_label(tmp_path: Path) -> None:
    root = _dataset(tmp_path, lambda i: truth(i, classes=4))
    found = open_dataset(root, ignore_label=3)
    assert len(found.classes) == 3
    np.testing.assert_array_equal(_labels(found), np.array([0, 1, 2, 255])[truth(0, classes=4)])
    binary = open_dataset(_dataset(tmp_path / "b", _one_and_255), ignore_label=255)
    assert binary.classes == ("background", "foreground")
    assert (_labels(binary)[:2] == IGNORE).all()
    np.testing.assert_array_equal(_labels(binary)[2:], truth(0)[2:])


def test_legends_name_classes(tmp_path: Path) -> None:
    root = _dataset(tmp_path / "ids", lambda i: truth(i, classes=4))
    (root / "codes.txt").write_text("sky\nroad\nvoid\ncar\npole\n")
    found = open_dataset(root)
    assert found.classes == ("sky", "road", "car", "pole")
    np.testing.assert_array_equal(_labels(found), np.array([0, 1, 255, 2])[truth(0, classes=4)])
    root = _dataset(tmp_path / "colours", lambda i: COLOURS[truth(i, classes=4)])
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
        np.testing.assert_array_equal(_labels(found), np.array([1, 0, 2, 3])[truth(0, classes=4)])
        (root / name).unlink()


def test_legends_of_labelme_and_roboflow(tmp_path: Path) -> None:
    """LabelMe's first name is of -1; read as of 0 it made every class the one before it."""
    root = _dataset(tmp_path / "labelme", lambda i: truth(i, classes=3))
    (root / "labels.txt").write_text("__ignore__\n_background_\ncrack\nspall\n")
    found = open_dataset(root)
    assert found.classes == ("_background_", "crack", "spall")
    np.testing.assert_array_equal(_labels(found), truth(0, classes=3))
    root = _dataset(tmp_path / "roboflow", lambda i: truth(i, classes=3))
    (root / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, crack\n2, spall\n")
    assert open_dataset(root).classes == ("background", "crack", "spall")


def test_legends_that_leave_the_background_out(tmp_path: Path) -> None:
    root = _dataset(tmp_path, lambda i: truth(i, classes=3))
    (root / "classes.txt").write_text("crack\nspall\n")
    found = open_dataset(root)
    assert found.classes == ("background", "crack", "spall")
    np.testing.assert_array_equal(_labels(found), truth(0, classes=3))
    # CamVid's eleven names and 11 for what has none look the same: both readings are said.
    said = "so 0 is taken for the background; if 2 is what has no name: --ignore-label 2"
    assert said in str(found.decisions)
    assert open_dataset(root, ignore_label=2).classes == ("crack", "spall")
    (root / "classes.txt").write_text("bg\ncrack\n")  # too short, and it begins with the background
    assert open_dataset(root).classes == ("background", "class_1", "class_2")


def test_most_pixels_are_foreground(tmp_path: Path) -> None:
    """Inverted masks of 50 to 80 % are told by their sides, where what is marked seldom lies."""
    root = _dataset(tmp_path / "inverted", lambda i: 255 - truth(i) * 255)
    with pytest.raises(
        DatasetError, match=r"75% of all pixels are 255, and 100% .* sides.*or 0=foreground if 255"
    ):
        open_dataset(root)
    np.testing.assert_array_equal(_labels(open_dataset(root, mask_values=["0=foreground"])), truth(0))
    np.testing.assert_array_equal(_labels(open_dataset(root, mask_values=["255=foreground"])), 1 - truth(0))
    large = np.zeros((48, 64), np.uint8)
    large[4:44, 5:59] = 255  # 70 %, and nothing of it along the sides
    found = open_dataset(_dataset(tmp_path / "large", lambda i: np.roll(large, i % 2, axis=0)))
    assert "if the masks are inverted: --mask-values 0=foreground)" in " ".join(
        text for _, text in found.decisions
    )
    np.testing.assert_array_equal(_labels(found), large // 255)


def test_what_does_not_count_along_the_sides_is_no_foreground(tmp_path: Path) -> None:
    mask = np.full((48, 64), 255, np.uint8)
    mask[4:44, 4:60] = 0
    mask[8:44, 4:50] = 1
    found = open_dataset(_dataset(tmp_path, lambda i: np.roll(mask, i % 2, axis=0)), ignore_label=255)
    np.testing.assert_array_equal(_labels(found), np.where(mask == 255, IGNORE, mask))


@pytest.mark.parametrize(("count", "side"), [(300, 5), (90, 4)])
def test_a_range_of_objects_does_not_swallow_the_background(count: int, side: int, tmp_path: Path) -> None:
    """0 is near 1, but 1-65535 does not name it: masks of hundreds of objects were all foreground."""
    objects = np.zeros((120, 160), np.uint16)
    for k in range(1, count + 1):
        y, x = divmod(k - 1, 20)
        objects[8 * y : 8 * y + side, 8 * x : 8 * x + side] = k
    root = _dataset(tmp_path, lambda i: np.where(objects <= count - i, objects, 0).astype(np.uint16))
    for i in range(5):
        save(tmp_path / f"images/{i}.png", photo(i, 120, 160))
    with pytest.raises(DatasetError, match="--mask-values 1-65535=object"):
        open_dataset(root)
    found = open_dataset(root, mask_values=["1-65535=object"])
    np.testing.assert_array_equal(_labels(found), objects > 0)


def test_encoding_of_a_model_is_kept_where_it_fits(tmp_path: Path) -> None:
    trained = open_dataset(
        _dataset(tmp_path / "a", lambda i: truth(i, classes=4)), mask_values=["2=x", "1=y", "3=z"]
    )
    some = _dataset(tmp_path / "b", lambda i: truth(i, classes=3))  # class 3 is not in it
    found = open_dataset(some, encoding=trained.encoding)
    assert found.encoding == trained.encoding
    other = _dataset(tmp_path / "c", lambda i: COLOURS[truth(i, classes=4)])
    with pytest.raises(DatasetError, match=r"values the model was trained with \(background, x, y, z\)"):
        open_dataset(other, encoding=trained.encoding)
    binary = open_dataset(_dataset(tmp_path / "d", truth)).encoding
    again = open_dataset(_dataset(tmp_path / "e", lambda i: truth(i) * 255), encoding=binary)
    np.testing.assert_array_equal(_labels(again), truth(0))


def test_encoding_of_a_model_on_masks_that_show_little(tmp_path: Path) -> None:
    inverted = open_dataset(_dataset(tmp_path / "i", lambda i: 255 - truth(i) * 255), mask_values=["0=crack"])
    for name, draw, expected in (
        ("same", lambda i: 255 - truth(i) * 255, truth(0)),
        ("empty", lambda i: np.full((H, W), 255, np.uint8), truth(0) * 0),
        ("smeared", lambda i: 255 - _smooth(truth(i)), truth(0)),
    ):
        found = open_dataset(_dataset(tmp_path / name, draw), encoding=inverted.encoding)
        assert found.classes == ("background", "crack")
        assert (_labels(found) != expected).mean() < 0.01, name
    coloured = open_dataset(_dataset(tmp_path / "c", lambda i: COLOURS[truth(i, classes=4)]))
    black = open_dataset(
        _dataset(tmp_path / "b", lambda i: COLOURS[truth(i) * 0]), encoding=coloured.encoding
    )
    assert not _labels(black).any()
    told = open_dataset(
        _dataset(tmp_path / "t", lambda i: truth(i) + 1), mask_values=["2=crack", "*=background"]
    )
    plain = open_dataset(_dataset(tmp_path / "p", lambda i: truth(i) * 255), encoding=told.encoding)
    np.testing.assert_array_equal(_labels(plain), truth(0))


def test_resized_masks(tmp_path: Path) -> None:
    root = tmp_path
    for i in range(3):
        save(root / f"images/{i}.png", photo(i, 3 * H, 3 * W))
        save(root / f"masks/{i}.png", truth(i) * 255)
    found = open_dataset(root)
    np.testing.assert_array_equal(_labels(found), np.kron(truth(0), np.ones((3, 3), np.uint8)))
    for i in range(3):
        save(root / f"images/{i}.png", photo(i))
        mask = np.kron(truth(i), np.ones((2, 2), np.uint8)) * 255
        mask[1, :] = 255  # a line of one pixel must survive
        save(root / f"masks/{i}.png", mask)
    labels = _labels(open_dataset(root))
    assert labels[0].all()
    np.testing.assert_array_equal(labels[1:], truth(0)[1:])


def test_sizes_off_by_a_pixel_are_cut_and_others_refused(tmp_path: Path) -> None:
    root = _dataset(tmp_path, lambda i: truth(i, H + 1, W - 1) * 255)
    found = open_dataset(root)
    image, labels = read_pair(found.samples[0], found.encoding, 3)
    assert image.shape == (H, W - 1, 3)
    np.testing.assert_array_equal(labels, truth(0, H + 1, W - 1)[:H])
    _dataset(root, lambda i: truth(i, H + 5, W) * 255)
    found = open_dataset(root)
    with pytest.raises(DatasetError, match=rf"masks/0.png: {W}x{H + 5}, but its image 0.png is {W}x{H}"):
        read_pair(found.samples[0], found.encoding, 3)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("drawn_on", ["shown", "stored"])
def test_rotated_photos(orientation: int, drawn_on: str, tmp_path: Path) -> None:
    if orientation == 3 and drawn_on == "stored":
        pytest.skip("cannot be told from the size")
    upright, labels = photo(1), truth(1)
    to_stored = {1: 0, 3: 2, 6: 1, 8: 3}[orientation]  # quarter turns to the left
    exif = Image.Exif()
    exif[0x0112] = orientation
    for i in range(3):
        save(tmp_path / f"images/{i}.jpg", np.rot90(upright, to_stored), exif=exif, quality=95)
        save(
            tmp_path / f"masks/{i}.png",
            (labels if drawn_on == "shown" else np.rot90(labels, to_stored)) * 255,
        )
    found = open_dataset(tmp_path)
    image, seen = read_pair(found.samples[0], found.encoding, 3)
    assert np.abs(image.astype(int) - upright).mean() < 3
    np.testing.assert_array_equal(seen, labels)


def test_rgba_and_grey_photos(tmp_path: Path) -> None:
    root = _dataset(tmp_path, lambda i: truth(i) * 255)
    for i in range(5):
        save(root / f"images/{i}.png", np.dstack([photo(i), np.full((H, W), 255, np.uint8)]))
    found = open_dataset(root)
    assert found.channels == 3
    np.testing.assert_array_equal(read_pair(found.samples[0], found.encoding, 3)[0], photo(0))
    for i in range(5):
        save(root / f"images/{i}.png", photo(i)[:, :, 0].astype(np.uint16) * 257)
    found = open_dataset(root)
    assert found.channels == 1
    np.testing.assert_array_equal(
        read_pair(found.samples[0], found.encoding, 1)[0][:, :, 0], photo(0)[:, :, 0]
    )


def test_an_unknown_value_names_the_file_and_the_flag() -> None:
    encoding = LabelEncoding("grey", "exact", ((0, 0), (1, 1), (2, 2)), None, ("a", "b", "c"))
    with pytest.raises(
        DatasetError, match=r"^m.png: 1 pixels hold 7; known mask values are 0, 1, 2; .*7=ignore"
    ):
        encoding.apply(MaskFile(np.array([[0, 7]], np.uint8), None, "L"), "m.png")


@settings(max_examples=60)
@given(
    arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    st.dictionaries(st.integers(0, 255), st.integers(0, 254) | st.just(255), min_size=1, max_size=20),
    st.none() | st.integers(0, 255),
)
def test_tables_are_looked_up_pixel_by_pixel(
    values: Labels, table: dict[int, int], other: int | None
) -> None:
    encoding = LabelEncoding("grey", "exact", tuple(table.items()), other, ("a", "b"))
    mask = MaskFile(values, None, "L")
    expected = [[table.get(int(v), other) for v in row] for row in values]
    if any(None in row for row in expected):
        with pytest.raises(DatasetError):
            encoding.apply(mask, "m")
    else:
        np.testing.assert_array_equal(encoding.apply(mask, "m"), np.array(expected, np.uint8))
    coloured = LabelEncoding(
        "colour", "exact", tuple((v * 0x010101, i) for v, i in table.items()), other, ("a", "b")
    )
    if other is not None:
        rgb = MaskFile(np.repeat(values[:, :, None], 3, axis=2), None, "RGB")
        np.testing.assert_array_equal(coloured.apply(rgb, "m"), np.array(expected, np.uint8))


def test_encodings_travel_as_plain_values() -> None:
    encoding = LabelEncoding("colour", "nearest", ((0, 0), (255, 1), (65280, 255)), None, ("a", "b"))
    assert LabelEncoding.from_dict(encoding.to_dict()) == encoding
    with pytest.raises(InputError, match="not a label encoding"):
        LabelEncoding.from_dict({"domain": "grey"})


def test_numbers_in_one_channel_are_numbers(tmp_path: Path) -> None:
    """As of BBBC039, whose objects are drawn in #010000, #020000, ..., on an opaque background."""

    def red(count: int) -> NDArray[np.uint8]:
        pixels = np.zeros((H, W, 4), np.uint8)
        pixels[..., 3] = 255
        for k in range(count):
            pixels[4 + 4 * k : 7 + 4 * k, 5:30, 0] = k + 1
        return pixels

    root = _dataset(tmp_path / "objects", lambda i: red(4 + 2 * i))
    with pytest.raises(DatasetError, match=r"look like numbers of objects.*--mask-values 1-65535=object"):
        open_dataset(root)
    merged = open_dataset(root, mask_values=["1-65535=object"])
    np.testing.assert_array_equal(_labels(merged), red(4)[..., 0] > 0)
    classes = open_dataset(_dataset(tmp_path / "classes", lambda i: red(3)))
    np.testing.assert_array_equal(_labels(classes), red(3)[..., 0])


@pytest.mark.parametrize(
    "colours", [((1, 0, 0), (0, 1, 0)), ((0, 0, 60), (128, 0, 0)), ((60, 0, 0), (0, 128, 0))]
)
def test_a_dark_colour_in_one_channel_stays_a_class_of_its_own(
    tmp_path: Path, colours: tuple[tuple[int, int, int], tuple[int, int, int]]
) -> None:
    """Each file shows one colour alone: as numbers of one channel the two classes would be one."""

    def drawn(i: int) -> NDArray[np.uint8]:
        pixels = np.zeros((H, W, 3), np.uint8)
        pixels[4 : 10 + i, 5:30] = colours[i % 2]
        return pixels

    found = open_dataset(_dataset(tmp_path, drawn))
    assert len(found.classes) == 3
    shown = [int(_labels(found, i).max()) for i in range(2)]
    assert sorted(shown) == [1, 2]


def test_colours_that_are_much_the_same_are_refused(tmp_path: Path) -> None:
    def dark(i: int) -> NDArray[np.uint8]:
        return np.random.default_rng(i).integers(0, 9, (H, W, 3), dtype=np.uint8)

    with pytest.raises(DatasetError, match="colours that are all much the same"):
        open_dataset(_dataset(tmp_path, dark))
