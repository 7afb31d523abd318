"""The crops that the bundled model is trained on, by number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import cv2
import numpy as np
import torch
from default_data import Pair, RealData, crop, laid
from numpy.typing import NDArray
from torch import Tensor

from unetfast.data.synth import Subject

SIDE_PX = 256
SCENE_PX = 320
HELD = 200  # of the drawn pictures of each kind, for validation
SCALES = (0.5, 3.2)  # of what is seen from any distance; tiles of 256 px have nothing to show at 3
_T = TypeVar("_T")


class Batches:
    """Batches of `size` crops by number: the n-th of a rank depends on the seed, n and the rank alone."""

    def __init__(
        self,
        seed: int,
        size: int,
        real: RealData,
        drawn: Mapping[Subject, list[Pair]],
        hard: list[Pair],
        verges: list[tuple[Pair, NDArray[np.int64]]],
    ) -> None:
        self.seed, self.size, self.real, self.hard, self.verges = seed, size, real, hard, verges
        self.drawn = {subject: pairs[HELD:] for subject, pairs in drawn.items()}
        self.held = {subject: pairs[:HELD:2] for subject, pairs in drawn.items()}

    def batch(self, number: int, rank: int) -> tuple[Tensor, Tensor]:
        """Make (N, H, W, 3) uint8 images and (N, H, W) uint8 labels."""
        rng = np.random.default_rng([self.seed, 77, number, rank])
        pairs = [self._one(rng) for _ in range(self.size)]
        images = np.stack([_relit(rng, image) for image, _ in pairs])
        return torch.from_numpy(images), torch.from_numpy(np.stack([truth for _, truth in pairs]))

    def _one(self, rng: np.random.Generator) -> Pair:
        """Take a real crack, one of a road, one laid elsewhere, a counter-example, or something drawn."""
        shares = (0.2, 0.05, 0.16, 0.36, 0.08, 0.15) if self.hard else (0.18, 0.04, 0.2, 0.12, 0.06, 0.4)
        kind = ("real", "road", "laid", "counter", "scenery", "drawn")[int(rng.choice(6, p=shares))]
        if kind == "real":
            return crop(rng, _any(rng, self.real.cracks), SIDE_PX)
        if kind == "road":
            return crop(rng, _any(rng, self.real.road_cracks), SIDE_PX, scales=SCALES)
        if kind == "counter":
            if rng.random() < 0.06:
                return crop(rng, _any(rng, self.real.walls), SIDE_PX, scales=SCALES)
            mistakes = bool(self.hard) and rng.random() < 0.6
            if mistakes and self.verges and rng.random() < 0.4:
                scene, places = _any(rng, self.verges)
                return crop(rng, scene, SIDE_PX, scales=SCALES, places=places)
            # Also what lies at a scene's edges: verges, shadows, other cars.
            return crop(rng, _any(rng, self.hard if mistakes else self.real.roads), SIDE_PX, 0.03, SCALES)
        if kind == "scenery":
            return _window(rng, self.drawn["scenery"], 128)
        rough = rng.random() < 0.45
        scene = _window(rng, self.drawn["rough road" if rough else "surface"], 128 if rough else 170)
        if kind == "drawn":
            return scene
        if rng.random() < 0.4:
            bare = _any(rng, self.real.clean)
            scene = crop(rng, (bare, np.zeros(bare.shape[:2], np.uint8)), SIDE_PX, scales=SCALES)
        return laid(scene, crop(rng, _any(rng, self.real.lifted), SIDE_PX, scales=SCALES))


def _any(rng: np.random.Generator, pool: Sequence[_T]) -> _T:
    return pool[int(rng.integers(len(pool)))]


def _window(rng: np.random.Generator, scenes: Sequence[Pair], least_px: int) -> Pair:
    """Cut a window of one of the drawn scenes, at its own scale or another, turned and mirrored."""
    image, labels = _any(rng, scenes)
    side = SIDE_PX if rng.random() < 0.5 else int(rng.integers(least_px, SCENE_PX + 1))
    y, x = rng.integers(0, SCENE_PX - side + 1, 2)
    cut, truth = image[y : y + side, x : x + side], labels[y : y + side, x : x + side]
    if side != SIDE_PX:
        mode = cv2.INTER_AREA if side > SIDE_PX else cv2.INTER_LINEAR
        cut = cv2.resize(cut, (SIDE_PX, SIDE_PX), interpolation=mode)
        truth = (cv2.resize(truth * 255, (SIDE_PX, SIDE_PX), interpolation=mode) > 110).astype(np.uint8)
    turn = int(rng.integers(4))
    cut, truth = np.rot90(cut, turn), np.rot90(truth, turn)
    if rng.random() < 0.5:
        cut, truth = cut[:, ::-1], truth[:, ::-1]
    return np.ascontiguousarray(cut), np.ascontiguousarray(truth)


def _relit(rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Change brightness, contrast, gamma and colour by a table a channel; sometimes blur, grey or noise."""
    if rng.random() < 0.1:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    if rng.random() < 0.15:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 1.2))), np.uint8)
    ramp = np.linspace(0, 1, 256)[:, None]
    gain = np.exp(rng.normal(0, 0.2) + rng.normal(0, 0.05, 3))
    table = (ramp ** np.exp(rng.normal(0, 0.2)) - 0.5) * gain + 0.5 + rng.normal(0, 0.08)
    lookup = np.clip(table * 255, 0, 255).astype(np.uint8)[None]  # (1, 256, 3)
    image = np.asarray(cv2.LUT(image, lookup), np.uint8)
    if rng.random() < 0.25:  # enlarged crops are smoother than any photograph
        noise = rng.normal(0, rng.uniform(1, 7), image.shape).astype(np.float32)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    return image
