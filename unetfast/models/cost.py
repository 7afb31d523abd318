"""What a network costs: parameters and operations."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from unetfast.models import MODELS

__all__ = ["cost"]


def cost(
    arch: str, in_channels: int, out_channels: int, imgsz: int, arch_args: dict[str, Any]
) -> tuple[int, float]:
    """Count the parameters and operations of a network as it is deployed.

    Parameters
    ----------
    arch : str
        A key of ``unetfast.models.MODELS``.
    in_channels, out_channels : int
        Image channels in, logits out.
    imgsz : int
        Side in pixels of the square input that is counted.
    arch_args : dict
        Keyword arguments of the network.

    Returns
    -------
    parameters : int
        Trainable numbers; re-parameterisable blocks are counted fused.
    gflops : float
        10^9 operations of one image's convolutions, a multiply-add counted as two.
    """
    model = MODELS[arch](in_channels, out_channels, **arch_args).eval()
    fused = getattr(model, "fused", None)
    if fused is not None:
        model = fused()
    side = -(-imgsz // model.stride_px) * model.stride_px
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, in_channels, side, side))
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() / 1e9
