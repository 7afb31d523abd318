"""One ``.npz`` per sample, with an array for the image and one for the mask: ``image`` and ``label``.

As TransUNet and its followers keep slices.
"""

from __future__ import annotations

import zipfile

from unetfast.data.layouts.found import Found, unique_ids
from unetfast.data.layouts.paths import split_in
from unetfast.data.layouts.words import read_together
from unetfast.data.listing import Listing, folder_of
from unetfast.errors import DatasetError
from unetfast.imaging import array_shape
from unetfast.spec import FileRef, Sample

__all__ = ["find"]


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find the samples of a folder of .npz files; see :mod:`~unetfast.data.layouts`."""
    files = [] if listing.zipped else [name for name in listing.names if name.lower().endswith(".npz")]
    if not files or (keys := _keys(listing, files[0], mask)) is None:
        return None
    samples, other = [], []
    ids = unique_ids(files)
    for name in files:
        image, truth = (FileRef(listing.root / name, f"{key}.npy") for key in keys)
        if {*keys} <= {*_members(listing, name)}:
            samples.append(Sample(ids[name], image, (truth,), split_in(folder_of(name))))
        else:
            other.append(name)
    return Found(samples, other, notes=[f"images are {keys[0]}, masks are {keys[1]} of each .npz"])


def _keys(listing: Listing, name: str, mask: str | None) -> tuple[str, str] | None:
    """Return what the image and the mask of a file are called, where it holds one picture of each."""
    members = _members(listing, name)
    says = read_together(members)
    images = [key for key in members if says[key].role == "image"]
    masks = [key for key in members if (says[key].role == "mask" if mask is None else key == mask)]
    if len(images) > 1 or len(masks) > 1:
        raise DatasetError(
            f"{listing.root}: {name} holds several images or masks: {', '.join(members)}; say which masks "
            f"with --mask, such as --mask {masks[0] if masks else 'NAME'}"
        )
    shapes = [array_shape(FileRef(listing.root / name, f"{key}.npy")) for key in (*images, *masks)]
    return (images[0], masks[0]) if len(shapes) == 2 and all(s and len(s) in (2, 3) for s in shapes) else None


def _members(listing: Listing, name: str) -> list[str]:
    try:
        with zipfile.ZipFile(listing.root / name) as archive:
            return [member.removesuffix(".npy") for member in archive.namelist()]
    except (OSError, zipfile.BadZipFile):
        return []  # reading it says so
