"""Folders of photos with cracks, runs over them, and what the runs left."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from unetfast import imaging
from unetfast.pipeline.settings import RunSettings

Command = Callable[..., subprocess.CompletedProcess[str]]


def photo(seed: int = 0, height: int = 120, width: int = 160, channels: int = 3) -> np.ndarray:
    """Return a plaster-like (H, W, C) uint8 picture with a dark crack across it."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, channels), 170, np.uint8) + rng.integers(
        0, 8, (height, width, channels), np.uint8
    )
    points = np.stack([np.linspace(0, width, 9), height / 2 + rng.normal(0, height / 12, 9)], axis=1)
    crack = np.zeros((height, width), np.uint8)
    cv2.polylines(crack, [points.astype(np.int32)], False, 255, 3)
    image[crack > 0] = 30
    return image


def folder_of_photos(folder: Path, count: int = 3, **options: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        imaging.write(folder / f"p{i}.png", imaging.Picture(photo(i, **options), "png"))
    return folder


def settings(**changes: Any) -> RunSettings:
    return RunSettings(**{"threads": 1, "workers": 2, "inpaint": True, "save_masks": True, **changes})


def entries(output: Path) -> dict[str, dict[str, Any]]:
    lines = (output / "results.jsonl").read_text().splitlines()
    return {line["input"]: line for line in map(json.loads, lines)}


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("results")
    }
