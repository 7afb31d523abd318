"""A network with its pre- and post-processing: uint8 image in, uint8 class ids out.

This is what every export carries, so that no backend can disagree with another about
normalisation, padding or thresholds.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unetfast.errors import ConfigError
from unetfast.spec import ModelSpec

__all__ = ["Deployable"]


class Deployable(nn.Module):
    """Wrap a network so that it takes pixels and answers class ids.

    Parameters
    ----------
    model : nn.Module
        (N, C, H, W) to (N, K, H, W) logits, H and W multiples of ``spec.stride_px``.
    spec : ModelSpec
        Normalisation, stride, task, threshold, and what to answer (``spec.output``).
    """

    def __init__(self, model: nn.Module, spec: ModelSpec) -> None:
        super().__init__()
        self.model = model
        self.spec = spec
        mean = torch.tensor(spec.preprocess.mean, dtype=torch.float64)
        std = torch.tensor(spec.preprocess.std, dtype=torch.float64)
        if (std <= 0).any():
            raise ConfigError(f"std must be positive; got {spec.preprocess.std}")
        # (x / 255 - mean) / std as one product and one sum.
        scale, shift = (1 / (255 * std)).float(), (-mean / std).float()
        if (scale == scale[0]).all() and (shift == shift[0]).all():
            scale, shift = scale[:1], shift[:1]  # onnxruntime is 30 times faster on one number than on three
        self.register_buffer("scale", scale.view(1, -1, 1, 1))
        self.register_buffer("shift", shift.view(1, -1, 1, 1))
        # sigmoid(z) > t is z > log(t / (1 - t)): no exponential per pixel.
        self.cut = math.log(spec.threshold / (1 - spec.threshold)) if spec.task == "binary" else 0.0

    def forward(self, images: Tensor) -> Tensor:
        """Segment a batch.

        Parameters
        ----------
        images : (N, H, W, C) uint8
            Any N, H, W >= 1.

        Returns
        -------
        (N, H, W) uint8 class ids, or (N, H, W, K) float32 probabilities
            As ``spec.output`` says; K is 1 for binary.
        """
        return self.answer(self.logits(images))

    def logits(self, images: Tensor) -> Tensor:
        """Return (N, K, H, W) float32 logits of (N, H, W, C) uint8 images."""
        height, width = images.shape[1], images.shape[2]
        # The cast stands before the transpose: TensorRT's parser rejects a transposed uint8.
        x = images.to(torch.float32).permute(0, 3, 1, 2)
        x = x * self.get_buffer("scale") + self.get_buffer("shift")
        stride = self.spec.stride_px
        # Not (-width) % stride: TensorRT cannot see that it is never negative, and refuses to resize.
        right, below = ((stride - size % stride) % stride for size in (width, height))
        x = F.pad(x, (0, right, 0, below), mode="replicate")
        # Networks in half precision cast for themselves (export.precision); a threshold is not forgiving,
        # so what comes before and after stays in float32.
        logits: Tensor = self.model(x)
        return logits.to(torch.float32)[:, :, :height, :width]

    def answer(self, logits: Tensor) -> Tensor:
        """Turn (N, K, H, W) float32 logits into what ``spec.output`` asks for."""
        if self.spec.output == "prob":
            prob = logits.sigmoid() if self.spec.task == "binary" else logits.softmax(dim=1)
            return prob.permute(0, 2, 3, 1)
        if self.spec.task == "binary":
            return (logits[:, 0] > self.cut).to(torch.uint8)
        # By way of float: TensorRT casts no int64 to uint8.
        return logits.argmax(dim=1).to(torch.float32).to(torch.uint8)
