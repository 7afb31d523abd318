"""What else is in a photograph of a road, a bridge or a wall: sky, houses, plants, masts, cloth.

Nothing in it is a crack, and much of it is dark and thin: a model that has seen nothing but
surfaces marks skylines, lattices and the gaps between leaves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import cv2
import numpy as np

from unetfast.data.synth.noise import Field, Rng, band, blend, chance, fractal, log_uniform

__all__ = ["LAYERS", "scenery"]

MOST_BOUGHS = 900  # of a tree
FINE = 2  # drawn at twice the size and averaged, so that edges are as smooth as a lens makes them


def scenery(rng: Rng, size_px: int) -> Field:
    """Draw one to four layers of things in front of the sky or of each other, (S, S, 3) float32 in [0, 1]."""
    image = sky(rng, size_px) if chance(rng, 0.6) else things(rng, sky(rng, size_px))
    draws = list(LAYERS.values())
    for _ in range(int(rng.integers(1, 4))):
        if chance(rng, 0.3):  # what lies behind is out of focus
            image = cv2.GaussianBlur(image, (0, 0), log_uniform(rng, 0.6, 8))
        image = draws[rng.integers(len(draws))](rng, image)
    if chance(rng, 0.3):  # a bright sky shines over the edges before it
        glow = cv2.GaussianBlur(np.maximum(image - 0.75, 0), (0, 0), log_uniform(rng, 1, 10))
        image = image + rng.uniform(0.3, 1.5) * glow
    return np.asarray(np.clip(image, 0, 1), np.float32)


def sky(rng: Rng, size_px: int) -> Field:
    """Draw the sky, a lit wall or a dark room: smooth, brighter towards one side."""
    tone = rng.uniform(0.6, 1.3) if chance(rng, 0.75) else rng.uniform(0.02, 0.5)
    tint = 1 + rng.uniform(0, 0.25) * np.array([-1, -0.3, 1], np.float32)
    fade = np.linspace(rng.uniform(0.6, 1), 1, size_px, dtype=np.float32)[:, None]
    clouds = 1 + rng.uniform(0, 0.15) * fractal(rng, size_px, log_uniform(rng, 40, size_px), 4)
    return np.asarray((tone * fade * clouds)[..., None] * tint, np.float32)


def things(rng: Rng, image: Field) -> Field:
    """Draw things in front of each other: few large and many small, as anywhere.

    The dead leaves model: A. Lee, D. Mumford, J. Huang, "Occlusion models for natural images", 2001.
    """
    count = int(log_uniform(rng, 5, 300))
    least, most = log_uniform(rng, 3, 20), image.shape[0] * rng.uniform(0.1, 0.5)
    radii = least / np.sqrt(1 - rng.random(count) * (1 - (least / most) ** 2))
    black = chance(rng, 0.25)  # against the light
    palette = rng.uniform(0.02, 0.12 if black else 0.9, (int(rng.integers(2, 7)), 3))
    if chance(rng, 0.5):  # most things are nearly grey
        palette = palette.mean(1, keepdims=True) * (1 + rng.normal(0, 0.06, palette.shape))
    return _piled(rng, image, radii, palette)


def foliage(rng: Rng, image: Field) -> Field:
    """Draw leaves or blades before the dark behind them, in a part of the picture."""
    size_px = image.shape[0]
    leaf_px = log_uniform(rng, 1.5, 14)
    count = int(min(3000, rng.uniform(0.4, 1.5) * size_px**2 / leaf_px**2 / 3))
    green = np.array([0.3, 0.42, 0.15]) if chance(rng, 0.7) else np.array([0.45, 0.38, 0.2])
    palette = green * rng.uniform(0.2, 1.6, (12, 1)) * (1 + rng.normal(0, 0.1, (12, 3)))
    shade = np.full_like(image, 1) * (green * rng.uniform(0.02, 0.4)).astype(np.float32)
    bush = _piled(rng, shade, leaf_px * rng.uniform(0.7, 1.4, count), palette)
    cover = fractal(rng, size_px, log_uniform(rng, 60, 400), 5) > rng.uniform(-1.5, 0.6)
    return blend(image, cover.astype(np.float32), bush)


def houses(rng: Rng, image: Field) -> Field:
    """Draw roofs and walls against the sky, with or without windows."""
    size_px = image.shape[0]
    side = FINE * size_px
    canvas = np.zeros((side, side), np.uint8)
    x = float(-rng.uniform(0, 0.5) * side)
    level = rng.uniform(0.1, 0.9) * side
    while x < side:
        width, height = log_uniform(rng, 0.05, 0.6) * side, level + rng.normal(0, 0.1) * side
        roof = height - rng.uniform(0, 0.4) * width * chance(rng, 0.5)
        corners = [(x, side), (x, height), (x + width / 2, roof), (x + width, height), (x + width, side)]
        cv2.fillPoly(canvas, [np.array(corners, np.int32)], 255)
        x += width * rng.uniform(0.9, 1.3)
    wall = np.full_like(image, 1) * _shade(rng)
    wall = wall * (1 + rng.uniform(0, 0.15) * band(rng, size_px, log_uniform(rng, 1, 8)))[..., None]
    if chance(rng, 0.6):
        apart, wide = rng.integers(12, 70, 2), rng.uniform(0.2, 0.7, 2)
        rows, columns = (np.arange(size_px) % a < a * w for a, w in zip(apart, wide, strict=True))
        wall = np.where((rows[:, None] & columns)[..., None], _shade(rng), wall)
    turned = _turned(rng, canvas, 8)
    return blend(image, _covered(turned), wall.astype(np.float32))


def masts(rng: Rng, image: Field) -> Field:
    """Draw poles, lattice towers, railings and the wires between them."""
    size_px = image.shape[0]
    side = FINE * size_px
    canvas = np.zeros((side, side), np.uint8)
    strokes: list[tuple[Field, float]] = []
    for _ in range(int(rng.integers(1, 4))):
        x, width = rng.uniform(0, side), log_uniform(rng, 2, 24)
        if chance(rng, 0.5):  # a lattice between two legs
            feet, top = x + rng.uniform(0.03, 0.3) * side * np.array([-1, 1]), rng.uniform(0.2, 1)
            heads = x + (feet - x) * top
            levels = np.linspace(0, 1, int(rng.integers(5, 25)))
            legs = feet[:, None] * levels + heads[:, None] * (1 - levels)
            rungs = np.arange(levels.size) % 2
            zigzag = np.stack([legs[rungs, np.arange(levels.size)], levels * side], 1)
            strokes += [(np.stack([leg, levels * side], 1), width / 3) for leg in legs]
            strokes += [(zigzag, width / 5)]
        else:
            strokes += [(np.array([[x, rng.uniform(-0.2, 0.7) * side], [x, side]]), width)]
    for _ in range(int(rng.integers(0, 6))):  # wires
        y, sag, at = rng.uniform(0, side, 2), rng.uniform(0, 0.15) * side, np.linspace(-1, 1, 40)
        line = np.interp(at, [-1, 1], y) - sag * at**2
        strokes += [(np.stack([(at + 1) / 2 * side, line], 1), log_uniform(rng, 1, 5))]
    for points, width in strokes:
        _stroke(canvas, points, width)
    cover = _covered(_turned(rng, canvas, 90 if chance(rng, 0.2) else 8))
    return blend(image, cover, _shade(rng))


def facade(rng: Rng, image: Field) -> Field:
    """Draw the front of a row of houses that runs towards the horizon, its eaves dark before the sky."""
    size_px = image.shape[0]
    side = FINE * size_px
    front = np.full((side, side, 3), 1, np.float32) * _shade(rng)
    front *= (1 + rng.uniform(0, 0.15) * band(rng, side, log_uniform(rng, 1, 8)))[..., None]
    rows, columns = (np.arange(side) % every < every * rng.uniform(0.2, 0.7) for every in _steps(rng, side))
    if chance(rng, 0.7):
        front[rows[:, None] & columns] = _shade(rng)
    level = 0.0
    for _ in range(int(rng.integers(0, 4))):  # roof, gutter, the shadow under them
        depth = log_uniform(rng, 0.005, 0.12)
        front[int(level * side) : int((level + depth) * side)] = _shade(rng)
        level += depth
    if chance(rng, 0.5):
        front[int(rng.uniform(0.7, 0.95) * side) :] = _shade(rng)
    near, horizon = rng.uniform(-0.5, 0.4), rng.uniform(0.5, 0.8)
    far = near + (horizon - near) * rng.uniform(0, 0.95)
    ends = rng.uniform(-0.3, 0.5) + np.array([0, rng.uniform(0.3, 1.3)])
    foot = horizon + (horizon - np.array([near, far])) * rng.uniform(0.1, 0.5)
    corners = np.array([[ends[0], near], [ends[1], far], [ends[1], foot[1]], [ends[0], foot[0]]], np.float32)
    if chance(rng, 0.5):
        corners[:, 0] = 1 - corners[:, 0]
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    view = cv2.getPerspectiveTransform(square * side, corners * side)
    seen = cv2.warpPerspective(front, view, (side, side), flags=cv2.INTER_LINEAR)
    cover = cv2.warpPerspective(np.full((side, side), 255, np.uint8), view, (side, side))
    small = cv2.resize(seen, (size_px, size_px), interpolation=cv2.INTER_AREA)
    covered = _covered(cover)
    return blend(image, covered, small / np.maximum(covered, 1 / 255)[..., None])


def _steps(rng: Rng, side: int) -> tuple[int, int]:
    """Draw how far the windows of a front lie apart, in rows and in columns."""
    return max(2, int(side * rng.uniform(0.1, 0.4))), max(2, int(side * log_uniform(rng, 0.02, 0.3)))


def branches(rng: Rng, image: Field) -> Field:
    """Draw bare trees: from a trunk on, every fork is thinner, down to twigs of less than a pixel."""
    canvas = np.zeros((FINE * image.shape[0],) * 2, np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        _tree(rng, canvas)
    bark = np.array([0.25, 0.2, 0.15], np.float32) * np.float32(rng.uniform(0.1, 2))
    return blend(image, _covered(canvas), bark)


def _tree(rng: Rng, canvas: Field) -> None:
    """Draw one bare tree, the thick boughs before the thin ones."""
    side = canvas.shape[0]
    slender, spread, upwards = log_uniform(rng, 9, 28), rng.uniform(0.2, 0.6), rng.uniform(0, 0.4)
    crooked, thinnest = rng.uniform(0.05, 0.25), FINE * rng.uniform(0.3, 1.2)
    trunk = np.array([rng.uniform(0, side), rng.uniform(0.5, 1.3) * side])
    grown = deque([(trunk, -np.pi / 2 + rng.normal(0, 0.15), FINE * log_uniform(rng, 2, 30))])
    for _ in range(MOST_BOUGHS):
        if not grown:
            break
        at, angle, width = grown.popleft()
        turn = angle + np.cumsum(rng.normal(0, crooked, 6))
        turn -= upwards * np.linspace(0, 1, 6) * np.sin(turn + np.pi / 2)
        step = width**0.5 * slender * rng.uniform(0.5, 1.5) / 6
        bough = np.vstack([at, at + np.cumsum(np.stack([np.cos(turn), np.sin(turn)], 1) * step, 0)])
        _stroke(canvas, bough, width)
        if width > thinnest:
            count = 2 if chance(rng, 0.6) else 3
            forks = [(bough[-1 if chance(rng, 0.7) else 4], rng.normal(0, spread)) for _ in range(count)]
            grown += [(at, turn[-1] + away, width * rng.uniform(0.45, 0.8)) for at, away in forks]


def cloth(rng: Rng, image: Field) -> Field:
    """Draw cloth, mud or snow in folds: soft, dark valleys, over a part of the picture."""
    size_px = image.shape[0]
    height = fractal(rng, size_px, log_uniform(rng, 30, 200), 2, 0.35)
    valley = np.exp(-np.abs(height) / rng.uniform(0.15, 0.5))
    lit = np.gradient(cv2.GaussianBlur(height, (0, 0), 3), axis=int(rng.integers(2))) * rng.uniform(0, 12)
    shade = np.clip(1 + lit - rng.uniform(0.1, 0.8) * valley, 0, 2)[..., None]
    cover = fractal(rng, size_px, log_uniform(rng, 100, 400), 3) > rng.uniform(-2, 0.6)
    return blend(image, cover.astype(np.float32), (shade * _shade(rng)).astype(np.float32))


LAYERS: dict[str, Callable[[Rng, Field], Field]] = {
    "things": things,
    "foliage": foliage,
    "houses": houses,
    "facade": facade,
    "masts": masts,
    "branches": branches,
    "cloth": cloth,
}


def _shade(rng: Rng) -> Field:
    """Draw a colour: against the light as often as lit."""
    tone = rng.uniform(0.01, 0.2) if chance(rng, 0.5) else rng.uniform(0.2, 0.95)
    return np.asarray(tone * (1 + rng.normal(0, 0.12, 3)), np.float32)


def _piled(rng: Rng, image: Field, radii: Field, palette: Field) -> Field:
    """Pile ellipses and polygons of the (n,) radii on the picture, each of one colour, shaded and grained."""
    size_px, count = image.shape[0], radii.size
    side = FINE * size_px
    number = np.zeros((side, side), np.int32)
    centres = rng.uniform(-0.05, 1.05, (count, 2)) * side
    flat = float(rng.uniform(0.2, 1))
    for i, (centre, radius) in enumerate(zip(centres, radii * FINE, strict=True), 1):
        corners = 24 if chance(rng, 0.5) else int(rng.integers(3, 7))
        turn = np.sort(rng.uniform(0, 2 * np.pi, corners)) if corners < 24 else np.linspace(0, 2 * np.pi, 24)
        points = np.stack([np.cos(turn), flat * np.sin(turn)], 1) * radius
        slant = rng.uniform(0, 2 * np.pi)
        spin = np.array([[np.cos(slant), -np.sin(slant)], [np.sin(slant), np.cos(slant)]])
        cv2.fillPoly(number, [np.round((points @ spin + centre) * 16).astype(np.int32)], i, cv2.LINE_8, 4)
    colours = palette[rng.integers(len(palette), size=count)] * np.exp(rng.normal(0, 0.2, (count, 1)))
    slopes = rng.normal(0, rng.uniform(0, 0.4), (count, 2)) / (radii[:, None] * FINE)
    y, x = np.nonzero(number)
    at = number[y, x] - 1
    lit = 1 + ((np.stack([x, y], 1) - centres[at]) * slopes[at]).sum(1)
    grain = 1 + rng.uniform(0, 0.3) * band(rng, side, log_uniform(rng, 2, 12))
    fine = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
    fine[y, x] = colours[at] * (np.clip(lit, 0.2, 1.8) * grain[y, x])[:, None]
    return np.asarray(cv2.resize(fine, (size_px, size_px), interpolation=cv2.INTER_AREA), np.float32)


def _stroke(canvas: Field, points: Field, width_px: float) -> None:
    """Draw (n, 2) points as a line, to a sixteenth of a pixel."""
    fine = np.round(points * 16).astype(np.int32)
    cv2.polylines(canvas, [fine], False, 255, max(1, round(width_px)), cv2.LINE_8, 4)


def _turned(rng: Rng, canvas: Field, degrees: float) -> Field:
    """Turn a drawing about its middle by up to so many degrees, as a camera is held."""
    side = canvas.shape[0]
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), float(rng.uniform(-degrees, degrees)), 1.0)
    turned = cv2.warpAffine(
        canvas, turn, (side, side), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(turned, np.uint8)


def _covered(canvas: Field) -> Field:
    small = (canvas.shape[1] // FINE, canvas.shape[0] // FINE)
    return np.asarray(cv2.resize(canvas, small, interpolation=cv2.INTER_AREA), np.float32) / 255
