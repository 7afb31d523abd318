"""What the layouts with outlines share: outlines by image become samples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from unetfast.data.layouts.found import Found, unique_ids
from unetfast.data.layouts.paths import split_in
from unetfast.data.listing import Listing, folder_of
from unetfast.data.polygons import Outline, Ring, Runs
from unetfast.data.user_values import is_background, is_void
from unetfast.errors import DatasetError
from unetfast.spec import Sample

__all__ = ["Outlines", "ellipse", "runs_of", "xml_of"]

_MOST_PX = 2**30  # of an image that a file speaks of


@dataclass
class Outlines:
    """Outlines by image, as they are read from one annotation file after the other.

    Attributes
    ----------
    listing : Listing
    shapes : dict
        Name of an image in the listing to pairs of class and outline. None instead of an outline is a
        shape without an area: a point, a line, or a box where the tool draws it around an outline.
    splits : dict
        Image to split, where the annotations say it.
    lone : list of str
        Annotated images that are not here, for people.
    """

    listing: Listing
    shapes: dict[str, list[tuple[str, Outline | None]]] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    lone: list[str] = field(default_factory=list)

    def add(self, image: str, shapes: Iterable[tuple[str, Outline | None]], split: str | None = None) -> None:
        """Take the shapes of an image, in addition to those that another file gave it.

        Raises
        ------
        DatasetError
            When the other file puts it into another split.
        """
        self.shapes.setdefault(image, []).extend(shapes)
        if split and self.splits.setdefault(image, split) != split:
            raise DatasetError(
                f"{self.listing.root}: {image} is annotated for {self.splits[image]} and for {split}"
            )

    def found(self, mask: str | None, *notes: str, classes: Sequence[str] = ()) -> Found | None:
        """Return the samples, or None where nothing is annotated.

        Parameters
        ----------
        mask : str or None
            The classes to take, separated by commas.
        *notes : str
            For people.
        classes : sequence of str
            All classes in their order, where the annotations say it.

        Raises
        ------
        DatasetError
            When a class is unknown, no image is here, or nothing has an outline.
        """
        root = self.listing.root
        if not self.shapes:
            if self.lone:
                raise DatasetError(
                    f"{root}: none of the {len(self.lone)} annotated images is here, such as that of "
                    f"{self.lone[0]}; pass the folder that holds both images and annotations"
                )
            return None
        known = dict.fromkeys((*classes, *sorted(_classes_of(self.shapes))))
        wanted = set(known) if mask is None else {word.strip() for word in mask.split(",")}
        if not wanted <= known.keys():
            raise DatasetError(f"{root}: no class {mask!r}; there are {', '.join(known)}")
        shapes = {
            image: [(name, outline) for name, outline in of_image if name in wanted or _is_no_class(name)]
            for image, of_image in self.shapes.items()
        }
        outlines = {
            image: tuple((name, outline) for name, outline in of_image if outline)
            for image, of_image in shapes.items()
        }
        left_out = sum(map(len, shapes.values())) - sum(map(len, outlines.values()))
        used = _classes_of(outlines)
        if not used:
            of = f" of {mask}" if mask else ""
            if not left_out:
                raise DatasetError(f"{root}: none of {len(shapes)} annotated images has an outline{of}")
            raise DatasetError(
                f"{root}: all {left_out} annotations{of} are boxes, lines or points, as for detection; masks "
                "or outlines are needed"
            )
        bare = [image for image in shapes if shapes[image] and not outlines[image]]
        for image in bare:  # its objects would be taken for background
            del outlines[image]
        return Found(
            self._samples(outlines),
            [f"{image} (boxes, lines or points alone)" for image in bare],
            self.lone,
            [*notes, *self._notes(left_out)],
            {"classes": tuple(name for name in known if name in used)},
        )

    def _samples(self, outlines: Mapping[str, tuple[tuple[str, Outline], ...]]) -> list[Sample]:
        ids = unique_ids(list(outlines))
        splits = {image: self.splits.get(image) or split_in(folder_of(image)) for image in outlines}
        return [
            Sample(ids[image], self.listing.ref(image), (), splits[image], "polygons", of_image)
            for image, of_image in outlines.items()
        ]

    def _notes(self, left_out: int) -> Iterator[str]:
        if left_out:
            yield f"{left_out} shapes are boxes, lines or points, and are left out"
        if empty := [image for image, shapes in self.shapes.items() if not shapes]:
            yield (
                f"{len(empty)} images have no outline at all and count as background, such as {empty[0]}; "
                "take away those that nobody has annotated"
            )
        if unlisted := set(self.listing.images) - set(self.shapes):
            yield (
                f"{len(unlisted)} pictures without annotations are left out; those that are background need "
                "an entry without outlines"
            )


def _classes_of(shapes: Mapping[str, Iterable[tuple[str, Outline | None]]]) -> set[str]:
    return {name for of_image in shapes.values() for name, _ in of_image}


def _is_no_class(name: str) -> bool:
    """Whether outlines of this name cut pieces out of those of other classes."""
    return is_background(name) or is_void(name)


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> Ring:
    """Return the ring of an ellipse around (x, y), turned by so many radians."""
    cos, sin = math.cos(turn), math.sin(turn)
    angles = (2 * math.pi * i / 64 for i in range(64))
    points = ((rx * math.cos(angle), ry * math.sin(angle)) for angle in angles)
    return tuple((x + u * cos - v * sin, y + u * sin + v * cos) for u, v in points)


def runs_of(inside: NDArray[np.bool_], left: int, top: int, size: tuple[int, int]) -> Runs:
    """Return a mask of a part of an image as the runs of the whole image.

    Parameters
    ----------
    inside : (h, w) bool
    left, top : int
        Where it lies in the image.
    size : (int, int)
        Height and width of the image.

    Raises
    ------
    ValueError
        When it leaves the image, or the image is too large.
    """
    if size[0] * size[1] > _MOST_PX:
        raise ValueError(f"a mask of an image of {size[1]}x{size[0]}")
    if not (0 <= left <= size[1] - inside.shape[1] and 0 <= top <= size[0] - inside.shape[0]):
        raise ValueError(f"a mask that leaves its image of {size[1]}x{size[0]}")
    columns = np.zeros((inside.shape[1], size[0]), np.int8)  # those that it touches, by columns
    columns[:, top : top + inside.shape[0]] = inside.T
    edges = np.flatnonzero(np.diff(columns.ravel(), prepend=0, append=0)) + left * size[0]
    return Runs(size, tuple(np.diff(edges, prepend=0, append=size[0] * size[1]).tolist()))


def xml_of(listing: Listing, name: str, root: str) -> ElementTree.Element | None:
    """Return an XML file's content, or None where it is no XML with this outermost element.

    Raises
    ------
    DatasetError
        When it is damaged, or has a document type: entities may grow without bound.
    """
    text = listing.text_or_none(name) or ""
    if f"<{root}" not in text[:4096]:
        return None
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DatasetError(f"{listing.ref(name)}: XML with a document type is not read")
    try:
        found = ElementTree.fromstring(text)
    except ElementTree.ParseError as exc:
        raise DatasetError(f"{listing.ref(name)}: damaged XML: {exc}") from exc
    return found if found.tag == root else None
