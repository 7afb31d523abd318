"""What has been done: ``results.jsonl``, one JSON object a line, only ever appended to.

A line is on the disk before its photo counts as done, and after the photo's files are. So a
crash can lose a line (the photo is done again) but no line can promise a file that is not there.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from unetfast.errors import ConfigError, ImageError
from unetfast.imaging import atomic_open

__all__ = ["Journal", "is_done", "journal_name", "lock_file", "write_csv"]

log = logging.getLogger(__name__)

_COLUMNS = (
    *("input", "status", "reason", "width", "height", "masked_px"),
    *("cleaned", "mask", "overlay", "how", "notes", "sha256"),
)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    # Seconds since 1970, before the year 5000: a line later than any clock would count for ever.
    return isinstance(value, (int, float)) and 0 <= value < 1e11


def _is_size(value: Any) -> bool:
    return value is None or isinstance(value, int)


def _is_path(value: Any) -> bool:
    """Tell whether a value can be a file's name on this system."""
    try:
        return isinstance(value, str) and "\0" not in value and bool(os.fsencode(value))
    except UnicodeEncodeError:
        return False


def _is_result(value: Any) -> bool:
    """Tell whether a value is [path, size, time] or [path, size, time, mask key]; see earlier.py."""
    return (
        isinstance(value, list)
        and len(value) in (3, 4)
        and _is_path(value[0])
        and _is_size(value[1])
        and _is_number(value[2])
    )


def _each(is_one: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(is_one, value.values()))


# What is read of a line again, and what it must be: the file may be another program's, or damaged.
_FIELDS: dict[str, Callable[[Any], bool]] = {
    "input": _is_text,
    "status": lambda value: value in ("done", "failed", "skipped"),
    "time": _is_number,
    **dict.fromkeys(("path", "sha256", "key", "mask_key"), _is_text),
    "outputs": _each(_is_path),
    "bytes": _each(_is_size),
    "earlier": _each(_is_result),
}


def journal_name(shard: tuple[int, int] | None) -> str:
    """Return the file name of a run's journal; shards write side by side."""
    return "results.jsonl" if shard is None else f"results.{shard[0]}of{shard[1]}.jsonl"


class Journal:
    """All journals of an output folder to read, and one of them to append to.

    Lines that no run can have written, or that a crash cut short, are passed over with a warning.

    The index holds 16 bytes, an offset and a time a photo, not the lines (about 0.2 kB a photo in
    all). Of several journals the newest line counts.

    Parameters
    ----------
    folder : Path
        The output folder.
    name : str or None
        Which journal to append to; None only reads what is there.

    Attributes
    ----------
    counts_classes : bool
        Some line has `class_px`.

    Raises
    ------
    ConfigError
        When another living run appends to the same journal.
    ImageError
        When one cannot be read or written.
    """

    def __init__(self, folder: Path, name: str | None) -> None:
        self.folder = folder
        self._index: dict[bytes, tuple[int, int, float]] = {}
        self._newest = 0.0
        self.counts_classes = False
        self._out: io.FileIO | None = None
        if name is not None:
            self.path = folder / name
            self._out = _locked(self.path)
        # The results of a folder `results.jsonl` of photos lie in one that is called like a journal.
        others = sorted(
            path for path in folder.glob("results*.jsonl") if path.name != name and path.is_file()
        )
        self.files: list[Path] = [*others, folder / name] if name else others
        # One file at a time: a run of a thousand shards leaves more journals than a process may have open.
        for number, path in enumerate(self.files):
            wrong = []
            with _opened(path) as reader:
                for row, (offset, line) in enumerate(_lines(reader), 1):
                    if (entry := _parse(line)) is None:
                        wrong.append(row)
                    else:
                        self._note(entry, number, offset)
            if wrong:
                more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
                log.warning(
                    "%s: line %d%s cut short, damaged or of another program: passed over",
                    *(path, wrong[0], more),
                )
        self._size = self._end_last_line() if self._out is not None else 0

    def _end_last_line(self) -> int:
        """End the line that a crash cut short; return the journal's size."""
        assert self._out is not None
        size = os.fstat(self._out.fileno()).st_size
        if size:
            with _opened(self.path) as reader:
                reader.seek(size - 1)
                if reader.read(1) != b"\n":
                    self._out.write(b"\n")
        return os.fstat(self._out.fileno()).st_size

    def _note(self, entry: dict[str, Any], number: int, offset: int) -> None:
        """Take a line into the index."""
        written = float(entry.get("time", 0.0))
        digest = _digest(entry["input"])
        known = self._index.setdefault(digest, (number, offset, written))
        if known[0] == number or known[2] <= written:
            self._index[digest] = (number, offset, written)
        self._newest = max(self._newest, written)
        self.counts_classes |= "class_px" in entry

    def __len__(self) -> int:
        return len(self._index)

    def find(self, relative: str) -> dict[str, Any] | None:
        """Return the latest entry of a photo, or None."""
        place = self._index.get(_digest(relative))
        if place is None:
            return None
        with _opened(self.files[place[0]]) as reader:
            reader.seek(place[1])
            return _parse(reader.readline())

    def append(self, entries: Iterable[dict[str, Any]]) -> None:
        """Write lines and wait until they are on the disk; one wait for all of them.

        Raises
        ------
        ImageError
            When the disk is full or gone.
        """
        assert self._out is not None, "a journal opened for reading"
        # Later than every line that is there, also where clocks differ: other journals' lines yield.
        now = round(max(time.time(), self._newest + 0.001), 3)
        stamped = [{**entry, "time": now} for entry in entries]
        if not stamped:  # of photos that are as their last lines say: nothing to wait for
            return
        lines = [json.dumps(entry, sort_keys=True).encode("ascii") + b"\n" for entry in stamped]
        try:
            data = b"".join(lines)
            while data:
                data = data[self._out.write(data) :]
            os.fsync(self._out.fileno())
        except OSError as exc:
            raise ImageError(f"{self.path}: cannot be written: {exc.strerror}") from exc
        for entry, line in zip(stamped, lines, strict=True):
            self._note(entry, len(self.files) - 1, self._size)
            self._size += len(line)

    def record(self, entries: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        """Append the lines of a run's photos, but for those that are as their last line says; return all."""
        self.append(entry for entry in entries if entry["status"] != "unchanged")
        return entries

    def latest(self) -> Iterator[dict[str, Any]]:
        """Yield the latest entry of every photo, in the order of the files."""
        for number, path in enumerate(self.files):
            with _opened(path) as reader:
                for offset, line in _lines(reader):
                    entry = _parse(line)
                    if entry and self._index.get(_digest(entry["input"]), ())[:2] == (number, offset):
                        yield entry

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another run append."""
        if self._out is not None:
            self._out.close()


def _opened(path: Path) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as exc:
        raise ImageError(f"{path}: cannot be read: {exc.strerror}") from exc


def _locked(path: Path) -> io.FileIO:
    """Open a journal for appending, as the only one who does."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ImageError(f"{path}: a link, folder or pipe lies where the journal goes; remove it")
    try:
        file = open(path, "ab", buffering=0)  # noqa: SIM115 - held as long as the run
    except OSError as exc:
        raise ImageError(f"{path}: cannot be written: {exc.strerror}") from exc
    try:
        locked = lock_file(file)
    except OSError as exc:
        file.close()
        raise ImageError(f"{path}: cannot be locked: {exc.strerror}") from exc
    if not locked:
        file.close()
        raise ConfigError(
            f"{path}: another run is writing here; wait for it, or split the work with --shard i/n"
        )
    return file


def is_done(entry: dict[str, Any], size_of: Callable[[str], int | None]) -> bool:
    """Tell whether an entry's photo is done and all its files are still there, at their size."""
    sizes = entry.get("bytes", {})

    def is_there(kind: str, path: str) -> bool:
        size = size_of(path)
        # GIS programs add statistics to the file that tells where a mask lies.
        return size == sizes.get(kind) or (kind.endswith("_place") and size is not None)

    return entry.get("status") == "done" and all(
        is_there(kind, path) for kind, path in entry.get("outputs", {}).items()
    )


def _lines(reader: BinaryIO) -> Iterator[tuple[int, bytes]]:
    reader.seek(0)
    offset = 0
    for line in reader:
        yield offset, line
        offset += len(line)


def _parse(line: bytes) -> dict[str, Any] | None:
    """Read a line; None for one that a crash cut short, or that no run wrote."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or not {"input", "status"} <= entry.keys():
        return None
    return entry if all(is_one(entry[name]) for name, is_one in _FIELDS.items() if name in entry) else None


def _digest(relative: str) -> bytes:
    return hashlib.blake2b(relative.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def lock_file(file: BinaryIO) -> bool:
    """Take the lock that the system drops when the process dies, however it dies.

    Returns
    -------
    bool
        False where another process holds it.

    Raises
    ------
    OSError
        Where the file system has no locks.
    """
    try:
        import fcntl
    except ImportError:  # Windows: an open file cannot be replaced or deleted there anyway
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        if exc.errno not in (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK):
            needed = "the output must be on a file system with locks (Lustre: mounted with -o flock)"
            raise OSError(exc.errno, f"{exc.strerror}; {needed}") from exc
        return False
    return True


def write_csv(journal: Journal, path: Path, temp_dir: Path | None = None) -> None:
    """Write the latest entry of every photo as a table, for spreadsheets."""
    with atomic_open(path, temp_dir=temp_dir) as file:
        text = io.TextIOWrapper(file, "utf-8", errors="surrogateescape", newline="", write_through=True)
        table = csv.writer(text)
        # Read twice only for classes, which are columns of the head: a million lines are not kept in memory.
        counted = journal.latest() if journal.counts_classes else ()
        classes = dict.fromkeys(column for entry in counted for column in _class_px(entry))
        columns = [*_COLUMNS, *classes]
        table.writerow([_cell(column) for column in columns])
        for entry in journal.latest():
            outputs = entry.get("outputs") or {}
            results = {kind: outputs.get(kind, "") for kind in ("cleaned", "mask", "overlay")}
            merged = {**entry, **results, **_class_px(entry)}
            table.writerow([_cell(merged.get(column, "")) for column in columns])
        text.detach()  # flushes, and leaves the file open for fsync


def _class_px(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the pixels of each class by column; none of a model of two classes."""
    found = entry.get("class_px")
    return {f"px of {name}": count for name, count in found.items()} if isinstance(found, dict) else {}


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:  # half a character, which only a damaged line can have
            value = value.encode("ascii", "backslashreplace").decode()
    # A cell that begins like a formula would be run by a spreadsheet; file names are foreign input.
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return "" if value is None else value
