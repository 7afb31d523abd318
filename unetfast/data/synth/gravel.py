"""Coarse asphalt and exposed aggregate seen from near: every stone has its dark border.

These borders are dark, thin, branching and everywhere, yet no crack; a model that has not seen
them marks whole roads.
"""

from __future__ import annotations

import cv2
import numpy as np

from unetfast.data.synth.noise import Field, Rng, band, chance, fractal, warp

__all__ = ["gravel"]


def gravel(rng: Rng, size_px: int, stone_px: float, *, loose: bool = False) -> Field:
    """Draw stones in a binder, lit from one side.

    Parameters
    ----------
    rng : numpy.random.Generator
    size_px : int
        Side of the picture.
    stone_px : float
        Size of the largest stones.
    loose : bool
        Stone on stone, as ballast lies, and between them the dark.

    Returns
    -------
    (size_px, size_px, 3) float32 in [0, 1]
    """
    tone = rng.uniform(0.25, 0.75)
    cast = 1 + rng.normal(0, 0.03, 3).astype(np.float32)
    depth = rng.uniform(0.05, 0.5) if loose else rng.uniform(0.25, 1.0)
    binder = tone * depth * (1 + rng.uniform(0.05, 0.35) * band(rng, size_px, 1.2))
    ground = binder
    # Small stones lie between the large ones, and in places nothing but binder.
    for scale, share in ((0.35, rng.uniform(0, 0.8)), (1.0, 1.0 if loose else rng.uniform(0.3, 1.0))):
        shade, cover = _stones(rng, size_px, max(2.0, scale * stone_px), share)
        ground = ground * (1 - cover) + tone * shade * cover
    ground = ground * (1 + 0.06 * fractal(rng, size_px, size_px / 2))
    return np.asarray(np.clip(ground[..., None] * cast, 0, 1), np.float32)


def _stones(rng: Rng, size_px: int, stone_px: float, share: float) -> tuple[Field, Field]:
    """Draw one layer of stones: their shade (1 is the mean) and where they are, in [0, 1]."""
    cells = int(size_px / stone_px) + 2
    grid_y, grid_x = np.mgrid[0:cells, 0:cells] * stone_px
    seeds = np.stack([grid_y, grid_x]) + rng.uniform(-0.45, 0.45, (2, cells, cells)) * stone_px
    y, x = np.clip(seeds.reshape(2, -1).astype(int), 0, size_px - 1)
    empty = np.ones((size_px, size_px), np.uint8)
    empty[y, x] = 0
    _, stone = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    inner = np.ones((size_px, size_px), np.uint8)
    inner[:, 1:] &= stone[:, 1:] == stone[:, :-1]
    inner[1:] &= stone[1:] == stone[:-1]
    depth = cv2.distanceTransform(inner, cv2.DIST_L2, 5)
    count = int(stone.max()) + 1
    gap_px = rng.uniform(0.02, 0.25) * stone_px * rng.uniform(0.3, 2.0, count)
    gap_px[rng.random(count) > share] = size_px  # no stone here
    shades = 1 + rng.uniform(0.05, 0.4) * rng.standard_normal(count)
    height = np.clip(depth / (0.3 * stone_px), 0, 1)
    angle = rng.uniform(0, 2 * np.pi)
    slope_y, slope_x = np.gradient(cv2.GaussianBlur(height, (0, 0), max(0.5, 0.06 * stone_px)))
    lit = (np.cos(angle) * slope_x + np.sin(angle) * slope_y) * stone_px * rng.uniform(0, 0.5)
    shade = shades[stone] * (1 + lit) * (1 + rng.uniform(0.02, 0.15) * band(rng, size_px, 1.0))
    cover = np.clip(depth - gap_px[stone] + 0.5, 0, 1)
    if chance(rng, 0.7):
        ragged = 0.12 * stone_px
        bend = [ragged * fractal(rng, size_px, 0.6 * stone_px, 2) for _ in "xy"]
        shade, cover = warp(shade.astype(np.float32), *bend), warp(cover.astype(np.float32), *bend)
    return shade, cover
