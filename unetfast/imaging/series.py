"""Many pictures in one file: an array of (N, H, W[, C]) in a ``.npy`` or an ``.npz``, the pages of a TIFF.

A picture of a series is handed out as the bytes of a ``.npy`` file of its own, so that all readers
understand it. A ``.npy`` on disk is mapped, not loaded; all else is decoded once and kept.
"""

from __future__ import annotations

import io
import os
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import ImageError, one_line
from unetfast.imaging import tiff
from unetfast.imaging.formats import check_pixels
from unetfast.imaging.stack import npy_header
from unetfast.spec import MAX_PIXELS, FileRef

__all__ = ["array_shape", "picture_bytes"]

_TIFF = (".tif", ".tiff")
_WHITE_IS_0 = 0  # of a TIFF's greys
_MOST_BYTES = 8 * 2**30  # of a member of an archive or of a TIFF, which has to be kept in memory
_LOCK = threading.Lock()  # or each reading thread would decode the same member


def array_shape(ref: FileRef) -> tuple[int, ...] | None:
    """Return the shape of an array of numbers, or of the pages of a TIFF, from the header alone.

    None where it cannot be read, or the pages differ.
    """
    try:
        with _opened(ref) as (file, _):
            if ref.name.lower().endswith(_TIFF):
                with tiff.pages_of(file, str(ref)) as pages:
                    if not pages or not _alike(pages):
                        return None
                    first: tuple[int, ...] = pages[0].shape
                    return first if _in_planes(pages) else (len(pages), *first)
            shape, dtype = npy_header(file)
    except Exception:  # as in picture_bytes; the layouts that follow may need none of it
        return None
    return tuple(shape) if dtype.kind in "buif" else None


def picture_bytes(ref: FileRef) -> bytes:
    """Return picture ``ref.index`` of a series as a ``.npy`` file.

    The whole series says what its numbers are: whole ones stored wide become 8 or 16 bits where they fit,
    and so do floats of 0 .. 255, as a notebook leaves pictures that it resized.

    Raises
    ------
    ImageError
        When the array cannot be read or has no such picture.
    """
    try:
        with _LOCK:
            series = _series(ref.path, ref.member, os.stat(ref.path).st_mtime_ns)
        picture = series.array[ref.index]
    except ImageError:
        raise
    except Exception as exc:  # as decoders do: zlib.error, DeflateError, TokenError...
        raise ImageError(f"{ref}: cannot be read: {one_line(exc)}") from exc
    if series.stored is not None:
        picture = np.rint(picture).clip(0, np.iinfo(series.stored).max).astype(series.stored)
    file = io.BytesIO()
    np.lib.format.write_array(file, np.ascontiguousarray(picture), allow_pickle=False)
    return file.getvalue()


@dataclass(frozen=True)
class _Series:
    array: NDArray[Any]
    stored: type[np.unsignedinteger[Any]] | None  # what its numbers become; None: they stay


@lru_cache(maxsize=16)
def _series(path: Path, member: str | None, modified_ns: int) -> _Series:
    del modified_ns
    if member is None and not path.name.lower().endswith(_TIFF):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        return _Series(array, _stored_as(array))
    ref = FileRef(path, member)
    with _opened(ref) as (file, size):
        if ref.name.lower().endswith(_TIFF):
            with tiff.pages_of(file, str(ref)) as pages:
                _check_size(ref, sum(page.nbytes for page in pages))
                for page in pages:
                    check_pixels(*tiff.decoded_sides(page), str(ref), MAX_PIXELS)
                    tiff.check_structure(page, str(ref))
                array = np.stack([page.asarray(maxworkers=1) for page in pages])
                array = array[0] if _in_planes(pages) else array
                if pages[0].photometric == _WHITE_IS_0:
                    array = ~array
        else:
            _check_size(ref, size)
            array = np.lib.format.read_array(file, allow_pickle=False)
    return _Series(array, _stored_as(array))


def _check_size(ref: FileRef, size: int) -> None:
    if size > _MOST_BYTES:
        raise ImageError(
            f"{ref}: {size / 1e9:.1f} GB, all of which would have to be kept in memory; save the array as a "
            ".npy file, which is read piece by piece"
        )


def _alike(pages: list[Any]) -> bool:
    """Whether pages are pictures of one series: no palettes, and inverted greys only of unsigned integers."""
    inverted = pages[0].photometric == _WHITE_IS_0
    kinds = {(page.shape, page.dtype, page.photometric) for page in pages}
    kind = np.dtype(pages[0].dtype or object).kind
    return len(kinds) == 1 and pages[0].photometric in (0, 1, 2) and kind in ("bu" if inverted else "buif")


def _in_planes(pages: list[Any]) -> bool:
    """Whether three or four pictures are the planes of the only page."""
    return len(pages) == 1 and tiff.colour_planes_by_default(pages[0])


def _stored_as(array: NDArray[Any]) -> type[np.unsignedinteger[Any]] | None:
    if array.dtype.kind not in "uif" or array.dtype in (np.uint8, np.uint16):
        return None
    low = min(picture.min() for picture in array)  # one by one: the file need not fit in memory
    high = max(picture.max() for picture in array)
    if array.dtype.kind == "f" and not 128 < high < 256:
        return None  # shares of 1, class ids, or units that nobody knows
    if not (low >= 0 and high <= 65535):
        return None
    return np.uint8 if high < 256 else np.uint16


@contextmanager
def _opened(ref: FileRef) -> Iterator[tuple[BinaryIO, int]]:
    """Open an array's file, and say how large it is."""
    if ref.member is None:
        with open(ref.path, "rb") as file:
            yield file, os.fstat(file.fileno()).st_size
    else:
        with zipfile.ZipFile(ref.path) as archive, archive.open(ref.member) as inside:
            yield cast(BinaryIO, inside), archive.getinfo(ref.member).file_size
