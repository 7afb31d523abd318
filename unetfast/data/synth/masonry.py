"""Bricks and tiles: a lattice of joints seen at a slant, and stones that each look a little different."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from unetfast.data.synth.noise import Field, Rng, band, chance, fractal, log_uniform
from unetfast.data.synth.textures import concrete, marble, plaster, tint

__all__ = ["Lattice", "lattice", "masonry"]


@dataclass(frozen=True)
class Lattice:
    """Where the joints run.

    Attributes
    ----------
    distance_px : (S, S) float32
        To the middle of the nearest joint.
    stone : (S, S) int64
        The number of the stone that a pixel belongs to.
    x, y : (S, S) float32
        Place within the stone, in units of the pitch, 0 at its middle.
    """

    distance_px: Field
    stone: NDArray[np.int64]
    x: Field
    y: Field


def lattice(rng: Rng, size_px: int) -> Lattice:
    """Draw a lattice: rectangles in rows or in bond, hexagons, or squares with a small one at each corner."""
    pitch = log_uniform(rng, 18, 260)
    floor_x, floor_y, depth = _plane(rng, size_px)
    kind = rng.random()
    if kind < 0.2:
        return _hexagons(floor_x / pitch, floor_y / pitch, pitch / depth)
    dots = rng.uniform(0.12, 0.3) if kind < 0.28 else 0.0
    ratio = 1.0 if dots else float(rng.choice([1.0, 1.0, 1.0, 1.5, 2.0, 3.0, 4.0]))
    row_at = floor_y / pitch
    row = np.floor(row_at)
    shift = 0.0
    if not dots and chance(rng, 0.6 if ratio > 1 else 0.15):
        shift = (row % 2) * rng.choice([0.5, 0.5, 1 / 3])
    column_at = floor_x / (pitch * ratio) + shift
    column = np.floor(column_at)
    y, x = row_at - row - 0.5, column_at - column - 0.5
    to_joint = np.minimum(0.5 - np.abs(y), (0.5 - np.abs(x)) * ratio)
    stone = row * 7919 + column * 104729
    if dots:
        corner = (1 - np.abs(x) - np.abs(y)) - dots  # negative within the small square at a corner
        to_joint = np.where(corner < 0, np.abs(corner), np.minimum(to_joint, np.abs(corner))) * 0.8
        stone = np.where(corner < 0, np.round(row_at) * 15485863 + np.round(column_at) * 32452843, stone)
    distance = to_joint * pitch / depth
    return Lattice(
        distance.astype(np.float32), stone.astype(np.int64), x.astype(np.float32), y.astype(np.float32)
    )


def _plane(rng: Rng, size_px: int) -> tuple[Field, Field, Field]:
    """Give each pixel its place on a turned, slanted plane (px) and by how much it is shrunk there."""
    grid_y, grid_x = np.mgrid[0:size_px, 0:size_px].astype(np.float32)
    angle = rng.choice([0.0, np.pi / 2, rng.normal(0, 0.06), rng.uniform(0, np.pi)])
    turned_x = np.cos(angle) * grid_x - np.sin(angle) * grid_y + rng.uniform(0, 300)
    turned_y = np.sin(angle) * grid_x + np.cos(angle) * grid_y + rng.uniform(0, 300)
    if chance(rng, 0.4):
        return turned_x, turned_y, np.ones_like(grid_x)
    slant = rng.uniform(-0.6, 0.6, 2)
    depth = np.maximum(0.25, 1 + (slant[0] * grid_x + slant[1] * grid_y) / size_px)
    return turned_x / depth, turned_y / depth, depth


def _hexagons(x: Field, y: Field, pitch_px: Field) -> Lattice:
    """Cut the plane, in units of the pitch, into hexagons: the middles form two shifted grids."""
    tall = np.sqrt(3.0)
    row, column = np.round(y / tall), np.round(x)
    row2, column2 = np.round(y / tall - 0.5), np.round(x - 0.5)
    dx, dy = x - column, y - row * tall
    dx2, dy2 = x - column2 - 0.5, y - (row2 + 0.5) * tall
    first = dx**2 + dy**2 < dx2**2 + dy2**2
    dx, dy = np.where(first, dx, dx2), np.where(first, dy, dy2)
    inside = 0.5 - np.maximum(np.abs(dx), 0.5 * np.abs(dx) + 0.5 * tall * np.abs(dy))
    stone = np.where(first, row * 7919 + column * 104729, row2 * 15485863 + column2 * 32452843)
    return Lattice(
        (inside * pitch_px).astype(np.float32),
        stone.astype(np.int64),
        dx.astype(np.float32),
        dy.astype(np.float32),
    )


def masonry(rng: Rng, size_px: int) -> Field:
    """Draw bricks or tiles with joints; each stone has its own shade."""
    cells = lattice(rng, size_px)
    distance = cells.distance_px
    if chance(rng, 0.4):  # rough edges
        distance = distance + rng.uniform(0, 1.5) * fractal(rng, size_px, 12, 3)
    half_px = log_uniform(rng, 0.5, 5)
    # One pixel of ramp: partial coverage of the pixels at the joint's edge.
    joint = np.clip(half_px - distance + 0.5, 0, 1)[..., None]
    kinds: list[Callable[[Rng, int], Field]] = [concrete, plaster, plaster, marble]
    body = kinds[rng.integers(len(kinds))](rng, size_px)
    if chance(rng, 0.5):
        body = _jumbled(body, cells)
    if chance(rng, 0.3):
        body = body * tint(rng, 0.6, 1.1, 0.15)
    if chance(rng, 0.25):
        body = _printed(rng, body, cells)
    # A hash of the stone's number is its shade: no table of stones is needed.
    shade = ((cells.stone * 2654435761) % 1000).astype(np.float32) / 1000 - 0.5
    body = body * (1 + (rng.uniform(0, 0.2) * shade)[..., None])
    if chance(rng, 0.35):  # rounded edges
        reach = 2 * half_px + 1
        body = body * (1 + (rng.uniform(-0.25, 0.12) * np.clip(1 - distance / reach, 0, 1))[..., None])
    mortar = tint(rng, 0.08, 0.95, 0.04)
    if chance(rng, 0.35):  # joints that hardly differ from the tiles
        mortar = body.mean((0, 1)) * rng.uniform(0.7, 1.15)
    grain = 1 + 0.05 * band(rng, size_px, 1.5)
    # Dirt, damp and lime make a joint darker here and lighter there.
    dirt = 1 + rng.uniform(0, 0.15) * fractal(rng, size_px, log_uniform(rng, 10, 80), 2)
    joints = mortar * (grain * np.clip(dirt, 0.2, 1.6))[..., None]
    return np.asarray(body * (1 - joint) + joints * joint, np.float32)


def _jumbled(body: Field, cells: Lattice) -> Field:
    """Give each stone its own piece of the texture: veins end at the joint."""
    size_px = body.shape[0]
    grid_y, grid_x = np.mgrid[0:size_px, 0:size_px].astype(np.float32)
    moved_x = (grid_x + (cells.stone * 40503) % size_px) % size_px
    moved_y = (grid_y + (cells.stone * 30011) % size_px) % size_px
    return np.asarray(
        cv2.remap(body, moved_x.astype(np.float32), moved_y.astype(np.float32), cv2.INTER_LINEAR), np.float32
    )


def _printed(rng: Rng, body: Field, cells: Lattice) -> Field:
    """Print an ornament on each tile: mirrored, with crisp edges, in the tile's own perspective."""
    half = 128
    canvas = np.zeros((half, half), np.float32)
    for _ in range(int(rng.integers(2, 9))):
        centre = tuple(int(v) for v in rng.integers(0, half, 2))
        size = tuple(int(v) for v in rng.integers(4, half // 2 + 3, 2))
        width = int(rng.choice([-1, 2, 4, 8]))
        turn, end = float(rng.uniform(0, 180)), float(rng.uniform(90, 360))
        if chance(rng, 0.6):
            cv2.ellipse(canvas, centre, size, turn, 0, end, 1.0, width, cv2.LINE_AA)
        else:
            away = (centre[0] + size[0], centre[1] - size[1])
            cv2.line(canvas, centre, away, 1.0, abs(width) + 1, cv2.LINE_AA)
    if chance(rng, 0.5):
        canvas = np.maximum(canvas, canvas.T)
    # |x| and |y| mirror the quarter; abs(0.5 - |x|) would print the same ornament around the corners.
    at_x, at_y = (np.clip(np.abs(v) * 2 * half - 0.5, 0, half - 1) for v in (cells.x, cells.y))
    ink = cv2.remap(canvas, at_x.astype(np.float32), at_y.astype(np.float32), cv2.INTER_LINEAR)
    ink = ink[..., None] * rng.uniform(0.3, 1)
    return np.asarray(body * (1 - ink) + ink * tint(rng, 0.1, 0.8, 0.2), np.float32)
