"""Losses: one line here each; any sum of them has a name too, such as ``bce+dice+cldice``.

A loss is a function ``loss(logits, target, weight=None)``:

- logits : (N, K, H, W) float; K = 1 is a binary task (one logit, sigmoid), else softmax over K;
- target : (N, H, W) uint8 or int64 class ids, 255 where the pixel shall not count;
- weight : (C,) float of each class, C = 2 for a binary task, else K; None weighs all the same;
- returns a scalar Tensor >= 0 with a gradient; 0 where no pixel counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from unetfast.errors import ConfigError
from unetfast.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LOSSES", "Loss", "loss_function"]


class Loss(Protocol):
    """What every entry of :data:`LOSSES` is."""

    def __call__(self, logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Compute the loss of a batch."""
        ...


LOSSES = Registry(
    "loss",
    {
        "bce": "unetfast.losses.pixel:cross_entropy",
        "ce": "unetfast.losses.pixel:cross_entropy",
        "focal": "unetfast.losses.pixel:focal",
        "dice": "unetfast.losses.overlap:dice",
        "tversky": "unetfast.losses.overlap:tversky",
        "lovasz": "unetfast.losses.overlap:lovasz",
        "cldice": "unetfast.losses.centreline:cldice",
    },
)


_OF_PIXELS = frozenset(["bce", "ce", "focal"])


def loss_function(name: str, classes: int, *, weighted: bool = False) -> Loss:
    """Look up a loss, or the sum of several.

    Parameters
    ----------
    name : str
        Keys of :data:`LOSSES` joined by ``+``; or "auto": ``bce+dice`` for two classes,
        ``ce+dice`` for more.
    classes : int
        Number of classes of the task.
    weighted : bool
        Classes are to be weighted.

    Raises
    ------
    ConfigError
        For an unknown name, ``bce`` with more than two classes, or weights that would change nothing:
        of two classes the losses of regions look at the foreground alone.
    """
    if name == "auto":
        name = "bce+dice" if classes == 2 else "ce+dice"
    words = [word.strip() for word in name.split("+")]
    if "bce" in words and classes > 2:
        raise ConfigError(f"loss {name!r} is for two classes and the data has {classes}; use ce in its place")
    if weighted and (set(words) == {"cldice"} or (classes == 2 and not _OF_PIXELS & set(words))):
        other = "bce" if classes == 2 else "ce"
        raise ConfigError(f"class_weights change nothing in loss {name!r}; add {other} or focal to it")
    parts: list[Any] = [LOSSES[word] for word in words]

    def total(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        summed: Tensor = sum(part(logits, target, weight) for part in parts)
        return summed

    return total
