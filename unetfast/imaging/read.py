"""A file becomes a Picture (an image) or a MaskFile (stored label values).

Everything is decoded from bytes in memory: OpenCV's file functions crash on names that are not
UTF-8, and follow links and pipes.
"""

from __future__ import annotations

import dataclasses
import io
import logging
from dataclasses import dataclass, field
from typing import Any

import imagecodecs
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from unetfast.errors import ImageError
from unetfast.imaging import metadata, pillow, pnm, stack, tiff
from unetfast.imaging.convert import orient
from unetfast.imaging.formats import MAX_PIXELS, Header, check_pixels, header
from unetfast.imaging.source import Source, read_bytes
from unetfast.spec import FileRef

__all__ = ["MaskFile", "Picture", "read", "read_mask"]

# libpng's remarks on damaged profiles name no file; what matters raises.
logging.getLogger("imagecodecs").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Picture:
    """A decoded image, upright.

    Attributes
    ----------
    pixels : (H, W, C) uint8, uint16 or float32
        C is 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha. Float (TIFF and npy) is in [0, 1].
    format : {"jpeg", "png", "tiff", "bmp", "webp", "npy", "pnm"}
        What the file really is.
    icc, exif : bytes or None
        Colour profile; EXIF block (without the ``Exif`` prefix).
    orientation : int
        The stored EXIF orientation 1..8, already applied to `pixels`.
    name : str
        The path, for messages.
    source : bytes or None
        The file itself: what `encode` takes the metadata, tables and untouched blocks from.
    notes : tuple of str
        What a reader of the results should know ("decoder warning: ...").
    inks : (H, W, 4) uint8 or uint16, or None
        What a CMYK file stores, upright; `pixels` is its RGB rendering.
    stack : bool
        The channels are measurements of their own, neither grey, colour nor alpha; C is 1 .. 64.
    """

    pixels: NDArray[Any]
    format: str
    icc: bytes | None = None
    exif: bytes | None = None
    orientation: int = 1
    name: str = "<bytes>"
    source: bytes | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    inks: NDArray[Any] | None = field(default=None, repr=False)
    stack: bool = False

    @property
    def samples(self) -> NDArray[Any]:
        """What is filled and written back: the inks of a CMYK file, else the pixels."""
        return self.pixels if self.inks is None else self.inks


@dataclass(frozen=True)
class MaskFile:
    """The values a mask file stores, upright.

    Attributes
    ----------
    values : (H, W) or (H, W, C) uint8 or uint16
        Palette indices, grey values (1-bit as 0 and 1) or colours, as they are in the file.
    palette : (P, 3) uint8 or None
        RGB of each index, for palette files.
    mode : str
        "1", "P", "L", "LA", "I;16", "RGB", "RGBA", "RGB;16" or "RGBA;16"; "one-hot": the file has a
        channel for each class, and `values` are the numbers of those that are 1.
    """

    values: NDArray[Any]
    palette: NDArray[np.uint8] | None
    mode: str


def _name(source: Source) -> str:
    return "<bytes>" if isinstance(source, bytes) else str(source)


def read(source: Source, *, max_pixels: int = MAX_PIXELS, pages: bool = False) -> Picture:
    """Decode a JPEG, PNG, TIFF, BMP, WebP, PNM or .npy file; the pixels come out upright.

    The format is told from the content. A file that is cut off or damaged is an error, never a
    half-grey picture. CMYK is rendered to RGB, palettes are expanded, 1-bit becomes 0 and 255.

    Parameters
    ----------
    source : Path, str, bytes or FileRef
    max_pixels : int
        Refuse larger pictures before decoding them.
    pages : bool
        The pages of a TIFF file are the channels of one picture; otherwise several are refused.

    Returns
    -------
    Picture

    Raises
    ------
    ImageError
        The message starts with the path and says why.
    """
    name = _name(source)
    if isinstance(source, FileRef) and source.further:
        files = (dataclasses.replace(source, further=()), *source.further)
        pictures = [read(file, max_pixels=max_pixels) for file in files]
        pixels = stack.together([(picture.name, picture.pixels) for picture in pictures])
        return Picture(pixels, pictures[0].format, name=name, stack=True)
    data = read_bytes(source)
    head = header(data, name)
    if head.animated:
        raise ImageError(f"{name}: an animation; only still pictures are read")
    sized = head.format not in ("tiff", "npy")
    if sized:
        check_pixels(head.width, head.height, name, max_pixels)
    try:
        if head.format == "jpeg":
            picture = _read_jpeg(data, name)
        elif head.format == "png":
            picture = _read_png(data, name)
        elif head.format == "tiff":
            picture = _read_tiff(data, name, max_pixels, pages)
        elif head.format == "npy":
            picture = _read_npy(data, name, max_pixels)
        elif head.format == "pnm":
            picture = Picture(pnm.decode(data), "pnm", name=name, source=data)
        else:
            picture = _read_pillow(data, name, head)
    except ImageError:
        raise
    except Exception as exc:  # decoders raise anything: OSError, KeyError, struct.error, IndexError...
        # What the decoders say of a kind that they do not know (Pillow: of a grey 4-bit BMP in runs, of
        # a WebP file beyond its limit; libjpeg-turbo of 4:2:2 written as 4x1 and 2x1).
        words = ("nsupported", "codec configuration", "exceeds limit", "subsampling level")
        unknown = any(word in str(exc) for word in words)
        raise ImageError(
            f"{name}: {'' if unknown else 'damaged, '}cannot be decoded: {_one_line(exc)}"
        ) from exc
    pixels = picture.pixels
    if sized and pixels.shape[:2] != (head.height, head.width):
        raise ImageError(
            f"{name}: damaged: decoded to {pixels.shape[1]}x{pixels.shape[0]}, not as its header says"
        )
    if _dim(picture):
        picture = dataclasses.replace(picture, notes=(*picture.notes, _DIM))
    if picture.orientation == 1:
        return picture
    inks = None if picture.inks is None else orient(picture.inks, picture.orientation)
    return dataclasses.replace(picture, pixels=orient(pixels, picture.orientation), inks=inks)


# Cameras for machine vision write 10 or 12 bits into the lower bits of 16, where little is seen.
_DIM = "16-bit samples below 4096: seen as dark as they are; if they are of 10 or 12 bits, scale them up"


def _dim(picture: Picture) -> bool:
    pixels = picture.pixels
    colours = pixels.shape[2] - (pixels.shape[2] in (2, 4))
    return not picture.stack and pixels.dtype == np.uint16 and int(pixels[:, :, :colours].max()) < 4096


def _one_line(exc: Exception) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__


def _read_jpeg(data: bytes, name: str) -> Picture:
    segments = metadata.jpeg_segments(data)
    exif = metadata.jpeg_exif(segments)
    _refuse_unusual(segments, name)
    _height, _width, colour, _sampling = simplejpeg.decode_jpeg_header(data, strict=False)
    wanted = {"Gray": "GRAY", "CMYK": "CMYK", "YCCK": "CMYK"}.get(colour, "RGB")
    notes: tuple[str, ...] = ()
    try:
        pixels = simplejpeg.decode_jpeg(data, wanted, strict=True)
    except ValueError as exc:
        # Cameras that pad their scans are common and lose nothing; any other warning of
        # libjpeg means invented pixels.
        if "extraneous bytes" not in str(exc):
            raise
        pixels = simplejpeg.decode_jpeg(data, wanted, strict=False)
        notes = (f"decoder warning: {_one_line(exc)}",)
    inks = pixels if wanted == "CMYK" else None
    if inks is not None:
        pixels = _cmyk_to_rgb(inks, inverted=any(m == 0xEE and p[:5] == b"Adobe" for m, p in segments.head))
    return Picture(
        pixels=pixels,
        format="jpeg",
        icc=metadata.jpeg_icc(segments),
        exif=exif,
        orientation=metadata.exif_orientation(exif),
        name=name,
        source=data,
        notes=notes,
        inks=inks,
    )


def _refuse_unusual(segments: metadata.JpegSegments, name: str) -> None:
    """Refuse sound JPEG files of kinds that libjpeg-turbo does not decode, and not as damaged."""
    _, frame = metadata.jpeg_frame(segments)
    if frame[0] != 8:
        raise ImageError(f"{name}: a JPEG of {frame[0]} bits; those of 8 bits are read")
    cells = [(frame[i] >> 4, frame[i] & 15) for i in range(7, 6 + 3 * frame[5], 3)]
    if len(cells) == 3 and (cells[1] != cells[2] or _divided(cells) not in _SAMPLINGS):
        words = ", ".join(f"{across}x{down}" for across, down in cells)
        raise ImageError(
            f"{name}: a JPEG of unusual colour sampling ({words}); save it as 4:4:4 or 4:2:0 first"
        )


# Pixels a chroma sample covers, across and down, of 4:4:4, 4:2:2, 4:2:0, 4:4:0 and 4:1:1.
_SAMPLINGS = {(1, 1), (2, 1), (2, 2), (1, 2), (4, 1)}


def _divided(cells: list[tuple[int, int]]) -> tuple[float, float]:
    (across, down), (chroma_across, chroma_down) = cells[:2]
    return across / max(chroma_across, 1), down / max(chroma_down, 1)


def _cmyk_to_rgb(cmyk: NDArray[np.uint8], inverted: bool) -> NDArray[np.uint8]:
    # Files with an Adobe marker store 255 - ink, so that the values already are "light".
    light = cmyk if inverted else 255 - cmyk
    product = light[:, :, :3].astype(np.uint16) * light[:, :, 3:]
    return ((product + 127) // 255).astype(np.uint8)


def _read_png(data: bytes, name: str) -> Picture:
    chunks = metadata.png_chunks(data)
    first = dict(reversed(chunks))
    pixels = imagecodecs.png_decode(data)
    return Picture(
        pixels=pixels if pixels.ndim == 3 else pixels[:, :, None],
        format="png",
        icc=metadata.png_icc(first[b"iCCP"]) if b"iCCP" in first else None,
        exif=first.get(b"eXIf"),
        orientation=metadata.exif_orientation(first.get(b"eXIf")),
        name=name,
        source=data,
    )


def _read_npy(data: bytes, name: str, max_pixels: int) -> Picture:
    pixels = stack.npy_to_pixels(data, name, max_pixels)
    return Picture(pixels, "npy", name=name, source=data, stack=pixels.shape[2] not in (1, 3))


def _read_tiff(data: bytes, name: str, max_pixels: int, pages: bool) -> Picture:
    if pages:
        with tiff.pages_of(io.BytesIO(data), name) as found:
            if len(found) > 1:
                pixels = stack.pages_to_pixels(found, name, max_pixels)
                return Picture(pixels, "tiff", name=name, source=data, stack=True)
    with tiff.opened(io.BytesIO(data), name) as page:
        check_pixels(*tiff.decoded_sides(page), name, max_pixels)
        samples = tiff.to_samples(page, name)
        holes = tiff.holes(page)
        pixels = tiff.normal_values(page, samples, name)
        is_stack = tiff.is_stack(page)
        tags = page.tags
        icc = tags.valueof(34675)
        orientation = tiff.orientation_of(page)
    return Picture(
        pixels=pixels,
        format="tiff",
        icc=bytes(icc) if icc else None,
        orientation=orientation,
        name=name,
        source=data,
        notes=(holes,) if holes else (),
        inks=samples if page.photometric == 5 else None,
        stack=is_stack,
    )


def _read_pillow(data: bytes, name: str, head: Header) -> Picture:
    with pillow.opened(data, head.format) as image:
        icc, exif = image.info.get("icc_profile"), image.info.get("exif")
        pixels = np.array(image.convert("RGB") if image.mode == "P" else image)
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    exif = exif[6:] if exif and exif.startswith(b"Exif\0\0") else exif
    return Picture(
        pixels=pixels if pixels.ndim == 3 else pixels[:, :, None],
        format=head.format,
        icc=icc or None,
        exif=exif or None,
        orientation=metadata.exif_orientation(exif),
        name=name,
        source=data,
    )


def read_mask(source: Source, *, max_pixels: int = MAX_PIXELS) -> MaskFile:
    """Read the values a mask file stores: palette indices stay indices.

    Parameters
    ----------
    source : Path, str, bytes or FileRef
    max_pixels : int
        Refuse larger masks before decoding them.

    Raises
    ------
    ImageError
        As :func:`read`.
    """
    name = _name(source)
    data = read_bytes(source)
    if data[:4] == b"GIF8":
        return _read_gif_mask(data, name, max_pixels)
    head = header(data, name)
    if head.format == "tiff" and (labels := _wide_labels(data, name, max_pixels)) is not None:
        return labels
    if head.format == "npy" and (labels := _npy_labels(data, name, max_pixels)) is not None:
        return labels
    indexed = (head.format == "png" and data[25:26] == b"\x03") or head.format == "bmp"
    if not indexed:
        return _stored(read(data if isinstance(source, bytes) else source, max_pixels=max_pixels))
    check_pixels(head.width, head.height, name, max_pixels)
    try:
        if head.format == "png":
            metadata.png_chunks(data)
        with pillow.opened(data, head.format) as image:
            palette = image.getpalette("RGB") if image.mode == "P" else None
            mode, values = image.mode, np.array(image)
            exif = image.info.get("exif")
    except Exception as exc:  # as in read
        raise ImageError(f"{name}: damaged, cannot be decoded: {_one_line(exc)}") from exc
    if values.dtype == np.bool_:
        values = values.astype(np.uint8)
    colours = None if palette is None else np.array(palette, np.uint8).reshape(-1, 3)
    return MaskFile(orient(values, metadata.exif_orientation(exif)), colours, mode)


def _wide_labels(data: bytes, name: str, max_pixels: int) -> MaskFile | None:
    """Read label ids of signed, of 32 and 64 bits, or stored as float, as microscopy has them in TIFF."""
    with tiff.opened(io.BytesIO(data), name) as page:
        kind = np.dtype(page.dtype or np.uint8)
        if kind.kind not in "iuf" or kind in (np.uint8, np.uint16) or page.samplesperpixel != 1:
            return None
        check_pixels(*tiff.decoded_sides(page), name, max_pixels)
        try:
            values = page.asarray(maxworkers=1).reshape(page.imagelength, page.imagewidth)
        except Exception as exc:  # as in read
            raise ImageError(f"{name}: damaged, cannot be decoded: {_one_line(exc)}") from exc
        orientation = tiff.orientation_of(page)
        white_is_0 = page.photometric == 0
    if kind.kind == "f" and (white_is_0 or not _are_whole(values)):
        return None  # shares of 0..1, what has to be inverted, or no mask
    return _labels(orient(values, orientation), name)


def _npy_labels(data: bytes, name: str, max_pixels: int) -> MaskFile | None:
    """Read label ids of any type that NumPy has: training code keeps masks of 0.0, 1.0, 2.0 and of int64."""
    values = stack.npy_array(data, name, max_pixels)
    if values.shape[2] > 1 and _is_one_hot(values):
        return MaskFile(values.argmax(axis=2).astype(np.uint8), None, "one-hot")
    if values.shape[2] > 4:
        raise ImageError(
            f"{name}: a mask of {values.shape[2]} channels, of which not just one is 1 at each pixel and the "
            "others 0; save class ids, or one mask a class"
        )
    if values.shape[2] != 1 or values.dtype.kind not in "iuf" or not _are_whole(values):
        return None  # several channels, booleans, fractions
    return _labels(values[:, :, 0], name)


def _is_one_hot(values: NDArray[Any]) -> bool:
    """Whether each pixel has 1 in one channel and 0 in the others, as ``to_categorical`` of Keras has it."""
    on = values == 1
    return bool((on.sum(axis=2, dtype=np.uint8) == 1).all() and (on | (values == 0)).all())


def _are_whole(values: NDArray[Any]) -> bool:
    return values.dtype.kind != "f" or bool((values == np.rint(values)).all())


def _labels(values: NDArray[Any], name: str) -> MaskFile:
    """Return labels of any type in 8 bits; in 16 where they need them, or were stored so."""
    low, high = values.min().item(), values.max().item()
    if low < 0 or high > 65535:
        raise ImageError(
            f"{name}: values {low:g} .. {high:g}; masks hold 0 .. 65535 (write what does "
            "not count as 255, and say --ignore-label 255)"
        )
    wide = values.dtype == np.uint16 or high > 255
    return MaskFile(values.astype(np.uint16 if wide else np.uint8), None, "I;16" if wide else "L")


def _read_gif_mask(data: bytes, name: str, max_pixels: int) -> MaskFile:
    """Read a mask of Carvana or DRIVE: well-known data sets keep theirs as GIF, and photos never."""
    if len(data) < 10:
        raise ImageError(f"{name}: damaged or cut off in its header")
    check_pixels(int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little"), name, max_pixels)
    try:
        with pillow.opened(data, "gif") as image:
            frames = getattr(image, "n_frames", 1)
            palette, mode, values = image.getpalette("RGB"), image.mode, np.array(image)
    except Exception as exc:  # as in read
        raise ImageError(f"{name}: damaged, cannot be decoded: {_one_line(exc)}") from exc
    if frames != 1:
        raise ImageError(f"{name}: an animation; only still pictures are read")
    colours = None if palette is None or mode != "P" else np.array(palette, np.uint8).reshape(-1, 3)
    return MaskFile(values, colours, mode)


def _stored(picture: Picture) -> MaskFile:
    values = picture.pixels
    channels = values.shape[2]
    if channels == 1:
        values = values[:, :, 0]
    one_bit = picture.source is not None and picture.format == "png" and picture.source[24:26] == b"\x01\0"
    if one_bit:
        return MaskFile((values != 0).astype(np.uint8), None, "1")
    if picture.stack:
        raise ImageError(f"{picture.name}: a mask has 1 to 4 channels; this file has {channels}")
    if values.dtype == np.float32:
        parts = values[values != np.rint(values)]
        if parts.size:
            raise ImageError(
                f"{picture.name}: {parts.size} of {values.size} mask values are fractions such as "
                f"{parts.max():g}, as of probabilities; save it as whole numbers, or as 8 bits from 0 to 255"
            )
        values = values.astype(np.uint8)  # 0 and 1, of several channels
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    if values.dtype != np.uint8:
        mode = {"L": "I;16"}.get(mode, mode + ";16")
    return MaskFile(values, None, mode)
