"""clDice: compare thin structures by their centre lines."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from unetfast.losses.overlap import soft_and_true

__all__ = ["cldice", "soft_skeleton"]


def cldice(logits: Tensor, target: Tensor, weight: Tensor | None = None, iterations: int = 10) -> Tensor:
    """1 - soft centreline Dice of the foreground (all classes but 0 taken together).

    See :mod:`unetfast.losses` for the arguments; `weight` does not apply. It fixes where lines run
    and whether they are broken, not how thick they are: add it to another, as ``bce+dice+cldice``.

    Parameters
    ----------
    iterations : int
        Half the width in pixels of the thickest structure.

    References
    ----------
    S. Shit et al., "clDice - a Novel Topology-Preserving Loss Function for Tubular Structure
    Segmentation", CVPR 2021, https://arxiv.org/abs/2003.07311
    """
    del weight
    probability, truth = soft_and_true(logits, target)
    if probability.shape[1] > 1:
        probability, truth = (x[:, 1:].sum(dim=1, keepdim=True) for x in (probability, truth))
    with torch.no_grad():
        thin_truth = soft_skeleton(truth, iterations)
    thin = soft_skeleton(probability, iterations)
    precision = ((thin * truth).sum() + 1) / (thin.sum() + 1)
    recall = ((thin_truth * probability).sum() + 1) / (thin_truth.sum() + 1)
    return 1 - 2 * precision * recall / (precision + recall)


def soft_skeleton(x: Tensor, iterations: int) -> Tensor:
    """Skeleton by repeated soft erosion and opening, differentiable: (N, 1, H, W) in [0, 1], as `x` is.

    Of a hard mask it is the morphological skeleton.
    """
    skeleton = functional.relu(x - _open(x))
    for _ in range(iterations):
        x = _erode(x)
        edge = functional.relu(x - _open(x))
        skeleton = skeleton + functional.relu(edge - skeleton * edge)
    return skeleton


def _erode(x: Tensor) -> Tensor:
    vertical = -functional.max_pool2d(-x, (3, 1), 1, (1, 0))
    horizontal = -functional.max_pool2d(-x, (1, 3), 1, (0, 1))
    return torch.minimum(vertical, horizontal)


def _open(x: Tensor) -> Tensor:
    return functional.max_pool2d(_erode(x), 3, 1, 1)
