"""Which files to process, in which order, and under which names their results go.

Everything here is a function of the folder's content alone, so that shards, restarts and other
machines agree without talking to each other. Folders are listed one at a time: a tree of a
million photos is never held in memory.
"""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from unetfast.errors import ConfigError, ImageError
from unetfast.imaging.formats import ENDINGS

if TYPE_CHECKING:
    from unetfast.pipeline.remote import RemoteFile

__all__ = [
    "ENDINGS",
    "NAME_BYTES",
    "Found",
    "Item",
    "Skipped",
    "classify",
    "find",
    "input_root",
    "parse_shard",
    "select",
    "stems_of",
]

NAME_BYTES = 255  # what a file's name may have on the file systems in use
ENDINGS_SHOWN = 5  # of the files that are passed over
_ENDING = re.compile(r"\.[\w~-]+")  # .jpg~ and .jpg_original too; what else stands behind a dot is no ending
RESERVED = ("masks", "overlays", "results")


@dataclass(frozen=True)
class Item:
    """One photo to process.

    Attributes
    ----------
    path : Path or RemoteFile
        Where it is read; its string is what messages start with.
    relative : str
        Its path below the input root, with slashes: its identity in journals and shards.
    stem : str
        What its mask and overlay are called, below ``masks/`` and ``overlays/``, without ending.
    """

    path: Path | RemoteFile
    relative: str
    stem: str

    @property
    def cleaned(self) -> str:
        """Where the cleaned photo goes, below the output folder."""
        first, slash, rest = self.relative.partition("/")
        # A folder (or file) that is called like one of ours moves aside: masks -> masks_,
        # masks_ -> masks__, so that no two names become one.
        if first.rstrip("_").partition(".")[0].casefold() in RESERVED:
            base, dot, ending = first.partition(".")
            first = f"{base}_{dot}{ending}"
        return first + slash + rest


@dataclass(frozen=True)
class Skipped:
    """A file that is an image by its name and is not read, with the reason.

    Attributes
    ----------
    relative, reason : str
    failed : bool
        Photos may be missing by it: a folder that cannot be read. The reason starts with its path.
    """

    relative: str
    reason: str
    failed: bool = False

    @property
    def line(self) -> dict[str, str]:
        """Its line of the journal."""
        status = "failed" if self.failed else "skipped"
        return {"input": self.relative, "status": status, "reason": self.reason}


@dataclass
class Found:
    """What was passed over while listing; of files that are no images by name, how many of each ending."""

    hidden: int = 0
    other: Counter[str] = field(default_factory=Counter)
    folders: int = 0
    links: int = 0  # to folders, where folders are entered

    def __str__(self) -> str:
        """Return the counts as the end of a sentence, empty where nothing was passed over."""
        # The endings: a folder of .HEIC photos must not look like one of notes.
        endings = [f"{count} {ending}" for ending, count in self.other.most_common(ENDINGS_SHOWN)]
        endings += ["..."] if len(self.other) > ENDINGS_SHOWN else []
        kinds = (
            (self.hidden, "hidden"),
            (self.other.total(), f"no image by name ({', '.join(endings)})"),
            (self.folders, "sub-folders (-r takes them)"),
            (self.links, "links to folders (--follow-links takes them)"),
        )
        words = [f"{count} {what}" for count, what in kinds if count]
        return f"; passed over: {', '.join(words)}" if words else ""


def parse_shard(text: str) -> tuple[int, int] | None:
    """Read ``"i/n"`` with 1 <= i <= n; None for an empty text."""
    if not text:
        return None
    first, _, second = text.partition("/")
    if first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second):
        return int(first), int(second)
    raise ConfigError(f"shard must be i/n with 1 <= i <= n, such as 2/8; got {text!r}")


def input_root(inputs: Sequence[str]) -> tuple[Path, list[Path]]:
    """Return the folder that results are named below, and the inputs themselves.

    One folder is its own root; several inputs are named below the folder they share.

    Raises
    ------
    ImageError
        When an input does not exist and, taken as a glob, matches nothing.
    """
    paths: list[Path] = []
    for text in inputs:
        if os.path.lexists(text):
            paths.append(Path(os.path.abspath(text)))
            continue
        matches = sorted(glob.glob(text, recursive=True)) if glob.has_magic(text) else []
        if not matches:
            what = "no file matches" if glob.has_magic(text) else "no such file or folder"
            raise ImageError(f"{text}: {what}")
        paths += [Path(os.path.abspath(match)) for match in matches]
    paths = list(dict.fromkeys(paths))
    if len(paths) == 1 and paths[0].is_dir():
        return paths[0], paths
    shared = os.path.commonpath([path.parent if not path.is_dir() else path for path in paths])
    if all(path.is_dir() for path in paths) and Path(shared) in paths:
        return Path(shared), [Path(shared)]  # the others lie inside it
    return Path(shared), paths


def find(
    root: Path,
    paths: Sequence[Path],
    found: Found,
    *,
    recursive: bool = False,
    follow_links: bool = False,
) -> Iterator[Item | Skipped]:
    """Yield the photos below the inputs, in a fixed order.

    Parameters
    ----------
    root, paths
        As :func:`input_root` gives them.
    found : Found
        Counts what is passed over.
    recursive, follow_links : bool
        The settings of the run.
    """
    inside = os.path.realpath(root)
    seen: set[str] | None = set() if len(paths) > 1 else None
    named = [path.relative_to(root).as_posix() for path in paths if not path.is_dir()]
    stems = {name: stem for group in _by_folder(named) for name, stem in stems_of(group).items()}
    for path in paths:
        relative = path.relative_to(root).as_posix()
        # A file that was named itself is taken whatever its ending: its content will tell.
        entries: Iterator[Item | Skipped] = (
            iter([Item(path, relative, stems[relative])])
            if relative in stems
            else _walk(path, root, inside, found, recursive, follow_links)
        )
        for entry in entries:
            if seen is not None:
                if entry.relative in seen:
                    continue
                seen.add(entry.relative)
            yield entry


def select(
    entries: Iterable[Item | Skipped],
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    shard: tuple[int, int] | None = None,
) -> Iterator[Item | Skipped]:
    """Yield those that the globs want and that belong to this shard."""
    for entry in entries:
        if _wanted(entry.relative, include, exclude) and _in_shard(entry.relative, shard):
            yield entry


def _by_folder(relatives: Sequence[str]) -> Iterator[list[str]]:
    folders: dict[str, list[str]] = {}
    for relative in relatives:
        folders.setdefault(relative.rpartition("/")[0], []).append(relative)
    yield from folders.values()


def _walk(
    top: Path, root: Path, inside: str, found: Found, recursive: bool, follow_links: bool
) -> Iterator[Item | Skipped]:
    """Yield the photos of a folder, then those of each folder in it; trees may be of any depth."""
    pending: list[tuple[Path, frozenset[tuple[int, int]]]] = [(top, frozenset())]
    while pending:
        folder, above = pending.pop()
        try:
            status = folder.stat()
            here = (status.st_dev, status.st_ino)
            if here in above:
                continue  # a link back to a folder that we are in
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: os.fsencode(entry.name))
        except OSError as exc:
            reason = f"{folder}: the folder cannot be read: {exc.strerror}"
            yield Skipped(folder.relative_to(root).as_posix(), reason, failed=True)
            continue
        kinds = [(classify(entry.name, _is_folder(entry), found), entry) for entry in entries]
        prefix = "" if folder == root else folder.relative_to(root).as_posix() + "/"
        images = [entry for kind, entry in kinds if kind == "image"]
        stems = stems_of([prefix + entry.name for entry in images])
        for entry in images:
            relative = prefix + entry.name
            reason = _refusal(entry, inside, follow_links)
            yield (
                Skipped(relative, reason) if reason else Item(folder / entry.name, relative, stems[relative])
            )
        folders = [entry for kind, entry in kinds if kind == "folder"]
        entered = [e for e in folders if recursive and (follow_links or not e.is_symlink())]
        if recursive:
            found.links += len(folders) - len(entered)
        else:
            found.folders += len(folders)
        # Only links can lead back; without them a deep tree needs no memory of its folders.
        chain = above | {here} if follow_links else above
        pending += [(folder / entry.name, chain) for entry in reversed(entered)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself: reading it says so


def _refusal(entry: os.DirEntry[str], inside: str, follow_links: bool) -> str:
    if entry.is_symlink() and not follow_links:
        target = os.path.realpath(entry.path)
        if os.path.exists(target) and not Path(target).is_relative_to(inside):
            return "a link that leads out of the input folder; --follow-links reads it"
    try:
        mode = entry.stat().st_mode
    except OSError:
        return ""  # a broken link: reading it says so
    return "" if stat.S_ISREG(mode) else "not a regular file (a pipe, socket or device)"


def classify(name: str, is_folder: bool, found: Found) -> str:
    """Return "image", "folder", or "" for what is passed over (and counted)."""
    if name.startswith("."):
        found.hidden += 1
        return ""
    if is_folder:
        return "folder"
    ending = os.path.splitext(name)[1].lower()
    if ending in ENDINGS:
        return "image"
    found.other[ending if _ENDING.fullmatch(ending) else "without ending"] += 1
    return ""


def stems_of(relatives: Sequence[str]) -> dict[str, str]:
    """Name the results of one folder: by stem, or by full name for all where stems repeat."""
    stems = {relative: os.path.splitext(relative)[0] for relative in relatives}
    if len({stem.casefold() for stem in stems.values()}) == len(stems):
        return stems
    stems = {relative: _fitting(relative) for relative in relatives}
    # Only who calls a photo like another one's cut name and hash makes these one.
    return stems if len(set(stems.values())) == len(stems) else {relative: relative for relative in relatives}


def _fitting(relative: str) -> str:
    """Return a full name as a stem; one that leaves no room for an ending is cut, and ends in its hash."""
    folder, slash, name = relative.rpartition("/")
    raw = os.fsencode(name)
    if len(raw) + len(".png") <= NAME_BYTES:
        return relative
    digest = hashlib.sha256(raw).hexdigest()[:16]
    return f"{folder}{slash}{raw[: NAME_BYTES - 21].decode('utf-8', 'ignore')}-{digest}"


def _wanted(relative: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    return (not include or any(_matches(relative, p) for p in include)) and not any(
        _matches(relative, p) for p in exclude
    )


def _matches(relative: str, pattern: str) -> bool:
    # A pattern with a slash is about the path, one without about the name, as in .gitignore.
    text = relative if "/" in pattern else relative.rpartition("/")[2]
    return fnmatch.fnmatchcase(text, pattern)


def _in_shard(relative: str, shard: tuple[int, int] | None) -> bool:
    if shard is None:
        return True
    digest = hashlib.sha256(relative.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") % shard[1] == shard[0] - 1
