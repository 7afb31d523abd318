"""Photos and results at URLs: ``s3://``, ``gs://``, ``https://``, ``zip://...``, through fsspec.

An object store replaces whole objects only, which makes every result atomic by itself. The
journal is kept in a local file and put in its place again every half minute and at the end; a
crash in between costs the photos of half a minute, which the next run does again.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

from unetfast.errors import ImageError, require
from unetfast.pipeline.sources import Found, Item, Skipped, classify, stems_of

__all__ = ["RemoteFile", "RemoteOutput", "find_remote", "is_url"]

log = logging.getLogger(__name__)

SYNC_S = 30.0


def is_url(text: str) -> bool:
    """Tell a URL from a path."""
    scheme, found, _ = text.partition("://")
    return bool(found) and scheme.isalnum()


def _open(url: str) -> tuple[Any, str]:
    require("fsspec", "remote")
    from fsspec.core import url_to_fs

    try:
        files, root = url_to_fs(url)
    except ImportError as exc:
        raise ImageError(f"{url}: {exc}") from exc
    except Exception as exc:  # every store has errors of its own
        raise ImageError(f"{url}: cannot be opened: {exc}") from exc
    return files, root.rstrip("/")


@dataclass(frozen=True)
class RemoteFile:
    """One object of a store; its string is its URL."""

    files: Any
    path: str
    url: str

    def __str__(self) -> str:
        return self.url

    def read_bytes(self) -> bytes:
        """Return the object's bytes.

        Raises
        ------
        ImageError
            When it cannot be read.
        """
        try:
            return bytes(self.files.cat_file(self.path))
        except FileNotFoundError as exc:  # fsspec's says only where
            raise ImageError(f"{self.url}: no such file") from exc
        except Exception as exc:  # every store has errors of its own
            raise ImageError(f"{self.url}: cannot be read: {str(exc) or type(exc).__name__}") from exc


def find_remote(url: str, found: Found, *, recursive: bool) -> Iterator[Item | Skipped]:
    """Yield the photos below a URL, folder by folder in a fixed order.

    Raises
    ------
    ImageError
        When the URL cannot be listed.
    """
    files, root = _open(url)
    # Over HTTP everything that answers is a file: a slash at the end says that it is a folder.
    if not url.partition("::")[0].endswith("/") and files.isfile(root):
        # A signed URL ends in its signature, which is no part of the photo's name.
        path = root.partition("?")[0] if _is_http(url) else root
        name = _plain(path.rpartition("/")[2], url)
        yield Item(RemoteFile(files, root, url), name, name.rpartition(".")[0] or name)
        return
    pending = [root]
    while pending:
        names: dict[str, str] = {}
        for path, name, is_folder in _listed(files, pending.pop(0), root, url):
            kind = classify(name.rpartition("/")[2], is_folder, found)
            if kind == "image":
                names[path] = name
            elif kind == "folder" and recursive:
                pending.append(path)
            elif kind == "folder":
                found.folders += 1
        stems = stems_of(list(names.values()))
        for path, name in names.items():
            yield Item(RemoteFile(files, path, _below(url, name)), name, stems[name])


def _listed(files: Any, folder: str, root: str, url: str) -> Iterator[tuple[str, str, bool]]:
    """Yield path, name below the root, and whether it is a folder, of all entries in a fixed order."""
    try:
        entries = files.ls(folder + "/" if _is_http(url) else folder, detail=True)
    except Exception as exc:  # every store has errors of its own
        raise ImageError(f"{url}: cannot be listed: {exc}") from exc
    for entry in sorted(entries, key=lambda entry: str(entry["name"])):
        path = entry["name"].rstrip("/")
        name = _plain(path[len(root) :].lstrip("/"), url)
        inside = path.startswith(f"{root}/" if root else "") and ".." not in name.split("/")
        if path != folder and inside:  # a web page may link to anywhere
            yield path, name, entry["type"] == "directory"


def _is_http(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def _plain(name: str, url: str) -> str:
    """Return a name as people write it: web servers list theirs percent-encoded."""
    if not _is_http(url):
        return name
    plain = unquote(name)
    return name if plain.count("/") != name.count("/") or "\0" in plain else plain


def _below(url: str, name: str) -> str:
    """Return the URL of an object below a folder's."""
    folder, chain, rest = url.partition("::")
    return f"{folder}{'' if folder.endswith('/') else '/'}{name}{chain}{rest}"


class RemoteOutput:
    """An output at a URL; the interface of ``output.Output``.

    Attributes
    ----------
    journals : Path
        A local folder with the journals that lay at the URL.
    temp : Path
        A local folder for temporary files.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._files, self._root = _open(self.url)
        self.temp = Path(tempfile.mkdtemp(prefix="unetfast-"))
        self.journals = self.temp
        self._synced = time.monotonic()
        try:
            for path in self._files.glob(f"{self._root}/results*.jsonl"):
                self._files.get_file(path, str(self.temp / path.rpartition("/")[2]))
        except FileNotFoundError:
            pass
        except Exception as exc:  # every store has errors of its own
            self.close()
            raise ImageError(f"{self.url}: cannot be read: {exc}") from exc

    def put(self, relative: str, data: bytes) -> int:
        """Write one result; return its size in bytes."""
        try:
            self._files.pipe_file(f"{self._root}/{relative}", data)
        except Exception as exc:  # every store has errors of its own
            raise ImageError(f"{self.url}/{relative}: cannot be written: {exc}") from exc
        return len(data)

    @contextlib.contextmanager
    def open(self, relative: str) -> Iterator[BinaryIO]:
        """Open a result for writing; it is there when the block ends well."""
        with tempfile.TemporaryFile(dir=self.temp) as file:
            yield file
            file.seek(0)
            try:
                with self._files.open(f"{self._root}/{relative}", "wb") as target:
                    shutil.copyfileobj(file, target, 1 << 24)
            except Exception as exc:  # every store has errors of its own
                raise ImageError(f"{self.url}/{relative}: cannot be written: {exc}") from exc

    def size(self, relative: str) -> int | None:
        """Return the size in bytes of a result, or None where there is none."""
        try:
            return int(self._files.info(f"{self._root}/{relative}")["size"])
        except FileNotFoundError:
            return None
        except Exception as exc:  # every store has errors of its own
            raise ImageError(f"{self.url}/{relative}: cannot be looked up: {exc}") from exc

    def remove(self, relative: str, size: int | None, time: float) -> None:
        """Remove an earlier result of this size."""
        del time  # not every store tells it
        try:
            if self.size(relative) == size:
                self._files.rm_file(f"{self._root}/{relative}")
        except Exception as exc:  # every store has errors of its own
            log.warning("%s/%s: is out of date and cannot be removed: %s", self.url, relative, exc)

    def sync(self, journal: Path, *, now: bool = False) -> None:
        """Put the local journal in its place, every half minute or now."""
        if now or time.monotonic() - self._synced > SYNC_S:
            self._synced = time.monotonic()
            self.put(journal.name, journal.read_bytes())

    def __enter__(self) -> RemoteOutput:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the local files."""
        shutil.rmtree(self.temp, ignore_errors=True)
