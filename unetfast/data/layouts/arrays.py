"""All images in one file and all masks in another: ``X_train.npy``, ``y_train.npy``; ``.npz``; TIFF stacks.

Arrays of (N, H, W), (N, H, W, C) or (N, C, H, W), or as many pages; names tell images from masks, and
which go together.
"""

from __future__ import annotations

import re
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from unetfast.data.layouts.found import Found, unique_ids
from unetfast.data.layouts.words import other_words, read_together
from unetfast.data.listing import Listing
from unetfast.errors import DatasetError
from unetfast.imaging import array_shape
from unetfast.spec import FileRef, Sample

__all__ = ["find"]

_MOST_FILES = 512  # looked into; a data set with more has one per image
_MOST_STACKS = 64  # TIFF files, whose pages have to be looked for
_SMALLEST_PX = 16  # a shorter last axis of three holds the channels of one picture


@dataclass(frozen=True)
class _Series:
    name: str  # "fold1/images.npy", "data.npz/x"
    ref: FileRef
    shape: tuple[int, ...]
    role: str | None
    split: str | None
    others: tuple[str, ...]  # what else its name says, which images share with their masks


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find the pictures of a data set's arrays; see :mod:`~unetfast.data.layouts`."""
    together: dict[tuple[str | None, tuple[str, ...]], list[_Series]] = defaultdict(list)
    for series in _series(_files(listing), mask):
        together[series.split, series.others].append(series)
    pairs, alone = [], []
    for group in together.values():
        masks = [series for series in group if series.role == "mask"]
        images = [series for series in group if series.role == "image"]
        images = images or [series for series in group if series.role is None]
        if images and masks:
            pairs.append(_pair(listing, images, masks))
        else:
            alone += [series.name for series in group]
    ids = unique_ids([image.name for image, _ in pairs])
    samples, notes = [], []
    for image, truth in pairs:
        count = image.shape[0]
        numbers = [str(i).zfill(len(str(count - 1))) for i in range(count)]
        samples += [
            Sample(f"{ids[image.name]}~{number}", _at(image, i), (_at(truth, i),), image.split)
            for i, number in enumerate(numbers)
        ]
        notes.append(f"{count} images of {_size(image.shape)} in {image.name}, their masks in {truth.name}")
    if alone:
        notes.append(f"left out, images without masks or masks without images: {', '.join(alone[:5])}")
    return Found(samples, notes=notes) if samples else None


def _pair(listing: Listing, images: Sequence[_Series], masks: Sequence[_Series]) -> tuple[_Series, _Series]:
    for what, found in (("images", images), ("masks", masks)):
        if len(found) > 1:
            names = ", ".join(series.name for series in found)
            raise DatasetError(
                f"{listing.root}: several arrays of {what} go together by their names: {names}; "
                f"say which masks with --mask, such as --mask {masks[0].name.rpartition('/')[2]}, "
                "or pass a folder that holds one pair"
            )
    image, truth = images[0], masks[0]
    if image.shape[0] != truth.shape[0]:
        raise DatasetError(
            f"{listing.root}: {image.name} holds {image.shape[0]} images, but {truth.name} "
            f"{truth.shape[0]} masks"
        )
    return image, truth


def _at(series: _Series, index: int) -> FileRef:
    return FileRef(series.ref.path, series.ref.member, index)


def _size(shape: tuple[int, ...]) -> str:
    first = 2 if len(shape) == 4 and shape[3] > shape[1] else 1  # behind the channels, or before them
    return f"{shape[first + 1]}x{shape[first]}"


def _series(files: dict[str, FileRef], mask: str | None) -> list[_Series]:
    shapes = {name: shape for name, ref in files.items() if (shape := array_shape(ref)) and _is_series(shape)}
    parts = {name: re.sub(r"\.(np[yz]|tiff?)(?=/|$)", "", name, flags=re.I).split("/") for name in shapes}
    says = read_together({part for path in parts.values() for part in path})
    found = []
    for name, path in parts.items():
        role = next((says[part].role for part in reversed(path) if says[part].role), None)
        split = next((says[part].split for part in path if says[part].split), None)
        if mask is not None:
            called = mask.casefold() in (
                name.casefold(),
                *map(str.casefold, path),
                f"{path[-1]}.npy".casefold(),
            )
            role = "mask" if called else None if role == "mask" else role
        others = tuple(word for part in path for word in other_words(part))
        found.append(_Series(name, files[name], shapes[name], role, split, others))
    return found


def _is_series(shape: tuple[int, ...]) -> bool:
    return shape[0] > 1 and (len(shape) == 4 or (len(shape) == 3 and shape[2] >= _SMALLEST_PX))


def _files(listing: Listing) -> dict[str, FileRef]:
    """Return the arrays of a data set by name: files, and the members of archives."""
    found: dict[str, FileRef] = {}
    for endings, most in (((".npy",), _MOST_FILES), ((".tif", ".tiff"), _MOST_STACKS)):
        names = [name for name in listing.names if name.lower().endswith(endings)]
        found |= {name: listing.ref(name) for name in names} if len(names) <= most else {}
    archives = [name for name in listing.names if name.lower().endswith(".npz") and not listing.zipped]
    for name in archives if len(archives) <= _MOST_FILES else []:
        try:
            with zipfile.ZipFile(listing.root / name) as archive:
                members = [member for member in archive.namelist() if member.endswith(".npy")]
        except (OSError, zipfile.BadZipFile):
            continue  # the layouts that follow may need none of it
        found |= {f"{name}/{m.removesuffix('.npy')}": FileRef(listing.root / name, m) for m in members}
    return found
