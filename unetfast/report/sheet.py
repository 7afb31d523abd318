"""Images with their labels drawn on them, alone and on an HTML page."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unetfast.data.labels import shrunk
from unetfast.imaging import Picture, encode, preview, resize
from unetfast.imaging.class_colours import class_colour
from unetfast.spec import IGNORE

__all__ = [
    "class_key_html",
    "figure_html",
    "overlay",
    "page_html",
    "table_html",
    "thumbnail",
]

_WORDS = ("error", "warning")  # cells with a colour of their own
_OPACITY = 0.55  # of the colours of classes


def overlay(image: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw class ids on an image.

    Parameters
    ----------
    image : (H, W) or (H, W, C) uint8
        Of more than three channels the first three are shown.
    labels : (H, W) uint8
        0 is left as it is; 255, "does not count", is striped.

    Returns
    -------
    (H, W, 3) uint8
    """
    drawn = preview(image).copy()
    colours = np.zeros((256, 3), np.float32)
    for class_id in range(1, IGNORE):
        colours[class_id] = class_colour(class_id)
    inside = (labels > 0) & (labels < IGNORE)
    drawn[inside] = (drawn[inside] * (1 - _OPACITY) + colours[labels[inside]] * _OPACITY).astype(np.uint8)
    y, x = np.nonzero(labels == IGNORE)
    striped = (y + x) % 8 < 4
    drawn[y[striped], x[striped]] //= 2
    return np.asarray(drawn, np.uint8)


def thumbnail(image: NDArray[np.uint8], labels: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Draw class ids on a shrunk image; lines of one pixel stay lines of one pixel.

    Parameters
    ----------
    image : (H, W, C) uint8
    labels : (H, W) uint8
    side_px : int
        The longer side is at most this.

    Returns
    -------
    (h, w, 3) uint8
    """
    factor = -(-max(labels.shape) // side_px)
    h, w = (max(1, extent // factor) for extent in labels.shape)
    if min(labels.shape) < factor:  # a strip, of whose short side nothing would be left
        return np.asarray(resize(overlay(image, labels), h, w), np.uint8)
    inside = (slice(0, h * factor), slice(0, w * factor))
    return overlay(resize(image[inside], h, w), shrunk(labels[inside], factor))


def figure_html(picture: NDArray[np.uint8], caption: str) -> str:
    """Return an HTML figure that holds its picture inside, as JPEG.

    Parameters
    ----------
    picture : (H, W, 3) uint8
    caption : str
        Plain text.
    """
    data = base64.b64encode(encode(Picture(picture, "jpeg"))).decode("ascii")
    text = html.escape(caption)
    image = f'<img alt="{text}" src="data:image/jpeg;base64,{data}">'
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>"


def class_key_html(classes: Sequence[str]) -> str:
    """Return an HTML line that tells which colour each class is drawn in."""
    keys = [
        f'<span class="key" style="background:rgb{class_colour(i)}"></span>{html.escape(name)}'
        for i, name in enumerate(classes)
        if i
    ]
    return f"<p>{' &emsp; '.join(keys)} &emsp; striped: does not count</p>"


def table_html(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an HTML table of plain texts."""
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    lines = "".join(
        "<tr>"
        + "".join(f'<td class="{cell if cell in _WORDS else ""}">{html.escape(cell)}</td>' for cell in row)
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table>"


def page_html(title: str, body: str) -> str:
    """Return a whole page, in one file and without scripts."""
    style = (
        "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:1180px;padding:0 1rem}"
        "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.3rem .8rem;text-align:left;"
        "border-bottom:1px solid #ddd;vertical-align:top;overflow-wrap:anywhere}"
        ".sheet{display:grid;grid-template-columns:repeat(auto-fill,minmax(260px,1fr));gap:.8rem}"
        "figure{margin:0}img{width:100%;height:auto}figcaption{font-size:.8rem;overflow-wrap:anywhere}"
        ".error{color:#b00020;font-weight:600}.warning{color:#8a5a00;font-weight:600}"
        ".key{display:inline-block;width:.9em;height:.9em;margin-right:.4em}"
    )
    name = html.escape(title)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        f"<style>{style}</style></head><body><h1>{name}</h1>{body}</body></html>"
    )
