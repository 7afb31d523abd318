"""The default network: fusing changes nothing, and its reach is what it says."""

from __future__ import annotations

import functools

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from unetfast.models import MODELS  # noqa: E402
from unetfast.models.fast import Context, FastNet, RepConv, sharpened  # noqa: E402

SHAPES = [
    {},
    {"widths": (48, 64, 64), "depths": (1, 2, 3), "dilations": (1, 2, 1)},
    {
        "stem_px": 2,
        "widths": (8, 16, 24, 32),
        "depths": (0, 1, 1, 2),
        "up_depths": (0, 1, 2),
        "dilations": (1, 3),
    },
    {"widths": (8, 16), "depths": (2, 1), "up_depths": (3,), "dilations": (1,)},
    {"widths": (48, 64, 64), "depths": (1, 2, 3), "dilations": (1, 2, 1), "context": 32},
    {"stem_px": 2, "widths": (8, 16), "depths": (0, 1), "up_depths": (1,), "dilations": (2,), "context": 8},
    {"widths": (8, 16), "depths": (0, 1), "up_depths": (1,), "dilations": (2,), "views": 2},
    {
        **{"widths": (32, 64, 64), "depths": (1, 2, 3), "dilations": (1, 2, 1)},
        **{"context": 8, "views": 3, "sharpened": True},
    },
]


def settled(**arguments: object) -> FastNet:
    """Build a network whose batch norms have seen data, so that folding them is not trivial."""
    torch.manual_seed(0)
    net = FastNet(3, 2, **arguments)  # type: ignore[arg-type]
    for _ in range(3):
        net(torch.randn(4, 3, 2 * net.stride_px, 3 * net.stride_px))
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.weight, 1, 0.3)
            torch.nn.init.normal_(layer.bias, 0, 0.3)
        if isinstance(layer, Context):
            torch.nn.init.normal_(layer.widen.weight, 0, 0.3)
    return net.eval()


@pytest.mark.parametrize("arguments", SHAPES)
@torch.no_grad()
def test_fused_computes_the_same(arguments: dict[str, object]) -> None:
    net = settled(**arguments)
    plain = net.fused()
    assert not any(isinstance(layer, (RepConv, torch.nn.BatchNorm2d)) for layer in plain.modules())
    images = torch.randn(2, 3, 4 * net.stride_px, 3 * net.stride_px)
    logits = net(images)
    assert logits.shape == (2, 2, *images.shape[2:])
    torch.testing.assert_close(plain(images), logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(net(images), logits, rtol=0, atol=0)  # the original is untouched


@pytest.mark.parametrize("arguments", SHAPES)
def test_halo_is_the_measured_reach(arguments: dict[str, object]) -> None:
    """The gradient of one aligned block's logits is zero beyond the halo, and not much nearer."""
    net = settled(**arguments).double()
    for layer in net.modules():  # a ReLU that is off would hide a path
        if isinstance(layer, RepConv):
            torch.nn.init.uniform_(layer.kernel3, 0.001, 0.01)
            torch.nn.init.uniform_(layer.kernel1, 0.001, 0.01)
            layer.norm.reset_running_stats()
            layer.norm.weight.data.fill_(1.0)
            layer.norm.bias.data.fill_(0.01)
    for layer in [*net.narrow, net.head, *(m.widen for m in net.modules() if isinstance(m, Context))]:
        torch.nn.init.uniform_(layer.weight, 0.001, 0.01)
    stride = net.stride_px
    start = net.halo_px + 2 * stride
    side = 2 * start + stride
    images = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    net(images)[..., start : start + stride, start : start + stride].sum().backward()
    assert images.grad is not None
    rows = torch.nonzero(images.grad[0].abs().sum((0, 2)))[:, 0]
    before, after = start - int(rows.min()), int(rows.max()) - (start + stride - 1)
    assert max(before, after) <= net.halo_px < max(before, after) + 2 * stride
    assert net.halo_px % stride == 0


@torch.no_grad()
def test_a_tile_with_its_halo_computes_what_the_whole_computes() -> None:
    net = settled(widths=(8, 16, 16), depths=(1, 1, 2), dilations=(1, 2)).double()
    halo, side = net.halo_px, 2 * net.halo_px + 64
    images = torch.randn(1, 3, side, side, dtype=torch.float64)
    whole = net(images)
    part = net(images[..., 32 : 32 + 2 * halo + 32, :])
    core = slice(32 + halo, 32 + halo + 32)
    torch.testing.assert_close(part[..., halo : halo + 32, :], whole[..., core, :], rtol=0, atol=1e-12)


@torch.no_grad()
def test_sharpening_takes_down_only_what_lies_far_below_a_ridge_nearby() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 4, (2, 3, 24, 16))
    expected = np.empty_like(logits)
    for place in np.ndindex(logits.shape):
        *channel, y, x = place
        rows, columns = (slice(max(0, v // 4 * 4 - 4), v // 4 * 4 + 8) for v in (y, x))
        ridge = logits[(*channel, rows, columns)].max()
        expected[place] = logits[place] - 2 * max(0.0, ridge - 3 - logits[place])
    blocks = sharpened(torch.nn.functional.pixel_unshuffle(torch.from_numpy(logits), 4), 4)
    torch.testing.assert_close(torch.nn.functional.pixel_shuffle(blocks, 4), torch.from_numpy(expected))
    calm = torch.from_numpy(rng.uniform(-1, 1, (1, 16, 2, 2)))
    torch.testing.assert_close(sharpened(calm, 4), calm, rtol=0, atol=0)


@pytest.mark.parametrize("stem_px", [2, 4])
@torch.no_grad()
def test_smaller_views_are_enlarged_bilinearly(stem_px: int) -> None:
    """The convolution that writes blocks computes what torch's own resizing computes, the edges too."""
    shape = {"widths": (8,), "depths": (1,), "up_depths": (), "dilations": (1,)}
    net = settled(**shape, stem_px=stem_px, views=2)
    images = torch.randn(2, 3, 6 * net.stride_px, 4 * net.stride_px)
    resized = functools.partial(torch.nn.functional.interpolate, mode="bilinear", align_corners=False)
    once = settled(**shape, stem_px=stem_px)
    once.load_state_dict(net.state_dict())
    wanted = (once(images) + resized(once(resized(images, scale_factor=0.5)), scale_factor=2.0)) / 2
    torch.testing.assert_close(net(images), wanted)


def test_registered() -> None:
    net = MODELS["fast"](1, 3, widths=(8, 16), depths=(1, 1), up_depths=(1,), dilations=(1,))
    assert net(torch.zeros(1, 1, 16, 24)).shape == (1, 3, 16, 24)


def test_lists_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="one entry a level"):
        FastNet(3, 1, widths=(8, 16))
