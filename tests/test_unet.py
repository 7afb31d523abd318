"""The classic U-Net: shapes, the halo it claims, the paper's size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from unetfast.errors import ConfigError
from unetfast.models import MODELS
from unetfast.models.unet import UNet, unet_small


@pytest.mark.parametrize("up", ["bilinear", "transposed"])
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_logits_have_the_size_of_the_image(up: str, depth: int) -> None:
    model = UNet(2, 5, width=4, depth=depth, up=up).eval()
    assert model.stride_px == 2**depth
    image = torch.zeros(2, 2, 3 * model.stride_px, 2 * model.stride_px)
    assert model(image).shape == (2, 5, *image.shape[2:])


@pytest.mark.parametrize("up", ["bilinear", "transposed"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_halo_is_exactly_how_far_a_pixel_looks(up: str, depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With positive weights and mean for max pooling, every input pixel in reach has a gradient."""
    model = UNet(1, 1, width=1, depth=depth, up=up).eval().double()
    for parameter in model.parameters():
        parameter.data.abs_().add_(0.1)

    def mean_pool(x: torch.Tensor, size: int) -> torch.Tensor:
        return functional.avg_pool2d(x, size)

    monkeypatch.setattr(functional, "max_pool2d", mean_pool)
    side = -(-(2 * model.halo_px + 3 * model.stride_px) // model.stride_px) * model.stride_px
    image = torch.ones(1, 1, model.stride_px, side, dtype=torch.float64, requires_grad=True)
    first = side // 2 // model.stride_px * model.stride_px
    reach = 0
    for x in range(first, first + model.stride_px):
        (gradient,) = torch.autograd.grad(model(image)[0, 0, 0, x], image)
        seen = gradient.abs().sum(dim=(0, 1, 2)).nonzero().flatten()
        reach = max(reach, x - int(seen.min()), int(seen.max()) - x)
    assert reach == model.halo_px


def test_parameters_of_the_paper() -> None:
    """The count that the widely used Keras port of the paper's network prints: 31,031,685.

    Less its 3x3 convolution to two channels and its 1x1 head (1,157 parameters), with our head
    (64 x 2 weights), and without the biases (5,888 of convolutions, 960 of up-convolutions).
    """
    model = UNet(1, 2, width=64, depth=4, up="transposed")
    weights = sum(p.numel() for p in model.parameters() if p.ndim == 4)
    assert weights == 31_031_685 - 1_157 + 64 * 2 - 5_888 - 960


def test_small_is_width_sixteen() -> None:
    assert MODELS["unet-small"] is unet_small
    assert unet_small(3, 1).head.in_channels == 16


@pytest.mark.parametrize("bad", [{"up": "nearest"}, {"depth": 0}, {"width": 0}])
def test_bad_arguments_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must be"):
        UNet(3, 1, **bad)
