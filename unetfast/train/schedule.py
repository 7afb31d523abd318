"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math

__all__ = ["learning_rate"]


def learning_rate(step: int, total: int, *, peak: float, warmup: int, kind: str) -> float:
    """Return the learning rate of a step.

    Parameters
    ----------
    step : int
        0 .. total - 1.
    total : int
        Steps of the whole training.
    peak : float
        Reached after the warm-up.
    warmup : int
        Steps of linear rise, never more than half the training.
    kind : {"cosine", "poly", "constant"}
        What follows: half a cosine down to 1 % of the peak; a fall with power 0.9, as in DeepLab
        (Chen et al. 2017); or the peak to the end.
    """
    warmup = min(warmup, total // 2)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    done = (step - warmup) / max(1, total - warmup)  # [0, 1)
    if kind == "cosine":
        return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
    if kind == "poly":
        return float(peak * max(0.0, 1 - done) ** 0.9)
    return peak
