"""Losses that are a mean over pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from unetfast.spec import IGNORE

__all__ = ["cross_entropy", "focal"]


def cross_entropy(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy, the mean over the pixels that count; with one logit, binary cross-entropy.

    See :mod:`unetfast.losses` for the arguments. With weights it is the weighted mean (divided by
    the sum of the weights), as ``torch.nn.CrossEntropyLoss`` defines it.
    """
    return _weighted_mean(_pixel_cross_entropy(logits, target), target, weight)


def focal(logits: Tensor, target: Tensor, weight: Tensor | None = None, gamma: float = 2.0) -> Tensor:
    """Cross-entropy times (1 - p) ** gamma, p being the probability of the true class.

    See :mod:`unetfast.losses` for the arguments.

    References
    ----------
    T.-Y. Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017,
    https://arxiv.org/abs/1708.02002
    """
    entropy = _pixel_cross_entropy(logits, target)
    return _weighted_mean((1 - torch.exp(-entropy)) ** gamma * entropy, target, weight)


def _pixel_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """-log p(true class): (N, H, W); 0 where ignored."""
    if logits.shape[1] > 1:
        return functional.cross_entropy(logits, target.long(), ignore_index=IGNORE, reduction="none")
    truth = (target == 1).to(logits.dtype)
    entropy = functional.binary_cross_entropy_with_logits(logits[:, 0], truth, reduction="none")
    return entropy * (target != IGNORE)


def _weighted_mean(values: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    counts = (target != IGNORE).to(values.dtype)
    if weight is not None:
        counts = counts * weight.to(values.dtype)[target.long() * (target != IGNORE)]
    return (values * counts).sum() / counts.sum().clamp(min=1e-12)
