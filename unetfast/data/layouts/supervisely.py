"""A Supervisely project: ``ds/img/x.jpg`` with polygons and bitmaps in ``ds/ann/x.jpg.json``.

Rectangles, lines and points are no masks.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from unetfast.data.layouts.found import Found
from unetfast.data.layouts.outlined import Outlines, runs_of
from unetfast.data.listing import Listing, file_of, folder_of
from unetfast.data.polygons import Outline, Rings
from unetfast.errors import DatasetError

__all__ = ["find"]

_MOST_BYTES = 256 * 2**20


def find(listing: Listing, mask: str | None) -> Found | None:
    """Find the images of a project with their objects; see :mod:`~unetfast.data.layouts`."""
    names = [name for name in listing.names if _of_image(name)]
    if not any(_content(listing, name) is not None for name in names[:5]):
        return None
    found = Outlines(listing)
    for name in names:
        content = _content(listing, name)
        if content is None:
            continue
        image = _image(listing, name)
        if image is None:
            found.lone.append(name)
            continue
        try:
            size = int(content["size"]["height"]), int(content["size"]["width"])
            found.add(image, [(str(o["classTitle"]), _outline(o, size)) for o in content["objects"]])
        except (KeyError, TypeError, ValueError, zlib.error, binascii.Error, cv2.error) as exc:
            raise DatasetError(f"{listing.ref(name)}: a malformed object: {exc!r}") from exc
    return found.found(mask)


def _of_image(name: str) -> bool:
    return name.lower().endswith(".json") and file_of(folder_of(name)).lower() == "ann"


def _image(listing: Listing, name: str) -> str | None:
    """Return the image of ``ds/ann/x.jpg.json``; old exports write ``x.json``."""
    folder, _, file = name.rpartition("/")
    above, stem = folder_of(folder), file.rpartition(".")[0]
    beside = [f"{above}/{kind}/".lstrip("/") for kind in ("img", "image", "images")]
    exact = next((place + stem for place in beside if place + stem in listing), None)
    if exact is not None:
        return exact
    ends = [image for image in listing.images if image.startswith(tuple(f"{p}{stem}." for p in beside))]
    return ends[0] if len(ends) == 1 else None


def _content(listing: Listing, name: str) -> Mapping[str, Any] | None:
    content = listing.json_or_none(name, _MOST_BYTES)
    known = isinstance(content, dict) and isinstance(content.get("objects"), list) and "size" in content
    return content if known else None


def _outline(thing: Mapping[str, Any], size: tuple[int, int]) -> Outline | None:
    kind = thing.get("geometryType") or ("bitmap" if thing.get("bitmap") else "polygon")
    if kind == "polygon":
        rings = [thing["points"]["exterior"], *thing["points"].get("interior", [])]
        return Rings(tuple(tuple((float(x), float(y)) for x, y in ring) for ring in rings), True, size=size)
    if kind == "bitmap":
        data = zlib.decompressobj().decompress(base64.b64decode(thing["bitmap"]["data"]), _MOST_BYTES)
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if picture is None:
            raise ValueError("a bitmap that is not a PNG")
        if picture.ndim == 3:  # the mask is the alpha channel; of old exports, any colour
            picture = picture[:, :, 3] if picture.shape[2] == 4 else picture.max(axis=2)
        left, top = (int(value) for value in thing["bitmap"]["origin"])
        return runs_of(picture > 0, left, top, size)
    return None
