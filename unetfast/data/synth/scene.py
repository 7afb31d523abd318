"""Whole pictures with cracks and their masks, drawn."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from unetfast.data.synth.camera import photograph
from unetfast.data.synth.cracks import cracked
from unetfast.data.synth.distractors import distracted
from unetfast.data.synth.gravel import gravel
from unetfast.data.synth.noise import Field, Rng, blend, chance, fractal, log_uniform
from unetfast.data.synth.scenery import scenery
from unetfast.data.synth.surfaces import surface
from unetfast.errors import BackendError

__all__ = ["Subject", "draw", "scenes"]

Photos = Sequence[NDArray[np.uint8]]
Scene: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.uint8]]
Subject: TypeAlias = Literal["surface", "rough road", "scenery"]

_AHEAD = 8  # pictures a process that are drawn before they are asked for


def draw(
    rng: Rng,
    size_px: int = 320,
    *,
    photos: Photos = (),
    cracked_share: float = 0.75,
    subject: Subject = "surface",
) -> Scene:
    """Draw one picture and its mask.

    Parameters
    ----------
    rng : numpy.random.Generator
        The same generator state gives the same picture.
    size_px : int
        Side of the square picture, at least 64.
    photos : sequence of (H, W, 3) uint8
        Crack-free photographs, RGB; half of the surfaces are cut from them. None: all surfaces
        are procedural.
    cracked_share : float
        The part of the pictures that show a crack, in [0, 1].
    subject : {"surface", "rough road", "scenery"}
        A wall, floor or road; a road seen from near, with stones of up to 30 px and cracks of 2 to
        34 px; or what else is in photographs, which never has a crack.

    Returns
    -------
    image : (size_px, size_px, 3) uint8, RGB
    mask : (size_px, size_px) uint8
        1 where a crack is to be found, else 0.
    """
    if subject == "scenery":
        image, _ = distracted(rng, scenery(rng, size_px), 1)
        return photograph(rng, image), np.zeros((size_px, size_px), np.uint8)
    if subject == "rough road":
        stone_px = log_uniform(rng, 3, 30)
        loose = chance(rng, 0.12)
        image = gravel(rng, size_px, stone_px, loose=loose)
        cracked_share *= not loose  # nothing cracks there, and nobody could tell it from the gaps
        # Thinner ones cannot be told from the gaps between the stones.
        widths_px = (max(2.0, 0.4 * stone_px), 34.0)
    else:
        image, widths_px = _ground(rng, size_px, photos), (0.4, 16.0)
    image, _ = distracted(rng, image, 2)
    bare, mask = image, np.zeros((size_px, size_px), np.uint8)
    if chance(rng, cracked_share):
        for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
            image, more = cracked(rng, image, *widths_px)
            mask |= more
    drawn = np.abs(image - bare).mean(2)
    image, hidden = distracted(rng, image, 2)
    if chance(rng, 0.15):  # a part of the picture shows what lies beyond
        beyond = _border(rng, size_px)[1]
        image = blend(image, beyond, scenery(rng, size_px))
        hidden = np.maximum(hidden, beyond)
    picture = photograph(rng, image)
    return picture, mask * _visible(drawn * (hidden < 0.6), image, picture)


def _visible(drawn: Field, image: Field, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Find where the crack still shows after exposure: truth that nobody can see teaches guessing."""
    before = cv2.GaussianBlur(image.mean(2), (0, 0), 5) + 0.01
    after = cv2.GaussianBlur(picture.mean(2).astype(np.float32) / 255, (0, 0), 5)
    shows = (drawn * after / before > 5 / 255) & (after < 0.98)
    return np.asarray(cv2.dilate(shows.astype(np.uint8), np.ones((9, 9), np.uint8)), np.uint8)


def scenes(
    count: int,
    seed: int,
    size_px: int = 320,
    *,
    photos: Photos = (),
    cracked_share: float = 0.75,
    subject: Subject = "surface",
    workers: int = 1,
) -> Iterator[Scene]:
    """Draw `count` pictures, in `workers` processes.

    The n-th depends on the seed and n alone, not on the number of workers. See :func:`draw` for
    the other parameters and for what is given. Processes other than this one begin by importing the
    script that runs, which therefore calls this under ``if __name__ == "__main__":``.

    Raises
    ------
    BackendError
        When a process could not start, or was killed.
    """
    task = functools.partial(_numbered, seed, size_px, photos, cracked_share, subject)
    if workers == 1:
        yield from map(task, range(count))
        return
    # Spawned, not forked: a fork of a process in which OpenCV has threads waits for them for ever.
    spawn = multiprocessing.get_context("spawn")
    # Not multiprocessing.Pool, which starts a process that cannot start again and again, for ever.
    with ProcessPoolExecutor(workers, spawn, _start, (task,)) as pool:
        drawn = 0
        try:
            for scene in _in_order(pool, count, _AHEAD * workers):
                yield scene
                drawn += 1
        except BrokenProcessPool as exc:
            if drawn:
                raise BackendError(f"a process that draws was killed after {drawn} pictures") from exc
            raise BackendError(
                "a process that draws ended before its first picture; it begins by importing your script: "
                'call this in a file, under if __name__ == "__main__":, or with workers=1'
            ) from exc
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _in_order(pool: ProcessPoolExecutor, count: int, ahead: int) -> Iterator[Scene]:
    waiting: deque[Future[Scene]] = deque()
    for index in range(count):
        waiting.append(pool.submit(_drawn, index))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _numbered(
    seed: int, size_px: int, photos: Photos, cracked_share: float, subject: Subject, index: int
) -> Scene:
    rng = np.random.default_rng([seed, index])
    return draw(rng, size_px, photos=photos, cracked_share=cracked_share, subject=subject)


_task: Callable[[int], Scene]  # of this worker process


def _start(task: Callable[[int], Scene]) -> None:
    global _task  # noqa: PLW0603  # a pool's worker has no other place to keep what it shares
    _task = task
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's, who ends this process
    threading.Thread(target=_end_with_caller, daemon=True).start()


def _end_with_caller() -> None:
    """End this process when the one that wants its pictures was killed; it would wait for ever."""
    if caller := multiprocessing.parent_process():
        caller.join()
        os._exit(1)


def _drawn(index: int) -> Scene:
    return _task(index)


def _ground(rng: Rng, size_px: int, photos: Photos) -> Field:
    """Draw the surface; a quarter of the time two of them that meet, which is no crack either."""
    ground = surface(rng, size_px, photos)
    if not chance(rng, 0.25):
        return ground
    away_px, beyond = _border(rng, size_px)
    ground = blend(ground, beyond, surface(rng, size_px, photos))
    if chance(rng, 0.5):  # the shadow in the corner
        dark = np.exp(-np.abs(away_px) / log_uniform(rng, 0.6, 12)) * rng.uniform(0.1, 0.8)
        ground = ground * (1 - dark[..., None])
    return np.asarray(np.maximum(ground, 0.0), np.float32)


def _border(rng: Rng, size_px: int) -> tuple[Field, Field]:
    """Draw a border across the picture: how many pixels beyond it each pixel lies, and 1 where it does."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:size_px, 0:size_px].astype(np.float32) / size_px - rng.uniform(0.2, 0.8)
    away_px = (np.cos(angle) * x + np.sin(angle) * y) * size_px
    if chance(rng, 0.3):
        away_px = away_px + fractal(rng, size_px, log_uniform(rng, 20, 200), 3) * rng.uniform(1, 12)
    return away_px, np.clip(away_px / rng.uniform(0.8, 3) + 0.5, 0, 1)
