"""The pictures of a data set, and what their paths say."""

from __future__ import annotations

from dataclasses import dataclass

from unetfast.data.layouts.paths import shared_depth
from unetfast.data.layouts.words import read_together
from unetfast.data.listing import composed, folder_of, stem_of

__all__ = ["File", "is_called", "parsed"]


@dataclass(frozen=True)
class File:
    """A picture of a data set, and what its path says."""

    name: str
    split: str | None
    place: tuple[str, ...]  # folders that say neither split nor role
    role: str | None
    role_folder: str  # the folder that says it
    stem: str

    @property
    def folder(self) -> str:
        """The folders that it lies in."""
        return folder_of(self.name)


def parsed(names: tuple[str, ...]) -> list[File]:
    """Read the paths of all pictures of a data set together."""
    # What all paths share says nothing about the role of one: "crack_masks_v2/images/…".
    folders = [composed(name).split("/")[:-1] for name in names]
    shared = shared_depth(folders)
    known = read_together({folder for parts in folders for folder in parts[shared:]})
    files = []
    for name, parts in zip(names, folders, strict=True):
        role, role_folder, split = None, "", None
        for folder in parts[shared:]:  # the deepest folder with a role decides, the first with a split
            says = known[folder]
            split = split or says.split
            if says.role:
                role, role_folder = says.role, folder
        place = tuple(rest for folder in parts[shared:] if (rest := known[folder].rest))
        stem = composed(stem_of(name))
        if stem.lower().endswith(".ome"):  # microscopes write x.ome.tif, whose mask is x.tif
            stem = stem[:-4]
        files.append(File(name, split, place, role, role_folder, stem))
    return files


def is_called(file: File, word: str) -> bool:
    """Whether a user's word, in lower case, means this mask: a folder, or a start or end of its name."""
    folders = [part.casefold() for part in file.name.split("/")[:-1]]
    if word in folders or "/".join(folders) == word.strip("/"):
        return True
    stem = file.stem.casefold()
    return any(stem.endswith(sep + word) or stem.startswith(word + sep) for sep in "_- .")
