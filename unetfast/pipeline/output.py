"""Where results go: a local folder that holds only whole files, whatever happens."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import socket
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from unetfast.errors import ConfigError, ImageError
from unetfast.imaging import atomic_open
from unetfast.pipeline.journal import lock_file
from unetfast.pipeline.sources import Item, Skipped

__all__ = ["Output", "not_results", "refuse_overlap", "size_of"]

log = logging.getLogger(__name__)

_TEMP = ".unetfast-tmp-"
CLOCKS_S = 2.0  # what the clocks of a file server and of its clients may differ


class Output:
    """An output folder opened for writing.

    Temporary files lie in a folder of this run inside it, under a lock that the system drops
    when the process dies: so a later run knows the folders of dead runs from those of living ones.

    Parameters
    ----------
    folder : Path
        Made if it is missing.

    Attributes
    ----------
    journals : Path
        Where the journals are: the folder itself.
    temp : Path
        Where this run's temporary files are.

    Raises
    ------
    ImageError
        When the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = self.journals = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._real = os.path.realpath(folder)
            _remove_dead(folder)
            self.temp, self._lock = _own_folder(folder)
        except FileExistsError as exc:
            raise ImageError(
                f"{folder}: a file, and results go into a folder; name another --output"
            ) from exc
        except OSError as exc:
            raise ImageError(f"{folder}: cannot be written: {exc.strerror or exc}") from exc
        self._fold = _folding(self.temp)
        self._taken: dict[str, str] = {}
        self._inside: set[tuple[int, int]] = set()  # folders known to lie in this one

    def put(self, relative: str, data: bytes) -> int:
        """Write one result atomically below the folder; return its size in bytes.

        Raises
        ------
        ImageError
            When it cannot be written, or would be written through a link that leads elsewhere.
        """
        with self.open(relative) as file:
            file.write(data)
        return len(data)

    def open(self, relative: str) -> AbstractContextManager[BinaryIO]:
        """Open a result for writing; it is there, whole, when the block ends well."""
        return atomic_open(self._place(relative), temp_dir=self.temp)

    def _place(self, relative: str) -> Path:
        """Return the final path of a result, its folder made, checked to lie inside."""
        path = self.folder / relative
        if self._fold is not None:
            other = self._taken.setdefault(self._fold(relative), relative)
            if other != relative:
                raise ImageError(f"{path}: this file system takes it for {other}, which is another photo's")
        if _identity(path.parent) in self._inside:
            return path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise ImageError(f"{path.parent}: cannot be made: {exc.strerror}") from exc
        if not Path(os.path.realpath(path.parent)).is_relative_to(self._real):
            raise ImageError(f"{path}: its folder is a link that leads out of {self.folder}")
        if (identity := _identity(path.parent)) is not None:
            self._inside.add(identity)
        return path

    def size(self, relative: str) -> int | None:
        """Return the size in bytes of a result, or None where there is none."""
        return size_of(self.folder, relative)

    def remove(self, relative: str, size: int | None, time: float) -> None:
        """Remove an earlier result of this size, unless a file was written there after that time."""
        path = self.folder / relative
        try:
            status = os.stat(path, follow_symlinks=False)
            inside = Path(os.path.realpath(path.parent)).is_relative_to(self._real)
            if inside and status.st_size == size and status.st_mtime <= time + CLOCKS_S:
                path.unlink()
        except FileNotFoundError:
            pass
        except OSError as exc:
            log.warning("%s: is out of date and cannot be removed: %s", path, exc.strerror)

    def sync(self, journal: Path, *, now: bool = False) -> None:
        """Do nothing: the journal lies in its place already."""

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove this run's temporary files, and those of its workers, which are dead by now."""
        self._lock.close()
        shutil.rmtree(self.temp, ignore_errors=True)
        _remove_dead(self.folder)


def _identity(folder: Path) -> tuple[int, int] | None:
    """Return what is a folder's own, whatever path leads to it; None where there is none."""
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def size_of(folder: Path, relative: str) -> int | None:
    """Return the size in bytes of a file below a folder, or None where there is none."""
    try:
        return os.stat(folder / relative, follow_symlinks=False).st_size
    except OSError:
        return None


def refuse_overlap(folder: str, inputs: str, *, inside: bool = True) -> None:
    """Raise ConfigError when results could overwrite photos, or (`inside`) would land among them.

    Parameters
    ----------
    folder, inputs : str
        A folder's path or URL each.
    inside : bool
        Whether everything below `inputs` is an input.
    """
    output, source = _real(folder), _real(inputs)
    if output == source:
        raise ConfigError(f"{folder}: the output folder is the input folder; choose another --output")
    if inside and output.is_relative_to(source):
        raise ConfigError(
            f"{folder}: the output folder lies inside the input folder {inputs}; choose another"
        )
    if source.is_relative_to(output):
        raise ConfigError(
            f"{folder}: the input folder {inputs} lies inside the output folder, where results could "
            "replace photos; choose another --output"
        )


def not_results(entries: Iterable[Item | Skipped], folder: str) -> Iterator[Item | Skipped]:
    """Yield the entries; skip photos that lie in the output folder, which links may lead to."""
    output = _real(folder)

    @lru_cache(maxsize=1)  # photos come folder by folder: what a path's parts lead to is asked once for each
    def is_inside(place: str) -> bool:
        return _real(place).is_relative_to(output)

    for entry in entries:
        if isinstance(entry, Skipped):
            yield entry
            continue
        path = str(entry.path)
        plain = isinstance(entry.path, Path) and not os.path.islink(path)
        if is_inside(os.path.dirname(path) if plain else path):
            yield Skipped(entry.relative, "it lies in the output folder; choose another --output")
        else:
            yield entry


def _real(place: str) -> Path:
    """Return what tells whether two places, paths or URLs, are one or lie in each other."""
    scheme, found, rest = place.partition("://")
    if not found or scheme in ("file", "local"):
        return Path(os.path.realpath(rest if found else place))
    return Path(f"/{scheme}:", os.path.normpath("/" + rest).lstrip("/"))


def _folding(temp: Path) -> Callable[[str], str] | None:
    """Return what makes equal the names that a file system takes for one; None where all differ.

    macOS and Windows: two inputs that differ in case only, or (macOS) in how an accent is written,
    would end in one file.
    """
    case = (temp / "LOCK").exists()
    try:
        (temp / "e\u0301").touch()
        accents = (temp / "\u00e9").exists()
    except (OSError, UnicodeError):  # it holds no such names, so no two of them are one
        accents = False
    if accents:
        return lambda name: unicodedata.normalize("NFC", name.casefold() if case else name)
    return str.casefold if case else None


def _own_folder(folder: Path) -> tuple[Path, BinaryIO]:
    """Make a folder for this run's temporary files; return it and its lock, held."""
    while True:
        temp = folder / f"{_TEMP}{socket.gethostname()[:32]}-{os.getpid()}-{secrets.token_hex(4)}"
        temp.mkdir()
        with contextlib.suppress(FileNotFoundError):
            lock = open(temp / "lock", "wb")  # noqa: SIM115 - held as long as the run
            try:
                if lock_file(lock) and (temp / "lock").exists():
                    return temp, lock
                lock.close()  # another run took it for a dead one's before it was locked
            except OSError:
                lock.close()
                shutil.rmtree(temp, ignore_errors=True)
                raise


def _remove_dead(folder: Path) -> None:
    """Remove the temporary folders of runs that are no longer alive."""
    for temp in folder.glob(_TEMP + "*"):
        if temp.is_symlink():
            continue
        with contextlib.suppress(OSError):
            with open(temp / "lock", "ab") as lock:
                dead = lock_file(lock)
            if dead:
                shutil.rmtree(temp, ignore_errors=True)
