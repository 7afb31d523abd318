"""Paths that lists, tables and annotation files write, found again among the files that are there."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path

from unetfast.data.layouts.words import folder_parts, split_of, tokens
from unetfast.data.listing import Listing, composed, file_of, folder_of
from unetfast.spec import FileRef

__all__ = ["Resolver", "is_absolute", "shared_depth", "split_in"]


class Resolver:
    """Finds the file that a written path means.

    Such paths are relative to the data set, to the file that holds them, or absolute on the
    machine of whoever made it: then the longest end of the path that exists here is taken, where
    only one file has it. But where the folder that the path names is here and lacks the file, a file
    of the same name in another folder is not it; and a path that leads to a file of this machine means
    that file, whatever lies in the data set under the same name. Upper and lower case, and composed and
    decomposed letters, are told apart only where that decides.
    """

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._by_file: dict[str, list[str]] = defaultdict(list)
        for name in listing.names:
            self._by_file[_folded(file_of(name))].append(name)
        folders = {_folded(folder_of(name)) for name in listing.names}
        self._folders = {
            folder.split("/", depth)[-1] for folder in folders for depth in range(folder.count("/") + 1)
        }

    def name(self, text: str, beside: str = "", role: str | None = None) -> str | None:
        """Return the name in the listing, or None.

        Parameters
        ----------
        text : str
            The path as it is written.
        beside : str
            Name of the file that says so.
        role : {"image", "mask"}, optional
            What it is; it decides where folders of both hold a file of this name.
        """
        name, file = self._listed(_clean(text), beside, role), self._file(text, beside)
        if name is None or file is None:
            return name
        inside = self._listing.root / name
        return name if inside == file or inside.samefile(file) else None

    def ref(self, text: str, beside: str = "", role: str | None = None) -> FileRef | None:
        """Return the file, which may lie outside the folder where a list or table on disk says so."""
        name = self.name(text, beside, role)
        if name is not None:
            return self._listing.ref(name)
        file = self._file(text, beside)
        return FileRef(file) if file else None

    def _file(self, text: str, beside: str) -> Path | None:
        """Return the file of this machine that the path leads to from the file that says so."""
        path = (self._listing.root / beside).parent / _clean(text)
        try:
            return path if not self._listing.zipped and path.is_file() else None
        except (OSError, ValueError):  # too long or with a zero byte: no path at all
            return None

    def _listed(self, path: str, beside: str, role: str | None) -> str | None:
        path = path.removeprefix("./")
        folder = folder_of(beside)
        for candidate in ([f"{folder}/{path}"] if folder else []) + [path]:
            if candidate in self._listing:
                return candidate
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        folded = [_folded(part) for part in parts]
        same = self._by_file.get(folded[-1], []) if parts else []
        for start in range(len(parts)):
            end = "/" + "/".join(folded[start:])
            found = [name for name in same if ("/" + _folded(name)).endswith(end)]
            if len(found) > 1:
                exact = "/" + "/".join(parts[start:])
                found = [name for name in found if ("/" + name).endswith(exact)]
            if len(found) > 1 and role:
                found = [name for name in found if _folder_role(name) == role] or found
            if found:
                elsewhere = start > 0 and "/".join(folded[start - 1 : -1]) in self._folders
                return found[0] if len(found) == 1 and not elsewhere else None
        return None


def is_absolute(text: str) -> bool:
    """Whether a written path starts at the root or a drive of some machine."""
    return re.match(r"/|[A-Za-z]:/", _clean(text)) is not None


def _clean(text: str) -> str:
    return text.strip().strip("\"';").replace("\\", "/")


def _folder_role(name: str) -> str | None:
    """Return what the deepest folder that says so holds."""
    roles = (folder_parts(folder).role for folder in reversed(name.split("/")[:-1]))
    return next((role for role in roles if role), None)


def _folded(name: str) -> str:
    return composed(name).casefold()


def shared_depth(paths: Iterable[Sequence[str]]) -> int:
    """Return how many parts, from the first on, all paths share."""
    levels = zip(*paths, strict=False)
    return sum(1 for _ in takewhile(lambda parts: len(set(parts)) == 1, levels))


def split_in(name: str) -> str | None:
    """Return the split that a path speaks of, its last word first: ``annotations/instances_val2017.json``."""
    for part in reversed(name.split("/")):
        for word in reversed(tokens(part)):
            if split := split_of(word):
                return split
    return None
