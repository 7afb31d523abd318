"""What mask files store, as one integer code per pixel.

A code is a grey value, a palette index, an alpha value, or a colour packed as ``0xRRGGBB``,
depending on the *domain* that a data set's masks live in.
"""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import DatasetError, require
from unetfast.imaging import MaskFile, read_bytes, read_mask
from unetfast.spec import FileRef, Sample

__all__ = [
    "code_text",
    "codes",
    "colour_text",
    "distances",
    "flag_text",
    "kind_of",
    "mat_arrays",
    "pack",
    "plain_colour",
    "read_masks",
]


def read_masks(sample: Sample) -> list[MaskFile]:
    """Read all masks of a sample, in order.

    Raises
    ------
    ImageError, DatasetError
        When one cannot be read; the message starts with its path.
    """
    read = _read_mat if sample.reader == "mat" else read_mask
    return [read(mask) for mask in sample.masks]


# Field names of ground truth in .mat files, most likely first; lower case.
_MAT_NAMES = (
    "segmentation",
    "groundtruth",
    "mask",
    "label",
    "labels",
    "gt",
    "annotation",
    "instance",
    "type_map",
    "inst_map",
)


def mat_arrays(ref: FileRef) -> list[tuple[str, NDArray[Any]]]:
    """Return the 2-D numeric arrays of a .mat file with their dotted names.

    Raises
    ------
    ImageError, DatasetError
        When it cannot be read; the message starts with its path.
    MissingDependencyError
        Without scipy.
    """
    loadmat = require("scipy.io", "train").loadmat
    data = read_bytes(ref)
    try:
        # No MATLAB object is run: loadmat builds arrays, structs and strings only.
        content = loadmat(io.BytesIO(data), squeeze_me=True, struct_as_record=True)
    except NotImplementedError as exc:
        raise DatasetError(f"{ref}: a MATLAB 7.3 file; save it with -v7, or its mask as PNG") from exc
    except Exception as exc:  # damaged files raise almost anything
        raise DatasetError(f"{ref}: not a readable .mat file: {exc}") from exc
    return [(name, array) for name, array in _arrays(content, "") if array.ndim == 2 and min(array.shape) > 1]


def _read_mat(ref: FileRef) -> MaskFile:
    found = mat_arrays(ref)
    if not found:
        raise DatasetError(f"{ref}: holds no 2-D array of labels")
    name, values = min(found, key=lambda item: _mat_rank(item[0]))
    if len(found) > 1 and _mat_rank(name) == len(_MAT_NAMES):
        raise DatasetError(f"{ref}: holds several arrays and no known name: {', '.join(n for n, _ in found)}")
    if values.size and (values.min() < 0 or values.max() > 65535 or (values != np.floor(values)).any()):
        raise DatasetError(f"{ref}: {name} does not hold label ids: {values.min()} .. {values.max()}")
    return MaskFile(values.astype(np.uint16 if values.max(initial=0) > 255 else np.uint8), None, "L")


def _mat_rank(name: str) -> int:
    last = name.rpartition(".")[2].lower()
    return next((i for i, word in enumerate(_MAT_NAMES) if last == word), len(_MAT_NAMES))


def _arrays(value: Any, name: str) -> list[tuple[str, NDArray[Any]]]:
    """Return the numeric arrays anywhere inside what loadmat gives, with their dotted names."""
    if isinstance(value, dict):
        items = [(key, item) for key, item in value.items() if not key.startswith("__")]
    elif isinstance(value, (np.ndarray, np.void)) and value.dtype.names:
        items = [(field, value[field]) for field in value.dtype.names]
    elif isinstance(value, np.ndarray) and value.dtype == object:
        items = [("", item) for item in value.ravel()[:16]]
    elif isinstance(value, np.ndarray) and value.dtype.kind in "buif":
        return [(name, value)]
    else:
        return []
    return [pair for key, item in items for pair in _arrays(item, f"{name}.{key}".strip("."))]


def kind_of(mask: MaskFile) -> str:
    """Return what this file is by itself: a domain, "grey", "index", "colour" or "alpha"; or "numbers".

    Numbers in the red channel are read as "grey" where no other file of the data set is in colours.

    Palette files whose used colours are different greys are grey: what they show is what they
    mean, so a black-and-white palette may be stored either way round.
    """
    if mask.palette is not None:
        used = np.unique(mask.values)
        if used[-1] >= len(mask.palette):
            return "index"
        colours = mask.palette[used]
        grey = (colours == colours[:, :1]).all()
        return "grey" if grey and len(np.unique(colours[:, 0])) == len(used) else "index"
    if mask.values.ndim == 2:
        return "grey"
    colour, alpha = _split_alpha(mask)
    if (
        alpha is not None
        and alpha.min() != alpha.max()
        and (plain_colour(mask) is not None or _is_photo(colour))
    ):
        return "alpha"
    if _is_grey(colour):
        return "grey"
    return "colour" if _numbers(colour) is None else "numbers"


def _is_photo(colour: NDArray[Any]) -> bool:
    """Whether there are far more colours than of classes: a photograph, of which alpha cuts something out."""
    return colour.shape[2] == 3 and len(np.unique(pack(colour))) > 256


def plain_colour(mask: MaskFile) -> int | None:
    """Return the packed colour of every pixel, where a file with an alpha channel has but one."""
    if mask.palette is not None or mask.values.ndim == 2:
        return None
    colour, alpha = _split_alpha(mask)
    if alpha is None or (colour != colour[0, 0]).any():
        return None
    first = colour[:1, :1]
    return int(pack(first if first.shape[2] == 3 else np.repeat(first, 3, axis=2))[0, 0])


def _split_alpha(mask: MaskFile) -> tuple[NDArray[Any], NDArray[Any] | None]:
    values = mask.values
    if values.shape[2] in (2, 4):
        return values[:, :, :-1], values[:, :, -1]
    return values, None


def _is_grey(colour: NDArray[Any]) -> bool:
    if colour.shape[2] == 1:
        return True
    # Converters from YCbCr leave greys one or two steps off; ids of 0 and 1 a channel are no such thing.
    off = 2 if colour.max() > 8 else 0
    red, green, blue = (colour[:, :, c].astype(np.int32) for c in range(3))
    return bool(np.abs(red - green).max() <= off and np.abs(green - blue).max() <= off)


def _numbers(colour: NDArray[Any]) -> NDArray[Any] | None:
    """Return the red channel, where it alone holds anything, numbers too small to be seen (BBBC039).

    Not the others: masks of #010000 and of #000100 are two classes, which are one as numbers.
    """
    return None if colour[:, :, 1:].any() or colour.max() >= 64 else colour[:, :, 0]


def codes(mask: MaskFile, domain: str) -> NDArray[np.int32]:
    """Return one code per pixel.

    Parameters
    ----------
    mask : MaskFile
    domain : {"grey", "index", "colour", "alpha"}
        Or "numbers", which are read as "grey".

    Returns
    -------
    (H, W) int32
        0..65535, or packed colours in domain "colour". Fully transparent pixels are 0.
    """
    values = mask.values
    if mask.palette is not None:
        if domain == "index":
            return values.astype(np.int32)
        size = max(len(mask.palette), int(values.max()) + 1)
        palette = np.zeros((size, 3), np.int32)
        palette[: len(mask.palette)] = mask.palette
        table = pack(palette) if domain == "colour" else palette[:, 1]
        return np.asarray(table[values], np.int32)
    if values.ndim == 2:
        # One bit is shown as black and white, and is stored next to 8-bit masks of 0 and 255.
        grey = values.astype(np.int32) * (255 if mask.mode == "1" else 1)
        return grey * 0x010101 if domain == "colour" else grey
    colour, alpha = _split_alpha(mask)
    if domain == "alpha":
        return (alpha if alpha is not None else colour[:, :, 0]).astype(np.int32)
    if domain == "colour":
        found = pack(colour if colour.shape[2] == 3 else np.repeat(colour, 3, axis=2))
    else:
        numbers = _numbers(colour)
        found = (colour[:, :, colour.shape[2] // 2] if numbers is None else numbers).astype(np.int32)
    if alpha is not None:
        found[alpha == 0] = 0
    return found


def pack(colours: NDArray[Any]) -> NDArray[np.int32]:
    """Pack (..., 3) RGB into ``0xRRGGBB``."""
    wide = colours.astype(np.int32)
    return np.asarray(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2], np.int32)


def _unpack(packed: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return (..., 3) int32 RGB of packed colours."""
    return np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=-1)


def distances(domain: str, codes: Iterable[int], centres: Iterable[int]) -> NDArray[np.int32]:
    """Return the largest difference per channel from each code to each centre, (codes, centres)."""
    a, b = np.array(list(codes), np.int32), np.array(list(centres), np.int32)
    points, middles = (_unpack(a), _unpack(b)) if domain == "colour" else (a[:, None], b[:, None])
    return np.asarray(np.abs(points[:, None] - middles[None]).max(axis=2))


def colour_text(code: int) -> str:
    """Return ``#rrggbb`` of a packed colour."""
    return f"#{code:06x}"


def flag_text(flag: str) -> str:
    """Return words of ``--mask-values`` as a shell takes them: of ``#`` it would make a comment."""
    return re.sub(r"\S*[#*]\S*", lambda word: shlex.quote(word[0]), flag)


def code_text(domain: str, code: int) -> str:
    """Return a code as ``--mask-values`` takes it."""
    return colour_text(code) if domain == "colour" else str(code)
