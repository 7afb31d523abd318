"""Whole images of any size and kind through a model whose answer is known."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from darkness_model import darkness
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import unetfast
from unetfast.backends import bundled
from unetfast.errors import ArtifactError, BackendError, ConfigError, InputError
from unetfast.scaled import segment_rows
from unetfast.segment import Segmenter


@given(st.integers(1, 150), st.integers(1, 150), st.integers(16, 80), st.integers(1, 5), st.integers(0, 99))
@settings(max_examples=25)
def test_tiled_equals_whole_equals_numpy(
    model: Path, height: int, width: int, tile_px: int, batch: int, seed: int
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    tiled = unetfast.load(model, tile_px=tile_px, batch=batch, threads=1)
    assert np.array_equal(tiled.segment(image).astype(bool), darkness(image))


def test_several_images_at_once_equal_one_by_one(model: Path, rng: np.random.Generator) -> None:
    images = [rng.integers(0, 256, shape, np.uint8) for shape in [(40, 50, 3)] * 3 + [(33, 20, 3), (40, 50)]]
    segmenter = unetfast.load(model, batch=3, threads=1)
    together = segmenter.segment_all(images)
    for image, labels in zip(images, together, strict=True):
        assert np.array_equal(labels, segmenter.segment(image))


def test_tiles_that_share_a_call_have_no_more_pixels_than_one_may_have(
    model: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = unetfast.load(model, tile_px=64, batch=16, threads=1)
    infer, shapes = segmenter.backend.infer, []

    def recorded(images: np.ndarray) -> np.ndarray:
        shapes.append(images.shape)
        return infer(images)

    monkeypatch.setattr(segmenter.backend, "infer", recorded)
    image = rng.integers(0, 256, (300, 400, 3), np.uint8)
    assert np.array_equal(segmenter.segment(image).astype(bool), darkness(image))
    segmenter.segment_all([image[:20, :20]] * 40)
    most_px = (64 + 2 * segmenter.spec.halo_px) ** 2
    assert max(n * h * w for n, h, w, _ in shapes) <= most_px
    assert [n for n, *_ in shapes if n > 1] == [16, 16, 8]


def test_a_lone_image_is_cut_for_all_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = np.random.default_rng(4).integers(0, 256, (200, 3000, 3), np.uint8)
    whole = unetfast.load("crack", threads=1).segment(photo)
    with unetfast.load("crack", threads=2, streams=2, memory_bytes=10**9) as segmenter:
        infer, widths = segmenter.backend.infer, []
        monkeypatch.setattr(
            segmenter.backend, "infer", lambda images: (widths.append(images.shape[2]), infer(images))[1]
        )
        assert np.array_equal(segmenter.segment(photo), whole)
        assert sorted(widths) == [2040, 2112]
        widths.clear()
        assert all(np.array_equal(answer, whole) for answer in segmenter.segment_all([photo, photo]))
        assert widths == [3000, 3000]


def test_streams_change_no_byte(model: Path, rng: np.random.Generator) -> None:
    images = [rng.integers(0, 256, shape, np.uint8) for shape in [(40, 50, 3)] * 5 + [(90, 70, 3)]]
    plain = unetfast.load(model, threads=1)
    streams = unetfast.load(model, tile_px=32, batch=2, threads=3, streams=3, memory_bytes=10**10)
    assert streams.streams == 3
    for image, labels in zip(images, streams.segment_all(images), strict=True):
        assert np.array_equal(plain.segment(image), labels)
    streams.close()


def test_a_network_too_large_for_it_gets_one_stream(model: Path) -> None:
    assert unetfast.load(model, threads=4, streams=4, memory_bytes=10**7).streams == 1


def test_16_bit_grey_and_alpha_are_converted(model: Path, rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (60, 60, 3), np.uint8)
    segmenter = unetfast.load(model, threads=1)
    wanted = segmenter.segment(image)
    assert np.array_equal(segmenter.segment(image.astype(np.uint16) * 257), wanted)
    assert np.array_equal(segmenter.segment(np.dstack([image, image[..., 0]])), wanted)
    for other, message in (
        (image.astype(np.int64), r"as image\.astype\(numpy\.uint8\).*; got int64"),
        (image > 9, r"as image \* numpy\.uint8\(255\); got bool"),
        (image.astype(np.float32), r"\[0, 1\]; got .* \(of 0 \.\. 255: image\.astype\(numpy\.uint8\)\)"),
        (image.transpose(2, 0, 1), r"has 60; channels come last: image\.transpose\(1, 2, 0\)"),
    ):
        with pytest.raises(InputError, match=message):
            segmenter.segment(other)


def test_scaled_is_the_full_answer_wherever_the_coarse_pass_saw_something(model: Path) -> None:
    image = np.full((900, 1300, 3), 170, np.uint8)
    image[200:205, 100:400] = 20  # in the first row of tiles; the others hold nothing
    segmenter = unetfast.load(model, threads=1)
    labels = segmenter.segment_scaled(image, 0.5)
    assert np.array_equal(labels, segmenter.segment(image))
    assert labels.any()


def test_scaled_takes_the_inside_from_the_coarse_look_and_the_edges_from_the_close_one(model: Path) -> None:
    image = np.full((640, 512, 3), 170, np.uint8)
    cv2.line(image, (-5, 100), (520, 300), (30, 30, 30), 31)  # wider than the model's window at full size
    image += np.random.default_rng(0).integers(0, 9, image.shape, np.uint8)
    segmenter = unetfast.load(model, threads=1)
    fine, found = segmenter.segment(image), segmenter.segment_scaled(image, 0.25)
    small = cv2.resize(image, (128, 160), interpolation=cv2.INTER_AREA)
    coarse = segmenter.segment(small).repeat(4, axis=0).repeat(4, axis=1)
    square = np.ones((17, 17), np.uint8)  # two of its pixels to every side
    inside, outside = cv2.erode(coarse, square) == 1, cv2.dilate(coarse, square) == 0
    assert found[inside].all()
    assert not fine[inside].all()  # the full resolution alone sees holes
    assert not found[outside].any()
    edges = ~inside & ~outside
    assert np.array_equal(found[edges], fine[edges])


@given(st.integers(1, 300), st.integers(1, 90), st.floats(0.05, 1), st.integers(1, 150), st.integers(0, 99))
@settings(max_examples=25)
def test_scaled_rows_are_those_of_the_whole(
    model: Path, height: int, width: int, scale: float, band: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(150, 180, (height, width, 3), np.uint8)
    cv2.line(image, (int(rng.integers(width)), 0), (int(rng.integers(width)), height), (20, 20, 20), 5)
    segmenter = unetfast.load(model, tile_px=64, threads=1)
    whole = segmenter.segment_scaled(image, scale)
    for top in range(0, height, band):
        rows = (top, min(top + band, height))
        part = segment_rows(segmenter, lambda a, b: image[a:b], (height, width), rows, scale, band)
        assert np.array_equal(part, whole[rows[0] : rows[1]])


@pytest.mark.parametrize("scale", [0.0, 0.01, 1.5, float("nan")])
def test_scales_out_of_range_are_refused(model: Path, scale: float) -> None:
    with pytest.raises(ConfigError, match=r"the scale must be in 0.05 .. 1"):
        unetfast.load(model, threads=1).segment_scaled(np.zeros((9, 9, 3), np.uint8), scale)


SAID_FOR_WANT_OF_MEMORY = (
    "onnxruntime failed: Failed to allocate memory for requested buffer",
    "torch failed: DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes",
)


class Short:
    """A backend that runs out of memory on anything larger than 300 px or than one image."""

    name = description = "short"

    def __init__(self, spec: unetfast.spec.ModelSpec, words: str = SAID_FOR_WANT_OF_MEMORY[0]) -> None:
        self.spec, self.words = spec, words
        self.calls: list[tuple[int, ...]] = []

    def infer(self, images: np.ndarray) -> np.ndarray:
        self.calls.append(images.shape)
        if len(images) > 1 or max(images.shape[1:3]) > 300:
            raise BackendError(self.words)
        return (images[..., 0] > 100).astype(np.uint8)

    def close(self) -> None: ...


@pytest.mark.parametrize("words", SAID_FOR_WANT_OF_MEMORY)
def test_short_memory_gives_smaller_tiles_and_says_so(
    caplog: pytest.LogCaptureFixture, rng: np.random.Generator, words: str
) -> None:
    backend = Short(unetfast.spec.ModelSpec(stride_px=1, halo_px=10), words)
    segmenter = Segmenter(backend, tile_px=1024, batch=2)
    image = rng.integers(0, 256, (700, 900, 3), np.uint8)
    assert np.array_equal(segmenter.segment(image), image[..., 0] > 100)
    assert (segmenter.batch, segmenter.tile_px) == (1, 256)
    assert "memory is short" in caplog.text
    with pytest.raises(BackendError, match="allocate"):
        Segmenter(Short(unetfast.spec.ModelSpec(stride_px=1, halo_px=200)), tile_px=256).segment(image)


def test_tiles_smaller_than_the_stride_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"crack.onnx: tiles of this model have \d+ px or more; got 5"):
        unetfast.load("crack", tile_px=5, threads=1)


def test_bad_model_arguments(tmp_path: Path, model: Path) -> None:
    with pytest.raises(ArtifactError, match="no such model file"):
        unetfast.load(tmp_path / "none.onnx")
    with pytest.raises(ConfigError, match="at least 1"):
        unetfast.load(model, batch=0)
    for threads in (-1, 99999):
        with pytest.raises(ConfigError, match=rf"threads must be in 0 .. \d+; got {threads}"):
            unetfast.load(model, threads=threads)
    for name in ("tile_px", "threads", "streams", "memory_bytes"):
        with pytest.raises(ConfigError, match=rf"^{name} must be a whole number; got 0\.5$"):
            unetfast.load(model, **{name: 0.5})
    with pytest.raises(ConfigError, match=r"^memory_bytes must be at least 0; got -1$"):
        unetfast.load(model, memory_bytes=-1)
    for what in (None, "", 3, b"crack", np.zeros(3)):
        with pytest.raises(InputError, match=r"^a model is the name of a bundled one, such as 'crack', or"):
            unetfast.load(what)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="unknown backend None"):
        unetfast.load(model, backend=None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"device must be .*; got 0"):
        unetfast.load(model, device=0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"made by unetfast\.load\(model\); got 'crack'"):
        Segmenter("crack")  # type: ignore[arg-type]
    assert repr(unetfast.load(model)).startswith("<Segmenter of background, ")
    assert bundled("../crack") is None
    assert bundled("no-such-model") is None


@pytest.mark.parametrize("what", [None, "photo.jpg", [[0]], Image.new("RGB", (8, 8))])
def test_what_is_no_array_is_refused_with_what_to_do(model: Path, what: Any) -> None:
    with unetfast.load(model, threads=1) as segmenter:
        with pytest.raises(InputError, match=r"NumPy array; got \w+. .*unetfast.imaging.read\(path\).pixels"):
            segmenter.segment(what)
        with pytest.raises(InputError, match="NumPy array"):
            segmenter.segment_scaled(what, 0.5)
        for segment in (segmenter.segment, lambda image: segmenter.segment_scaled(image, 0.5)):
            for shape in ((8,), (1, 8, 8, 3)):
                with pytest.raises(InputError, match=r"must be \(H, W\) or \(H, W, C\); got shape"):
                    segment(np.zeros(shape, np.uint8))
            with pytest.raises(InputError, match="the image is empty"):
                segment(np.zeros((0, 8, 3), np.uint8))
        with pytest.raises(InputError, match="several images; this seems to be one"):
            segmenter.segment_all(np.zeros((8, 8, 3), np.uint8))
        with pytest.raises(InputError, match="several images, such as a list; got int"):
            segmenter.segment_all(3)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=r"the scale must be in 0\.05 \.\. 1; got None"):
            segmenter.segment_scaled(np.zeros((8, 8, 3), np.uint8), None)  # type: ignore[arg-type]
    with pytest.raises(BackendError, match="closed"):  # at the end of the block
        segmenter.segment(np.zeros((8, 8, 3), np.uint8))


def test_the_other_byte_order_is_the_same_picture(model: Path, rng: np.random.Generator) -> None:
    image = rng.integers(0, 65536, (40, 50, 3), np.uint16)
    segmenter = unetfast.load(model, threads=1)
    other = image.astype(image.dtype.newbyteorder())
    assert other.tobytes() != image.tobytes()
    assert np.array_equal(segmenter.segment(other), segmenter.segment(image))


def test_a_pickled_segmenter_is_opened_again_from_its_file(
    model: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image = rng.integers(0, 256, (90, 70, 3), np.uint8)
    monkeypatch.chdir(model.parent)
    segmenter = unetfast.load(model.name, threads=3, tile_px=32, batch=2, streams=2)
    stored = pickle.dumps(segmenter)
    monkeypatch.chdir(tmp_path)
    again = pickle.loads(stored)
    assert (again.tile_px, again.batch, again.streams) == (32, 2, 2)
    assert np.array_equal(again.segment(image), segmenter.segment(image))


def test_a_name_that_no_bundled_model_has_is_told_those_that_there_are() -> None:
    with pytest.raises(ArtifactError, match=r"cracks: no such model file, and none of .*\(crack\)"):
        unetfast.load("cracks")


def test_errors_can_be_caught_before_anything_else_is_imported() -> None:
    code = "import unetfast, sys; unetfast.errors.ImageError; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_only_cores_that_the_process_may_use_are_counted() -> None:
    code = (
        "import os\n"
        "os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])\n"
        "from unetfast.machine import available_cores\n"
        "print(available_cores())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
