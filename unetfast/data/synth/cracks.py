"""Cracks: their course, their width along it, and how they look.

A crack is a jagged curve with a width at every point; branches leave it at an angle, thinner and
shorter. Its coverage of each pixel is measured on a canvas four times as fine, so that a hairline
of a third of a pixel darkens its pixels by a third.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from unetfast.data.synth.noise import Field, Rng, band, chance, fractal, line_noise, log_uniform

__all__ = ["Strand", "cracked", "network", "rasterise", "single", "star"]

FINE = 4  # sub-pixels a side on the coverage canvas
STEP_PX = 2.0  # between the points of a curve


@dataclass(frozen=True)
class Strand:
    """One curve of a crack.

    Attributes
    ----------
    points : (n, 2) float32
        x, y in pixels.
    widths : (n,) float32
        Full width in pixels at each point; 0 where the crack is closed.
    """

    points: Field
    widths: Field


def _strand(
    rng: Rng,
    start: Field,
    heading: float,
    length_px: float,
    width_px: float,
    rough_px: float,
    most_bend: float = 0.5,
) -> Strand:
    """Walk from `start` along a slowly turning heading, jagged at all scales."""
    count = max(4, int(length_px / STEP_PX))
    bend = rng.uniform(0.02, most_bend)
    turn = heading + bend * line_noise(rng, count, max(4.0, rng.uniform(0.2, 1.2) * count))
    along = np.stack([np.cos(turn), np.sin(turn)], 1)
    course = start + np.cumsum(along * STEP_PX, 0)
    # The largest zigzags are several widths long: a wide crack is no worm.
    jag = line_noise(rng, count, rng.uniform(6, 30) + 2 * width_px, rng.uniform(0.4, 0.75))
    jag -= np.linspace(jag[0], jag[-1], count)  # the ends stay where they are: branches are attached
    points = course + rough_px * jag[:, None] * np.stack([-along[:, 1], along[:, 0]], 1)
    widths = width_px * np.exp(rng.uniform(0.1, 0.5) * line_noise(rng, count, rng.uniform(8, 60)))
    return Strand(points.astype(np.float32), _tapered(rng, widths.astype(np.float32)))


def _tapered(rng: Rng, widths: Field) -> Field:
    count = widths.size
    tail = np.linspace(1, 0.15, max(2, int(count * rng.uniform(0.05, 0.6))), dtype=np.float32)
    widths = widths.copy()
    widths[-tail.size :] *= tail
    if chance(rng, 0.2):  # closes for a while
        at, gap = int(rng.integers(count)), int(rng.integers(2, 10))
        widths[at : at + gap] *= rng.uniform(0, 0.4)
    return widths


def _rough_px(rng: Rng, width_px: float) -> float:
    return log_uniform(rng, 0.3, 5.0) + 0.35 * width_px


def single(rng: Rng, size_px: int, width_px: float) -> list[Strand]:
    """Draw a crack that crosses the picture, or a part of it, with branches."""
    edge = rng.uniform(-0.1, 1.1, 2).astype(np.float32) * size_px
    aim = rng.uniform(0.25, 0.75, 2) * size_px
    heading = float(np.arctan2(aim[1] - edge[1], aim[0] - edge[0]))
    length_px = max(size_px * rng.uniform(0.3, 1.6), 12 * width_px)  # shorter, it is a hole
    # Glazed tiles, glass and thin paint crack in long, nearly straight lines.
    brittle = width_px < 4 and chance(rng, 0.5)
    rough_px, bend = (log_uniform(rng, 0.15, 1.2), 0.2) if brittle else (_rough_px(rng, width_px), 0.5)
    strands = [_strand(rng, edge, heading, length_px, width_px, rough_px, bend)]
    opens = strands[0].widths[: max(2, int(len(strands[0].widths) * rng.uniform(0.03, 0.3)))]
    opens *= np.linspace(0.15, 1, opens.size, dtype=np.float32)  # no crack begins as a disc
    for _ in range(int(rng.integers(0, 6)) if chance(rng, 0.6) else 0):
        parent = strands[int(rng.integers(len(strands)))]
        at = int(rng.integers(1, len(parent.points) - 1))
        before = parent.points[max(0, at - 5)]
        ahead = float(np.arctan2(*(parent.points[at] - before)[::-1]))
        angle = ahead + rng.choice([-1, 1]) * rng.uniform(0.3, 1.5)
        thin = float(parent.widths[at]) * rng.uniform(0.3, 0.9)
        strands.append(
            _strand(
                rng, parent.points[at], angle, length_px * rng.uniform(0.08, 0.5), thin, _rough_px(rng, thin)
            )
        )
    return strands


def star(rng: Rng, size_px: int, width_px: float) -> list[Strand]:
    """Draw what a blow leaves in a tile: nearly straight cracks from one point, thinner outwards."""
    centre = rng.uniform(0.1, 0.9, 2).astype(np.float32) * size_px
    count = int(rng.integers(3, 9))
    first = rng.uniform(0, 2 * np.pi)
    strands = []
    for ray in range(count):
        heading = first + (ray + rng.uniform(-0.35, 0.35)) * 2 * np.pi / count
        length_px = size_px * log_uniform(rng, 0.08, 0.8)
        thin = width_px * rng.uniform(0.4, 1.2)
        strands.append(_strand(rng, centre, heading, length_px, thin, log_uniform(rng, 0.15, 1.5), 0.25))
    return strands


def network(rng: Rng, size_px: int, width_px: float) -> list[Strand]:
    """Draw an alligator network: the borders of irregular cells, some of them closed."""
    cell_px = log_uniform(rng, 18, 130)
    squeeze = rng.uniform(0.5, 1.0)  # long cells across the direction of pull
    far = size_px * 1.3
    seeds = [
        (x + rng.uniform(-0.45, 0.45) * cell_px, y + rng.uniform(-0.45, 0.45) * cell_px * squeeze)
        for x in np.arange(-0.3 * size_px, far, cell_px)
        for y in np.arange(-0.3 * size_px, far, cell_px * squeeze)
    ]
    division = cv2.Subdiv2D((-2 * size_px, -2 * size_px, 6 * size_px, 6 * size_px))
    division.insert([(float(x), float(y)) for x, y in seeds])
    facets, _ = division.getVoronoiFacetList([])
    centre, reach = rng.uniform(0, size_px, 2), size_px * rng.uniform(0.25, 1.3)
    closed = rng.uniform(0, 0.45)
    width_px = min(width_px, cell_px / 14)
    rough_px = min(_rough_px(rng, width_px), 0.06 * cell_px + 0.3)
    edges: dict[tuple[int, ...], tuple[Field, Field]] = {}
    for facet in (np.asarray(corners) for corners in facets):
        for a, b in zip(facet, np.roll(facet, -1, axis=0), strict=True):
            ends = (hash((round(float(x)), round(float(y)))) for x, y in (a, b))
            key = tuple(sorted(ends))
            edges[key] = (a, b)  # a border belongs to two cells and is drawn once
    strands = []
    for a, b in edges.values():
        middle = (a + b) / 2
        if (
            np.any(middle < -10)
            or np.any(middle > size_px + 10)
            or np.hypot(*(middle - centre)) > reach
            or chance(rng, closed)
        ):
            continue
        strands.append(_border(rng, a, b, width_px * float(np.exp(rng.normal(0, 0.35))), rough_px))
    # In paint on canvas and in glaze straight ones run through, along the weave or the stretcher.
    straight = int(rng.integers(1, 6)) if reach > 0.7 * size_px and chance(rng, 0.5) else 0
    return strands + [_through(rng, size_px, width_px * rng.uniform(0.6, 2.0)) for _ in range(straight)]


def _through(rng: Rng, size_px: int, width_px: float) -> Strand:
    """Draw a nearly straight crack, along the picture's rows or columns."""
    at, first = rng.uniform(0, size_px), rng.uniform(-0.3, 0.7) * size_px
    slope, length_px = rng.normal(0, 0.06), rng.uniform(0.2, 1.3) * size_px
    ends = np.array([[first, at], [first + length_px, at + slope * length_px]], np.float32)
    a, b = ends if chance(rng, 0.5) else ends[:, ::-1]
    return _border(rng, a, b, width_px, log_uniform(rng, 0.1, 1.5))


def _border(rng: Rng, a: Field, b: Field, width_px: float, rough_px: float) -> Strand:
    count = max(3, int(np.hypot(*(b - a)) / STEP_PX))
    t = np.linspace(0, 1, count, dtype=np.float32)[:, None]
    jag = line_noise(rng, count, max(4, count / 2)) * np.sin(np.pi * t[:, 0])
    normal = np.array([a[1] - b[1], b[0] - a[0]]) / (np.hypot(*(b - a)) + 1e-6)
    widths = width_px * np.exp(0.3 * line_noise(rng, count, max(4, count / 2)))
    points = a + t * (b - a) + rough_px * jag[:, None] * normal
    return Strand(points.astype(np.float32), widths.astype(np.float32))


def rasterise(strands: list[Strand], size_px: int) -> tuple[Field, NDArray[np.uint8]]:
    """Measure how much of each pixel the strands cover, and mark the pixels to repair.

    Returns
    -------
    coverage : (size_px, size_px) float32 in [0, 1]
    mask : (size_px, size_px) uint8, 0 or 1
        The covered pixels and one more on each side, at least 3 px wide: what an annotator marks
        and what must be replaced for the crack to vanish.
    """
    canvas = np.zeros((size_px * FINE, size_px * FINE), np.uint8)
    centre = np.zeros((size_px, size_px), np.uint8)
    for strand in strands:
        # cv2's fixed point: 4 fractional bits; pixel centres lie at halves of a pixel.
        fine = np.round((strand.points * FINE + (FINE - 1) / 2) * 16).astype(np.int32)
        coarse = np.round(strand.points * 16).astype(np.int32)
        thick = np.maximum(1, np.round(strand.widths * FINE)).astype(int)
        drawn = strand.widths * FINE > 0.5
        for i in range(len(fine) - 1):
            if drawn[i]:
                cv2.line(canvas, fine[i].tolist(), fine[i + 1].tolist(), 255, int(thick[i]), cv2.LINE_8, 4)
                cv2.line(centre, coarse[i].tolist(), coarse[i + 1].tolist(), 1, 1, cv2.LINE_8, 4)
    coverage = cv2.resize(canvas, (size_px, size_px), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    marked = np.maximum((coverage > 0.3).astype(np.uint8), centre)
    return coverage, np.asarray(cv2.dilate(marked, np.ones((3, 3), np.uint8)), np.uint8)


def cracked(
    rng: Rng, image: Field, narrowest_px: float = 0.4, widest_px: float = 16.0
) -> tuple[Field, NDArray[np.uint8]]:
    """Draw a crack into a picture, wide and dark enough to be seen on its surface.

    Parameters
    ----------
    rng : numpy.random.Generator
    image : (S, S, 3) float32 in [0, 1]
    narrowest_px, widest_px : float
        Range of the crack's width; those of a network or a star stay below 3.5 px, and there are none
        where the narrowest is 1 px or more.

    Returns
    -------
    image : (S, S, 3) float32 in [0, 1]
    mask : (S, S) uint8, 0 or 1
    """
    size_px = image.shape[0]
    courses: list[Callable[[Rng, int, float], list[Strand]]] = [network, star, single]
    # Nobody can tell fine networks among coarse stones from the gaps between the stones.
    course = courses[int(rng.choice(3, p=[0.2, 0.06, 0.74]))] if narrowest_px < 1 else single
    thin = course is not single
    width_px = log_uniform(rng, min(narrowest_px, 1.0) if thin else narrowest_px, 3.5 if thin else widest_px)
    # On dark tiles and slate a crack shows its light inside, or the dust and lime in it.
    bright = width_px < 5 and chance(rng, 0.35 if image.mean() < 0.35 else 0.06)
    strands = course(rng, size_px, width_px)
    if width_px > 2.5:  # a wide crack is several strands, so that its two edges differ
        strands = strands + [_shaken(rng, strand, width_px) for strand in strands for _ in range(2)]
    grey = image.mean(2)
    noise = float((grey - cv2.GaussianBlur(grey, (0, 0), 4)).std()) + 0.004
    # Smooth tiles and plaster break with clean edges, rough stone does not.
    ragged = rng.uniform(0, 0.45) if chance(rng, 0.7 if noise > 0.04 else 0.2) else 0.0
    stones = (grey - cv2.GaussianBlur(grey, (0, 0), 6)) / (2 * noise)
    holds = rng.uniform(0.05, 0.4) if noise > 0.03 and chance(rng, 0.75) else 0.0
    for widen in (1.0, 1.6, 2.5, 4.0):
        if widen > 1 and widen * width_px > 8:
            break  # as wide as that, it is not its width that hides it
        wide = [Strand(s.points, s.widths * widen) for s in strands]
        coverage, mask = rasterise(wide, size_px)
        if ragged and width_px * widen > 1.5:
            coverage, mask = _ragged(rng, coverage, mask, ragged)
        if holds and width_px * widen > 3:
            coverage = _between(rng, coverage, holds * stones, width_px * widen)
        made = _render(rng, image, coverage, bright)
        seen = coverage > 0.15
        if seen.sum() < 30:
            continue
        signal = float(np.abs(made.mean(2) - grey)[seen].mean())
        if signal > 0.8 * noise and signal > 0.018:
            return made, mask
    return image, np.zeros((size_px, size_px), np.uint8)


def _ragged(
    rng: Rng, coverage: Field, mask: NDArray[np.uint8], strength: float
) -> tuple[Field, NDArray[np.uint8]]:
    """Fray the edges, as where a crack runs round the stones of asphalt or crumbles."""
    size_px = coverage.shape[0]
    frayed = cv2.GaussianBlur(coverage, (0, 0), 1.0) + strength * band(rng, size_px, log_uniform(rng, 1.5, 5))
    near = cv2.GaussianBlur(coverage, (0, 0), 1.5) > 0.12
    coverage = np.asarray(np.clip((frayed - 0.42) * 2.5 + 0.5, 0, 1) * near, np.float32)
    return coverage, np.maximum(
        mask, cv2.dilate((coverage > 0.3).astype(np.uint8), np.ones((3, 3), np.uint8))
    )


def _between(rng: Rng, coverage: Field, resistance: Field, width_px: float) -> Field:
    """Let a wide crack run between the stones: light ones at its edge stay, dark places join it.

    Its mask is left alone, since annotators draw around such stones.
    """
    soft = cv2.GaussianBlur(coverage, (0, 0), 1 + width_px * rng.uniform(0.05, 0.3))
    return np.asarray(np.clip((soft - np.clip(resistance, -0.35, 0.6) - 0.42) * 3 + 0.5, 0, 1), np.float32)


def _shaken(rng: Rng, strand: Strand, width_px: float) -> Strand:
    count = len(strand.widths)
    offset = 0.3 * width_px * line_noise(rng, count, max(8, 2 * width_px / STEP_PX))[:, None]
    along = np.gradient(strand.points, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], 1) / (np.hypot(along[:, 0], along[:, 1])[:, None] + 1e-6)
    return Strand((strand.points + offset * normal).astype(np.float32), strand.widths * np.float32(0.6))


def _render(rng: Rng, image: Field, coverage: Field, bright: bool) -> Field:
    """Darken (or, rarely, lighten) what the crack covers: core darker than rim, one edge lit."""
    size_px = image.shape[0]
    around = cv2.GaussianBlur(image, (0, 0), 6)
    if bright:
        inside = np.clip(around + rng.uniform(0.15, 0.5), 0, 1)
    else:
        inside = around * rng.uniform(0.05, 0.6) * (1 + rng.normal(0, 0.06, 3).astype(np.float32))
        rubble = 1 + rng.uniform(0, 0.45) * band(rng, size_px, log_uniform(rng, 1, 4))
        inside = np.clip(inside * rubble[..., None], 0, 1)
        if chance(rng, 0.3):  # filled with the sand and the stones of its surroundings
            dy, dx = (int(v) for v in rng.integers(20, size_px - 20, 2))
            debris = np.roll(image, (dy, dx), (0, 1)) * rng.uniform(0.45, 0.85)
            inside = inside + rng.uniform(0.5, 1) * (debris - inside)
    core = cv2.GaussianBlur(coverage, (0, 0), rng.uniform(0.4, 1.2))
    alpha = np.minimum(coverage, 0.45 * coverage + 0.75 * core)
    # The depth changes slowly along the crack.
    alpha = alpha * np.clip(1 - rng.uniform(0, 0.3) * np.abs(fractal(rng, size_px, 60, 1)), 0.3, 1)
    made = image * (1 - alpha[..., None]) + inside * alpha[..., None]
    if chance(rng, 0.5):
        dx, dy = (int(v) for v in rng.integers(-2, 3, 2))
        edge = np.clip(np.roll(coverage, (dy, dx), (0, 1)) - coverage, 0, 1)
        made = made + edge[..., None] * rng.uniform(-0.1, 0.22) * around
    if chance(rng, 0.25):  # crumbled edges: chips near the crack, lighter or darker, not part of it
        near = cv2.GaussianBlur(coverage, (0, 0), rng.uniform(2, 6))
        chips = (near * (1 + fractal(rng, size_px, 6, 2)) > 0.35) & (coverage < 0.2)
        soft = cv2.GaussianBlur(chips.astype(np.float32), (0, 0), 0.7)[..., None]
        made = made * (1 + soft * rng.uniform(-0.12, 0.2))
    return np.asarray(np.clip(made, 0, 1), np.float32)
