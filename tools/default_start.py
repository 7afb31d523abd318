"""What a further training of the bundled model starts from: an exported network, its context fitted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from unetfast.models.fast import Context, FastNet, RepConv
from unetfast.train.settings import TrainSettings
from unetfast.train.start import read


def normalised(images: Tensor) -> Tensor:
    """Normalise (N, H, W, 3) uint8 as the spec says: (x / 255 - 0.5) / 0.25, NCHW channels_last."""
    return (images.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25


def released(path: Path, images: Sequence[NDArray[np.uint8]], context: int) -> FastNet:
    """Take up a model's weights; the batch norms of an export settle on `images`, (H, W, 3) uint8.

    Its context gets `context` channels: a model without one gets one that changes nothing yet, and of a wider
    one those channels are kept that say most.
    """
    start = read(TrainSettings(weights=str(path)))
    shown = normalised(torch.from_numpy(np.stack(images)))
    own = start.spec.arch_args
    net = FastNet(3, 1, **own)
    if start.fused:
        net.load_fused(start.state, shown)
    else:
        net.load_state_dict(start.state)
    if own.get("context") == context:
        return net
    grown = FastNet(3, 1, **{**own, "context": context})
    for before, after in zip(_layers(net), _layers(grown), strict=True):
        after.load_state_dict(before.state_dict())
    if own.get("context"):
        _narrow(_context(net), _context(grown), shown, net)
    else:
        _settle_on(grown, shown)
    return grown.eval()


def _layers(net: FastNet) -> list[nn.Module]:
    """List the layers that have weights, from first to last, without those of a context."""
    inside = {layer for part in net.modules() if isinstance(part, Context) for layer in part.modules()}
    kinds = (RepConv, nn.Conv2d)
    return [layer for layer in net.modules() if isinstance(layer, kinds) and layer not in inside]


def _context(net: FastNet) -> Context:
    return next(part for part in net.modules() if isinstance(part, Context))


@torch.no_grad()
def _narrow(wide: Context, slim: Context, images: Tensor, net: FastNet) -> None:
    """Keep the channels of a context that say most on `images`, (N, 3, H, W) float32."""
    spread: list[Tensor] = []
    hooks = [
        conv.register_forward_hook(lambda _, __, out: spread.append(out.std((0, 2, 3))))
        for conv in wide.convs
    ]
    net.eval()(images)
    for hook in hooks:
        hook.remove()
    first, second = (conv for conv in wide.convs if isinstance(conv, RepConv))
    new_first, new_second = (conv for conv in slim.convs if isinstance(conv, RepConv))
    inner = new_first.kernel3.shape[0]
    last = (wide.widen.weight[..., 0, 0].norm(dim=0) * spread[1]).topk(inner).indices
    weight = second.kernel()[last].flatten(2).norm(dim=2).norm(dim=0)
    kept = (weight * spread[0]).topk(inner).indices
    _cut(first, new_first, kept, torch.arange(first.kernel3.shape[1]))
    _cut(second, new_second, last, kept)
    slim.widen.weight.copy_(wide.widen.weight[:, last])
    assert slim.widen.bias is not None
    assert wide.widen.bias is not None
    slim.widen.bias.copy_(wide.widen.bias)


def _cut(layer: RepConv, slim: RepConv, outside: Tensor, inside: Tensor) -> None:
    """Give `slim` the kernels of `layer` from the channels `inside` to the channels `outside`."""
    slim.kernel1.zero_()
    identity = functional.pad(slim.get_buffer("identity"), (1, 1, 1, 1))
    slim.kernel3.copy_(layer.kernel()[outside][:, inside] - identity)
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(slim.norm, name).copy_(getattr(layer.norm, name)[outside])


@torch.no_grad()
def _settle_on(net: FastNet, images: Tensor) -> None:
    """Give the context's fresh batch norms the statistics of `images`, (N, 3, H, W) float32."""
    net.eval()
    fresh = [
        layer
        for part in net.modules()
        if isinstance(part, Context)
        for layer in part.modules()
        if isinstance(layer, nn.BatchNorm2d)
    ]
    for norm in fresh:  # one after the other: each is shown what those before it give
        norm.momentum = 1.0
        norm.train()
        net(images)
        norm.eval()
        norm.momentum = 0.1
