"""What the layouts of annotation tools share: outlines by image become samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from unetfast.data.layouts.found import Found, unique_ids
from unetfast.data.layouts.paths import split_in
from unetfast.data.listing import Listing
from unetfast.data.user_values import is_background
from unetfast.errors import DatasetError
from unetfast.spec import Sample

__all__ = ["Outlines", "ellipse", "outlined_samples", "runs_of", "xml_of"]

_MOST_PX = 2**30  # of an image that a file speaks of


@dataclass
class Outlines:
    """Outlines by image, as they are read one annotation file after the other.

    Attributes
    ----------
    shapes : dict
        Name of an image in the listing to (class, outline) pairs, as ``Sample.polygons`` has them.
    lone : list of str
        What is annotated and not there, for people.
    left_out : int
        Shapes without an area: points, lines, and boxes where the tool draws them around outlines.
    boxed : set of str
        Images with boxes. Where they have no outline, their objects would be taken for background.
    splits : dict
        Image to split, where the annotation file says it.
    """

    shapes: dict[str, list[tuple[str, Any]]] = field(default_factory=dict)
    lone: list[str] = field(default_factory=list)
    left_out: int = 0
    boxed: set[str] = field(default_factory=set)
    splits: dict[str, str] = field(default_factory=dict)

    def add(
        self, image: str, shapes: Sequence[tuple[str, Any | None]], size: tuple[int, int] = (0, 0)
    ) -> None:
        """Take the shapes of an image; None instead of an outline is a shape without an area.

        `size` is the height and width of the image that was drawn on, where the tool says it.
        """
        good = [(label, _of(size, outline)) for label, outline in shapes if outline]
        self.left_out += len(shapes) - len(good)
        if len(good) < len(shapes):
            self.boxed.add(image)
        self.shapes.setdefault(image, []).extend(good)

    def found(self, listing: Listing, mask: str | None, *notes: str) -> Found | None:
        """Return the samples, with the classes that `mask` takes; None where nothing has an outline."""
        known = {label for shapes in self.shapes.values() for label, _ in shapes}
        if not known and self.boxed:
            raise DatasetError(
                f"{listing.root}: all {self.left_out} annotations are boxes, lines or points; masks or "
                "outlines are needed"
            )
        if not self.shapes and self.lone:
            raise DatasetError(
                f"{listing.root}: none of the {len(self.lone)} annotated images is here, such as that of "
                f"{self.lone[0]}; pass the folder that holds both images and annotations"
            )
        if not known and self.shapes:
            raise DatasetError(f"{listing.root}: none of {len(self.shapes)} annotated images has an outline")
        if not known:
            return None
        wanted = known if mask is None else {word.strip() for word in mask.split(",")}
        if not wanted <= known:
            raise DatasetError(f"{listing.root}: no class {mask!r}; there are {', '.join(sorted(known))}")
        bare = sorted(image for image in self.boxed if not self.shapes[image])
        kept = {image: shapes for image, shapes in self.shapes.items() if image not in bare}
        taken = {
            image: [shape for shape in shapes if shape[0] in wanted or is_background(shape[0])]
            for image, shapes in kept.items()
        }
        splits = {image: self.splits.get(image) or split_in(image.rpartition("/")[0]) for image in kept}
        said = list(notes)
        if self.left_out:
            said.append(f"{self.left_out} shapes are points, lines or boxes, and are left out")
        if empty := [image for image, shapes in kept.items() if not shapes]:
            said.append(
                f"{len(empty)} images are listed without any outline and count as background, such as "
                f"{empty[0]}; take those away that nobody has annotated"
            )
        if unlisted := set(listing.images) - set(self.shapes):
            said.append(f"{len(unlisted)} images without annotations are left out")
        classes = ("background", *sorted(label for label in wanted if not is_background(label)))
        missing = [f"{image} (boxes, lines or points alone)" for image in bare]
        samples = outlined_samples(listing, taken, splits)
        return Found(samples, missing, self.lone, said, {"classes": classes})


def outlined_samples(
    listing: Listing, shapes: Mapping[str, Sequence[Any]], splits: Mapping[str, str | None]
) -> list[Sample]:
    """Return a sample for each image, with its (class, outline) pairs."""
    ids = unique_ids(list(shapes))
    return [
        Sample(ids[image], listing.ref(image), (), splits.get(image), "polygons", tuple(found))
        for image, found in shapes.items()
    ]


def _of(size: tuple[int, int], outline: Any) -> Any:
    """Return rings with the size that they were drawn on; runs have one already."""
    return outline if not all(size) or isinstance(outline[0], int) else ("of", *size, *outline)


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0) -> tuple[tuple[float, float], ...]:
    """Return the ring of an ellipse around (x, y), turned by so many radians."""
    cos, sin = math.cos(turn), math.sin(turn)
    angles = (2 * math.pi * i / 64 for i in range(64))
    points = ((rx * math.cos(angle), ry * math.sin(angle)) for angle in angles)
    return tuple((x + u * cos - v * sin, y + u * sin + v * cos) for u, v in points)


def runs_of(inside: NDArray[np.bool_], left: int, top: int, size: tuple[int, int]) -> tuple[Any, ...]:
    """Return a mask of a part of an image as ``polygons.drawn`` takes runs.

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
    # With the size that they were counted in: a photo of another size is refused when they are drawn.
    return (*size, tuple(np.diff(edges, prepend=0, append=size[0] * size[1]).tolist()))


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
