"""Materials, drawn: asphalt, concrete, plaster, flaking coats, wood, marble."""

from __future__ import annotations

import cv2
import numpy as np

from unetfast.data.synth.noise import Field, Rng, band, chance, fractal, log_uniform, warp

__all__ = ["asphalt", "concrete", "flaking", "marble", "plaster", "tint", "wood"]


def tint(rng: Rng, low: float, high: float, colour: float) -> Field:
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
    base = _flat(size_px, tint(rng, 0.25, 0.7, 0.025)) * (1 + strength * relief)[..., None]
    hue = fractal(rng, size_px, 2.5 * grain_px, 1)[..., None] * rng.normal(0, 0.012, 3).astype(np.float32)
    return np.asarray(base * (1 + hue) + 0.03 * fractal(rng, size_px, size_px / 2)[..., None])


def concrete(rng: Rng, size_px: int) -> Field:
    """Draw cement with clouds, fine grain and pores."""
    clouds = fractal(rng, size_px, log_uniform(rng, 20, 200), 5, 0.6) * rng.uniform(0.01, 0.08)
    grain = band(rng, size_px, log_uniform(rng, 0.7, 3)) * rng.uniform(0.005, 0.08)
    base = _flat(size_px, tint(rng, 0.3, 0.9, 0.03)) * (1 + clouds + grain)[..., None]
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
    colour = tint(rng, 0.35, 0.97, 0.1 if chance(rng, 0.3) else 0.025)
    relief = 1 + lit + 0.02 * fractal(rng, size_px, size_px)
    return np.asarray(_flat(size_px, colour) * relief[..., None])


def flaking(rng: Rng, size_px: int) -> Field:
    """Draw a coat that came off in patches, or damp and lime on a wall: ragged borders, some of them dark."""
    coat, bare = plaster(rng, size_px), (concrete if chance(rng, 0.7) else plaster)(rng, size_px)
    if chance(rng, 0.5):  # a stain: the same wall, a little darker or lighter
        bare = coat * rng.uniform(0.55, 1.15)
    scale_px = log_uniform(rng, 15, 250)
    height = fractal(rng, size_px, scale_px, 6, rng.uniform(0.5, 0.75)) - rng.uniform(-0.5, 1.5)
    # Divided by its slope where it is coarse, the field is a distance from the border in pixels.
    slope = np.hypot(*np.gradient(cv2.GaussianBlur(height, (0, 0), 2)))
    away_px = height / (slope + 0.3 / scale_px)
    cover = np.clip(away_px / log_uniform(rng, 0.8, 8) + 0.5, 0, 1)
    wall = coat * (1 - cover[..., None]) + bare * cover[..., None]
    if chance(rng, 0.6):  # the shadow of a thick coat, or the dried edge of a stain
        edge = np.exp(-((away_px / log_uniform(rng, 0.8, 5)) ** 2))
        if chance(rng, 0.6):
            edge = edge * np.clip(0.5 + fractal(rng, size_px, 40, 3), 0, 1)
        wall = wall * (1 + rng.uniform(-0.5, 0.15) * edge[..., None])
    return np.asarray(wall, np.float32)


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


def marble(rng: Rng, size_px: int) -> Field:
    """Draw polished stone with veins: thin, branching, darker or lighter, but soft and of its own colour."""
    base = _flat(size_px, tint(rng, 0.45, 0.95, 0.04))
    base = base * (1 + 0.04 * fractal(rng, size_px, log_uniform(rng, 20, 120), 4))[..., None]
    for _ in range(int(rng.integers(1, 4))):
        field = fractal(rng, size_px, log_uniform(rng, 60, 300), 4, 0.5)
        slope = np.hypot(*np.gradient(field)) + 1e-3
        # A vein lies where the field crosses zero; divided by the slope it has a width in pixels.
        vein = np.exp(-((field / slope / log_uniform(rng, 1.5, 10)) ** 2))
        vein = vein * np.clip(fractal(rng, size_px, 60, 2), 0, 1)
        shade = rng.uniform(-0.28, 0.2) * (1 + rng.normal(0, 0.1, 3).astype(np.float32))
        base = base * (1 + vein[..., None] * shade)
    return np.asarray(base, np.float32)
