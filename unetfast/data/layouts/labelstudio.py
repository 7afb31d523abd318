"""Label Studio's JSON: polygons, ellipses, rectangles and brushes of tasks whose ``data`` names the image.

The whole export and JSON-MIN; brushes are read from their run lengths, so no PNG is needed. Names of its
brush PNGs (``task-1-annotation-7-by-1-tag-crack-0.png``) carry the number of a task, not of an image.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from unetfast.data.layouts.found import Found
from unetfast.data.layouts.outlined import Outlines, ellipse, runs_of
from unetfast.data.layouts.paths import Resolver
from unetfast.data.listing import Listing, file_of
from unetfast.data.polygons import Outline, Rings
from unetfast.errors import DatasetError

__all__ = ["find", "near_miss"]

_MOST_BYTES = 2 * 2**30
_BRUSH_PNG = re.compile(r"task-\d+-annotation-\d+-.*\.(png|npy)$", re.IGNORECASE)
_HASH = re.compile(r"^[0-9a-f]{8}-")  # that uploads get in front of their names


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find images with the outlines of Label Studio; see :mod:`~unetfast.data.layouts`."""
    tasks = [(name, task) for name in listing.ending(".json") for task in _tasks(listing, name)]
    if not tasks:
        return None
    resolver, found = Resolver(listing), Outlines(listing)
    several = 0
    for name, task in tasks:
        answers = _answers(task)
        if not answers:
            continue  # nobody has looked at it yet
        several += len(answers) > 1
        written = [text for text in _texts(task) if text]
        image = next((image for text in written if (image := _image(resolver, text, name))), None)
        if image is None:
            found.lone.append(f"{name}: {written[0] if written else 'a task without an image'}")
            continue
        try:
            found.add(image, [shape for result in answers[0] for shape in _shapes(result)])
        except (TypeError, ValueError, KeyError, IndexError) as exc:
            raise DatasetError(f"{listing.ref(name)}: a malformed result of {image}: {exc!r}") from exc
    notes = [f"{several} tasks have several annotations, of which the first is taken"] if several else []
    return found.found(mask, *notes)


def near_miss(listing: Listing) -> str:
    """Say what brush PNGs lack; or nothing, where there are none."""
    brushes = [name for name in listing.images if _BRUSH_PNG.match(file_of(name))]
    if brushes:
        return (
            f" {brushes[0]} is a brush of Label Studio, whose name carries the number of a task and not the "
            "name of its image: export the project as JSON, too, and put it beside the images; it holds the "
            "brushes."
        )
    projects = [name for name in listing.ending(".json") if _tasks(listing, name)]
    return f" {projects[0]} holds tasks of Label Studio, of which none is annotated." if projects else ""


def _tasks(listing: Listing, name: str) -> list[Mapping[str, Any]]:
    try:
        content = listing.json_or_none(name, _MOST_BYTES)
    except DatasetError:
        if listing.focus == name:
            raise
        return []
    tasks = content if isinstance(content, list) else [content]
    return [task for task in tasks if isinstance(task, dict) and (_is_whole(task) or _flat(task))]


def _is_whole(task: Mapping[str, Any]) -> bool:
    return isinstance(task.get("annotations"), list) and isinstance(task.get("data"), dict)


def _flat(task: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the results of JSON-MIN, which stand in the task itself under the names of its tools."""
    items = (item for value in task.values() if isinstance(value, list) for item in value)
    return [{**item, "value": item} for item in items if isinstance(item, dict) and "original_width" in item]


def _answers(task: Mapping[str, Any]) -> list[list[Mapping[str, Any]]]:
    """Return the results of each annotation of a task, as {"original_width", "value": {…}}."""
    if not _is_whole(task):
        return [_flat(task)]
    return [
        [result for result in annotation.get("result", []) if isinstance(result, dict)]
        for annotation in task["annotations"]
        if isinstance(annotation, dict) and not annotation.get("was_cancelled")
    ]


def _texts(task: Mapping[str, Any]) -> Iterator[str]:
    data = task["data"] if _is_whole(task) else task
    yield from (value for value in data.values() if isinstance(value, str))
    yield str(task.get("file_upload") or "")


def _image(resolver: Resolver, text: str, beside: str) -> str | None:
    """Find an image by /data/upload/1/1a2b3c4d-x.jpg, /data/local-files/?d=folder/x.jpg or a bucket's URL."""
    path = unquote(text.rpartition("?d=")[2].partition("?")[0])
    folder, slash, file = path.rpartition("/")
    return resolver.name(path, beside) or resolver.name(folder + slash + _HASH.sub("", file), beside)


def _shapes(result: Mapping[str, Any]) -> Iterable[tuple[str, Outline | None]]:
    value = result.get("value")
    if not isinstance(value, dict):
        return
    key = next((key for key in value if key.endswith("labels") and value[key]), None)
    if key is None:
        return  # a relation, a choice or a text
    if turned := result.get("image_rotation"):
        raise ValueError(f"turned by {turned} degrees in Label Studio, which is not read")
    outline = _outline(key, value, (int(result["original_height"]), int(result["original_width"])))
    for name in value[key]:
        yield str(name), outline


def _outline(key: str, value: Mapping[str, Any], size: tuple[int, int]) -> Outline | None:
    """Return what is drawn; coordinates are percents of the image. None for points and videos."""
    height, width = size
    across, down = width / 100, height / 100
    if key == "brushlabels" and value.get("format") == "rle":
        inside = _brushed(bytes(value["rle"]), 4 * height * width).reshape(height, width, 4)[:, :, 3] > 0
        return runs_of(inside, 0, 0, size)
    if key == "polygonlabels":
        return Rings((tuple((float(x) * across, float(y) * down) for x, y in value["points"]),), size=size)
    turn = math.radians(float(value.get("rotation") or 0))
    if key == "ellipselabels":
        x, y, rx, ry = (float(value[name]) for name in ("x", "y", "radiusX", "radiusY"))
        return Rings((ellipse(x * across, y * down, rx * across, ry * down, turn),), size=size)
    if key == "rectanglelabels":
        left, top = float(value["x"]) * across, float(value["y"]) * down
        w, h = float(value["width"]) * across, float(value["height"]) * down
        cos, sin = math.cos(turn), math.sin(turn)  # around its first corner
        ring = (
            (left + u * cos - v * sin, top + u * sin + v * cos) for u, v in ((0, 0), (w, 0), (w, h), (0, h))
        )
        return Rings((tuple(ring),), size=size)
    return None


def _brushed(data: bytes, expected: int) -> NDArray[np.uint8]:
    """Return the bytes that thi.ng's rle-pack packed, which Label Studio keeps RGBA pictures with.

    32 bits: how many words; 5: bits of a word less 1; four times 4: bits of a run's length less 1. Then runs:
    one bit that says whether one word is repeated, two that choose the size of the length, the length less 1,
    and the word, or as many words.
    """
    bits = "".join(f"{byte:08b}" for byte in data)
    at = 0

    def read(count: int) -> int:
        nonlocal at
        at += count
        if at > len(bits):
            raise ValueError("a brush that is cut off")
        return int(bits[at - count : at], 2)

    total, word = read(32), read(5) + 1
    if total != expected or word != 8:
        raise ValueError(f"a brush of {total} words of {word} bits, not of {expected} bytes")
    sizes = [read(4) + 1 for _ in range(4)]
    words = np.zeros(total, np.uint8)
    filled = 0
    while filled < total:
        repeated = read(1)
        length = read(sizes[read(2)]) + 1
        if repeated:
            words[filled : filled + length] = read(word)
        else:
            for i in range(filled, min(total, filled + length)):
                words[i] = read(word)
        filled += length
    return words
