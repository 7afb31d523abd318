"""Where on earth a photo lies: said in it (GeoTIFF) or beside it, and said beside its results.

PNG and JPEG have no room for it: GDAL, and so QGIS, rasterio and others, take it from a file of
the picture's name and ``.aux.xml`` beside it (https://gdal.org/en/stable/user/raster_data_model.html,
"GDALPamDataset"), or from a world file and a ``.prj``. The tags are those of OGC GeoTIFF 1.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from unetfast.errors import ImageError

__all__ = ["PLACE_ENDING", "Place", "place_beside", "place_of"]

PLACE_ENDING = ".aux.xml"

_PIXEL_SCALE, _TIEPOINTS, _MATRIX, _KEYS = 33550, 33922, 34264, 34735
_MODEL_TYPE, _RASTER_TYPE, _GEODETIC, _PROJECTED = 1024, 1025, 2048, 3072
_MOST_BYTES = 1 << 24  # of a side file, which may hold histograms and tables too


@dataclass(frozen=True)
class Place:
    """Where the pixels of a picture lie, as far as that is said.

    Attributes
    ----------
    system : str
        The coordinate system: ``EPSG:n`` or WKT; "" where nobody said, then programs ask for it.
    axes : str
        Which axis of the system x and y are, as GDAL writes it; "" for x first.
    affine : tuple of float
        x of the picture's corner, its step a pixel to the right and one down, then y likewise; or ().
    points : tuple of (pixel, line, x, y, z)
        Ground control points; or ().
    """

    system: str = ""
    axes: str = ""
    affine: tuple[float, ...] = ()
    points: tuple[tuple[float, ...], ...] = ()

    def over(self, other: Place | None) -> Place:
        """Return this place, with what only the other one says."""
        if other is None:
            return self
        system = self if self.system else other
        pixels = self if self.affine or self.points else other
        return Place(system.system, system.axes, pixels.affine, pixels.points)

    def aux_xml(self) -> bytes | None:
        """Return the side file that puts a picture here, None where not enough is known for that."""
        root, axes = ElementTree.Element("PAMDataset"), {"dataAxisToSRSAxisMapping": self.axes}
        axes = axes if self.system and self.axes else {}
        if self.affine:
            if self.system:
                ElementTree.SubElement(root, "SRS", axes).text = self.system
            ElementTree.SubElement(root, "GeoTransform").text = ", ".join(map(repr, self.affine))
        elif self.points:
            listed = ElementTree.SubElement(root, "GCPList", {"Projection": self.system, **axes})
            for number, point in enumerate(self.points, 1):
                named = zip(("Pixel", "Line", "X", "Y", "Z"), map(repr, point), strict=True)
                ElementTree.SubElement(listed, "GCP", {"Id": str(number), **dict(named)})
        else:
            return None
        ElementTree.indent(root)
        return ElementTree.tostring(root) + b"\n"


def place_of(page: Any) -> Place | None:
    """Return where a TIFF page says that it lies, None where it does not.

    A coordinate system without a number of EPSG's is left out. Pages that are stored turned or
    mirrored have no place.
    """
    if page.tags.valueof(274) not in (None, 1):
        return None
    affine, points = _affine(page), _points(page)
    if affine is None and not points:
        return None
    keys = _keys(page)
    if keys.get(_RASTER_TYPE) == 2:  # coordinates are those of the middle of the first pixel
        affine = affine and _from_middle(*affine)
        points = tuple((pixel + 0.5, line + 0.5, *rest) for pixel, line, *rest in points)
    code = keys.get(_PROJECTED if keys.get(_MODEL_TYPE) == 1 else _GEODETIC, 0)
    system = f"EPSG:{code}" if 1024 <= code < 32767 else ""  # 32767: defined by the file
    return Place(system, affine=affine or (), points=() if affine else points)


def place_beside(picture: Path) -> Place | None:
    """Return where the files beside a picture say that it lies, None where there are none.

    Those are ``a.jpg.aux.xml``, and of ``a.jpg`` a world file (``a.jgw``, ``a.jpgw`` or ``a.wld``) with
    its coordinate system in ``a.prj``; beside ``A.JPG`` the endings are in capitals.

    Raises
    ------
    ImageError
        Where such a file is damaged.
    """
    aux = _from_aux(Path(f"{picture}{PLACE_ENDING}"))
    if aux is not None and aux.affine and aux.system:
        return aux
    ending = picture.suffix[1:]
    worlds = [f"{ending[:1]}{ending[-1:]}w", f"{ending}w", "wld"]
    ways = (_from_world(_beside(picture, world)) for world in worlds)
    affine = next((found for found in ways if found), ())
    if not affine:
        return aux
    world = Place(_text(_beside(picture, "prj")).strip(), affine=affine)
    return world if aux is None else aux.over(world)


def _beside(picture: Path, ending: str) -> Path:
    return picture.with_suffix("." + (ending.upper() if picture.suffix.isupper() else ending.lower()))


def _text(file: Path) -> str:
    """Return what a side file says, "" where there is none."""
    try:
        with open(file, "rb") as opened:
            return opened.read(_MOST_BYTES).decode("utf-8-sig", "replace")
    except FileNotFoundError:
        return ""
    except OSError as exc:
        raise ImageError(f"{file}: cannot be read: {exc.strerror}") from exc


def _from_world(file: Path) -> tuple[float, ...]:
    """Return the place of a picture's corner from a world file, () where there is none."""
    if not (text := _text(file)):
        return ()
    try:
        right, right_y, down, down_y, x, y = map(float, text.replace(",", ".").split())
    except ValueError as exc:
        raise ImageError(f"{file}: damaged: a world file holds six numbers") from exc
    return _from_middle(x, right, down, y, right_y, down_y)


def _from_aux(file: Path) -> Place | None:
    """Return what an ``.aux.xml`` says of a place, None where that is nothing."""
    if not (text := _text(file)):
        return None
    try:
        root = ElementTree.fromstring(text)
        system, listed = root.find("SRS"), root.find("GCPList")
        affine = tuple(map(float, (root.findtext("GeoTransform") or "").replace(",", " ").split()))
        points = tuple(
            tuple(float(point.get(name, "0")) for name in ("Pixel", "Line", "X", "Y", "Z"))
            for point in ([] if listed is None else listed.iter("GCP"))
        )
    except (ElementTree.ParseError, ValueError) as exc:
        raise ImageError(f"{file}: damaged: {exc}") from exc
    said = "" if system is None else system.text or ""
    spoken = system if said else listed
    said = said or ("" if listed is None else listed.get("Projection", ""))
    axes = "" if spoken is None else spoken.get("dataAxisToSRSAxisMapping", "")
    found = Place(said.strip(), axes, affine if len(affine) == 6 else (), () if affine else points)
    return found if found != Place() else None


def _from_middle(
    x: float, right: float, down: float, y: float, right_y: float, down_y: float
) -> tuple[float, ...]:
    """Return an affine of the picture's corner from one of the middle of its first pixel."""
    return (x - (right + down) / 2, right, down, y - (right_y + down_y) / 2, right_y, down_y)


def _points(page: Any) -> tuple[tuple[float, ...], ...]:
    """Return the tie points of a page as ground control points, () where it has fewer than three."""
    numbers = _numbers(page, _TIEPOINTS)
    if len(numbers) % 6 or len(numbers) < 18:
        return ()
    rows = (numbers[start : start + 6] for start in range(0, len(numbers), 6))
    return tuple((pixel, line, x, y, z) for pixel, line, _, x, y, z in rows)


def _affine(page: Any) -> tuple[float, ...] | None:
    """Return x of the page's corner, its step a pixel to the right and one down, then y likewise."""
    matrix = _numbers(page, _MATRIX)
    if len(matrix) == 16:
        return (matrix[3], matrix[0], matrix[1], matrix[7], matrix[4], matrix[5])
    scale, tie = _numbers(page, _PIXEL_SCALE), _numbers(page, _TIEPOINTS)
    if len(scale) != 3 or len(tie) != 6 or not scale[0] or not scale[1]:
        return None
    return (tie[3] - tie[0] * scale[0], scale[0], 0.0, tie[4] + tie[1] * scale[1], 0.0, -scale[1])


def _numbers(page: Any, tag: int) -> tuple[float, ...]:
    """Return the numbers of a tag, () where there are none or some are damaged."""
    value = page.tags.valueof(tag)
    good = isinstance(value, tuple) and all(isinstance(n, float) and math.isfinite(n) for n in value)
    return value if good else ()


def _keys(page: Any) -> dict[int, int]:
    """Return the GeoTIFF keys that are small numbers; the others stand in tags of their own."""
    value = page.tags.valueof(_KEYS)
    if not isinstance(value, tuple) or not all(isinstance(number, int) for number in value):
        return {}
    rows = zip(*[iter(value[4:])] * 4, strict=False)
    return {key: number for key, place, _, number in rows if place == 0}
