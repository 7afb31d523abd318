"""Photos and results at URLs: ``s3://``, ``gs://``, ``https://``, ``zip://...``, through fsspec.

An object store replaces whole objects only, which makes every result atomic by itself. The
journal is kept in a local file and put in its place again every half minute and at the end; a
crash in between costs the photos of half a minute, which the next run does again.
"""

from __future__ import annotations

import contextlib
import html
import logging
import os
import posixpath
import re
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

from unetfast.errors import ConfigError, ImageError, require
from unetfast.pipeline.output import Output
from unetfast.pipeline.sources import Found, Item, Skipped, classify, stems_of

__all__ = ["AnyOutput", "RemoteFile", "RemoteOutput", "find_remote", "is_url", "local_path", "open_output"]

log = logging.getLogger(__name__)

SYNC_S = 30.0
SILENCE_S = 30.0  # a web server that says nothing for so long is given up for this photo
PAUSES_S = (1.0, 4.0)  # before a web server that broke off, or is overloaded, is asked again
_AGAIN = (408, 429, 500, 502, 503, 504)
_ARCHIVE = threading.Lock()


def is_url(text: str) -> bool:
    """Tell a URL from a path."""
    scheme, found, _ = text.partition("://")
    return bool(found) and scheme.isalnum()


def local_path(place: str) -> str:
    """Return the path that a ``file://`` URL names; anything else as it is.

    Raises
    ------
    ConfigError
        Where it names a path on another machine, or none.
    """
    scheme, _, rest = place.partition("://")
    if scheme not in ("file", "local") or "::" in place:
        return place
    path = rest.removeprefix("localhost") if rest.startswith("localhost/") else rest
    if not path.startswith("/"):
        raise ConfigError(f"{place}: a file URL is file:// and a path from the root, such as file:///photos")
    return path if os.path.lexists(path) else unquote(path)


def _open(url: str) -> tuple[Any, str]:
    require("fsspec", "remote")
    from fsspec.core import url_to_fs

    try:
        files, root = url_to_fs(url, **_patience(url))
    except ImportError as exc:
        raise ImageError(f"{url}: {exc}") from exc
    except Exception as exc:  # every store has errors of its own
        raise ImageError(f"{url}: cannot be opened: {exc}") from exc
    return files, root.rstrip("/")


def _patience(url: str) -> dict[str, Any]:
    """Return what makes fsspec give up a silent web server, on top of what its own configuration says."""
    schemes = {scheme for scheme in ("http", "https") if re.search(f"(^|::){scheme}://", url)}
    if not schemes:
        return {}
    from aiohttp import ClientTimeout
    from fsspec.config import conf

    limit = ClientTimeout(total=None, sock_connect=SILENCE_S, sock_read=SILENCE_S)
    said = {scheme: conf.get(scheme, {}).get("client_kwargs", {}) for scheme in schemes}
    return {scheme: {"client_kwargs": {"timeout": limit, **said[scheme]}} for scheme in schemes}


def _worth_another_try(exc: Exception) -> bool:
    """Tell whether a web server may answer if it is asked again at once: not where it stayed silent."""
    import aiohttp

    if isinstance(exc, aiohttp.ClientResponseError):
        return exc.status in _AGAIN
    broken = isinstance(exc, (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError))
    refused = isinstance(exc, (aiohttp.ClientSSLError, aiohttp.ClientConnectorDNSError))
    return broken and not refused and not isinstance(exc, TimeoutError)


def _reason(exc: Exception) -> str:
    if isinstance(exc, TimeoutError):
        return f"no answer for {SILENCE_S:.0f} s"
    return str(exc) or type(exc).__name__


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
        pauses = list(PAUSES_S) if _is_http(self.url.rpartition("::")[2]) else []
        while True:
            try:
                with _one_at_a_time(self.files):
                    return bytes(self.files.cat_file(self.path))
            except FileNotFoundError as exc:  # fsspec's says only where
                raise ImageError(f"{self.url}: no such file") from exc
            except Exception as exc:  # every store has errors of its own
                if not pauses or not _worth_another_try(exc):
                    raise ImageError(f"{self.url}: cannot be read: {_reason(exc)}") from exc
                log.warning("%s: %s; asking again in %.0f s", self.url, _reason(exc), pauses[0])
                time.sleep(pauses.pop(0))


def _one_at_a_time(files: Any) -> contextlib.AbstractContextManager[Any]:
    """Let one thread read where all share one position in one file, and others would get its bytes.

    So it is in fsspec's tar and libarchive; zipfile and stores of single objects look after it themselves.
    """
    from fsspec.archive import AbstractArchiveFileSystem
    from fsspec.implementations.dirfs import DirFileSystem

    while isinstance(files, DirFileSystem):  # a folder within
        files = files.fs
    shared = isinstance(files, AbstractArchiveFileSystem) and not hasattr(files, "zip")
    return _ARCHIVE if shared else contextlib.nullcontext()


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
    members = _members(files)
    yield from _outside(members)
    pending = [root]
    while pending:
        names: dict[str, str] = {}
        for path, name, is_folder in _listed(files, pending.pop(0), root, url):
            kind = classify(name.rpartition("/")[2], is_folder, found)
            if kind == "image":
                names.setdefault(name, path)
            elif kind == "folder" and recursive:
                pending.append(path)
            elif kind == "folder":
                found.folders += 1
        stems = stems_of(list(names))
        for name, path in names.items():
            place = _below(url, name)
            if members[posixpath.normpath(path)] > 1:
                reason = f"{place}: the archive holds several of this name; unpack the one that counts"
                yield Skipped(name, reason, failed=True)
            elif members and path.startswith("/"):  # fsspec lists it, and finds it no more
                yield Skipped(name, f"{place}: its path in the archive is absolute; unpack it", failed=True)
            else:
                yield Item(RemoteFile(files, path, place), name, stems[name])


def _members(files: Any) -> Counter[str]:
    """Count the members of an archive by their path; empty for what is no archive."""
    archive = getattr(files, "zip", None) or getattr(files, "tar", None)
    if archive is None:
        return Counter()
    names = archive.namelist() if hasattr(archive, "namelist") else archive.getnames()
    return Counter(posixpath.normpath(name).lstrip("/") for name in names if not name.endswith("/"))


def _outside(members: Counter[str]) -> Iterator[Skipped]:
    """Name the photos of an archive whose path leads out of it, which no listing shows."""
    for name in sorted(members):
        if name.startswith("../") and classify(name.rpartition("/")[2], False, Found()) == "image":
            yield Skipped(name, "its path leads out of the archive")


def _listed(files: Any, folder: str, root: str, url: str) -> Iterator[tuple[str, str, bool]]:
    """Yield path, name below the root, and whether it is a folder, of all entries in a fixed order."""
    try:
        entries = files.ls(folder + "/" if _is_http(url) else folder, detail=True)
    except Exception as exc:  # every store has errors of its own
        raise ImageError(f"{url}: cannot be listed: {_reason(exc)}") from exc
    for entry in sorted(entries, key=lambda entry: str(entry["name"])):
        path = _without_entities(entry["name"], url).rstrip("/")
        parts = _plain(path[len(root) :].lstrip("/"), url).split("/")
        inside = path.startswith(f"{root}/" if root else "") and ".." not in parts
        if path == folder or not inside:  # a web page may link to anywhere
            continue
        if parts[-1] == "." and entry["type"] == "directory":  # "./a.jpg", as tar and zip tools write it
            yield from _listed(files, path, root, url)
        else:
            yield path, "/".join(part for part in parts if part != "."), entry["type"] == "directory"


def _is_http(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def _without_entities(link: str, url: str) -> str:
    """Return a link as it is meant: pages write ``&amp;`` for ``&``."""
    return re.sub(r"&#?\w+;", lambda found: html.unescape(found[0]), link) if _is_http(url) else link


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


AnyOutput = Output | RemoteOutput


def open_output(output: str) -> AnyOutput:
    """Open an output, a folder's path or a URL, for writing."""
    return RemoteOutput(output) if is_url(output) else Output(Path(output))
