"""Inpainting times: pytest benchmarks/test_bench_inpaint.py --benchmark-only.

What is timed is asserted afterwards: the medians equal one another to the last bit, and on a
strip of the picture the oracle.
"""

from __future__ import annotations

from typing import Any

import inpaint_scene as scene
import numpy as np
import pytest

from unetfast.inpainting import inpaint

SIZES = {"1MP": (866, 1155), "12MP": (3000, 4000)}


@pytest.fixture(scope="module", params=list(SIZES))
def scenery(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    height, width = SIZES[request.param]
    return scene.photo(height, width), scene.curves(height, width, 0.02)


@pytest.mark.parametrize("window_px", [7, 15, 31])
@pytest.mark.parametrize("method", ["native", "numba"])
def test_median(benchmark: Any, scenery: tuple[Any, Any], method: str, window_px: int) -> None:
    image, mask = scenery
    result = benchmark.pedantic(
        inpaint, (image, mask, window_px), {"method": method}, rounds=5, warmup_rounds=1
    )
    benchmark.extra_info["ns_per_masked_pixel"] = benchmark.stats["median"] * 1e9 / mask.sum()
    strip = slice(0, 24)
    margin = slice(0, 24 + 2 * window_px)  # what the strip's windows can reach, and more
    expected = inpaint(image[margin], mask[margin], window_px, method="reference")
    assert np.array_equal(result[strip], expected[strip])


def test_oracle(benchmark: Any, scenery: tuple[Any, Any]) -> None:
    image, mask = scenery
    result = benchmark.pedantic(inpaint, (image, mask, 15), {"method": "reference"}, rounds=1)
    assert np.array_equal(result, inpaint(image, mask, 15))


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_native_sample_types(benchmark: Any, scenery: tuple[Any, Any], dtype: str) -> None:
    image, mask = scenery
    typed = image.astype(dtype)
    result = benchmark.pedantic(inpaint, (typed, mask, 15), rounds=5, warmup_rounds=1)
    assert np.array_equal(result, inpaint(image, mask, 15).astype(dtype))


@pytest.mark.parametrize("method", ["telea", "ns"])
def test_opencv(benchmark: Any, scenery: tuple[Any, Any], method: str) -> None:
    image, mask = scenery
    benchmark.pedantic(inpaint, (image, mask, 7), {"method": method}, rounds=3, warmup_rounds=1)


def test_copy_of_the_frame(benchmark: Any, scenery: tuple[Any, Any]) -> None:
    benchmark(scenery[0].copy)
