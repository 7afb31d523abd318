"""Segment images with U-Nets and act on the result, fast.

>>> import unetfast
>>> model = unetfast.load("crack")                              # doctest: +SKIP
>>> mask = model.segment(image)                                 # doctest: +SKIP
>>> clean = unetfast.inpaint(image, mask, window_px=15)         # doctest: +SKIP
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from unetfast import errors

if TYPE_CHECKING:
    from unetfast import imaging
    from unetfast.inpainting import inpaint
    from unetfast.segment import Segmenter, load

__version__ = "0.1.0"
__all__ = ["Segmenter", "__version__", "errors", "imaging", "inpaint", "load"]

# These libraries would report their use to their makers; onnxruntime, from 1.29 on on Linux too, keeps a file
# about it in the home folder. They read this when they are imported; whoever has set a variable decides.
for _off, _value in {
    "ORT_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}.items():
    os.environ.setdefault(_off, _value)

# Imported at first use: `unetfast --help` must not pay for NumPy.
_LAZY = {"inpaint": "unetfast.inpainting", "load": "unetfast.segment", "Segmenter": "unetfast.segment"}
_LAZY_MODULES = {"imaging"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _LAZY_MODULES:
        return importlib.import_module(f"unetfast.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
