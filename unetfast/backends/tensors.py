"""What goes into a backend and what comes out, checked in one place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import BackendError, InputError
from unetfast.spec import ModelSpec

__all__ = ["check_answer", "check_images"]


def check_images(images: NDArray[np.uint8], spec: ModelSpec) -> NDArray[np.uint8]:
    """Return `images` contiguous.

    Raises
    ------
    InputError
        When they are not (N, H, W, C) uint8 with the channels of `spec`, or hold no pixel.
    """
    channels = spec.preprocess.channels
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 4:
        got = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else type(images).__name__
        raise InputError(f"images must be (N, H, W, {channels}) uint8; got {got}")
    if images.shape[3] != channels:
        raise InputError(f"this model takes {channels} channels; got images of shape {images.shape}")
    if 0 in images.shape:
        raise InputError(f"images must hold at least one pixel; got shape {images.shape}")
    return np.ascontiguousarray(images)


def check_answer(
    answer: Any, images: NDArray[np.uint8], spec: ModelSpec
) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Return `answer` if it has the shape and dtype that `spec` promises; else raise BackendError."""
    n, h, w, _ = images.shape
    mask = spec.output == "mask"
    shape = (n, h, w) if mask else (n, h, w, spec.logit_channels)
    dtype = np.uint8 if mask else np.float32
    if not isinstance(answer, np.ndarray) or answer.shape != shape or answer.dtype != dtype:
        got = f"{answer.dtype} {answer.shape}" if isinstance(answer, np.ndarray) else type(answer).__name__
        raise BackendError(f"the model should answer {np.dtype(dtype)} {shape}; it gave {got}")
    return answer
