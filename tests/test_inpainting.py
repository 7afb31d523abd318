"""inpaint() against its oracle, over shapes, windows, masks, dtypes, layouts and threads."""

from __future__ import annotations

import itertools
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import unetfast.inpainting
from unetfast.errors import ConfigError, InputError
from unetfast.inpainting import METHODS, inpaint
from unetfast.inpainting.mask import dilate
from unetfast.inpainting.window import by_width

MEDIANS = ("native", "numba")
DTYPES = ("uint8", "uint16", "float32")


def make_image(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, levels: int) -> Any:
    """Return noise of few or many levels; ties and the type's extremes are what ranks get wrong."""
    if dtype == "float32":
        values = np.concatenate([rng.normal(size=levels), [0.0, -0.0, np.inf, -np.inf]])
    else:
        top = np.iinfo(dtype).max
        values = np.concatenate([rng.integers(0, top, levels, endpoint=True), [0, top]])
    return rng.choice(values, shape).astype(dtype)


def make_mask(rng: np.random.Generator, shape: tuple[int, int], fraction: Any) -> Any:
    """Return noise and a blob, so that windows of every filling occur; never full."""
    mask = rng.random(shape) < fraction
    y, x = rng.integers(0, shape[0]), rng.integers(0, shape[1])
    mask[y : y + rng.integers(0, 30), x : x + rng.integers(0, 30)] = True
    mask[rng.integers(0, shape[0]), rng.integers(0, shape[1])] = False
    return mask


def same_bits(a: Any, b: Any) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def as_runs(mask: Any) -> tuple[Any, Any, Any]:
    """Return the run list (rows, starts, ends) of a bool mask."""
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(edges == 1)
    return rows, starts, np.nonzero(edges == -1)[1]


VIEWS = (
    np.s_[:, :],
    np.s_[::-1, :],
    np.s_[:, ::-1],
    np.s_[::2, ::3],
    np.s_[1:, 2:],
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, Any, int]:
    """Draw image, mask and window: 1 x 1 to 70 x 70 pixels, windows larger than the image among them,
    smooth and noisy, with NaN, contiguous and not."""
    # The oracle's time is pixels times window: large windows come with small images.
    most, radii = draw(
        st.sampled_from([(70, [0, 1, 2, 3, 4, 5, 7, 8, 12]), (14, [10, 15, 20, 63, 127, 128])])
    )
    height, width = draw(st.integers(1, most)), draw(st.integers(1, most))
    channels = draw(st.sampled_from([None, 1, 2, 3, 4]))
    view = draw(st.sampled_from(VIEWS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    whole = (3 * height + 1, 3 * width + 2)  # of which the view has height x width pixels or more
    shape = whole if channels is None else (*whole, channels)
    image = make_image(rng, shape, draw(st.sampled_from(DTYPES)), draw(st.sampled_from([1, 3, 1000])))
    if draw(st.booleans()):  # neighbours much alike, as in a photo
        image = np.sort(image, axis=draw(st.sampled_from([0, 1])))
    if image.dtype == np.float32 and draw(st.booleans()):
        image[rng.random(shape) < 0.05] = np.nan
    image = image[view][:height, :width]
    mask = make_mask(rng, (height, width), draw(st.sampled_from([0.0, 0.02, 0.3, 0.9, 1.0])))
    y, x = (int(i) for i in np.argwhere(~mask)[0])
    image[y, x] = 1  # one pixel at least is neither masked nor NaN
    return image, mask, 2 * draw(st.sampled_from(radii)) + 1


@pytest.mark.parametrize("method", MEDIANS)
@given(case=cases(), threads=st.integers(1, 4), form=st.sampled_from(["bool", "uint8", "runs"]))
@settings(max_examples=50)
def test_equals_the_oracle_to_the_last_bit(method: str, case: Any, threads: int, form: str) -> None:
    image, mask, window_px = case
    image.flags.writeable = False
    before = image.copy(), mask.copy()
    given_mask = {"bool": mask, "uint8": mask * np.uint8(7), "runs": as_runs(mask)}[form]
    expected = inpaint(image, mask, window_px, method="reference")
    assert same_bits(inpaint(image, given_mask, window_px, method=method, threads=threads), expected)
    assert same_bits(image, before[0])
    assert same_bits(mask, before[1])
    in_place = before[0].copy()
    inpaint(in_place, given_mask, window_px, method=method, threads=threads, out=in_place)
    assert same_bits(in_place, expected)


LEVELS = """
import sys
import numpy as np
from unetfast.inpainting import inpaint
from unetfast.inpainting.median_native import isa
with np.load(sys.argv[1]) as cases:
    print(isa())
    for i in range(int(cases["count"])):
        image, mask, window_px, expected = (cases[f"{n}{i}"] for n in ("image", "mask", "window", "expected"))
        got = inpaint(image, mask, int(window_px), threads=2)
        assert got.tobytes() == expected.tobytes(), (i, image.shape, image.dtype, window_px)
"""


@pytest.fixture(scope="module")
def levels_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cases that reach every path of the kernel, with the oracle's answers."""
    cases: dict[str, Any] = {}
    count = 0
    small, large = [(1, 3), (3, 7), (3, 11), (4, 15), (2, 17), (3, 31)], [127, 131, 191, 193, 257]
    for dtype, (channels, window_px) in itertools.product(DTYPES, [*small, *((1, side) for side in large)]):
        rng = np.random.default_rng(count)
        # Of side 15 tiles that are searched beside tiles that are sorted, in turn in the same memory. Of
        # sides 127 and 191 a whole tile: its surroundings are more than 254 * 64 samples to sort, and as
        # wide as they can be.
        shape = {15: (100, 300), 127: (160, 200), 191: (260, 330)}.get(
            window_px, (40, 75) if window_px < 100 else (12, 20)
        )
        crowded = np.arange(shape[1]) // 64 % 2 == 0
        fraction = {15: np.where(crowded, 0.3, 0.001), 127: 0.002, 191: 0.003}.get(window_px, 0.1)
        image = make_image(rng, (*shape, channels), dtype, 1000)
        mask = make_mask(rng, shape, fraction)
        expected = inpaint(image, mask, window_px, method="reference")
        for name, value in zip(
            ("image", "mask", "window", "expected"), (image, mask, window_px, expected), strict=True
        ):
            cases[f"{name}{count}"] = value
        count += 1
    path = tmp_path_factory.mktemp("levels") / "cases.npz"
    np.savez(path, count=count, **cases)
    return path


@pytest.mark.parametrize("level", ["scalar", "avx2", "avx512"])
def test_every_instruction_set_equals_the_oracle(level: str, levels_file: Path) -> None:
    # A process each: the level is asked for by an environment variable.
    done = subprocess.run(
        [sys.executable, "-c", LEVELS, str(levels_file)],
        env={**os.environ, "UNETFAST_ISA": level},
        capture_output=True,
        text=True,
    )
    if "UNETFAST_ISA names" in done.stderr:
        pytest.skip(f"this machine has no {level}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == level


def test_an_unknown_instruction_set_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNETFAST_ISA", "mmx")
    with pytest.raises(ConfigError, match="UNETFAST_ISA"):
        inpaint(np.zeros((2, 2), np.uint8), np.eye(2, dtype=bool))


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("window_px", [3, 15, 31])
def test_in_place_equals_out_of_place(threads: int, window_px: int) -> None:
    rng = np.random.default_rng(7)
    image, mask = make_image(rng, (200, 90, 3), "uint8", 1000), make_mask(rng, (200, 90), 0.3)
    expected = inpaint(image, mask, window_px)
    assert inpaint(image, mask, window_px, out=image, threads=threads) is image
    assert same_bits(image, expected)


@pytest.mark.parametrize("method", ["native", "reference"])
def test_numbers_beyond_the_image_are_as_good_as_the_whole_image(method: str) -> None:
    """The kernel squared the radius: from 2**32 on nothing grew, and larger ones had Python's TypeError."""
    image = np.arange(108, dtype=np.uint8).reshape(9, 12, 1)
    mask = np.zeros((9, 12), bool)
    mask[4, 5] = True
    for beyond in (2**32, 2**62, 2**70):
        with pytest.raises(InputError, match="every pixel is masked"):
            inpaint(image, mask, 3, dilate_px=beyond, method=method)
        assert same_bits(
            inpaint(image, mask, beyond + 1, method=method), inpaint(image, mask, 25, method=method)
        )


def test_a_blob_larger_than_any_window_takes_its_rim() -> None:
    rng = np.random.default_rng(8)
    image = make_image(rng, (150, 170, 3), "uint8", 1000)
    mask = np.zeros((150, 170), bool)
    mask[5:145, 20:165] = True
    mask[70, 90] = False
    expected = inpaint(image, mask, 5, method="reference")
    assert same_bits(inpaint(image, mask, 5), expected)


@pytest.mark.parametrize("window_px", [7, 131])
@pytest.mark.parametrize("count", [1, 3, 40])
def test_few_intact_pixels_fill_a_large_image(count: int, window_px: int) -> None:
    # Distances up to 450, beyond what the kernel's rings see; few pixels make an oracle by broadcasting.
    rng = np.random.default_rng(count)
    height, width = 300, 451
    ys, xs = rng.integers(0, height, count), rng.integers(0, width, count)
    image = make_image(rng, (height, width), "uint16", 1000)
    mask = np.ones((height, width), bool)
    mask[ys, xs] = False
    ys, xs = np.nonzero(~mask)
    distance = np.maximum(
        abs(np.arange(height)[:, None, None] - ys), abs(np.arange(width)[:, None] - xs)
    )  # (H, W, intact)
    seen = distance <= np.maximum(distance.min(axis=2), window_px // 2)[:, :, None]
    samples = np.sort(np.where(seen, image[ys, xs].astype(np.int32), 1 << 16), axis=2)
    rank = (seen.sum(axis=2, keepdims=True) - 1) // 2
    expected = np.where(mask, np.take_along_axis(samples, rank, axis=2)[:, :, 0], image)
    assert np.array_equal(inpaint(image, mask, window_px), expected)


@pytest.mark.parametrize("method", list(METHODS))
def test_only_masked_pixels_change(method: str) -> None:
    rng = np.random.default_rng(1)
    image, mask = make_image(rng, (50, 60, 3), "uint8", 1000), make_mask(rng, (50, 60), 0.1)
    image.flags.writeable = False
    result = inpaint(image, mask, 7, method=method)
    assert np.array_equal(result[~mask], image[~mask])
    assert not np.array_equal(result[mask], image[mask])


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
def test_every_method_takes_every_image(method: str, dtype: str, channels: int | None) -> None:
    rng = np.random.default_rng(2)
    shape = (20, 30) if channels is None else (20, 30, channels)
    image = (
        rng.uniform(0, 1, shape).astype("float32")
        if dtype == "float32"
        else make_image(rng, shape, dtype, 99)
    )
    mask = make_mask(rng, (20, 30), 0.1)
    result = inpaint(image, mask, 5, method=method)
    assert result.shape == image.shape
    assert result.dtype == image.dtype
    assert np.array_equal(result[~mask], image[~mask])


@pytest.mark.parametrize(
    "view",
    [
        np.s_[:, :],
        np.s_[::-1, :],
        np.s_[:, ::-1],
        np.s_[::2, ::3],
        np.s_[3:40, 5:50],
        np.s_[:, :, ::-1],
        np.s_[:, :, 1:3],
    ],
)
def test_views_are_read_and_written_as_they_lie(view: Any) -> None:
    rng = np.random.default_rng(3)
    whole = make_image(rng, (60, 70, 3), "uint16", 1000)
    image = whole[view]
    mask = make_mask(rng, (60, 70), 0.2)[view[:2]]
    expected = inpaint(np.ascontiguousarray(image), np.ascontiguousarray(mask), 9, method="reference")
    assert same_bits(inpaint(image, mask, 9), expected)
    canvas = np.zeros_like(whole)
    inpaint(image, mask, 9, out=canvas[view])
    assert same_bits(np.ascontiguousarray(canvas[view]), expected)
    inpaint(image, mask, 9, out=image)
    assert same_bits(np.ascontiguousarray(whole[view]), expected)


def test_numba_compiles_once_for_every_form_of_an_array() -> None:
    from unetfast.inpainting import median_numba

    whole, mask = np.zeros((40, 50, 3), np.uint8), make_mask(np.random.default_rng(9), (40, 50), 0.1)
    frozen = whole.copy()
    frozen.flags.writeable = False
    for view in VIEWS:
        for image in (whole[view], frozen[view]):
            inpaint(image, mask[view], 5, method="numba", out=np.empty_like(whole)[view])
            inpaint(image, mask[view].copy(), 5, method="numba")
        inpaint(whole[view], mask[view], 5, method="numba", out=whole[view])
    # A whole loop of seconds each; the other dtypes are for other tests to ask for.
    assert sum("uint8" in str(signature[0]) for signature in median_numba._slide.signatures) == 1


@given(radius=st.integers(0, 70), seed=st.integers(0, 99))
@settings(max_examples=30)
def test_dilate_px_grows_by_a_disc(radius: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(1, 150, 2))
    mask = rng.random((height, width)) < 0.0005
    yy, xx = np.mgrid[:height, :width]
    grown = np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        grown |= (yy - y) ** 2 + (xx - x) ** 2 <= radius**2
    image = make_image(rng, (height, width), "uint8", 1000)
    if grown.all():
        return
    assert same_bits(inpaint(image, mask, 3, dilate_px=radius), inpaint(image, grown, 3))
    assert np.array_equal(dilate(mask, radius), grown)


def test_an_unpickled_image_is_taken() -> None:
    # Unpickling gives an array a dtype object of its own; the binding once compared objects.
    image = pickle.loads(pickle.dumps(np.arange(24, dtype=np.uint16).reshape(4, 6)))
    assert image.dtype is not np.dtype(np.uint16)
    mask = np.zeros((4, 6), bool)
    mask[1, 2] = True
    assert same_bits(inpaint(image, mask, 3), inpaint(image, mask, 3, method="reference"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", ["native", "telea"])
def test_grain_restores_the_contrast_around(method: str, dtype: str) -> None:
    rng = np.random.default_rng(5)
    top = 1 if dtype == "float32" else np.iinfo(dtype).max
    image = (rng.normal(0.5, 0.05, (120, 130, 3)) * top).astype(dtype)
    mask = np.zeros((120, 130), bool)
    mask[20:32, 10:120] = mask[60:100, 50:90] = True  # a crack, and a hole wider than the window
    flat, grainy = (inpaint(image, mask, 9, method=method, grain=grain) for grain in (False, True))
    assert np.array_equal(grainy[~mask], image[~mask])
    assert flat[mask].std() < 0.5 * image[~mask].std()
    assert grainy[mask].std() == pytest.approx(image[~mask].std(), rel=0.2)
    assert same_bits(grainy, inpaint(image, mask, 9, method=method, grain=True))
    assert not np.array_equal(grainy, inpaint(image, mask, 9, method=method, grain=True, seed=1))
    work = image.copy()
    inpaint(work, mask, 9, method=method, grain=True, out=work)
    assert same_bits(work, grainy)


def test_grain_covers_what_dilation_and_nan_add() -> None:
    rng = np.random.default_rng(6)
    image = rng.normal(0.5, 0.05, (50, 60, 1)).astype(np.float32)
    image[30, 40] = np.nan
    mask = np.zeros((50, 60), bool)
    mask[10, 10] = True
    flat, grainy = (inpaint(image, mask, 9, dilate_px=2, grain=grain) for grain in (False, True))
    changed = (flat != grainy)[:, :, 0]
    assert changed[30, 40] and changed.sum() == 1 + 13  # noqa: PT018
    assert np.isfinite(grainy).all()


def test_nan_counts_as_masked() -> None:
    image = np.arange(25, dtype=np.float32).reshape(5, 5, 1).repeat(2, axis=2)
    image[2, 2, 1] = np.nan
    result = inpaint(image, np.zeros((5, 5), bool), 3)
    assert np.isfinite(result).all()
    assert result[2, 2, 0] == 11  # of 6 7 8 11 13 16 17 18 the fourth


def test_a_run_list_is_a_mask() -> None:
    rng = np.random.default_rng(4)
    image, mask = make_image(rng, (40, 50), "uint8", 1000), make_mask(rng, (40, 50), 0.2)
    assert same_bits(inpaint(image, as_runs(mask), 5), inpaint(image, mask, 5))
    assert same_bits(inpaint(image, ([], [], []), 5), image)


IMAGE, MASK = np.zeros((4, 5, 3), np.uint8), np.eye(4, 5, dtype=bool)


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"window_px": 4}, ConfigError, "odd"),
        ({"window_px": -1}, ConfigError, "odd"),
        ({"window_px": -2}, ConfigError, "odd"),
        ({"dilate_px": -1}, ConfigError, "dilate_px"),
        ({"threads": -1}, ConfigError, "threads"),
        ({"threads": 99999}, ConfigError, "threads"),
        ({"seed": -1}, ConfigError, "seed"),
        ({"window_px": 15.0}, ConfigError, r"^window_px must be a whole number; got 15\.0$"),
        ({"dilate_px": "2"}, ConfigError, "^dilate_px must be a whole number; got '2'$"),
        ({"threads": 1.5}, ConfigError, r"^threads must be a whole number; got 1\.5$"),
        ({"seed": None}, ConfigError, "^seed must be a whole number; got None$"),
        ({"image": IMAGE.astype(np.float64)}, InputError, r"image\.astype\(numpy\.float32\).*; got float64"),
        ({"image": IMAGE.astype(int)}, InputError, r"image\.astype\(numpy\.uint8\).*; got int64"),
        ({"image": IMAGE.astype(">u2")}, InputError, "image must be"),
        ({"image": np.zeros((4, 5, 5), np.uint8)}, InputError, "C from 1 to 4"),
        ({"image": np.zeros((4,), np.uint8)}, InputError, "H, W"),
        ({"image": np.zeros((0, 5), np.uint8), "mask": np.zeros((0, 5), bool)}, InputError, "empty"),
        ({"image": [[1]]}, InputError, "NumPy array"),
        ({"image": np.ma.masked_array(IMAGE)}, InputError, r"numpy\.asarray\(image\); what it masks"),
        ({"mask": np.ma.masked_array(MASK, MASK)}, InputError, r"its own mask, mask\.mask, or mask\.data"),
        ({"mask": MASK.T}, InputError, "height and width"),
        ({"mask": MASK[..., None]}, InputError, r"of one channel: mask\[:, :, 0\]"),
        ({"mask": MASK.astype(float)}, InputError, r"bool or uint8 array, as numpy\.asarray\(mask\) > 0"),
        ({"mask": np.ones((4, 5), bool)}, InputError, "every pixel is masked"),
        ({"mask": np.ones((4, 5), bool), "window_px": 0}, InputError, "every pixel is masked"),
        ({"mask": ([0], [2], [6])}, InputError, "run 0 leaves"),
        ({"mask": ([0], [2])}, InputError, "run list"),
        ({"out": np.zeros((4, 5), np.uint8)}, InputError, "out must be"),
        ({"out": IMAGE[::-1]}, InputError, "overlaps"),
        ({"image": IMAGE[:, :4], "mask": MASK[:, :4], "out": IMAGE[:, 1:]}, InputError, "overlaps"),
        (
            {"out": MASK.view(np.uint8)[:, :, np.newaxis], "image": IMAGE[:, :, :1]},
            InputError,
            "overlaps mask",
        ),
    ],
)
def test_bad_arguments_are_refused(method: str, arguments: dict[str, Any], error: type, words: str) -> None:
    call = {"image": IMAGE, "mask": MASK, "window_px": 3, **arguments}
    with pytest.raises(error, match=words):
        inpaint(**call, method=method)
    assert not IMAGE.any()


def test_a_read_only_out_is_refused() -> None:
    out = np.zeros_like(IMAGE)
    out.flags.writeable = False
    with pytest.raises(InputError, match="read-only"):
        inpaint(IMAGE, MASK, out=out)


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(ConfigError, match="did you mean 'native'"):
        inpaint(IMAGE, MASK, method="nativ")


def wanted_sides(masked: Any) -> Any:
    """Say the side of the window of each masked pixel, elsewhere 0: the first that is wide enough."""
    depth = cv2.distanceTransform(masked.astype(np.uint8), cv2.DIST_C, 3)
    sides = np.where(masked, 127, 0)
    for side in (63, 31, 15):
        reach = (side + 1) // 2
        near = np.lib.stride_tricks.sliding_window_view(np.pad(depth, reach), [2 * reach + 1] * 2)
        sides[masked & (near.max((2, 3)) <= reach / 2)] = side
    return sides


@st.composite
def thick_masks(draw: st.DrawFn, most: int = 60) -> Any:
    """Draw strokes of 1 to 50 px, some at the border of the picture, or all but an intact pixel."""
    height, width = draw(st.integers(1, most)), draw(st.integers(2, most))
    mask = np.full((height, width), draw(st.sampled_from([0, 0, 0, 1])), np.uint8)
    for _ in range(draw(st.integers(1, 4))):
        ends = [(draw(st.integers(-9, width + 9)), draw(st.integers(-9, height + 9))) for _ in range(2)]
        cv2.line(mask, ends[0], ends[1], 1, draw(st.sampled_from([1, 4, 8, 9, 10, 15, 18, 30, 34, 50])))
    mask[draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = 0
    return mask > 0


@given(mask=thick_masks())
@settings(max_examples=40)
def test_windows_follow_the_width(mask: Any) -> None:
    sides = np.zeros(mask.shape, int)
    for side, share in by_width(mask):
        assert not sides[share].any()
        sides[share] = side
    assert np.array_equal(sides, wanted_sides(mask))


@pytest.mark.parametrize("method", MEDIANS)
@given(mask=thick_masks(), dtype=st.sampled_from(DTYPES), dilate_px=st.sampled_from([0, 2]))
@settings(max_examples=10)
def test_each_pixel_gets_the_median_of_its_own_window(
    method: str, mask: Any, dtype: str, dilate_px: int
) -> None:
    rng = np.random.default_rng(3)
    image = make_image(rng, (*mask.shape, 3), dtype, 200)
    if dtype == "float32":
        image[0, 0, 1] = np.nan
    masked = dilate(mask, dilate_px) | np.isnan(image).any(2)
    if masked.all():
        return
    sides = wanted_sides(masked)
    expected = image.copy()
    for side in (15, 31, 63, 127):
        filled = inpaint(image, masked, side)
        expected[sides == side] = filled[sides == side]
    assert same_bits(inpaint(image, mask, 0, method=method, dilate_px=dilate_px, threads=2), expected)
    inpaint(image, mask, 0, method=method, dilate_px=dilate_px, out=image)
    assert same_bits(image, expected)


@given(mask=thick_masks(400), seed=st.integers(0, 9), threads=st.integers(1, 4))
@settings(max_examples=40)
def test_the_kernel_shares_pixels_among_windows_as_opencv_does(mask: Any, seed: int, threads: int) -> None:
    # No two samples are alike, so that another window is another median.
    image = np.random.default_rng(seed).permutation(mask.size).astype(np.float32).reshape(mask.shape)
    expected = image.copy()
    for side, share in by_width(mask):
        expected[share] = inpaint(image, mask, side)[share]
    assert same_bits(inpaint(image, mask, 0, threads=threads), expected)
    inpaint(image, mask, 0, threads=threads, out=image)
    assert same_bits(image, expected)


@pytest.mark.parametrize("method", ["telea", "ns"])
def test_what_is_no_median_has_one_window(method: str) -> None:
    rng = np.random.default_rng(4)
    image, mask = make_image(rng, (60, 70, 3), "uint8", 99), make_mask(rng, (60, 70), 0.01)
    assert same_bits(inpaint(image, mask, 0, method=method), inpaint(image, mask, 15, method=method))


def test_numba_works_where_no_folder_may_be_written() -> None:
    """A container without a home folder, of a read-only installation: there compiled code cannot be kept."""
    pytest.importorskip("numba")
    path = Path(unetfast.inpainting.__file__).with_name("median_numba.py")
    code = f"""
import pathlib
module = {{"__name__": "median_numba"}}
source = pathlib.Path({str(path)!r}).read_text()
exec(compile(source, "/dev/null/median_numba.py", "exec"), module)  # nothing lies beside /dev/null
assert callable(module["fill"])  # it is at the import that Numba refuses
"""
    # Each would be taken before the next.
    nowhere = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "USERPROFILE", "LOCALAPPDATA"), "/dev/null")
    env = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"} | nowhere
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Numba compiles anew in each process" in done.stderr
