"""Skin lesions as in the ISIC challenges: ``ISIC_1.jpg`` and ``ISIC_1_segmentation.png``, in any folders.

The superpixel pictures that lie beside the photographs are left alone.
"""

from __future__ import annotations

import re

from unetfast.data.layouts.found import Found, unique_ids
from unetfast.data.layouts.paths import split_in
from unetfast.data.listing import Listing, file_of, folder_of
from unetfast.spec import Sample

__all__ = ["find"]

_NAME = re.compile(r"(ISIC_\d+)(?:_downsampled)?(_segmentation)?\.(?:jpe?g|png)$", re.IGNORECASE)


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find the photographs of a listing with their lesion masks; see :mod:`~unetfast.data.layouts`."""
    if mask is not None and mask.lower() != "segmentation":
        return None  # an attribute of task 2: paired files know how to find those
    images: dict[str, str] = {}
    masks: dict[str, str] = {}
    for name in listing.images:
        if match := _NAME.match(file_of(name)):
            found = masks if match[2] else images
            if match[1].upper() in found:
                return None  # the same id twice: not the challenge's own folders
            found[match[1].upper()] = name
    both = [key for key in images if key in masks]
    if not both:
        return None
    ids = unique_ids([images[key] for key in both])
    samples = [
        Sample(
            ids[images[key]],
            listing.ref(images[key]),
            (listing.ref(masks[key]),),
            split_in(folder_of(images[key])),
        )
        for key in both
    ]
    labelled = {folder_of(images[key]) for key in both}
    bare = [name for key, name in images.items() if key not in masks]
    missing = [name for name in bare if folder_of(name) in labelled]
    notes = [f"{len(bare) - len(missing)} images left out, in folders without any masks"]
    lone = [name for key, name in masks.items() if key not in images]
    return Found(samples, missing, lone, notes if len(missing) < len(bare) else [], {"name": "lesion"})
