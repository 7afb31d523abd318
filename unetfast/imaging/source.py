"""The bytes of a picture: of a file, of a member of a zip archive, or given."""

from __future__ import annotations

import gzip
import io
import os
import stat
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path

from unetfast.errors import ImageError, InputError
from unetfast.imaging import series
from unetfast.spec import FileRef

__all__ = ["Source", "name_of", "read_bytes"]

Source = Path | str | bytes | FileRef

MAX_BYTES = 4 * 2**30  # no picture within the pixel limit is larger than this


def name_of(source: Source) -> str:
    """Return what messages call a picture: its path, or ``<bytes>``."""
    return "<bytes>" if isinstance(source, bytes) else str(source)


def read_bytes(source: Source, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the bytes of a file, of a member of a zip archive, or of one picture of a series.

    Raises
    ------
    ImageError
        When it is missing, not a regular file, unreadable or larger than `max_bytes`.
    InputError
        When `source` is of another type.
    """
    if isinstance(source, bytes):
        return source
    if not isinstance(source, (Path, str, FileRef)):
        raise InputError(
            f"a picture is read from a path, the bytes of a file, or a FileRef; got {type(source).__name__}"
        )
    ref = source if isinstance(source, FileRef) else FileRef(Path(source))
    if ref.index is not None:
        return series.picture_bytes(ref)
    data = _stored_bytes(ref, max_bytes)
    return _unpacked(data, ref, max_bytes) if ref.name.lower().endswith(".gz") else data


def _unpacked(data: bytes, ref: FileRef, max_bytes: int) -> bytes:
    """Return what a gzip file holds, which may be far more than the file; STARE packs each picture so."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            unpacked = file.read(max_bytes + 1)
    except (OSError, EOFError, zlib.error) as exc:
        raise ImageError(f"{ref}: damaged, cannot be unpacked: {exc}") from exc
    if len(unpacked) > max_bytes:
        raise ImageError(f"{ref}: larger than a picture may be")
    return unpacked


def _stored_bytes(ref: FileRef, max_bytes: int) -> bytes:
    try:
        if ref.member is not None:
            return _read_member(ref, max_bytes)
        # O_NONBLOCK: opening a pipe must not wait for a writer before fstat can refuse it.
        descriptor = os.open(
            ref.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        )
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ImageError(f"{ref}: not a regular file")
            if status.st_size > max_bytes:
                raise ImageError(f"{ref}: {status.st_size / 1e9:.1f} GB is more than a picture may have")
            return file.read()
    except FileNotFoundError as exc:
        raise ImageError(f"{ref}: no such file") from exc
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, RuntimeError, EOFError, zlib.error) as exc:
        if isinstance(exc, ImageError):
            raise
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else exc
        raise ImageError(f"{ref}: cannot be read: {reason}") from exc


@lru_cache(maxsize=4)
def _archive(path: Path, modified_ns: int, process: int) -> zipfile.ZipFile:
    """Return an open archive: reading the directory of a large one again for every member takes hours.

    ZipFile may be read from several threads; a forked process must not share the file's position.
    """
    del modified_ns, process
    return zipfile.ZipFile(path)


def _read_member(ref: FileRef, max_bytes: int) -> bytes:
    archive = _archive(ref.path, os.stat(ref.path).st_mtime_ns, os.getpid())
    info = archive.getinfo(str(ref.member))
    if info.file_size > max_bytes:
        raise ImageError(f"{ref}: {info.file_size / 1e9:.1f} GB is more than a picture may have")
    with archive.open(info) as file:
        data = file.read(max_bytes + 1)  # the directory's file_size is only a claim
    if len(data) > max_bytes:
        raise ImageError(f"{ref}: larger than a picture may be")
    return data
