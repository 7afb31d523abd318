"""Segment images with U-Nets and act on the result, fast.

>>> import unetfast
>>> model = unetfast.load("crack")                              # doctest: +SKIP
>>> mask = model.segment(image)                                 # doctest: +SKIP
>>> clean = unetfast.inpaint(image, mask, window_px=15)         # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unetfast.inpainting import inpaint
    from unetfast.segment import Segmenter, load

__version__ = "0.1.0"
__all__ = ["Segmenter", "__version__", "inpaint", "load"]

# Imported at first use: `unetfast --help` must not pay for NumPy.
_LAZY = {"inpaint": "unetfast.inpainting", "load": "unetfast.segment", "Segmenter": "unetfast.segment"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
