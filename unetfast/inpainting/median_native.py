"""The masked median in C++ (csrc/median.h)."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from unetfast import _native
from unetfast.errors import ConfigError, InputError

__all__ = ["fill", "isa"]


def fill(
    image: NDArray[Any], mask: NDArray[Any], out: NDArray[Any], window_px: int, dilate_px: int, threads: int
) -> None:
    """Fill the masked pixels of image into out, as ``unetfast.inpainting.methods.METHODS`` says."""
    try:
        _native.inpaint_median(image, mask, out, window_px, dilate_px, threads)
    except ValueError as exc:
        raise InputError(str(exc)) from exc
    except RuntimeError as exc:  # UNETFAST_ISA asks for what this machine lacks
        raise ConfigError(str(exc)) from exc


def isa() -> str:
    """Return the instruction set in use: ``scalar``, ``avx2`` or ``avx512``."""
    return _native.isa()
