"""Strips and tiles of a TIFF file that are compressed as JPEG: only the blocks under a mask are new.

Each of them is a JPEG file that leaves out the tables it shares with the others (TIFF Technical Note 2).
With the tables it is an ordinary one, which jpeg.py changes block by block; the shared tables stay where
they are, and a Huffman table that new blocks need goes with them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from unetfast.imaging import jpeg, metadata
from unetfast.imaging.jpeg_pixels import has_few_left

__all__ = ["COMPRESSION", "check", "patch", "reach"]

COMPRESSION = 7
_RGB = 2
_ADOBE = (0xEE, b"Adobe\0\x64\0\0\0\0\0")  # says that the components are no YCbCr: RGB as they are


def check(page: Any, stored: bytes) -> None:
    """Refuse a strip or tile that is cut off or damaged, of which libjpeg only warns.

    Raises
    ------
    ValueError
        With libjpeg's words.
    """
    # Writers that leave out the end of each lose nothing by it; a scan that is cut off still ends too early.
    whole = _whole(page, stored) + b"\xff\xd9"
    _, frame = metadata.jpeg_frame(metadata.jpeg_segments(whole))
    kinds = {1: "GRAY", 3: "RGB", 4: "CMYK"}
    try:  # at an eighth of the size: all of the scan is read, which is what counts
        simplejpeg.decode_jpeg(whole, kinds.get(frame[5], "RGB"), min_height=1, min_width=1, strict=True)
    except ValueError as exc:  # of kinds that simplejpeg does not know as well, which others decode
        if str(exc).startswith("Corrupt JPEG data") and not has_few_left(str(exc)):
            raise


def patch(page: Any, stored: bytes, pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> bytes:
    """Return a strip or tile in which only the blocks that the mask touches are new.

    Parameters
    ----------
    page : tifffile.TiffPage
    stored : bytes
        The strip or tile as it is in the file.
    pixels : (h, w, C) uint8
        New samples of its part of the picture, of one plane where the planes are apart.
    mask : (h, w) bool
        Where they differ.

    Raises
    ------
    ValueError
        When it cannot be done, or when anything outside those blocks came out different.
    """
    whole = _whole(page, stored)
    made = jpeg.patch(whole, pixels, mask)
    kinds = {1: "GRAY", 3: "RGB"}
    before = simplejpeg.decode_jpeg(whole, kinds[pixels.shape[2]], strict=False)
    wide = np.zeros(before.shape[:2], np.bool_)
    wide[: mask.shape[0], : mask.shape[1]] = mask
    if problem := jpeg.difference(before, whole, made, wide):
        raise ValueError(f"a JPEG strip or tile failed its check ({problem})")
    new, shared = metadata.jpeg_segments(made), metadata.jpeg_segments(whole).head
    own = metadata.jpeg_segments(stored).head
    head = [segment for segment in new.head if segment in own or segment not in shared]
    return metadata.join_jpeg(head, made[new.scan_start :])


def reach(page: Any, stored: bytes, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which pixels of a strip or tile may differ once the mask's blocks are new, (h, w) bool."""
    whole = _whole(page, stored)
    height, width, *_ = simplejpeg.decode_jpeg_header(whole, strict=False)
    wide = np.zeros((height, width), np.bool_)
    wide[: mask.shape[0], : mask.shape[1]] = mask
    return jpeg.reach(wide, whole)[: mask.shape[0], : mask.shape[1]]


def _whole(page: Any, stored: bytes) -> bytes:
    """Return a strip or tile as a JPEG file of its own, whose colours are marked as the page has them."""
    segments = metadata.jpeg_segments(stored)
    # Tables alone have no scan: one that is no more than its marker ends their segments.
    tables = metadata.jpeg_segments(page.jpegtables[:-2] + b"\xff\xda\0\0").head if page.jpegtables else []
    unmarked = not page.is_jfif and not metadata.has_adobe(segments)
    marks = [_ADOBE] if page.photometric == _RGB and unmarked else []
    return metadata.join_jpeg([*marks, *tables, *segments.head], stored[segments.scan_start :])
