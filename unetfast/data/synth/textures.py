"""Surfaces without cracks: procedural ones, and patches of real photographs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from unetfast.data.synth.noise import Field, Rng, band, chance, fractal, log_uniform, warp

__all__ = ["SURFACES", "patch", "surface"]


def surface(rng: Rng, size_px: int, photos: Sequence[NDArray[np.uint8]] = (), share: float = 0.5) -> Field:
    """Draw one surface.

    Parameters
    ----------
    rng : numpy.random.Generator
    size_px : int
        Side of the picture.
    photos : sequence of (H, W, 3) uint8
        Crack-free photographs to take patches of.
    share : float
        The part of the surfaces that comes from `photos`, where there are any.

    Returns
    -------
    (size_px, size_px, 3) float32 in [0, 1]
    """
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


def _tint(rng: Rng, low: float, high: float, colour: float) -> Field:
    """Draw one colour: a grey between `low` and `high` with a cast of about `colour`."""
    grey = rng.uniform(low, high)
    cast = rng.normal(0, colour, 3)
    # Surfaces are warm or cold far more often than green or purple.
    warmth = rng.normal(0, 1.5 * colour)
    colour_cast = 1 + cast + np.array([warmth, 0.2 * warmth, -warmth])
    return np.asarray(np.clip(grey * colour_cast, 0.02, 1), np.float32)


def _flat(size_px: int, colour: Field) -> Field:
    return np.full((size_px, size_px, 3), colour, np.float32)


def _stones(rng: Rng, size_px: int, grain_px: float) -> Field:
    """Draw stones of about one size, each of its own shade, with crisp ragged borders."""
    if grain_px < 1.5:
        return band(rng, size_px, grain_px)
    cells = int(size_px / grain_px) + 2
    shades = rng.standard_normal((cells, cells), np.float32)
    field = cv2.resize(shades, (size_px, size_px), interpolation=cv2.INTER_NEAREST)
    reach = 0.55 * grain_px
    ragged = [
        reach * (band(rng, size_px, grain_px) + 0.5 * band(rng, size_px, max(1.0, grain_px / 3)))
        for _ in "xy"
    ]
    return warp(field, ragged[0], ragged[1])


def asphalt(rng: Rng, size_px: int) -> Field:
    """Draw stones of several sizes in a binder, with dark pits between them."""
    grain_px = log_uniform(rng, 0.7, 12)
    stones = sum(_stones(rng, size_px, max(0.7, grain_px / 2**k)) * rng.uniform(0.2, 1) for k in range(3))
    relief = np.tanh(stones * rng.uniform(0.4, 1.0)) + rng.uniform(0, 0.5) * band(rng, size_px, 0.8)
    strength = rng.uniform(0.04, 0.3)
    base = _flat(size_px, _tint(rng, 0.25, 0.7, 0.025)) * (1 + strength * relief)[..., None]
    hue = fractal(rng, size_px, 2.5 * grain_px, 1)[..., None] * rng.normal(0, 0.012, 3).astype(np.float32)
    return np.asarray(base * (1 + hue) + 0.03 * fractal(rng, size_px, size_px / 2)[..., None])


def concrete(rng: Rng, size_px: int) -> Field:
    """Draw cement with clouds, fine grain and pores."""
    clouds = fractal(rng, size_px, log_uniform(rng, 20, 200), 5, 0.6) * rng.uniform(0.01, 0.08)
    grain = band(rng, size_px, log_uniform(rng, 0.7, 3)) * rng.uniform(0.005, 0.08)
    base = _flat(size_px, _tint(rng, 0.3, 0.9, 0.03)) * (1 + clouds + grain)[..., None]
    for _ in range(int(rng.integers(0, 60)) if chance(rng, 0.6) else 0):
        centre = tuple(int(v) for v in rng.integers(0, size_px, 2))
        axes = (int(log_uniform(rng, 1, 5)), int(log_uniform(rng, 1, 4)))
        shade = float(rng.uniform(0.4, 0.95))
        cv2.ellipse(
            base,
            centre,
            axes,
            float(rng.uniform(0, 180)),
            0,
            360,
            (float(base.mean()) * shade,) * 3,
            -1,
            cv2.LINE_AA,
        )
    return base


def plaster(rng: Rng, size_px: int) -> Field:
    """Draw paint or plaster: one colour, bumps lit from one side."""
    height = fractal(rng, size_px, log_uniform(rng, 3, 40), 4, 0.6)
    angle = rng.uniform(0, 2 * np.pi)
    lit = np.cos(angle) * np.gradient(height, axis=1) + np.sin(angle) * np.gradient(height, axis=0)
    lit = lit / (lit.std() + 1e-6) * rng.uniform(0.0, 0.07)
    colour = _tint(rng, 0.35, 0.97, 0.1 if chance(rng, 0.3) else 0.025)
    relief = 1 + lit + 0.02 * fractal(rng, size_px, size_px)
    return np.asarray(_flat(size_px, colour) * relief[..., None])


def wood(rng: Rng, size_px: int) -> Field:
    """Draw grain stretched along boards."""
    across = rng.standard_normal((size_px, 6), np.float32)
    fibres = cv2.resize(
        cv2.GaussianBlur(across, (1, 3), 0), (size_px, size_px), interpolation=cv2.INTER_CUBIC
    )
    fibres = warp(
        fibres, fractal(rng, size_px, 100, 1) * 2, fractal(rng, size_px, 90, 2) * rng.uniform(1, 12)
    )
    base = _flat(size_px, np.array([0.62, 0.45, 0.3], np.float32) * rng.uniform(0.5, 1.5))
    return np.asarray(base * (1 + rng.uniform(0.03, 0.18) * fibres)[..., None])


def _grid_lines(rng: Rng, size_px: int) -> tuple[Field, NDArray[np.int64]]:
    """Draw the distance of each pixel to the nearest joint (px) and the number of its stone."""
    pitch_y, ratio = log_uniform(rng, 22, 220), float(rng.choice([1.0, 1.0, 1.5, 2.0, 3.0, 4.0]))
    pitch_x = pitch_y * ratio
    grid_y, grid_x = np.mgrid[0:size_px, 0:size_px].astype(np.float32)
    angle = rng.choice([0.0, np.pi / 2, rng.normal(0, 0.06), rng.uniform(0, np.pi)])
    turned_x = np.cos(angle) * grid_x - np.sin(angle) * grid_y + rng.uniform(0, pitch_x)
    turned_y = np.sin(angle) * grid_x + np.cos(angle) * grid_y + rng.uniform(0, pitch_y)
    if chance(rng, 0.4):  # seen at a slant
        depth = 1 + (rng.uniform(-0.6, 0.6) * grid_x + rng.uniform(-0.6, 0.6) * grid_y) / size_px
        turned_x, turned_y = turned_x / depth, turned_y / depth
    row = np.floor(turned_y / pitch_y)
    if chance(rng, 0.6 if ratio > 1 else 0.15):
        turned_x = turned_x + (row % 2) * pitch_x / 2
    column = np.floor(turned_x / pitch_x)
    to_y = np.abs(turned_y / pitch_y - row - 0.5) * pitch_y
    to_x = np.abs(turned_x / pitch_x - column - 0.5) * pitch_x
    distance = np.minimum(pitch_y / 2 - to_y, pitch_x / 2 - to_x)
    return distance.astype(np.float32), (row * 7919 + column * 104729).astype(np.int64)


def masonry(rng: Rng, size_px: int) -> Field:
    """Draw bricks or tiles with joints; each stone has its own shade."""
    distance, stone = _grid_lines(rng, size_px)
    rough = rng.uniform(0, 1.5) if chance(rng, 0.5) else 0.0
    distance = distance + rough * fractal(rng, size_px, 12, 3)
    half_px = log_uniform(rng, 0.6, 5)
    # One pixel of ramp: partial coverage of the pixels at the joint's edge.
    joint = np.clip(half_px - distance + 0.5, 0, 1)
    kinds: list[Callable[[Rng, int], Field]] = [concrete, plaster, plaster]
    body = kinds[rng.integers(3)](rng, size_px)
    if chance(rng, 0.3):
        body = body * _tint(rng, 0.6, 1.1, 0.15)
    # A hash of the stone's number is its shade: no table of stones is needed.
    shade = ((stone * 2654435761) % 1000).astype(np.float32) / 1000 - 0.5
    body = body * (1 + rng.uniform(0, 0.2) * shade)[..., None]
    if chance(rng, 0.35):
        body = body * (1 - 0.15 * np.clip(2 * half_px - distance, 0, 4) / 4)[..., None]  # rounded edges
    mortar = _tint(rng, 0.08, 0.95, 0.04) * (1 + 0.05 * band(rng, size_px, 1.5))[..., None]
    return body * (1 - joint[..., None]) + mortar * joint[..., None]


def patterned(rng: Rng, size_px: int) -> Field:
    """Draw a printed tile: ornament repeated by mirrors, with crisp edges."""
    half = int(log_uniform(rng, 30, 150))
    canvas = np.zeros((half, half), np.float32)
    for _ in range(int(rng.integers(2, 9))):
        centre = tuple(int(v) for v in rng.integers(0, half, 2))
        size = tuple(int(v) for v in rng.integers(2, half // 2 + 3, 2))
        width = int(rng.choice([-1, 1, 2, 3]))
        cv2.ellipse(
            canvas,
            centre,
            size,
            float(rng.uniform(0, 180)),
            0,
            float(rng.uniform(90, 360)),
            1.0,
            width,
            cv2.LINE_AA,
        )
    tile = np.hstack([canvas, canvas[:, ::-1]])
    tile = np.vstack([tile, tile[::-1]])
    times = size_px // tile.shape[0] + 2
    y, x = rng.integers(0, tile.shape[0], 2)
    ink = np.tile(tile, (times, times))[y : y + size_px, x : x + size_px, None] * rng.uniform(0.3, 1)
    return plaster(rng, size_px) * (1 - ink) + ink * _tint(rng, 0.1, 0.8, 0.2)


# What is photographed for cracks, and about how often.
SURFACES: dict[str, tuple[Callable[[Rng, int], Field], float]] = {
    "asphalt": (asphalt, 3.0),
    "concrete": (concrete, 3.0),
    "plaster": (plaster, 2.0),
    "masonry": (masonry, 2.5),
    "patterned": (patterned, 1.2),
    "wood": (wood, 0.5),
}
