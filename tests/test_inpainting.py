"""inpaint() against its oracle, over shapes, windows, masks, dtypes, layouts and threads."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from unetfast.errors import ConfigError, InputError
from unetfast.inpainting import METHODS, inpaint

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


def make_mask(rng: np.random.Generator, shape: tuple[int, int], fraction: float) -> Any:
    """Return noise and a blob, so that windows of every filling occur; never full."""
    mask = rng.random(shape) < fraction
    y, x = rng.integers(0, shape[0]), rng.integers(0, shape[1])
    mask[y : y + rng.integers(0, 30), x : x + rng.integers(0, 30)] = True
    mask[rng.integers(0, shape[0]), rng.integers(0, shape[1])] = False
    return mask


def same_bits(a: Any, b: Any) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, Any, int]:
    """Draw image, mask and window: 1 x 1 to 70 x 70 pixels, windows larger than the image among them."""
    height, width = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    channels = draw(st.sampled_from([None, 1, 2, 3, 4]))
    shape = (height, width) if channels is None else (height, width, channels)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    image = make_image(rng, shape, draw(st.sampled_from(DTYPES)), draw(st.sampled_from([1, 3, 1000])))
    mask = make_mask(rng, (height, width), draw(st.sampled_from([0.0, 0.02, 0.3, 0.9, 1.0])))
    return image, mask, draw(st.integers(0, 12).map(lambda r: 2 * r + 1))


@pytest.mark.parametrize("method", MEDIANS)
@given(case=cases(), threads=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_equals_the_oracle_to_the_last_bit(method: str, case: Any, threads: int) -> None:
    image, mask, window_px = case
    before = image.copy(), mask.copy()
    expected = inpaint(image, mask, window_px, method="reference")
    got = inpaint(image, mask, window_px, method=method, threads=threads)
    assert same_bits(got, expected)
    assert same_bits(image, before[0]) and same_bits(mask, before[1])
