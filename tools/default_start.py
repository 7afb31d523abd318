"""What a further training of the bundled model starts from: a trained network, its finest level slimmed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import qr
from torch import Tensor, nn
from torch.nn import functional

from unetfast.models.fast import FastNet, RepConv
from unetfast.train.settings import TrainSettings
from unetfast.train.start import read

SAMPLES = 40_000  # positions that the kept channels are chosen and fitted on


def normalised(images: Tensor) -> Tensor:
    """Normalise (N, H, W, 3) uint8 as the spec says: (x / 255 - 0.5) / 0.25, NCHW channels_last."""
    return (images.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25


def released(path: Path, images: Sequence[NDArray[np.uint8]], arch_args: Mapping[str, Any]) -> FastNet:
    """Take up a model's weights for a network of `arch_args`.

    The batch norms of an export settle on `images`, (H, W, 3) uint8. A network with fewer channels at the
    finest level than the model keeps those that the others follow from best, see :func:`_slim`; all else
    must be the same, but for the views and the sharpening, which have no weights.
    """
    start = read(TrainSettings(weights=str(path)))
    shown = normalised(torch.from_numpy(np.stack(images)))
    own = {**start.spec.arch_args, **{name: arch_args[name] for name in ("views", "sharpened")}}
    net = FastNet(3, 1, **own)
    if start.fused:
        net.load_fused(start.model_state, shown)
    else:
        net.load_state_dict(start.model_state)
    if own["widths"][0] > arch_args["widths"][0]:
        net = _slim(net.eval(), FastNet(3, 1, **arch_args), shown)
    return net.eval()


@torch.no_grad()
def _slim(wide: FastNet, slim: FastNet, images: Tensor) -> FastNet:
    """Give `slim` the weights of `wide`, without a part of the channels of its finest level.

    The channels kept are those that predict the others best, linearly, weighted by what the next layers make
    of them; what the next layers made of the others is added to what they make of these. (J.-H. Luo et al.,
    "ThiNet", ICCV 2017, section 3.2, with a pivoted QR for the choice.)
    """
    stem, skip = (layer for layer in wide.down[0] if isinstance(layer, RepConv))
    entry, up = wide.down[1].get_submodule("0"), wide.up[0].get_submodule("0")
    assert isinstance(entry, RepConv)
    assert isinstance(up, RepConv)
    seen = _inputs({"skip": skip, "entry": entry, "up": up, "head": wide.head}, wide, images)
    keep = slim.head.in_channels
    first = _Kept(keep, [(seen["skip"], skip.kernel())])
    # The decoder adds to what the encoder skipped, so both have the same channels.
    middle = _Kept(keep, [(seen["entry"], entry.kernel()), (seen["up"], up.kernel())])
    last = _Kept(keep, [(seen["head"], wide.head.weight)])

    state = dict(wide.state_dict())
    _put(state, "down.0.0", stem, first.channels, None)
    _put(state, "down.0.1", skip, middle.channels, first.of(0))
    _put(state, "down.1.0", entry, None, middle.of(0))
    _put(state, "up.0.0", up, last.channels, middle.of(1))
    for name in ("narrow.0.weight", "narrow.0.bias"):
        state[name] = state[name][middle.channels]
    state["head.weight"], offset = last.of(0)(wide.head.weight)
    state["head.bias"] = state["head.bias"] + offset
    slim.load_state_dict(state)
    return slim


def _inputs(layers: Mapping[str, nn.Module], net: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Show `images` to a network and give what its `layers` were shown, (positions, channels) float64."""
    seen: dict[str, list[Tensor]] = {name: [] for name in layers}

    def keeper(name: str) -> Callable[[nn.Module, tuple[Tensor]], None]:
        def keep(_: nn.Module, args: tuple[Tensor]) -> None:
            seen[name].append(args[0].movedim(1, -1).flatten(0, -2).double())

        return keep

    hooks = [layer.register_forward_pre_hook(keeper(name)) for name, layer in layers.items()]
    net(images)
    for hook in hooks:
        hook.remove()
    chosen = torch.Generator().manual_seed(0)
    whole = {name: torch.cat(parts) for name, parts in seen.items()}
    return {name: rows[torch.randperm(len(rows), generator=chosen)[:SAMPLES]] for name, rows in whole.items()}


class _Kept:
    """The channels kept of one set, and how the others follow from them in each place that reads the set."""

    def __init__(self, keep: int, readers: Sequence[tuple[Tensor, Tensor]]) -> None:
        weighted = []
        for seen, kernel in readers:
            felt = kernel.double().pow(2).sum((0, 2, 3)).sqrt()
            part = (seen - seen.mean(0)) * felt
            weighted.append(part / part.norm())
        order = qr(torch.cat(weighted).numpy(), mode="r", pivoting=True)[1]
        self.channels = torch.from_numpy(np.sort(order[:keep]))
        self.others = torch.from_numpy(np.sort(order[keep:]))
        self.fits = [self._fit(seen) for seen, _ in readers]

    def _fit(self, seen: Tensor) -> Tensor:
        known = torch.cat([seen[:, self.channels], torch.ones(len(seen), 1, dtype=seen.dtype)], 1)
        return torch.linalg.lstsq(known, seen[:, self.others]).solution  # (keep + 1, others)

    def of(self, reader: int) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """Give what turns a reader's kernel into one of the kept channels, and its constant."""

        def fold(kernel: Tensor) -> tuple[Tensor, Tensor]:
            lost = kernel[:, self.others].double()
            moved = torch.einsum("oiyx,ki->okyx", lost, self.fits[reader])
            fitted = kernel[:, self.channels].double() + moved[:, :-1]
            return fitted.to(kernel.dtype), moved[:, -1].sum((1, 2)).to(kernel.dtype)

        return fold


def _put(
    state: dict[str, Tensor],
    name: str,
    layer: RepConv,
    outside: Tensor | None,
    fold: Callable[[Tensor], tuple[Tensor, Tensor]] | None,
) -> None:
    """Replace a layer's weights by those of its kept channels."""
    kernel, offset = fold(layer.kernel()) if fold else (layer.kernel(), torch.zeros(len(layer.kernel())))
    rows = torch.arange(len(kernel)) if outside is None else outside
    kernel = kernel[rows]
    own = RepConv(kernel.shape[1], kernel.shape[0], stride=layer.stride)
    state[f"{name}.kernel1"] = torch.zeros_like(own.kernel1)
    state[f"{name}.kernel3"] = kernel - functional.pad(own.get_buffer("identity"), (1, 1, 1, 1))
    for part in ("weight", "bias", "running_mean", "running_var"):
        state[f"{name}.norm.{part}"] = state[f"{name}.norm.{part}"][rows]
    state[f"{name}.norm.running_mean"] = state[f"{name}.norm.running_mean"] - offset[rows]
