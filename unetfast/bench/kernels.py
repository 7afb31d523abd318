"""The inpainting kernel against its rivals."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import UnetfastError
from unetfast.inpainting import METHODS, inpaint

__all__ = ["bench_inpainting"]

_SIZES = {"1 MP": (1000, 1000), "12 MP": (3000, 4000)}
_SHARE = 0.02  # of the pixels are masked
_SLOW = {"reference", "ns"}  # only at the small size


def bench_inpainting(repeats: int, threads: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Time every inpainting method on RGB images with a crack-like mask.

    Returns
    -------
    list of dict
        One per size and method: ``ms`` (the median), ``mpx_s``, ``status``.
    """
    rows = []
    for size, (height, width) in _SIZES.items():
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        mask = crack_mask(height, width)
        names = [name for name in METHODS if size == "1 MP" or name not in _SLOW]
        say(f"inpainting {size}, {100 * mask.mean():.1f} % masked: {', '.join(names)}")
        spent: dict[str, list[float]] = {name: [] for name in names}
        status = dict.fromkeys(names, "ok")
        for _ in range(repeats + 1):
            for name in names:
                if status[name] != "ok":
                    continue
                try:
                    begun = time.perf_counter()
                    inpaint(image, mask, 15, method=name, threads=threads)
                    spent[name].append(1e3 * (time.perf_counter() - begun))
                except UnetfastError as exc:
                    status[name] = str(exc)
        for name in names:
            ms = float(np.median(spent[name][1:])) if status[name] == "ok" else None  # the first warms up
            speed = height * width / 1e3 / ms if ms else None
            rows.append({"size": size, "method": name, "status": status[name], "ms": ms, "mpx_s": speed})
    return rows


def crack_mask(height: int, width: int) -> NDArray[np.bool_]:
    """Draw wandering lines 7 px wide until about 2 % are masked."""
    rng = np.random.default_rng(1)
    mask = np.zeros((height, width), bool)
    rows = np.arange(-3, 4)
    while mask.mean() < _SHARE:
        y = np.clip(np.cumsum(rng.integers(-1, 2, width)) + rng.integers(height), 3, height - 4)
        for row in rows:
            mask[y + row, np.arange(width)] = True
    return mask
