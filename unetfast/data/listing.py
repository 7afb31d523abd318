"""The files of a data set: a folder, listed once, or a .zip read in place.

Layouts only ever see names, so a folder and an archive are the same to them.
"""

from __future__ import annotations

import json
import os
import re
import stat
import unicodedata
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from unetfast.errors import DatasetError, ImageError
from unetfast.imaging import EXTENSIONS, read_bytes
from unetfast.spec import FileRef

__all__ = ["IMAGE_ENDINGS", "Listing", "composed", "file_of", "folder_of", "list_files", "natural", "stem_of"]

IMAGE_ENDINGS = (
    *(ending for endings in EXTENSIONS.values() for ending in endings),
    *(".npy", ".ppm", ".pgm", ".pbm", ".pnm"),
)
_MASK_ENDINGS = (".gif",)  # of masks alone; photos are never stored so

_MAX_MEMBERS = 5_000_000
_MAX_TOTAL_BYTES = 2 * 2**40
_SKIPPED = {"thumbs.db", "desktop.ini", "__macosx", "__pycache__"}


@dataclass(frozen=True)
class Listing:
    """Names of files below a root.

    Attributes
    ----------
    root : Path
        The folder or the archive.
    names : tuple of str
        Paths relative to the root, with ``/``, in natural order ("2" before "10").
    zipped : bool
        The root is an archive.
    focus : str or None
        The one file the user named: a CSV, a JSON, a list.
    layout : str or None
        The layout that the user named.
    stored : mapping of str to str
        The own spelling of names that are written with backslashes, or end in ``.gz`` (a picture packed
        by itself goes by the name of what it holds).
    """

    root: Path
    names: tuple[str, ...]
    zipped: bool = False
    focus: str | None = None
    layout: str | None = None
    stored: Mapping[str, str] = field(default_factory=dict)

    def ref(self, name: str) -> FileRef:
        """Return what `imaging` reads `name` from."""
        stored = self.stored.get(name, name)
        return FileRef(self.root, stored) if self.zipped else FileRef(self.root / stored)

    @cached_property
    def images(self) -> tuple[str, ...]:
        """Names that end as pictures and masks do."""
        return tuple(name for name in self.names if name.lower().endswith(IMAGE_ENDINGS + _MASK_ENDINGS))

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.names)

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def ending(self, *endings: str) -> list[str]:
        """Return the names with one of these endings, or only the one the user named."""
        pool = self.names if self.focus is None else (self.focus,)
        return [name for name in pool if name.lower().endswith(endings)]

    def text(self, name: str, max_bytes: int = 512 * 2**20) -> str:
        """Return a text file's content.

        Raises
        ------
        DatasetError
            When it is too large or is not UTF-8 text.
        """
        data = self.content(name, max_bytes)
        try:
            return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        except UnicodeDecodeError as exc:
            raise DatasetError(f"{self.ref(name)}: not a text file in UTF-8: {exc}") from exc

    def text_or_none(self, name: str, max_bytes: int = 512 * 2**20) -> str | None:
        """Return a text file's content, or None where it is none and the user did not name it.

        A stray binary ``train.txt`` must not hide the data set beside it.
        """
        try:
            return self.text(name, max_bytes)
        except (DatasetError, ImageError):
            if self.focus == name:
                raise
            return None

    def json_or_none(self, name: str, max_bytes: int = 512 * 2**20) -> Any:
        """Return what a JSON file holds, or None where :meth:`text_or_none` gives none.

        Raises
        ------
        DatasetError
            When the text is not JSON.
        """
        try:
            return json.loads(self.text_or_none(name, max_bytes) or "null")
        except (json.JSONDecodeError, RecursionError) as exc:
            raise DatasetError(f"{self.ref(name)}: not JSON: {exc}") from exc

    def content(self, name: str, max_bytes: int = 2**31) -> bytes:
        """Return a file's bytes; raises ImageError, which starts with the path, where it cannot be read."""
        return read_bytes(self.ref(name), max_bytes=max_bytes)


def folder_of(name: str) -> str:
    """Return the folders of a name, "" where it has none."""
    return name.rpartition("/")[0]


def file_of(name: str) -> str:
    """Return the last part of a name."""
    return name.rpartition("/")[2]


def stem_of(name: str) -> str:
    """Return a file's own name without its ending; "" where it has none."""
    return file_of(name).rpartition(".")[0]


def composed(name: str) -> str:
    """Return a name with its accents composed: macOS takes letters apart, and the two look the same."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return a sort key by which ``img2`` comes before ``img10``."""
    return [
        (0, int(part), part) if part.isdecimal() else (1, 0, part) for part in re.split(r"([0-9]+)", name)
    ]


def list_files(root: Path) -> Listing:
    """List a folder, a .zip archive, or the folder of a CSV, JSON or list file.

    Hidden files and what operating systems leave behind are left out. Links are followed, as data
    sets are often made of them, but no folder is entered twice.

    Raises
    ------
    DatasetError
        When it does not exist, or an archive is damaged or unsafe.
    """
    root = Path(root)
    if root.is_dir():
        return _listed(root, _walk(root))
    if not root.exists():
        raise DatasetError(f"{root}: no such file or folder")
    if not root.is_file():
        raise DatasetError(f"{root}: not a folder, and not a regular file")
    from unetfast.data.layouts import IN_ONE_FILE  # which read listings themselves
    from unetfast.data.layouts.foreign import foreign

    if root.suffix.lower() in IN_ONE_FILE:
        return _around(root)
    if zipfile.is_zipfile(root):
        return _listed(root, _members(root), zipped=True)
    if root.suffix.lower() == ".zip":
        raise DatasetError(f"{root}: not a whole .zip archive; copy or download it again")
    said = foreign(Listing(root.parent, (root.name,)))
    raise DatasetError(
        f"{root}: a data set is a folder, a .zip archive, or a file that lists one: "
        f"{', '.join(IN_ONE_FILE)}{said and '.' + said}"
    )


def _around(file: Path) -> Listing:
    """List the folder of a file that lists a data set, or the one above where that holds no pictures."""
    folder = file.parent
    listing = _listed(folder, _walk(folder), focus=file.name)
    if listing.images or folder == folder.parent:
        return listing
    return _listed(folder.parent, _walk(folder.parent), focus=f"{folder.name}/{file.name}")


def _listed(root: Path, found: Sequence[str], *, zipped: bool = False, focus: str | None = None) -> Listing:
    """Return a listing of files by the names that layouts go by, in natural order."""
    known = frozenset(found)
    names = {(_plain(name, zipped), name) for name in found}
    # A picture that is there unpacked, too, is the same one.
    kept = {plain: name for plain, name in sorted(names) if plain == name or plain not in known}
    stored = {plain: name for plain, name in kept.items() if plain != name}
    return Listing(root, tuple(sorted(kept, key=natural)), zipped=zipped, focus=focus, stored=stored)


def _plain(name: str, zipped: bool) -> str:
    # Tools on Windows write backslashes, which are part of the name elsewhere.
    plain = name.replace("\\", "/") if zipped else name
    packed = plain.lower().endswith(".gz") and plain[:-3].lower().endswith(IMAGE_ENDINGS + _MASK_ENDINGS)
    return plain[:-3] if packed else plain


def _skipped(part: str) -> bool:
    return part.startswith(".") or part.lower() in _SKIPPED


def _walk(root: Path) -> list[str]:
    names: list[str] = []
    seen: set[tuple[int, int]] = set()
    pending = [("", str(root))]
    while pending:
        prefix, folder = pending.pop()
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:  # a link that leads back up
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                for entry in entries:
                    if _skipped(entry.name):
                        continue
                    if entry.is_dir():
                        pending.append((f"{prefix}{entry.name}/", entry.path))
                    elif entry.is_file():
                        names.append(prefix + entry.name)
        except OSError as exc:
            raise DatasetError(f"{folder}: cannot be listed: {exc.strerror}") from exc
    return names


def _members(path: Path) -> list[str]:
    """Return the members of an archive, each checked; nothing is ever extracted."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, OSError, NotImplementedError) as exc:
        raise DatasetError(f"{path}: not a readable .zip archive: {exc}") from exc
    files = [info for info in infos if not info.filename.endswith(("/", "\\"))]
    total = sum(info.file_size for info in files)
    packed = sum(info.compress_size for info in files)
    # Members of a real archive cannot overlap, so they never sum to more than the file.
    if packed > path.stat().st_size or total > _MAX_TOTAL_BYTES or len(files) > _MAX_MEMBERS:
        raise DatasetError(
            f"{path}: refused: {len(files)} files that claim {total / 1e9:.1f} GB in an archive of "
            f"{path.stat().st_size / 1e9:.3f} GB; it looks like a decompression bomb"
        )
    names = [_checked(path, info) for info in files]
    if len({name.replace("\\", "/") for name in names}) != len(names):
        raise DatasetError(f"{path}: refused: it holds several files of the same name")
    return [name for name in names if not any(_skipped(part) for part in re.split(r"[/\\]", name))]


def _checked(path: Path, info: zipfile.ZipInfo) -> str:
    name = info.filename
    parts = re.split(r"[/\\]", name)
    outside = name.startswith(("/", "\\")) or ".." in parts or re.match(r"[A-Za-z]:", name)
    if outside or "\0" in info.orig_filename:
        raise DatasetError(f"{path}: refused: the member {name!r} would leave the archive")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise DatasetError(f"{path}: refused: the member {name!r} is a link or a device")
    if info.flag_bits & 1:
        raise DatasetError(f"{path}: the member {name!r} is encrypted; unpack the archive first")
    return name
