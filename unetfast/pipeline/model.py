"""The model of a run: opened in the same way by every engine, and known by its file's hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

from unetfast.backends import bundled
from unetfast.errors import ArtifactError
from unetfast.pipeline.settings import RunSettings
from unetfast.segment import Segmenter, load

__all__ = ["model_sha256", "open_model"]

STREAMS = 4  # photos in the network at once, at most, each on its share of the cores


def open_model(model: str | Path, settings: RunSettings, streams: int = STREAMS) -> Segmenter:
    """Open a model as a run with these settings uses it, for so many photos at once."""
    return load(
        model,
        backend=settings.backend,
        device=settings.device,
        rebuild=settings.rebuild,
        threads=settings.threads,
        tile_px=settings.tile,
        batch=settings.batch,
        memory_bytes=settings.memory_bytes() // 2,
        streams=streams,
    )


def model_sha256(model: str | Path) -> str:
    """Return the SHA-256 of an artifact's file, or of a bundled model's."""
    path = bundled(model) or Path(model)
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise ArtifactError(f"{path}: cannot be read: {exc.strerror}") from exc
