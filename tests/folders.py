"""Folders of files, and what a run lists in them."""

from __future__ import annotations

from pathlib import Path

from unetfast.pipeline.sources import Found, Item, Skipped, find, input_root, select


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def listed(folder: Path, **options: object) -> list[Item | Skipped]:
    root, paths = input_root([str(folder)])
    chosen = {key: options.pop(key) for key in ("include", "exclude", "shard") if key in options}
    return list(select(find(root, paths, Found(), **options), **chosen))


def relatives(folder: Path, **options: object) -> list[str]:
    return [item.relative for item in listed(folder, **options)]
