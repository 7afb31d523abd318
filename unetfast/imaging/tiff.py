"""TIFF pages as pixels.

tifffile is the library: it reads and writes tiled, stripped, big-endian and BigTIFF files
segment by segment in pure Python with imagecodecs' codecs, where rasterio and libvips would
bring GDAL or glib for the same work.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray

from unetfast.errors import ImageError
from unetfast.imaging import tiff_jpeg
from unetfast.imaging.convert import cmyk_to_rgb
from unetfast.imaging.decoding import decoding
from unetfast.imaging.low_bits import to_8_bits
from unetfast.imaging.stack import MAX_CHANNELS
from unetfast.imaging.stale import CREDENTIALS, PHOTOSHOP_PREVIEW, has_photoshop_preview

__all__ = [
    "Box",
    "blank_of",
    "boxes",
    "cell_sides",
    "check_kind",
    "check_structure",
    "colour_planes_by_default",
    "colours_of",
    "decoded_sides",
    "holes",
    "is_stack",
    "layout_of",
    "mask_of",
    "masked_out",
    "may_be_blank",
    "normal_values",
    "opened",
    "orientation_of",
    "pages_of",
    "remarks",
    "segment_count",
    "to_samples",
]

# tifffile logs what it repairs; a file that it cannot read raises, and that is what we report.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

_PHOTOSHOP_LAYERS, _PHOTOSHOP_RESOURCES, _CREDENTIALS = 37724, 34377, 52545
_NO_DATA = 42113  # GDAL_NODATA
_MASK = 4  # NewSubfileType of a mask; those of smaller copies have bit 0 too
_GREY = (0, 1)  # MINISWHITE, MINISBLACK


class Box(NamedTuple):
    """Where one strip or tile (the `number`-th) lies in the picture, in px, and of which plane."""

    number: int
    plane: int
    top: int
    left: int
    bottom: int
    right: int


@contextlib.contextmanager
def opened(file: BinaryIO, name: str) -> Iterator[Any]:
    """Open the one full-size page of a TIFF file (thumbnails and overviews may stand beside it).

    Raises
    ------
    ImageError
        When it is no TIFF file, is cut off, or holds several pages.
    """
    with pages_of(file, name) as pages:
        if not pages:
            raise ImageError(
                f"{name}: a TIFF file without a full-size page (raw photos of cameras are not read)"
            )
        if len(pages) != 1:
            raise ImageError(f"{name}: a TIFF file of {len(pages)} pages; split it into single pages first")
        yield pages[0]


@contextlib.contextmanager
def pages_of(file: BinaryIO, name: str) -> Iterator[list[Any]]:
    """Open all full-size pages of a TIFF file; raises ImageError as :func:`opened` does."""
    file.seek(0)  # tifffile takes the position it finds for the file's beginning
    with decoding(name):
        handle = tifffile.TiffFile(file, name="picture")  # the name of an fdopen file is a number
    with handle:
        with decoding(name):
            pages = _full_size(handle, name)
        yield pages


def _full_size(handle: tifffile.TiffFile, name: str) -> list[Any]:
    every = list(handle.pages)
    if not every:
        raise ImageError(f"{name}: damaged, cut off or never finished: a TIFF file without a page")
    pages: list[Any] = [page for page in every if not _reduced(page)]
    for page in pages:
        decoded_sides(page)  # raises for what is no number
    if _truncated(handle, pages):
        raise ImageError(
            f"{name}: a stack of which only the first picture has a page of its own; "
            "save it with one page a picture"
        )
    return pages


def _truncated(handle: tifffile.TiffFile, pages: list[Any]) -> bool:
    """Whether pictures lie behind the first page that have no page of their own (ImageJ, tifffile)."""
    try:
        described = any(page.is_imagej or page.is_shaped for page in pages)
        return described and bool(handle.series[0].is_truncated)
    except Exception:  # tifffile raises anything on damaged descriptions; reading the pages tells
        return False


def remarks(pages: list[Any]) -> str:
    """Say what a reader of a cleaned file must know: "" or clauses, each with a semicolon before it."""
    every = list(pages[0].parent.pages)
    masks = sum(int(page.subfiletype or 0) & 4 > 0 for page in every)
    copies = sum(map(_reduced, every)) - masks + sum(len(other.subifds or ()) for other in every)
    jpeg = any(page.compression == 7 for page in pages)
    words = "; of those in JPEG only the 8x8 blocks under it" if jpeg else ""
    stay = f"{copies} smaller copies in the file stay as they were"
    stay = "1 smaller copy in the file stays as it was" if copies == 1 else stay
    words += f"; {stay}" if copies else ""
    if any(_PHOTOSHOP_LAYERS in page.tags for page in pages):
        words += "; Photoshop's layers in the file, which it shows, stay as they were"
    if any(has_photoshop_preview(page.tags.valueof(_PHOTOSHOP_RESOURCES)) for page in pages):
        words += f"; {PHOTOSHOP_PREVIEW}"
    if any(_CREDENTIALS in page.tags for page in pages):
        words += f"; {CREDENTIALS}"
    handle = pages[0].parent.filehandle
    handle.seek(0)
    if layout_of(handle.read(1024)):
        words += "; the order of a Cloud Optimized GeoTIFF is given up"
    if any(page.photometric == 3 for page in pages):
        words += "; what is new has the nearest colours of the palette"
    return words


def segment_count(page: Any) -> int:
    """Return how many strips or tiles a page of its size has."""
    return math.prod(page.chunked)


def cell_sides(page: Any) -> tuple[int, int]:
    """Return the height and width of a page's strips or tiles, in px."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def boxes(page: Any, first: int = 0, last: int | None = None) -> Iterator[Box]:
    """Yield where each strip or tile of a page lies, in the file's order; of those in some rows, if so."""
    height, width = page.imagelength, page.imagewidth
    cell_h, cell_w = cell_sides(page)
    rows, columns = -(-height // cell_h), -(-width // cell_w)
    wanted = range(first // cell_h, rows if last is None else -(-last // cell_h))
    for plane in range(page.samplesperpixel if page.planarconfig == 2 else 1):
        for row in wanted:
            for column in range(columns):
                top, left = row * cell_h, column * cell_w
                number = (plane * rows + row) * columns + column
                yield Box(number, plane, top, left, min(top + cell_h, height), min(left + cell_w, width))


def holes(page: Any) -> str:
    """Say how many strips or tiles a page leaves out, as sparse and unfinished files do; "" for none."""
    empty, every = len(_left_out(page)), len(page.dataoffsets)
    return f"{empty} of {every} strips or tiles are not in the file and hold no data" if empty else ""


def _left_out(page: Any) -> set[int]:
    """Return the numbers of the strips or tiles that were never written."""
    places = zip(page.dataoffsets, page.databytecounts, strict=False)
    return {number for number, (place, size) in enumerate(places) if not (place and size)}


def blank_of(page: Any, samples: NDArray[Any], top: int = 0, left: int = 0) -> NDArray[np.bool_] | None:
    """Return which pixels of a page hold no data; None where every pixel does.

    Those are the fully transparent ones, those of which all colours have GDAL's no-data value, and those in
    strips or tiles that the file leaves out.

    Parameters
    ----------
    page : tifffile.TiffPage
    samples : (H, W, S)
        As :func:`to_samples` gives them; of a part of the page or of all.
    top, left : int
        Where they begin.
    """
    blank = np.zeros(samples.shape[:2], np.bool_)
    alphas = _alphas(page)
    for alpha in alphas[:1]:
        blank |= samples[:, :, alpha] == 0
    if (value := _nodata(page)) is not None:
        colours = [number for number in range(samples.shape[2]) if number not in alphas]
        empty = samples[:, :, colours[0]] == value
        for number in colours[1:]:
            empty &= samples[:, :, number] == value
        blank |= empty
    if missing := _left_out(page):
        blank |= _in_none(page, missing, samples.shape, top, left)
    return blank if blank.any() else None


def _in_none(page: Any, missing: set[int], shape: tuple[int, ...], top: int, left: int) -> NDArray[np.bool_]:
    """Return which pixels of a part of a page lie, in all planes, in strips or tiles that are missing."""
    found = np.ones(shape[:2], np.bool_)
    for box in boxes(page, top, top + shape[0]):
        if box.right > left and box.number not in missing:
            found[max(0, box.top - top) : box.bottom - top, max(0, box.left - left) : box.right - left] = (
                False
            )
    return found


def may_be_blank(page: Any) -> bool:
    """Tell whether a page, or the mask beside it, says of some of its pixels that they hold no data."""
    said = _alphas(page) or _nodata(page) is not None or _left_out(page) or mask_of(page) is not None
    return bool(said)


def mask_of(page: Any) -> Any:
    """Return the page that tells by 1 and 0 which pixels of a page hold data, as GDAL writes it, or None.

    Where a file has several full-size pages nothing says which of them it is of.
    """
    every = list(page.parent.pages)
    if sum(not _reduced(other) for other in every) != 1:
        return None
    size = (page.imagelength, page.imagewidth)
    for other in every:
        if int(other.subfiletype or 0) == _MASK and (other.imagelength, other.imagewidth) == size:
            return other if other.bitspersample == 1 and other.samplesperpixel == 1 else None
    return None


def masked_out(blank: NDArray[np.bool_] | None, shown: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Add to what holds no data (None: nothing) what a mask, (H, W, 1) of :func:`mask_of`, does not show."""
    hidden = np.asarray(shown[:, :, 0] == 0, np.bool_)
    blank = hidden if blank is None else blank | hidden
    return blank if blank.any() else None


def _alphas(page: Any) -> list[int]:
    """Return which samples of a page are called alpha."""
    first = page.samplesperpixel - len(page.extrasamples)
    return [first + number for number, kind in enumerate(page.extrasamples) if int(kind) in (1, 2)]


def _nodata(page: Any) -> float | None:
    """Return what GDAL_NODATA says, None where that is nothing or no number."""
    try:
        return float(page.tags.valueof(_NO_DATA))
    except (TypeError, ValueError):
        return None


def decoded_sides(page: Any) -> tuple[int, int]:
    """Return the width and height that decoding a page and its mask takes, in px: tiles may be larger."""
    decoded = [page, mask] if (mask := mask_of(page)) is not None else [page]
    sides = [(max(p.imagewidth, p.tilewidth), max(p.imagelength, p.tilelength)) for p in decoded]
    return max(width for width, _ in sides), max(height for _, height in sides)


def layout_of(head: bytes) -> bool:
    """Tell from the first bytes of a file whether GDAL laid it out for reading over a network."""
    return any(head[start:].startswith(b"GDAL_STRUCTURAL_METADATA_SIZE=") for start in (8, 16))


def orientation_of(page: Any) -> int:
    """Return how a page is turned, 1..8 as in EXIF; 1 where that is not said or is damaged."""
    orientation = page.tags.valueof(274)
    if isinstance(orientation, bytes) and len(orientation) == 1:  # stored as BYTE
        orientation = orientation[0]
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def is_stack(page: Any) -> bool:
    """Whether a page's samples are channels of their own: more than grey or RGB, and none called alpha.

    A fourth sample beside RGB of which the file does not say what it is counts as alpha, as most
    viewers have it; a fourth plane does not where :func:`colour_planes_by_default` holds.
    """
    if colour_planes_by_default(page):
        return bool(page.samplesperpixel == 4)
    colours = {2: 3, 5: 4, 6: 3}.get(int(page.photometric), 1)
    extra = page.samplesperpixel - colours
    return bool(extra > 0 and not _alphas(page) and not (colours == 3 and extra == 1))


def colour_planes_by_default(page: Any) -> bool:
    """Whether a page's planes are called RGB, or RGB and alpha, because tifffile was not told what they are.

    It calls an array (3, H, W) or (4, H, W) so, be it slices, bands or classes, and writes its shape into
    the file. Whoever asks for RGB in planes gets the same bytes.
    """
    return bool(page.planarconfig == 2 and page.photometric == 2 and page.is_shaped)


def _reduced(page: Any) -> bool:
    """Whether a page is a smaller copy or a transparency mask of another (NewSubfileType bits 0 and 2)."""
    return bool(int(getattr(page, "subfiletype", 0) or 0) & 5)


def to_samples(page: Any, name: str) -> NDArray[Any]:
    """Decode a page.

    Returns
    -------
    (H, W, S) uint8, uint16, float32 or bool
        The samples as they are stored; :func:`normal_values` makes pixels of them.

    Raises
    ------
    ImageError
        For a sample format without a documented rule.
    """
    check_kind(page, name)
    if page.compression == tiff_jpeg.COMPRESSION:
        places = zip(page.dataoffsets, page.databytecounts, strict=False)
        for place, size in ((place, size) for place, size in places if place and size):
            page.parent.filehandle.seek(place)
            tiff_jpeg.check(page, page.parent.filehandle.read(size))
    # One thread: several pictures are decoded side by side already.
    values = page.asarray(maxworkers=1)
    if page.planarconfig == 2 and values.ndim == 3:
        values = np.moveaxis(values, 0, -1)
    return np.ascontiguousarray(values.reshape(page.imagelength, page.imagewidth, -1))


def check_kind(page: Any, name: str) -> None:
    """Refuse what has no documented rule: volumes, odd depths, integer ranges nobody stated."""
    kind = np.dtype(page.dtype) if page.dtype is not None else None
    samples = page.samplesperpixel
    if page.imagedepth != 1:
        raise ImageError(f"{name}: a TIFF volume; only flat pictures are read")
    low = page.bitspersample in (2, 4) and samples == 1 and page.photometric in (*_GREY, 3)
    if kind not in (np.bool_, np.uint8, np.uint16, np.float32) or not (
        low or page.bitspersample in (1, 8, 16, 32)
    ):
        raise ImageError(
            f"{name}: TIFF samples of {page.bitspersample} bits ({kind}); 8 and 16 bit unsigned, float in "
            "0..1, and grey or a palette of 1, 2 and 4 bits are read: convert it to one of them"
        )
    check_structure(page, name)
    # GDAL leaves out tiles that hold nothing, of a label that marks nothing all of them (SPARSE_OK).
    gdal = page.is_geotiff or page.is_gdal or _NO_DATA in page.tags
    if page.dataoffsets and len(_left_out(page)) == len(page.dataoffsets) and not gdal:
        raise ImageError(f"{name}: damaged or never finished: none of its strips or tiles is in the file")
    if 262 not in page.tags:  # readers differ on it
        raise ImageError(f"{name}: damaged: it does not say what its samples are (TIFF tag 262)")
    if page.photometric == 3 and page.colormap is None:
        raise ImageError(f"{name}: damaged: a palette TIFF without its palette")
    most = 5 if page.photometric == 5 else MAX_CHANNELS
    if samples > most:
        raise ImageError(f"{name}: a TIFF file of {samples} samples a pixel; up to {most} are read")
    if page.photometric not in (*_GREY, 2, 3, 5, 6):
        raise ImageError(
            f"{name}: TIFF colour space {page.photometric!s}; grey, RGB, palette and CMYK are read"
        )
    if page.photometric == 6 and page.compression not in (6, 7):
        raise ImageError(f"{name}: TIFF with YCbCr samples; convert it to RGB first")


def check_structure(page: Any, name: str) -> None:
    """Refuse a page that does not say where each of its pixels is: it would be read as zeros, or others'."""
    if page.planarconfig not in (1, 2) or not page.imagewidth or not page.imagelength:
        raise ImageError(
            f"{name}: damaged: {page.imagewidth}x{page.imagelength} px, planar configuration "
            f"{page.planarconfig:d}"
        )
    listed = min(len(page.dataoffsets), len(page.databytecounts))
    if not page.is_contiguous and (missing := segment_count(page) - listed) > 0:
        raise ImageError(f"{name}: damaged: {missing} of its strips or tiles are in no table of the file")
    # What libtiff ignores there tifffile undoes in one way of reading, and not in the other.
    if page.compression == 1 and page.predictor != 1:
        raise ImageError(f"{name}: a predictor (TIFF tag 317) without a compression; save it again")


def normal_values(page: Any, values: NDArray[Any], name: str) -> NDArray[Any]:
    """Turn stored samples (H, W, S) into pixels.

    Returns
    -------
    (H, W, C) uint8, uint16 or float32
        Grey or RGB, with alpha if stored; CMYK rendered as RGB; not turned upright.

    Raises
    ------
    ImageError
        For values without a documented rule.
    """
    if page.bitspersample < 8 and page.photometric != 3:
        values = to_8_bits(values, page.bitspersample)
    if page.photometric == 0:
        if values.dtype == np.float32:
            raise ImageError(f"{name}: a float TIFF whose white is 0; convert it first")
        values = np.iinfo(values.dtype).max - values
    elif page.photometric == 3:
        values = colours_of(page)[values[:, :, 0].astype(np.intp)]
    elif page.photometric == 5:
        return _cmyk(values, name)
    if values.dtype == np.float32 and not (float(values.min()) >= 0.0 and float(values.max()) <= 1.0):
        raise ImageError(
            f"{name}: float samples outside 0..1, or not a number; what is white is unknown: rescale them"
        )
    return np.ascontiguousarray(values)


def colours_of(page: Any) -> NDArray[np.uint8]:
    """Return the palette of a page, (P, 3); TIFF has 16 bits a colour, of which the upper 8 are taken."""
    return np.ascontiguousarray((np.asarray(page.colormap) >> 8).astype(np.uint8).T)


def _cmyk(values: NDArray[Any], name: str) -> NDArray[Any]:
    if values.dtype == np.float32 or values.shape[2] != 4:
        raise ImageError(f"{name}: CMYK TIFF of {values.shape[2]} x {values.dtype}; 4 x 8 or 16 bit are read")
    return cmyk_to_rgb(np.iinfo(values.dtype).max - values)
