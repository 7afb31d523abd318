"""What is photographed for cracks: drawn surfaces, and patches of real photographs without cracks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from unetfast.data.synth.masonry import masonry
from unetfast.data.synth.noise import Field, Rng, chance, log_uniform
from unetfast.data.synth.textures import asphalt, concrete, flaking, marble, plaster, wood

__all__ = ["SURFACES", "patch", "surface"]

# Each with how often it is drawn.
SURFACES: dict[str, tuple[Callable[[Rng, int], Field], float]] = {
    "asphalt": (asphalt, 3.0),
    "concrete": (concrete, 2.5),
    "plaster": (plaster, 2.0),
    "flaking": (flaking, 2.0),
    "masonry": (masonry, 6.5),
    "marble": (marble, 0.4),
    "wood": (wood, 0.4),
}


def surface(rng: Rng, size_px: int, photos: Sequence[NDArray[np.uint8]] = (), share: float = 0.5) -> Field:
    """Draw one surface, (S, S, 3) float32 in [0, 1]; a `share` of them are patches of `photos`, if any."""
    if photos and chance(rng, share):
        return patch(rng, size_px, photos[int(rng.integers(len(photos)))])
    kinds, weights = zip(*SURFACES.values(), strict=True)
    kind = kinds[int(rng.choice(len(kinds), p=np.array(weights) / sum(weights)))]
    return np.asarray(np.clip(kind(rng, size_px), 0, 1))


def patch(rng: Rng, size_px: int, photo: NDArray[np.uint8]) -> Field:
    """Cut a patch of a photograph at a random place, scale, turn and brightness."""
    shortest = min(photo.shape[:2])
    side = int(min(shortest, size_px * log_uniform(rng, 0.5, 2.5)))
    y = int(rng.integers(photo.shape[0] - side + 1))
    x = int(rng.integers(photo.shape[1] - side + 1))
    mode = cv2.INTER_AREA if side > size_px else cv2.INTER_CUBIC
    cut = cv2.resize(photo[y : y + side, x : x + side], (size_px, size_px), interpolation=mode)
    cut = np.rot90(cut, int(rng.integers(4)))
    if chance(rng, 0.5):
        cut = cut[:, ::-1]
    return np.ascontiguousarray(cut, np.float32) / 255.0
