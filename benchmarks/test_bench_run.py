"""A whole run and each of its parts: what decoding, encoding and writing cost, and that they overlap.

``pytest benchmarks/test_bench_run.py --benchmark-only``. Figures are of one photo of 12 megapixels
made from a real one, where nothing else is said.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import simplejpeg

import unetfast
from unetfast import imaging
from unetfast.pipeline.run import run
from unetfast.pipeline.settings import RunSettings
from unetfast.segment import bundled

PHOTOS = int(os.environ.get("UNETFAST_BENCH_PHOTOS", "8"))


@pytest.fixture(scope="module")
def pixels(shared_data: Path) -> np.ndarray:
    """(3000, 4000, 3) uint8, a photograph of a cracked tunnel wall."""
    picture = imaging.read(shared_data / "large_photos" / "akomp22_7408.jpg")
    return imaging.resize(picture.pixels, 3000, 4000)


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    """(3000, 4000) bool, 40 thin lines: about 1 % of the pixels."""
    image = np.zeros((3000, 4000), np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(40):
        points = np.cumsum(rng.integers(-60, 90, (30, 2)), axis=0) + rng.integers(0, 3000, 2)
        cv2.polylines(image, [points.astype(np.int32)], False, 1, 3)
    return image.astype(bool)


def test_decode_jpeg_simplejpeg(benchmark: Any, pixels: np.ndarray) -> None:
    data = simplejpeg.encode_jpeg(pixels, 92, colorsubsampling="420")
    assert benchmark(imaging.read, data).pixels.shape == pixels.shape


def test_decode_jpeg_opencv(benchmark: Any, pixels: np.ndarray) -> None:
    data = np.frombuffer(simplejpeg.encode_jpeg(pixels, 92, colorsubsampling="420"), np.uint8)
    benchmark(cv2.imdecode, data, cv2.IMREAD_COLOR)


@pytest.mark.parametrize("mode", ["re-encode", "lossless-blocks", "lossless-blocks, verified"])
def test_write_cleaned_jpeg(benchmark: Any, pixels: np.ndarray, mask: np.ndarray, mode: str) -> None:
    picture = imaging.read(simplejpeg.encode_jpeg(pixels, 92, colorsubsampling="420"))
    cleaned = unetfast.inpaint(picture.pixels, mask)
    verify = mode.endswith("verified")
    benchmark(imaging.patched, picture, cleaned, mask, jpeg_mode=mode.partition(",")[0], verify=verify)


def test_write_png(benchmark: Any, pixels: np.ndarray) -> None:
    data = benchmark(imaging.encode, imaging.Picture(pixels, "png"))
    benchmark.extra_info["megabytes"] = len(data) / 1e6


def test_write_png_opencv_default(benchmark: Any, pixels: np.ndarray) -> None:
    _, data = benchmark(cv2.imencode, ".png", pixels)
    benchmark.extra_info["megabytes"] = len(data) / 1e6


def test_write_mask_1_bit(benchmark: Any, mask: np.ndarray) -> None:
    benchmark.extra_info["bytes"] = len(benchmark(imaging.encode_mask, mask))


def test_write_mask_opencv_default(benchmark: Any, mask: np.ndarray) -> None:
    _, data = benchmark(cv2.imencode, ".png", mask.astype(np.uint8) * 255)
    benchmark.extra_info["bytes"] = len(data)


@pytest.fixture(scope="module")
def model() -> Path:
    path = bundled("crack")
    if path is None:
        pytest.skip("the bundled model is not there")
    return path


def test_whole_run_against_its_slowest_stage(
    benchmark: Any, pixels: np.ndarray, model: Path, tmp_path: Path
) -> None:
    """Time a run, then the network alone on the same photos; ``ratio`` is one by the other."""
    photos = tmp_path / "in"
    photos.mkdir()
    imaging.write(photos / "0.jpg", imaging.Picture(pixels, "jpeg"))
    for i in range(1, PHOTOS):
        os.link(photos / "0.jpg", photos / f"{i}.jpg")
    chosen = RunSettings(inpaint=True, save_masks=True)
    summary = benchmark.pedantic(
        run, ([str(photos)], tmp_path / "out", chosen), {"model": model}, rounds=1, iterations=1
    )
    segmenter = unetfast.load(model, batch=chosen.batch)
    segmenter.segment(pixels)
    alone = min(_seconds(lambda: segmenter.segment(pixels)) for _ in range(3)) * PHOTOS
    stages = {stage.name: stage.busy_s / stage.threads for stage in summary.stages}
    benchmark.extra_info.update(
        {
            "photos": PHOTOS,
            "megapixels_per_s": summary.megapixels / summary.seconds,
            "network_alone_s": alone,
            "ratio": summary.seconds / alone,
            **{f"{name}_busy_s": seconds for name, seconds in stages.items()},
        }
    )
    assert summary.done == PHOTOS


@pytest.mark.parametrize("batch", [1, 16, 64])
def test_many_small_images(benchmark: Any, pixels: np.ndarray, model: Path, batch: int) -> None:
    """64 images of 256x256 through the network, one by one and together."""
    images = [pixels[y : y + 256, x : x + 256] for y in range(0, 2048, 256) for x in range(0, 2048, 256)]
    segmenter = unetfast.load(model, batch=batch)
    segmenter.segment_all(images[:batch])
    benchmark.pedantic(segmenter.segment_all, (images,), rounds=3, iterations=1)
    benchmark.extra_info["images_per_s"] = len(images) / benchmark.stats.stats.min


def _seconds(work: Callable[[], object]) -> float:
    from time import perf_counter

    begun = perf_counter()
    work()
    return perf_counter() - begun
