"""Losses that compare regions: soft Dice, Tversky, Lovász.

Sums run over the whole batch, not over each image: a crop without foreground then weighs as little
as its few false positives, where a Dice of its own would be 0 / 0 or close to it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from unetfast.spec import IGNORE

__all__ = ["dice", "lovasz", "tversky"]


def dice(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """1 - soft Dice, the mean over classes (binary: of the foreground).

    See :mod:`unetfast.losses` for the arguments. It is Tversky's with both kinds of error
    weighing one half.

    References
    ----------
    F. Milletari, N. Navab, S.-A. Ahmadi, "V-Net", 3DV 2016, https://arxiv.org/abs/1606.04797
    """
    return tversky(logits, target, weight, false_positive=0.5, false_negative=0.5)


def tversky(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    false_positive: float = 0.3,
    false_negative: float = 0.7,
) -> Tensor:
    """1 - Tversky index, the mean over classes; missing foreground costs more than inventing it.

    See :mod:`unetfast.losses` for the arguments. Numerator and denominator have 0.5 added (a Dice
    with the usual 1), so that an absent class that is not predicted costs nothing.

    References
    ----------
    S. S. M. Salehi, D. Erdogmus, A. Gholipour, "Tversky loss function for image segmentation
    using 3D fully convolutional deep networks", 2017, https://arxiv.org/abs/1706.05721
    """
    probability, truth = soft_and_true(logits, target)
    axes = (0, 2, 3)
    hit = (probability * truth).sum(axes)
    # probability (1 - truth) and (1 - probability) truth, without two more arrays of the batch's size.
    invented, missed = probability.sum(axes) - hit, truth.sum(axes) - hit
    # An ignored pixel has probability 0 and truth 0, so it is in none of the three.
    index = (hit + 0.5) / (hit + false_positive * invented + false_negative * missed + 0.5)
    return _class_mean(1 - index, weight)


def lovasz(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Lovász extension of the Jaccard loss: hinge for binary tasks, softmax over classes otherwise.

    See :mod:`unetfast.losses` for the arguments. With several classes, the mean is over those
    present in the batch.

    References
    ----------
    M. Berman, A. R. Triki, M. B. Blaschko, "The Lovász-Softmax loss: a tractable surrogate for
    the optimization of the intersection-over-union measure in neural networks", CVPR 2018,
    https://arxiv.org/abs/1705.08790
    """
    keep = target != IGNORE
    truth, classes = target[keep].long(), logits.shape[1]
    rows = logits.permute(0, 2, 3, 1)[keep]  # (P, K)
    if not len(truth):
        return logits.sum() * 0
    if classes == 1:
        sign = 2.0 * truth - 1.0
        return _lovasz_sum(functional.relu(1 - rows[:, 0] * sign), truth)
    probability = rows.softmax(dim=1)
    present = torch.bincount(truth, minlength=classes).nonzero().flatten()
    losses = torch.stack(
        [_lovasz_sum((truth == c).to(rows.dtype).sub(probability[:, c]).abs(), truth == c) for c in present]
    )
    return _class_mean(losses, None if weight is None else weight[present])


def _lovasz_sum(errors: Tensor, truth: Tensor) -> Tensor:
    """Errors, largest first, times the growth of the Jaccard loss as each joins the mistaken set."""
    ordered, order = errors.sort(descending=True, stable=True)
    true = truth[order].to(errors.dtype)
    intersection = true.sum() - true.cumsum(0)
    union = true.sum() + (1 - true).cumsum(0)
    jaccard = 1 - intersection / union
    growth = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
    return torch.dot(ordered, growth)


def soft_and_true(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities and one-hot truth, (N, K, H, W) each, both 0 where ignored.

    A binary task gives one channel, the foreground.
    """
    keep = (target != IGNORE).unsqueeze(1)
    classes = logits.shape[1]
    if classes == 1:
        return logits.sigmoid() * keep, (target == 1).unsqueeze(1).to(logits.dtype)
    ids = torch.arange(classes, device=target.device).view(1, classes, 1, 1)
    return logits.softmax(dim=1) * keep, (target.unsqueeze(1) == ids).to(logits.dtype)


def _class_mean(losses: Tensor, weight: Tensor | None) -> Tensor:
    # A binary task's only region is the foreground: weights between classes do not apply.
    if weight is None or len(losses) == 1:
        return losses.mean()
    shares = weight.to(losses.dtype)
    return (losses * shares).sum() / shares.sum().clamp(min=1e-12)
