"""What earlier runs left of a photo: whether it is another photo's, and what of it is out of date."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unetfast.errors import ConfigError

if TYPE_CHECKING:
    from unetfast.pipeline.remote import AnyOutput, RemoteFile

__all__ = ["CollisionError", "origin", "refuse_another", "settle"]

Entry = dict[str, Any]


class CollisionError(ConfigError):
    """A result would replace that of another photo."""


def origin(path: Path | RemoteFile) -> str:
    """Return where a photo lies, whatever links its folder was reached through."""
    if not isinstance(path, Path):
        return str(path).partition("?")[0]  # signed URLs end in a secret that changes
    return os.path.join(os.path.realpath(path.parent), path.name)


def refuse_another(entry: Entry, before: Entry | None, size_of: Callable[[str], int | None]) -> None:
    """Raise CollisionError where a photo would replace the results of another one.

    That is one of the same name with another content in another place. A photo that was changed
    in its place is done again; one that is the same elsewhere is the same (another machine's
    mount, a folder that was moved).

    Parameters
    ----------
    entry, before : dict
        The photo's lines in the journal: the new one with `path` and `sha256`, and the latest.
    size_of : callable
        Tells the size of a result, None where there is none.
    """
    if before is None or before.get("path", entry["path"]) == entry["path"]:
        return
    there = [path for path, *_ in _results(before).values() if size_of(path) is not None]
    if before.get("sha256") != entry["sha256"] and there:
        raise CollisionError(
            f"{entry['path']}: the output holds {there[0]} of another photo of that name, {before['path']}; "
            "choose another --output, or delete the results of that one"
        )


def settle(entry: Entry, before: Entry | None, output: AnyOutput) -> None:
    """Remove the earlier results that a photo's new line puts out of date; remember the others.

    Out of date is what was made from another content of the photo, and what is there under a new
    name. Kinds of results that are no longer asked for stay, and those of a photo that failed; the
    line's `outdated` names those that another model or setting made than the new ones.
    """
    if before is None or entry["status"] == "unchanged":
        return
    if "sha256" not in entry:  # it could not be read: nobody knows whether it changed
        entry.update({key: before[key] for key in ("path", "sha256") if key in before})
    changed = entry.get("sha256") != before.get("sha256")
    written, earlier = entry.get("outputs", {}), {}
    for kind, (path, size, time, mask_key) in _results(before).items():
        if path in written.values():
            continue
        if changed or kind.removesuffix("_place") in written:  # a result's place is no result of its own
            output.remove(path, size, time)
        else:
            earlier[kind] = [path, size, time, mask_key]
    if earlier:
        entry["earlier"] = earlier
    outdated = sorted(kind for kind, result in earlier.items() if result[3] != entry.get("mask_key"))
    if outdated and written:
        entry["outdated"] = outdated


def _results(entry: Entry) -> dict[str, list[Any]]:
    """Return what there was of a photo after a line: kind to path, size in bytes, time and mask key."""
    sizes, time, key = entry.get("bytes", {}), entry.get("time", 0.0), entry.get("mask_key")
    now = {kind: [path, sizes.get(kind), time, key] for kind, path in entry.get("outputs", {}).items()}
    before = {kind: [*result, None][:4] for kind, result in entry.get("earlier", {}).items()}
    return {**before, **now}
