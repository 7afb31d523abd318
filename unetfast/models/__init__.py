"""Networks: one file each, one line here each.

A network is a ``torch.nn.Module`` built as ``MODELS[arch](in_channels, out_channels, **arch_args)``;
it takes (N, C, H, W) float32 whose H and W are multiples of ``stride_px`` and gives
(N, K, H, W) float32 logits. ``stride_px`` and ``halo_px`` are attributes of the instance.
"""

from __future__ import annotations

from unetfast.registry import Registry

__all__ = ["MODELS"]

MODELS = Registry(
    "model",
    {
        "unet": "unetfast.models.unet:UNet",
        "unet-small": "unetfast.models.unet:unet_small",
        "fast": "unetfast.models.fast:FastNet",
        "fast-fine": "unetfast.models.fast_fine:fast_fine",
    },
)
