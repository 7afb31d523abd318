"""Keeping activations within bounds while the bundled model learns, so that int8 has finer steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from unetfast.models.fast import RepConv

USUAL = 0.999  # share of a layer's activations that lies within its bound
SAMPLES = 20_000  # positions a layer and call that the bound is measured on


class Bounds:
    """The largest usual input of each convolution, and what the present ones lie beyond it.

    The largest activation of a layer sets the step of its int8 scale, and without this it is three to four
    times what all but one of ten thousand are.

    Parameters
    ----------
    model : nn.Module
        Trained; its present activations say what is usual.
    shown : sequence of (N, C, H, W) float32
        Normalised images to measure them on.
    """

    def __init__(self, model: nn.Module, shown: Sequence[Tensor]) -> None:
        layers = [layer for layer in model.modules() if isinstance(layer, (RepConv, nn.Conv2d))]
        seen: list[list[Tensor]] = [[] for _ in layers]
        hooks = [
            layer.register_forward_pre_hook(_keeper(kept)) for layer, kept in zip(layers, seen, strict=True)
        ]
        with torch.no_grad():
            for images in shown:
                model(images)
        for hook in hooks:
            hook.remove()
        self._beyond: list[Tensor] = []
        for layer, kept in zip(layers, seen, strict=True):
            values = torch.cat(kept)
            bound = float(values.kthvalue(max(1, int(USUAL * len(values)))).values)
            if bound > 0:
                layer.register_forward_pre_hook(self._measure(bound))

    def _measure(self, bound: float) -> Callable[[nn.Module, tuple[Tensor]], None]:
        def measure(_: nn.Module, args: tuple[Tensor]) -> None:
            self._beyond.append((args[0].abs() / bound - 1).relu().square().mean())

        return measure

    def beyond(self) -> Tensor:
        """Sum over the layers run since the last call: the mean square of what lies beyond, in bounds."""
        total = torch.stack(self._beyond).sum()
        self._beyond.clear()
        return total


def _keeper(kept: list[Tensor]) -> Callable[[nn.Module, tuple[Tensor]], None]:
    def keep(_: nn.Module, args: tuple[Tensor]) -> None:
        flat = args[0].abs().flatten()
        kept.append(flat[:: max(1, len(flat) // SAMPLES)])

    return keep
