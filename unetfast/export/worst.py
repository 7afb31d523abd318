"""A picture of the image on which an export and its checkpoint differ most."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetfast.backends.base import Backend
from unetfast.backends.whole import label_predictor
from unetfast.errors import ImageError
from unetfast.imaging import Picture, write
from unetfast.inpainting.mask import dilate

__all__ = ["picture", "show_worst"]

log = logging.getLogger(__name__)


def show_worst(
    certificate: dict[str, Any],
    reference: Backend,
    candidate: Backend,
    images: Sequence[NDArray[np.uint8]],
    path: Path,
) -> None:
    """Draw the worst image of a certificate that does not hold; ``"picture"`` in it then says where."""
    if certificate["passed"]:
        return
    image = images[certificate["worst_image"]]
    wanted, got = label_predictor(reference)(image), label_predictor(candidate)(image)
    try:
        picture(path, image, wanted, got, len(candidate.spec.classes))
    except ImageError as exc:  # the refusal counts, also where its picture cannot be written
        log.warning("no picture of the worst image: %s", exc)
    else:
        certificate["picture"] = str(path)


def picture(
    path: Path, image: NDArray[np.uint8], wanted: NDArray[np.uint8], got: NDArray[np.uint8], classes: int
) -> None:
    """Draw the image, both answers and (in red, grown to be seen) where they differ, as a PNG.

    Parameters
    ----------
    path : Path
    image : (H, W, C) uint8
    wanted, got : (H, W) uint8
        Class ids of the checkpoint and of the export.
    classes : int
    """
    grey = image[..., :3].mean(axis=2).astype(np.uint8)  # (H, W)
    shown = image if image.shape[2] == 3 else np.repeat(grey[..., None], 3, axis=2)
    levels = (np.arange(256) * (255 // max(1, classes - 1))).clip(0, 255).astype(np.uint8)
    masks = [np.repeat(levels[labels][..., None], 3, axis=2) for labels in (wanted, got)]
    marked = np.repeat((grey // 2)[..., None], 3, axis=2)
    marked[dilate(wanted != got, 2)] = (255, 0, 0)
    rule = np.full((image.shape[0], 4, 3), 128, np.uint8)
    panels = [shown, rule, masks[0], rule, masks[1], rule, marked]
    write(path, Picture(np.concatenate(panels, axis=1), "png"))
