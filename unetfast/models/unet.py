"""The classic U-Net, with padded convolutions and batch normalisation."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from unetfast.errors import ConfigError

__all__ = ["UNet", "unet_small"]


class DoubleConv(nn.Sequential):
    """(3x3 convolution, batch norm, ReLU) twice; keeps height and width."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        layers: list[nn.Module] = []
        for channels in (in_channels, out_channels):
            layers += [
                nn.Conv2d(channels, out_channels, 3, padding=1, bias=False),  # batch norm brings the bias
                nn.BatchNorm2d(out_channels),
                nn.ReLU(inplace=True),
            ]
        super().__init__(*layers)


class Up(nn.Module):
    """Double height and width and change the channels: learnt (transposed) or bilinear."""

    def __init__(self, in_channels: int, out_channels: int, up: str) -> None:
        super().__init__()
        self.bilinear = up == "bilinear"
        if self.bilinear:
            self.conv: nn.Module = nn.Conv2d(in_channels, out_channels, 1)
        else:
            self.conv = nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if not self.bilinear:
            return x
        # The 1x1 convolution commutes with interpolation; before it, it costs a quarter.
        return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class UNet(nn.Module):
    """U-Net of Ronneberger, Fischer and Brox (2015).

    Differs from the paper in two things that practice has settled on: convolutions are padded, so
    that the output has the input's size, and each is followed by batch normalisation.

    Parameters
    ----------
    in_channels : int
        Channels of the image.
    out_channels : int
        Logits per pixel: 1 for a binary task, one per class otherwise.
    width : int
        Channels of the first level; each deeper level doubles them. The paper has 64.
    depth : int
        Times the resolution is halved. The paper has 4.
    up : {"bilinear", "transposed"}
        How the decoder doubles the resolution. The paper has "transposed".

    Attributes
    ----------
    stride_px : int
        Height and width of the input must be multiples of it: ``2 ** depth``.
    halo_px : int
        How far an output pixel looks: the largest distance to an input pixel it depends on.

    References
    ----------
    O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for Biomedical Image
    Segmentation", MICCAI 2015, https://arxiv.org/abs/1505.04597
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, width: int = 64, depth: int = 4, up: str = "bilinear"
    ) -> None:
        super().__init__()
        if up not in ("bilinear", "transposed"):
            raise ConfigError(f"up must be one of bilinear, transposed; got {up!r}")
        if width < 1 or not 1 <= depth <= 8:
            raise ConfigError(f"width must be at least 1 and depth in 1 .. 8; got {width} and {depth}")
        widths = [width * 2**level for level in range(depth + 1)]
        self.stem = DoubleConv(in_channels, width)
        self.encoder = nn.ModuleList(DoubleConv(a, b) for a, b in pairwise(widths))
        self.ups = nn.ModuleList(Up(2 * w, w, up) for w in reversed(widths[:-1]))
        self.decoder = nn.ModuleList(DoubleConv(2 * w, w) for w in reversed(widths[:-1]))
        self.head = nn.Conv2d(width, out_channels, 1)
        self.stride_px = 2**depth
        self.halo_px = _halo_px(depth, bilinear=up == "bilinear")
        self.apply(_he_normal)

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits.

        Parameters
        ----------
        image : (N, C, H, W) float32
            Normalised; H and W are multiples of ``stride_px``.

        Returns
        -------
        (N, K, H, W) float32
            Logits.
        """
        x = self.stem(image)
        skips = []
        for block in self.encoder:
            skips.append(x)
            x = block(functional.max_pool2d(x, 2))
        for up, block in zip(self.ups, self.decoder, strict=True):
            x = block(torch.cat([skips.pop(), up(x)], dim=1))
        logits: Tensor = self.head(x)
        return logits


def unet_small(in_channels: int, out_channels: int, **arch_args: Any) -> UNet:
    """Build a U-Net of base width 16: a sixteenth of the classic one's parameters and operations.

    Takes the same keyword arguments as :class:`UNet`.
    """
    return UNet(in_channels, out_channels, **{"width": 16, **arch_args})


def _he_normal(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _halo_px(depth: int, *, bilinear: bool) -> int:
    """Follow the interval of pixels that one output pixel depends on, from the head back to the image."""
    halo = 0
    for phase in range(2**depth):  # it depends on where the pixel lies within the stride
        low = high = phase
        for _ in range(depth):  # up through the decoder, from fine to coarse
            low, high = low - 2, high + 2  # DoubleConv
            low, high = ((low - 1) // 2, (high - 1) // 2 + 1) if bilinear else (low // 2, high // 2)
        low, high = low - 2, high + 2  # the deepest DoubleConv
        for _ in range(depth):  # back through the encoder, from coarse to fine
            low, high = 2 * low - 2, 2 * high + 1 + 2  # max-pool, then DoubleConv
        halo = max(halo, phase - low, high - phase)
    return halo
