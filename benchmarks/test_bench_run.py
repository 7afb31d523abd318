"""A whole run and each of its parts: what decoding, encoding and writing cost, and that they overlap.

``pytest benchmarks/test_bench_run.py --benchmark-only``. Figures are of one photo of 12 megapixels
made from a real one, where nothing else is said.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import simplejpeg

import unetfast
from unetfast import imaging
from unetfast.backends import bundled
from unetfast.bench.settings import BenchSettings
from unetfast.bench.stages import bench_stages
from unetfast.pipeline import stages
from unetfast.pipeline.journal import Journal
from unetfast.pipeline.model import open_model
from unetfast.pipeline.output import Output
from unetfast.pipeline.run import listing, run
from unetfast.pipeline.settings import RunSettings
from unetfast.pipeline.sources import Found, Item
from unetfast.pipeline.stages import Context, Job

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
    """Time a run and each of its stages alone; ``ratio`` is the whole by the slowest of them.

    ``UNETFAST_BENCH_PHOTOS=50`` is the case of docs/scale.md.
    """
    imaging.write(tmp_path / "0.jpg", imaging.Picture(pixels, "jpeg"))
    for i in range(1, PHOTOS):
        os.link(tmp_path / "0.jpg", tmp_path / f"{i}.jpg")
    chosen = BenchSettings(stages=tmp_path, model=str(model))
    found = benchmark.pedantic(bench_stages, (chosen,), rounds=1, iterations=1)
    benchmark.extra_info.update(found)
    assert found["photos"] == PHOTOS


@pytest.fixture(scope="module")
def small(pixels: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 240 JPEGs of 256x256."""
    folder = tmp_path_factory.mktemp("small")
    for number in range(240):
        y, x = 180 * (number // 20), 180 * (number % 20)
        part = imaging.Picture(np.ascontiguousarray(pixels[y : y + 256, x : x + 256]), "jpeg")
        imaging.write(folder / f"{number}.jpg", part)
    return folder


@pytest.mark.parametrize("batch", [1, 16])
def test_many_small_images_through_the_network(benchmark: Any, small: Path, model: Path, batch: int) -> None:
    """The network alone, one call after the other on all cores, one by one and in batches."""
    images = [imaging.read(path).pixels for path in sorted(small.iterdir())[:64]]
    segmenter = unetfast.load(model, batch=batch)
    segmenter.segment_all(images[:batch])
    benchmark.pedantic(segmenter.segment_all, (images,), rounds=3, iterations=1)
    benchmark.extra_info["images_per_s"] = len(images) / benchmark.stats.stats.min


@pytest.mark.parametrize("how", ["one after the other", "run --batch 1", "run"])
def test_many_small_images_from_file_to_file(
    benchmark: Any, small: Path, model: Path, tmp_path: Path, how: str
) -> None:
    """240 photos read, segmented, cleaned and written; ``one after the other`` does not overlap stages."""
    chosen = RunSettings(inpaint=True, save_masks=True, batch=1 if "1" in how else 16)
    rounds = iter(range(9))

    def work() -> None:
        output = tmp_path / str(next(rounds))
        if how.startswith("run"):
            assert run([str(small)], output, chosen, model=model).done == 240
        else:
            _one_after_the_other(small, output, chosen, model)

    benchmark.pedantic(work, rounds=2, iterations=1)
    benchmark.extra_info["images_per_s"] = 240 / benchmark.stats.stats.min


def _one_after_the_other(folder: Path, output: Path, settings: RunSettings, model: Path) -> None:
    segmenter, context = open_model(model, settings, streams=1), Context(settings, "")
    with Output(output) as place, Journal(output, "results.jsonl") as journal:
        for item in listing([str(folder)], settings, Found()):
            assert isinstance(item, Item)
            job = Job(item, {"input": item.relative})
            stages.load(job, context)
            stages.decode(job, context)
            stages.segment([job], segmenter, 1.0)
            stages.clean(job, context)
            stages.store(job, context, 2, place.put)
            journal.append([job.entry])
