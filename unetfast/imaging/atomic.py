"""A file that is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from unetfast.errors import ImageError

__all__ = ["atomic_open", "atomic_write"]


@contextlib.contextmanager
def atomic_open(path: Path | str, *, temp_dir: Path | None = None) -> Iterator[BinaryIO]:
    """Open a file that gets its name only when it is whole and on the disk.

    Parameters
    ----------
    path : Path or str
        Replaced if it exists; a link there is replaced, not followed.
    temp_dir : Path, optional
        Where the temporary file lies; must be on the same file system. Default: beside `path`.

    Raises
    ------
    ImageError
        When the disk is full or the folder cannot be written; the message starts with the path.
    """
    path = Path(path)
    temp = (temp_dir or path.parent) / f".unetfast-{os.getpid()}-{secrets.token_hex(6)}.tmp"
    try:
        # 0o666 minus the umask: what open() gives; tempfile's 0o600 would surprise a shared folder.
        descriptor = os.open(temp, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        os.replace(temp, path)
    except OSError as exc:
        with contextlib.suppress(OSError):
            temp.unlink()
        raise ImageError(f"{path}: cannot be written: {exc.strerror or exc}") from exc
    except BaseException:
        with contextlib.suppress(OSError):
            temp.unlink()
        raise


def atomic_write(path: Path | str, data: bytes) -> None:
    """Write a file that is there whole or not at all, even after a crash; errors as :func:`atomic_open`."""
    with atomic_open(path) as file:
        file.write(data)
