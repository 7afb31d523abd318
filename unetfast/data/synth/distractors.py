"""Things that are not cracks: joints, cables, shadows, writing, stains, leaves.

Each function draws one thing into a picture and returns the new picture with what it hides: a
(S, S) float32 coverage for an opaque thing, None for one that a crack shows through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np

from unetfast.data.synth.noise import Field, Rng, band, blend, chance, fractal, line_noise, log_uniform

__all__ = ["DISTRACTORS", "distracted"]

Drawn: TypeAlias = tuple[Field, Field | None]


def distracted(rng: Rng, image: Field, most: int) -> tuple[Field, Field]:
    """Draw 0 to `most` things; returns the picture and the (S, S) coverage of the opaque ones."""
    hidden = np.zeros(image.shape[:2], np.float32)
    draws = list(DISTRACTORS.values())
    for _ in range(int(rng.integers(0, most + 1))):
        image, cover = draws[rng.integers(len(draws))](rng, image)
        if cover is not None:
            hidden = np.maximum(hidden, cover)
    return np.clip(image, 0, 1).astype(np.float32), hidden


def _colour(rng: Rng) -> Field:
    """Draw a colour for a thing: mostly grey or black, sometimes strong."""
    if chance(rng, 0.6):
        return np.full(3, rng.uniform(0.03, 0.95), np.float32) * (1 + rng.normal(0, 0.04, 3)).astype(
            np.float32
        )
    return rng.uniform(0.03, 0.95, 3).astype(np.float32)


def _curve(rng: Rng, size_px: int, bend: float) -> Field:
    """Draw the (n, 2) points of a smooth curve that crosses the picture."""
    count = 80
    turn = rng.uniform(0, 2 * np.pi) + bend * line_noise(rng, count, count / 1.5, 0.25)
    step = size_px * rng.uniform(0.5, 1.8) / count
    points = np.cumsum(np.stack([np.cos(turn), np.sin(turn)], 1) * step, 0)
    return np.asarray(points - points[count // 2] + rng.uniform(0.1, 0.9, 2) * size_px, np.float32)


def _stroke(points: Field, size_px: int, width_px: float, closed: bool = False) -> Field:
    """Cover a curve of constant width, smoothed at its edges."""
    canvas = np.zeros((4 * size_px, 4 * size_px), np.uint8)
    fine = np.round(points * 4 * 16).astype(np.int32)[:, None]
    cv2.polylines(canvas, [fine], closed, 255, max(1, round(4 * width_px)), cv2.LINE_8, 4)
    return np.asarray(cv2.resize(canvas, (size_px, size_px), interpolation=cv2.INTER_AREA), np.float32) / 255


def _straight(rng: Rng, size_px: int) -> Field:
    centre, angle = rng.uniform(0, size_px, 2), rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)])
    angle += rng.normal(0, 0.03)
    reach = size_px * (1.5 if chance(rng, 0.7) else rng.uniform(0.1, 0.5))
    along = np.array([np.cos(angle), np.sin(angle)]) * reach
    return np.asarray([centre - along, centre + along], np.float32)


def joint(rng: Rng, image: Field) -> Drawn:
    """Draw a straight joint, gap or board edge, often one of several, sometimes with a lit edge."""
    size_px = image.shape[0]
    line, width_px = _straight(rng, size_px), log_uniform(rng, 1.5, 10)
    apart = rng.uniform(-90, 90, 2).astype(np.float32)
    copies = int(rng.choice([1, 1, 2, 4]))
    if copies > 1:  # alone, a straight dark hairline is a crack more often than a joint
        width_px *= rng.uniform(0.5, 1)
    around = image.mean((0, 1))
    colour = around * rng.uniform(0.05, 0.7) if chance(rng, 0.7) else _colour(rng)
    for copy in range(copies):
        cover = _stroke(line + copy * apart, size_px, width_px)
        if chance(rng, 0.4):
            lit = np.clip(np.roll(cover, tuple(rng.integers(-2, 3, 2)), (0, 1)) - cover, 0, 1)
            image = image + lit[..., None] * rng.uniform(-0.15, 0.3)
        image = blend(image, cover * rng.uniform(0.5, 1), colour)
    return image, None


def cable(rng: Rng, image: Field) -> Drawn:
    """Draw a cable, pipe or wire: constant width, round shading, a shadow beside it."""
    size_px = image.shape[0]
    points, width_px = _curve(rng, size_px, rng.choice([0.0, 0.1, 0.8])), log_uniform(rng, 2, 22)
    cover = _stroke(points, size_px, width_px)
    shift = rng.integers(-8, 9, 2)
    shadow = np.roll(cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.6, 4)), tuple(shift), (0, 1))
    image = image * (1 - rng.uniform(0, 0.6) * shadow[..., None])
    core = _stroke(points + rng.uniform(-0.2, 0.2, 2).astype(np.float32) * width_px, size_px, width_px / 3)
    shine = cv2.GaussianBlur(core, (0, 0), 0.15 * width_px + 0.3)[..., None] * rng.uniform(0, 0.4)
    return blend(image, cover, np.clip(_colour(rng) + shine, 0, 1)), cover


def shadow(rng: Rng, image: Field) -> Drawn:
    """Draw the shadow of a wall, a pole, or of leaves and branches; sharp or soft."""
    size_px = image.shape[0]
    kind = rng.random()
    if kind < 0.4:
        cover = np.zeros((size_px, size_px), np.float32)
        corners = rng.uniform(-0.5, 1.5, (4, 2)) * size_px
        cv2.fillConvexPoly(cover, cv2.convexHull(corners.astype(np.int32)), 1.0)
    elif kind < 0.7:
        cover = _stroke(_curve(rng, size_px, rng.choice([0.0, 0.3])), size_px, log_uniform(rng, 1.5, 40))
    else:
        cover = (fractal(rng, size_px, log_uniform(rng, 12, 80), 3) > rng.uniform(0, 1)).astype(np.float32)
    soft = cv2.GaussianBlur(cover, (0, 0), log_uniform(rng, 0.5, 12))
    return np.asarray(image * (1 - rng.uniform(0.15, 0.7) * soft[..., None]), np.float32), None


def scratch(rng: Rng, image: Field) -> Drawn:
    """Draw thin, light, nearly straight scratches."""
    size_px = image.shape[0]
    for _ in range(int(rng.integers(1, 6))):
        points = _curve(rng, size_px, rng.uniform(0, 0.12))
        points = points[: int(rng.integers(8, len(points)))]
        cover = _stroke(points, size_px, log_uniform(rng, 0.3, 1.5))
        image = image + cover[..., None] * rng.uniform(0.03, 0.3)
    return image, None


def paint(rng: Rng, image: Field) -> Drawn:
    """Draw chalk, marker or road paint: strokes of one colour, worn by the surface."""
    size_px = image.shape[0]
    points = _curve(rng, size_px, rng.uniform(0, 1.5)) if chance(rng, 0.6) else _straight(rng, size_px)
    cover = _stroke(points, size_px, log_uniform(rng, 1.2, 60))
    worn = np.clip(1.2 - rng.uniform(0, 1) * np.abs(band(rng, size_px, log_uniform(rng, 1, 6))), 0, 1)
    shades = np.array([[1, 1, 1], [0.95, 0.8, 0.1], [0.9, 0.2, 0.1], [0.1, 0.3, 0.8], [0.05, 0.05, 0.05]])
    colour = shades[rng.integers(5)].astype(np.float32) * np.float32(rng.uniform(0.7, 1))
    covers = (cover * worn * rng.uniform(0.5, 1)).astype(np.float32)
    return blend(image, covers, colour), covers


def writing(rng: Rng, image: Field) -> Drawn:
    """Draw printed or written characters, a date stamp among them."""
    size_px = image.shape[0]
    cover = np.zeros((size_px, size_px), np.uint8)
    letters = "ABCDEFGHJKLMNPRSTUVWXYZabcdefghikmnorstuvwxyz0123456789/:.-+"
    for _ in range(int(rng.integers(1, 4))):
        text = "".join(letters[i] for i in rng.integers(0, len(letters), int(rng.integers(1, 12))))
        at = (int(rng.integers(-20, size_px - 20)), int(rng.integers(10, size_px)))
        scale = log_uniform(rng, 0.3, 4)
        width = max(1, int(scale * rng.uniform(0.8, 4)))
        cv2.putText(cover, text, at, int(rng.integers(0, 8)), scale, 255, width, cv2.LINE_AA)
    covers = cover.astype(np.float32) / 255 * rng.uniform(0.4, 1)
    return blend(image, covers, _colour(rng)), covers


def stain(rng: Rng, image: Field) -> Drawn:
    """Draw oil, rust, damp or moss: a blot with a soft or a dried edge, or streaks that ran down."""
    size_px = image.shape[0]
    if chance(rng, 0.3):
        row = fractal(rng, size_px, log_uniform(rng, 6, 40), 2)[:1]
        fade = np.linspace(1, rng.uniform(0, 1), size_px, dtype=np.float32)[:, None]
        field = np.clip(row - rng.uniform(0, 1), 0, 1) * fade
    else:
        y, x = np.mgrid[0:size_px, 0:size_px].astype(np.float32)
        cx, cy, radius = *(rng.uniform(0, size_px, 2)), log_uniform(rng, 5, 0.5 * size_px)
        ragged = 1 + 0.3 * fractal(rng, size_px, radius, 4)
        field = np.clip(
            (radius * ragged - np.hypot(x - cx, y - cy)) / (rng.uniform(0.02, 0.5) * radius + 1), 0, 1
        )
    tone = 1 - rng.uniform(-0.3, 0.8) * (1 + rng.normal(0, 0.12, 3)).astype(np.float32)
    return np.asarray(image * (1 - field[..., None] + field[..., None] * tone), np.float32), None


def tyre_marks(rng: Rng, image: Field) -> Drawn:
    """Draw one or two broad dark tracks with a soft, grainy edge."""
    size_px = image.shape[0]
    points, width_px = _curve(rng, size_px, 0.2), log_uniform(rng, 8, 70)
    for copy in range(int(rng.integers(1, 3))):
        cover = cv2.GaussianBlur(
            _stroke(points + copy * 2.2 * width_px, size_px, width_px), (0, 0), 0.12 * width_px
        )
        grain = 1 + 0.3 * band(rng, size_px, 3)
        image = image * (1 - rng.uniform(0.05, 0.45) * np.clip(cover * grain, 0, 1)[..., None])
    return image, None


def leaves(rng: Rng, image: Field) -> Drawn:
    """Draw leaves, twigs and blades of grass lying on the surface."""
    size_px = image.shape[0]
    hidden = np.zeros((size_px, size_px), np.float32)
    for _ in range(int(rng.integers(1, 8))):
        cover = np.zeros((size_px, size_px), np.float32)
        if chance(rng, 0.5):
            axes = (int(log_uniform(rng, 3, 40)), int(log_uniform(rng, 2, 12)))
            centre = tuple(int(v) for v in rng.integers(0, size_px, 2))
            cv2.ellipse(cover, centre, axes, float(rng.uniform(0, 360)), 0, 360, 1.0, -1, cv2.LINE_AA)
        else:  # lighter than a crack or green, and with a shadow
            points = _curve(rng, size_px, 0.3)[: int(rng.integers(8, 50))]
            cover = _stroke(points, size_px, log_uniform(rng, 0.8, 4))
        green, brown = np.array([0.25, 0.45, 0.12]), np.array([0.55, 0.4, 0.22])
        colour = ((green if chance(rng, 0.5) else brown) * rng.uniform(0.5, 1.5)).astype(np.float32)
        fallen = np.roll(cv2.GaussianBlur(cover, (0, 0), 1.0), tuple(rng.integers(-3, 4, 2)), (0, 1))
        image = blend(image * (1 - 0.4 * fallen[..., None]), cover, np.clip(colour, 0, 1))
        hidden = np.maximum(hidden, cover)
    return image, hidden


def holes(rng: Rng, image: Field) -> Drawn:
    """Draw bolt holes, nails, pits and pebbles: dark or light dots, some with a rim."""
    size_px = image.shape[0]
    cover = np.zeros((size_px, size_px), np.float32)
    small = log_uniform(rng, 0.8, 12)
    for _ in range(int(log_uniform(rng, 1, 40))):
        centre = tuple(int(v) for v in rng.integers(0, size_px, 2))
        axes = tuple(max(1, int(small * log_uniform(rng, 0.6, 1.7))) for _ in range(2))
        cv2.ellipse(cover, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1, cv2.LINE_AA)
    rim = np.clip(np.roll(cover, (1, 1), (0, 1)) - cover, 0, 1)[..., None] * rng.uniform(-0.2, 0.3)
    return blend(image + rim, cover * rng.uniform(0.3, 1), _colour(rng)), None


def rings(rng: Rng, image: Field) -> Drawn:
    """Draw circles, arcs and frames: covers, drains, prints of cups, ornaments."""
    size_px = image.shape[0]
    turn = np.linspace(0, rng.choice([1.0, 0.4]) * 2 * np.pi, 120, dtype=np.float32)
    centre, radius = rng.uniform(-0.2, 1.2, 2) * size_px, log_uniform(rng, 6, 0.8 * size_px)
    corners = float(rng.choice([1.0, 1.0, 0.2]))  # 1: a circle; small: nearly a rectangle
    unit = np.stack([np.cos(turn), np.sin(turn)], 1)
    points = centre + radius * np.sign(unit) * np.abs(unit) ** corners
    cover = _stroke(points.astype(np.float32), size_px, log_uniform(rng, 1.2, 10)) * rng.uniform(0.3, 1)
    return blend(image, cover.astype(np.float32), _colour(rng)), None


DISTRACTORS: dict[str, Callable[[Rng, Field], Drawn]] = {
    "joint": joint,
    "cable": cable,
    "shadow": shadow,
    "scratch": scratch,
    "paint": paint,
    "writing": writing,
    "stain": stain,
    "tyre marks": tyre_marks,
    "leaves": leaves,
    "holes": holes,
    "rings": rings,
}
