"""Tiles cover an image once, and their answers are the whole image's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unetfast.errors import InputError
from unetfast.preprocess import Tile, default_tile_px, fit, labels_of, tiles_of, unfit
from unetfast.spec import ModelSpec, PreprocessSpec

SIZES = st.integers(1, 200)


@given(SIZES, SIZES, st.integers(8, 64), st.sampled_from([1, 2, 8]), st.integers(0, 20))
@settings(max_examples=60)
def test_cores_cover_once_and_windows_are_aligned(
    height: int, width: int, tile_px: int, stride: int, halo: int
) -> None:
    spec = ModelSpec(stride_px=stride, halo_px=halo)
    seen = np.zeros((height, width), int)
    for tile in tiles_of(height, width, spec, tile_px):
        seen[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] += 1
        assert tile.top % stride == 0
        assert tile.left % stride == 0
        assert tile.bottom == height or tile.bottom % stride == 0
        assert tile.right == width or tile.right % stride == 0
        assert tile.top == 0 or tile.y - tile.top >= halo
        assert tile.bottom == height or tile.bottom - (tile.y + tile.height) >= halo
        assert tile.left == 0 or tile.x - tile.left >= halo
        assert tile.right == width or tile.right - (tile.x + tile.width) >= halo
    assert (seen == 1).all()


@given(SIZES, SIZES, st.integers(8, 64), st.integers(0, 3))
@settings(max_examples=40)
def test_unfit_is_the_inverse_of_fit(height: int, width: int, tile_px: int, classes: int) -> None:
    spec = ModelSpec(stride_px=4, halo_px=9)
    image = np.random.default_rng(0).integers(0, 256, (height, width, max(classes, 1)), np.uint8)
    pieces = fit(image, spec, tile_px)
    outputs = [array.astype(np.float32) if classes else array[..., 0] for _, array in pieces]
    whole = unfit(outputs, [tile for tile, _ in pieces], (height, width))
    assert np.array_equal(whole, image if classes else image[..., 0])


@pytest.mark.parametrize("shape", [(50, 70), (300, 20)])
def test_resized_input_comes_back_at_full_size(shape: tuple[int, int]) -> None:
    spec = ModelSpec(preprocess=PreprocessSpec(resize_px=64))
    ((tile, array),) = fit(np.zeros((*shape, 3), np.uint8), spec, 16)
    assert array.shape == (64, 64, 3)
    labels = np.zeros((64, 64), np.uint8)
    labels[:32] = 7
    whole = unfit([labels], [tile], shape)
    assert whole.shape == shape
    assert set(np.unique(whole)) == {0, 7}  # nearest: no class between two classes
    assert (whole[: shape[0] // 2 - 1] == 7).all()
    prob = unfit([labels[..., None].astype(np.float32)], [tile], shape)
    assert prob.shape == (*shape, 1)


def test_probabilities_become_labels() -> None:
    prob = np.float32([[[0.2], [0.5], [0.7]]])
    assert labels_of(prob, ModelSpec(threshold=0.5)).tolist() == [[0, 0, 1]]
    many = np.float32([[[0.1, 0.9, 0.0], [0.5, 0.2, 0.3]]])
    spec = ModelSpec(task="multiclass", classes=("a", "b", "c"))
    assert labels_of(many, spec).tolist() == [[1, 0]]
    ids = np.uint8([[1, 2]])
    assert labels_of(ids, spec) is ids


def test_a_tile_smaller_than_the_stride_is_refused() -> None:
    with pytest.raises(InputError, match="stride of 16"):
        tiles_of(100, 100, ModelSpec(stride_px=16), 8)


@given(SIZES, SIZES, st.integers(8, 64), st.sampled_from([1, 2, 8]))
@settings(max_examples=40)
def test_tiles_are_few_and_even(height: int, width: int, tile_px: int, stride: int) -> None:
    tiles = tiles_of(height, width, ModelSpec(stride_px=stride, halo_px=4), tile_px)
    most = tile_px // stride * stride
    assert len(tiles) <= -(-height // most) * -(-width // most)
    window = most + 2 * (-(-4 // stride) * stride)  # what a core with both margins needs
    assert max(_read(tile) for tile in tiles) <= window**2
    if height * width <= window**2:
        assert len(tiles) == 1
    narrow = tiles_of(height, width, ModelSpec(stride_px=stride, halo_px=4), tile_px, longest_px=window)
    assert max(max(tile.bottom - tile.top, tile.right - tile.left) for tile in narrow) <= window
    assert sum(map(_read, tiles)) <= sum(map(_read, narrow))


def _read(tile: Tile) -> int:
    return (tile.bottom - tile.top) * (tile.right - tile.left)


def test_a_photo_is_cut_so_that_least_is_read_twice() -> None:
    """A photo of 24 megapixels is cut once, across its long side, where the memory holds such tiles."""
    spec = ModelSpec(stride_px=32, halo_px=192)
    tiles = tiles_of(4000, 6000, spec, 3300)
    assert [(t.top, t.bottom, t.left, t.right) for t in tiles] == [(0, 4000, 0, 3200), (0, 4000, 2816, 6000)]
    assert sum(map(_read, tiles_of(4000, 6000, spec, 1500))) < 1.6 * 4000 * 6000


def test_a_lone_photo_is_cut_for_all_that_compute_at_once() -> None:
    spec = ModelSpec(stride_px=32, halo_px=192)
    assert len(tiles_of(3024, 4032, spec, 4000)) == 1
    halves = tiles_of(3024, 4032, spec, 4000, at_once=2)
    assert [(t.top, t.bottom, t.left, t.right) for t in halves] == [(0, 3024, 0, 2208), (0, 3024, 1824, 4032)]
    assert len(tiles_of(600, 800, spec, 4000, at_once=2)) == 1  # most of it would be read twice


def test_tiles_fit_the_memory_that_a_network_needs() -> None:
    """The estimate of a tile's memory against the widest layer at full resolution of the real networks."""
    torch = pytest.importorskip("torch")
    from unetfast.models import MODELS

    for arch, args in [
        ("fast", {}),
        ("fast", {"stem_px": 2}),
        ("fast-fine", {}),
        ("unet-small", {}),
        ("unet", {"depth": 2}),
    ]:
        model = MODELS[arch](3, 1, **args).eval()
        largest: list[int] = []

        def note(_module: object, _inputs: object, out: Any, largest: list[int] = largest) -> None:
            largest.append(4 * out.numel())

        for module in model.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.register_forward_hook(note)
        with torch.no_grad():
            model(torch.zeros(1, 3, 64, 64))
        bytes_px = max(largest, default=0) / 64**2 * 4  # four such tensors live at once
        spec = ModelSpec(arch=arch, arch_args=args, halo_px=model.halo_px)
        window = default_tile_px(spec) + 2 * spec.halo_px
        assert window**2 * bytes_px < 2.2e9, (arch, args)
    assert default_tile_px(ModelSpec(arch="fast", halo_px=128)) > 2500
