"""Drawn pictures on disk, as a data set that ``unetfast train`` reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from unetfast import imaging
from unetfast.data.synth.scene import Photos, scenes
from unetfast.errors import ConfigError, DatasetError

__all__ = ["read_photos", "write_scenes"]


def write_scenes(
    out: Path,
    count: int,
    *,
    size_px: int = 320,
    seed: int = 0,
    photos: Photos = (),
    cracked_share: float = 0.75,
    workers: int = 1,
) -> Iterator[Path]:
    """Write pictures to ``out/images/NNNNNN.png`` and their masks to ``out/masks/NNNNNN.png``.

    Parameters
    ----------
    out : Path
        A new or an empty folder.
    count : int
        How many pictures.
    size_px, seed, photos, cracked_share, workers
        See :func:`unetfast.data.synth.scenes`.

    Yields
    ------
    Path
        The picture just written; its mask is written before it.

    Raises
    ------
    ConfigError
        When `out` holds something: nothing is overwritten, and old and new are not mixed.
    """
    images, masks = out / "images", out / "masks"
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: not an empty folder; give a new one")
    for folder in (images, masks):
        folder.mkdir(parents=True, exist_ok=True)
    drawing = scenes(count, seed, size_px, photos=photos, cracked_share=cracked_share, workers=workers)
    for index, (image, mask) in enumerate(drawing):
        name = f"{index:06d}.png"
        imaging.write_mask(masks / name, mask.astype(bool))
        imaging.write(images / name, imaging.Picture(image, "png"))
        yield images / name


def read_photos(folder: Path) -> Photos:
    """Read all pictures of a folder as (H, W, 3) uint8.

    Raises
    ------
    DatasetError
        When the folder holds no picture, or one smaller than 64 x 64.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder of photos")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in imaging.ENDINGS)
    if not paths:
        raise DatasetError(f"{folder}: no pictures in it ({', '.join(sorted(imaging.ENDINGS))})")
    photos = [imaging.network_input(imaging.read(path).pixels, 3) for path in paths]
    for path, photo in zip(paths, photos, strict=True):
        if min(photo.shape[:2]) < 64:
            raise DatasetError(f"{path}: {photo.shape[1]}x{photo.shape[0]} is too small to take patches of")
    return photos
