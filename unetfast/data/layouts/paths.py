"""Paths that lists, tables and annotation files write, found again among the files that are there."""

from __future__ import annotations

from collections import defaultdict

from unetfast.data.listing import Listing
from unetfast.spec import FileRef

__all__ = ["Resolver", "split_in"]


class Resolver:
    """Finds the file that a written path means.

    Such paths are relative to the data set, to the file that holds them, or absolute on the
    machine of whoever made it: then the longest end of the path that exists here is taken, where
    only one file has it.

    Parameters
    ----------
    listing : Listing
    """

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._by_file: dict[str, list[str]] = defaultdict(list)
        for name in listing.names:
            self._by_file[name.rpartition("/")[2]].append(name)

    def name(self, text: str, beside: str = "") -> str | None:
        """Return the name in the listing, or None.

        Parameters
        ----------
        text : str
            The path as it is written.
        beside : str
            Name of the file that says so.
        """
        path = text.strip().strip("\"';").replace("\\", "/")
        path = path.removeprefix("./")
        folder = beside.rpartition("/")[0]
        for candidate in ([f"{folder}/{path}"] if folder else []) + [path]:
            if candidate in self._listing:
                return candidate
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        same = self._by_file.get(parts[-1], []) if parts else []
        for start in range(len(parts)):
            end = "/" + "/".join(parts[start:])
            found = [name for name in same if ("/" + name).endswith(end)]
            if len(found) == 1:
                return found[0]
            if len(found) > 1:
                return None
        return None

    def ref(self, text: str, beside: str = "") -> FileRef | None:
        """Return the file, which may lie outside the folder where a table on disk says so."""
        name = self.name(text, beside)
        if name is not None:
            return self._listing.ref(name)
        if self._listing.zipped:
            return None
        path = (self._listing.root / beside).parent / text.strip()
        try:
            return FileRef(path) if path.is_file() else None
        except (OSError, ValueError):  # too long or with a zero byte: no path at all
            return None


def split_in(name: str) -> str | None:
    """Return the split that a path speaks of, its last word first: ``annotations/instances_val2017.json``."""
    from unetfast.data.layouts.found import split_of
    from unetfast.data.layouts.words import tokens

    for part in reversed(name.split("/")):
        for word in reversed(tokens(part)):
            if split := split_of(word):
                return split
    return None
