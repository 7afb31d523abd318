"""What mask values mean, found out from the masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from drawn_data import H, W, photo, save, truth
from drawn_masks import COLOURS, Labels, labels_of, mask_set, palette_image, smooth
from numpy.typing import NDArray
from PIL import Image

from unetfast.data import open_dataset
from unetfast.errors import DatasetError
from unetfast.spec import IGNORE

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
    "palette black and white": lambda i: palette_image(truth(i), [(0, 0, 0), (255, 255, 255)]),
    "palette inverted": lambda i: palette_image(1 - truth(i), [(255, 255, 255), (0, 0, 0)]),
    "palette red": lambda i: palette_image(truth(i), [(0, 0, 0), (128, 0, 0)]),
    "palette all black": lambda i: palette_image(truth(i), [(0, 0, 0), (0, 0, 0)]),
    "palette 0 and 255": lambda i: palette_image(truth(i) * 255, [(v, v, v) for v in range(256)]),
    "mixed 1 bit and 8 bit": lambda i: Image.fromarray(truth(i) * 255).convert("1" if i % 2 else "L"),
}  # fmt: skip


@pytest.mark.parametrize("case", BINARY)
def test_two_values_are_background_and_foreground(case: str, tmp_path: Path) -> None:
    found = open_dataset(mask_set(tmp_path, BINARY[case]))
    assert found.classes == ("background", "foreground")
    for i in range(3):
        np.testing.assert_array_equal(labels_of(found, i), truth(i), err_msg=f"{case} {i}")


@pytest.mark.parametrize(
    ("ending", "options"), [("png", {}), ("jpg", {"quality": 60}), ("jpg", {"quality": 95})]
)
def test_smeared_edges_are_split_at_the_middle(ending: str, options: dict[str, int], tmp_path: Path) -> None:
    draw = (lambda i: truth(i) * 255) if ending == "jpg" else (lambda i: smooth(truth(i)))
    found = open_dataset(mask_set(tmp_path, draw, ending=ending, **options))
    assert found.classes == ("background", "foreground")
    assert found.encoding.rule == "threshold"
    for i in range(3):
        labels = labels_of(found, i)
        assert set(np.unique(labels)) == {0, 1}
        assert (labels != truth(i)).mean() < 0.01


def test_thin_anti_aliased_lines(tmp_path: Path) -> None:
    """No white area anywhere: every pixel of the line is edge."""

    def draw(i: int) -> Labels:
        mask = np.zeros((H, W), np.uint8)
        cv2.line(mask, (3, 5 + i), (60, 40), 255, 1, cv2.LINE_AA)
        return mask

    found = open_dataset(mask_set(tmp_path, draw))
    assert found.encoding.rule == "threshold"
    assert 30 < labels_of(found).sum() < 120


def test_foreground_255_is_never_taken_for_ignore(tmp_path: Path) -> None:
    found = open_dataset(mask_set(tmp_path, lambda i: truth(i) * 255))
    assert IGNORE not in labels_of(found)
    assert labels_of(found).sum() == truth(0).sum()


MULTI: dict[str, Callable[[Labels], Any]] = {
    "ids": lambda t: t,
    "grey codes": lambda t: np.array([33, 65, 201, 231, 120], np.uint8)[t],
    "16 bit ids": lambda t: t.astype(np.uint16),
    "colours": lambda t: COLOURS[t],
    "RGB ids": lambda t: np.repeat(t[:, :, None], 3, axis=2),
    "palette": lambda t: palette_image(t, [tuple(c) for c in COLOURS.tolist()]),
}


@pytest.mark.parametrize("case", MULTI)
def test_several_values_are_classes(case: str, tmp_path: Path) -> None:
    found = open_dataset(mask_set(tmp_path, lambda i: MULTI[case](truth(i, classes=4))))
    assert len(found.classes) == 4
    seen = labels_of(found)
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
    labels, expected = labels_of(found), truth(0, 96, 160, classes=5)
    order = [int(np.bincount(labels[expected == k]).argmax()) for k in range(5)]
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert (labels != np.array(order, np.uint8)[expected]).mean() < 0.03


def test_thin_classes_of_lossless_masks_stay(tmp_path: Path) -> None:
    def draw(i: int) -> Labels:
        mask = np.array([10, 90, 170], np.uint8)[truth(i, classes=3)]
        mask[H - 3] = 250  # one pixel high: no neighbourhood is flat
        return mask

    found = open_dataset(mask_set(tmp_path, draw))
    assert len(found.classes) == 4
    assert (labels_of(found)[H - 3] == 3).all()


def test_ids_without_a_0_say_which_is_the_background_and_how_to_change_it(tmp_path: Path) -> None:
    """Oxford's pets: 1 is the animal, 2 the background, 3 the border."""
    root = mask_set(tmp_path, lambda i: np.array([2, 1, 3], np.uint8)[truth(i, classes=3)])
    reasons = " ".join(text for _, text in open_dataset(root).decisions)
    assert "1 takes the place of the background, as no mask holds 0" in reasons
    found = open_dataset(root, mask_values=[reasons.partition("--mask-values ")[2].split()[0]])
    assert found.classes == ("background", "class_1", "class_3")
    np.testing.assert_array_equal(labels_of(found), truth(0, classes=3))


def test_marks_on_photographs_are_suggested_as_the_foreground(tmp_path: Path) -> None:
    def draw(i: int) -> Labels:
        marked = np.random.default_rng(i).integers(60, 200, (H, W, 3)).astype(np.uint8)
        marked[truth(i) > 0] = (255, 0, 0)
        return marked

    with pytest.raises(DatasetError, match=r"--mask-values '#ff0000=foreground'$"):
        open_dataset(mask_set(tmp_path, draw))


def test_255_beside_ids_does_not_count(tmp_path: Path) -> None:
    def draw(i: int) -> Labels:
        labels = truth(i, classes=4)
        labels[:2] = 255
        return labels

    found = open_dataset(mask_set(tmp_path, draw))
    assert len(found.classes) == 4
    assert (labels_of(found)[:2] == IGNORE).all()
    assert any("255 does not count" in text for _, text in found.decisions)


def test_minus_one_in_16_bits_beside_ids_does_not_count_either(tmp_path: Path) -> None:
    def draw(i: int) -> Any:
        labels = truth(i, classes=4).astype(np.uint16)
        labels[:2] = 65535
        return labels

    root = mask_set(tmp_path, draw)
    found = open_dataset(root)
    assert len(found.classes) == 4
    assert (labels_of(found)[:2] == IGNORE).all()
    for names in ("bg\nroad\ncar\ntree\n", "road\ncar\ntree\n"):
        (root / "classes.txt").write_text(names)
        found = open_dataset(root)
        assert found.classes[1:] == ("road", "car", "tree")
        assert (labels_of(found)[:2] == IGNORE).all()


def test_void_of_pascal_voc(tmp_path: Path) -> None:
    colours = [(0, 0, 0), (128, 0, 0), *[(0, 0, 0)] * 253, (224, 224, 192)]

    def draw(i: int) -> Image.Image:
        labels = truth(i)
        labels[0] = 255
        return palette_image(labels, colours)

    found = open_dataset(mask_set(tmp_path, draw))
    assert found.classes == ("background", "foreground")
    assert (labels_of(found)[0] == IGNORE).all()


def _alpha(i: int, *, paint: int) -> Labels:
    return np.dstack([np.full((H, W, 3), paint, np.uint8), truth(i) * 255])


def test_alpha_masks_may_be_foreground_all_over(tmp_path: Path) -> None:
    full = np.full((H, W, 4), 255, np.uint8)
    root = mask_set(tmp_path, lambda i: full if i == 3 else _alpha(i, paint=255))
    found = open_dataset(root)
    assert labels_of(found, 3).all()
    np.testing.assert_array_equal(labels_of(found, 2), truth(2))
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
    found = open_dataset(mask_set(tmp_path, _parts, count=20))
    assert found.classes == ("background", *(f"class_{k}" for k in range(1, 12)))
    assert (labels_of(found)[:2] == IGNORE).all()


def test_a_thin_class_brighter_than_both_areas_stays(tmp_path: Path) -> None:
    def draw(i: int) -> Labels:
        mask = truth(i) * np.uint8(127)
        mask[H - 3] = 254
        return mask

    found = open_dataset(mask_set(tmp_path, draw))
    assert len(found.classes) == 3
    assert (labels_of(found)[H - 3] == 2).all()


def test_masks_stored_as_float(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    for i in range(4):
        save(tmp_path / f"images/{i}.png", photo(i))
        tifffile.imwrite(tmp_path / f"masks/{i}.tif", truth(i).astype(np.float32) * 255)
    np.testing.assert_array_equal(labels_of(open_dataset(tmp_path)), truth(0))
    for i in range(4):
        (tmp_path / f"masks/{i}.tif").unlink()
        np.save(tmp_path / f"masks/{i}.npy", cv2.GaussianBlur(truth(i).astype(np.float32), (0, 0), 1))
    # Cut down to whole numbers, only what is certain to the last digit would be foreground.
    with pytest.raises(DatasetError, match=r"0.npy: \d+ of 3072 mask values are fractions such as 0\.9"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("kind", [np.int32, np.uint32, np.int64, np.int16, np.int8])
def test_label_ids_of_other_integers_in_tiff(kind: Any, tmp_path: Path) -> None:
    """What label images of microscopy are stored as; 1 .. n are objects."""
    for i in range(5):
        save(tmp_path / f"images/{i}.png", photo(i))
        (tmp_path / "masks").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / f"masks/{i}.tif", truth(i, classes=3 + i).astype(kind))
    found = open_dataset(tmp_path, mask_values=["1-65535=nucleus"])
    np.testing.assert_array_equal(labels_of(found, 4), truth(4, classes=7) > 0)
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
        np.testing.assert_array_equal(labels_of(found, 3), truth(3, classes=len(values)))
    np.save(root / "masks/0.npy", truth(0).astype(kind) - 1)
    broken = open_dataset(root).survey
    assert broken is not None
    assert "0.npy: values -1 .. 0; masks hold 0 .. 65535" in str(broken.stats[0].error)


def test_most_pixels_are_foreground(tmp_path: Path) -> None:
    """Inverted masks of 50 to 80 % are told by their sides, where what is marked seldom lies."""
    root = mask_set(tmp_path / "inverted", lambda i: 255 - truth(i) * 255)
    with pytest.raises(
        DatasetError, match=r"75% of all pixels are 255, and 100% .* sides.*or 0=foreground if 255"
    ):
        open_dataset(root)
    np.testing.assert_array_equal(labels_of(open_dataset(root, mask_values=["0=foreground"])), truth(0))
    np.testing.assert_array_equal(labels_of(open_dataset(root, mask_values=["255=foreground"])), 1 - truth(0))
    large = np.zeros((48, 64), np.uint8)
    large[4:44, 5:59] = 255  # 70 %, and nothing of it along the sides
    found = open_dataset(mask_set(tmp_path / "large", lambda i: np.roll(large, i % 2, axis=0)))
    assert "if the masks are inverted: --mask-values 0=foreground)" in " ".join(
        text for _, text in found.decisions
    )
    np.testing.assert_array_equal(labels_of(found), large // 255)


def test_what_does_not_count_along_the_sides_is_no_foreground(tmp_path: Path) -> None:
    mask = np.full((48, 64), 255, np.uint8)
    mask[4:44, 4:60] = 0
    mask[8:44, 4:50] = 1
    found = open_dataset(mask_set(tmp_path, lambda i: np.roll(mask, i % 2, axis=0)), ignore_label=255)
    np.testing.assert_array_equal(labels_of(found), np.where(mask == 255, IGNORE, mask))


def test_numbers_in_one_channel_are_numbers(tmp_path: Path) -> None:
    """As of BBBC039, whose objects are drawn in #010000, #020000, ..., on an opaque background."""

    def red(count: int) -> NDArray[np.uint8]:
        pixels = np.zeros((H, W, 4), np.uint8)
        pixels[..., 3] = 255
        for k in range(count):
            pixels[4 + 4 * k : 7 + 4 * k, 5:30, 0] = k + 1
        return pixels

    root = mask_set(tmp_path / "objects", lambda i: red(4 + 2 * i))
    with pytest.raises(DatasetError, match=r"look like numbers of objects.*--mask-values 1-65535=object"):
        open_dataset(root)
    merged = open_dataset(root, mask_values=["1-65535=object"])
    np.testing.assert_array_equal(labels_of(merged), red(4)[..., 0] > 0)
    classes = open_dataset(mask_set(tmp_path / "classes", lambda i: red(3)))
    np.testing.assert_array_equal(labels_of(classes), red(3)[..., 0])


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

    found = open_dataset(mask_set(tmp_path, drawn))
    assert len(found.classes) == 3
    shown = [int(labels_of(found, i).max()) for i in range(2)]
    assert sorted(shown) == [1, 2]


def _scenes(seed: int) -> Labels:
    """Eight of a hundred classes, each in two pieces."""
    labels = np.zeros((H, W), np.uint8)
    for i, id_ in enumerate((7 * seed + 13 * np.arange(8)) % 100 + 1):
        for top in (2, 26):
            labels[top : top + 18, 8 * i : 8 * i + 6] = id_
    return labels


@pytest.mark.parametrize("void", [None, 255])
def test_many_classes_that_recur_are_classes(void: int | None, tmp_path: Path) -> None:
    """ADE20K has 150, COCO-Stuff 171 and 255 for what does not count."""

    def draw(seed: int) -> Labels:
        labels = _scenes(seed)
        if void:
            labels[:3] = void
        return labels

    found = open_dataset(mask_set(tmp_path, draw, count=60))
    assert len(found.classes) == 101
    ids = np.array([code for code, _ in found.encoding.table if code != void])
    for i in range(3):
        labels = labels_of(found, i).astype(int)
        np.testing.assert_array_equal(
            np.where(labels == IGNORE, void or 0, ids[np.minimum(labels, 100)]), draw(i)
        )
    told = f"1-254=object,{void}=ignore" if void else "1-65535=object"
    assert any(f"--mask-values {told}" in text for _, text in found.decisions)


def test_many_numbers_of_objects_in_slices_are_no_classes(tmp_path: Path) -> None:
    """Of neurites in slices each is in many, in pieces; a slice shows most of them."""

    def draw(seed: int) -> Labels:
        numbers = np.random.default_rng(seed).permutation(np.arange(1, 97)).astype(np.uint8)
        numbers[:32] = np.random.default_rng(seed + 99).choice(numbers[32:], 32)  # in two pieces
        return np.kron(numbers.reshape(8, 12), np.ones((6, 5), np.uint8))

    with pytest.raises(DatasetError, match="look like numbers of objects"):
        open_dataset(mask_set(tmp_path, draw, count=12))


def test_objects_in_colours_of_their_own_are_no_classes(tmp_path: Path) -> None:
    palette = np.random.default_rng(0).integers(40, 256, (40, 3), dtype=np.uint8)

    def draw(seed: int, recurring: bool) -> NDArray[np.uint8]:
        mask = np.zeros((H, W, 3), np.uint8)
        for k in range(4):
            mask[5:15, 12 * k : 12 * k + 8] = palette[(4 * seed + k) % (12 if recurring else 40)]
        return mask

    with pytest.raises(DatasetError, match=r"41 colours, most .*'#000000=background,\*=object'"):
        open_dataset(mask_set(tmp_path / "objects", lambda i: draw(i, False), count=10))
    assert len(open_dataset(mask_set(tmp_path / "classes", lambda i: draw(i, True), count=10)).classes) == 13


def test_a_background_that_is_not_0_is_pointed_out(tmp_path: Path) -> None:
    """REFUGE stores 255 around the disc, which is 128, and the cup, which is 0."""

    def draw(seed: int) -> Labels:
        labels = np.full((H, W), 255, np.uint8)
        labels[10:40, 10 + seed : 40 + seed] = 128
        labels[20:30, 20 + seed : 30 + seed] = 0
        return labels

    found = open_dataset(mask_set(tmp_path / "eyes", draw))
    flag = "--mask-values 0=class_0,128=class_128,255=background"
    assert any(flag in text for _, text in found.decisions)
    told = open_dataset(tmp_path / "eyes", mask_values=flag.split()[1])
    assert told.classes[0] == "background"
    assert labels_of(told)[0, 0] == 0
    assert not any("0 is called" in text for _, text in told.decisions)


def test_cut_out_photographs_are_masks_by_their_alpha(tmp_path: Path) -> None:
    """AISegment and what removes backgrounds: the photo itself, transparent around a person."""
    for i in range(4):
        save(tmp_path / f"clip/{i}.jpg", photo(i))
        save(tmp_path / f"masks/{i}.png", np.dstack([photo(i) * truth(i)[..., None], truth(i) * 255]))
    found = open_dataset(tmp_path)
    assert any("two values of the alpha channel" in text for _, text in found.decisions)
    for i in range(4):
        np.testing.assert_array_equal(labels_of(found, i), truth(i))
