"""Whole images through a backend, in tiles where they are large."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetfast.backends.base import Backend
from unetfast.preprocess import fit, labels_of, unfit

__all__ = ["Predict", "label_predictor", "predictor"]

Predict = Callable[[NDArray[np.uint8]], NDArray[Any]]


def predictor(backend: Backend, tile_px: int = 1024) -> Predict:
    """Return a function from a whole image to the backend's whole answer, tiled where it is large.

    From (H, W, C) uint8, that is, to (H, W) uint8 class ids or (H, W, K) float32 probabilities.
    """

    def predict(image: NDArray[np.uint8]) -> NDArray[Any]:
        pieces = fit(image, backend.spec, tile_px)
        answers = [backend.infer(np.ascontiguousarray(array)[None])[0] for _, array in pieces]
        return unfit(answers, [tile for tile, _ in pieces], (image.shape[0], image.shape[1]))

    return predict


def label_predictor(backend: Backend, tile_px: int = 1024) -> Predict:
    """Return a function from a whole image, (H, W, C) uint8, to its class ids, (H, W) uint8.

    What :func:`predictor` answers, probabilities turned into class ids as the backend's spec says.
    """
    answer = predictor(backend, tile_px)
    return lambda image: labels_of(answer(image), backend.spec)
