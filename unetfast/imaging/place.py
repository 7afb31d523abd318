"""Where on earth a GeoTIFF page lies, for the masks and overlays beside it.

PNG and JPEG have no place for it: GDAL, and so QGIS, rasterio and others, take it from a file of
the picture's name and ``.aux.xml`` beside it (https://gdal.org/en/stable/user/raster_data_model.html,
"GDALPamDataset"). The tags are those of OGC GeoTIFF 1.1.
"""

from __future__ import annotations

import math
from typing import Any

__all__ = ["PLACE_ENDING", "place_of"]

PLACE_ENDING = ".aux.xml"

_PIXEL_SCALE, _TIEPOINTS, _MATRIX, _KEYS = 33550, 33922, 34264, 34735
_MODEL_TYPE, _RASTER_TYPE, _GEODETIC, _PROJECTED = 1024, 1025, 2048, 3072


def place_of(page: Any) -> bytes | None:
    """Return the side file that places a picture where a TIFF page lies, None where that is not said.

    A coordinate system without a number of EPSG's is left out: then programs ask for it. Pages that
    are stored turned or mirrored, and those placed by ground control points, have none.

    Parameters
    ----------
    page : tifffile.TiffPage
    """
    if page.tags.valueof(274) not in (None, 1):
        return None
    affine = _affine(page)
    if affine is None:
        return None
    keys = _keys(page)
    if keys.get(_RASTER_TYPE) == 2:  # coordinates are those of the middle of the first pixel
        x, right, down, y, right_y, down_y = affine
        affine = [x - (right + down) / 2, right, down, y - (right_y + down_y) / 2, right_y, down_y]
    code = keys.get(_PROJECTED if keys.get(_MODEL_TYPE) == 1 else _GEODETIC, 0)
    system = f"  <SRS>EPSG:{code}</SRS>\n" if 1024 <= code < 32767 else ""  # 32767: defined by the file
    numbers = ", ".join(map(repr, affine))
    return f"<PAMDataset>\n{system}  <GeoTransform>{numbers}</GeoTransform>\n</PAMDataset>\n".encode()


def _affine(page: Any) -> list[float] | None:
    """Return x of the page's corner, its step a pixel to the right and one down, then y likewise."""
    matrix = _numbers(page, _MATRIX, 16)
    if matrix:
        return [matrix[3], matrix[0], matrix[1], matrix[7], matrix[4], matrix[5]]
    scale, tie = _numbers(page, _PIXEL_SCALE, 3), _numbers(page, _TIEPOINTS, 6)
    if not scale or not tie or not scale[0] or not scale[1]:
        return None
    return [tie[3] - tie[0] * scale[0], scale[0], 0.0, tie[4] + tie[1] * scale[1], 0.0, -scale[1]]


def _numbers(page: Any, tag: int, count: int) -> list[float]:
    """Return the numbers of a tag, [] where there are not so many or they are damaged."""
    value = page.tags.valueof(tag)
    if not isinstance(value, tuple) or len(value) != count:
        return []
    good = all(isinstance(number, float) and math.isfinite(number) for number in value)
    return list(value) if good else []


def _keys(page: Any) -> dict[int, int]:
    """Return the GeoTIFF keys that are small numbers; the others stand in tags of their own."""
    value = page.tags.valueof(_KEYS)
    if not isinstance(value, tuple) or not all(isinstance(number, int) for number in value):
        return {}
    rows = zip(*[iter(value[4:])] * 4, strict=False)
    return {key: number for key, place, _, number in rows if place == 0}
