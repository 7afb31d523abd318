"""Arrays: orientation, the network's input, resizing, CMYK as RGB."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from unetfast.errors import ImageError, InputError

__all__ = [
    "as_known",
    "check_array",
    "check_channels",
    "cmyk_to_rgb",
    "distance_to_clear",
    "middle",
    "narrow_range",
    "near_clear",
    "near_edges",
    "network_input",
    "orient",
    "preview",
    "resize",
    "unorient",
    "without_alpha",
]

PIECE_PX = 4096  # columns at once: distances take twelve times the mask's memory


def orient(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn a stored picture upright.

    Parameters
    ----------
    array : (H, W, ...)
    orientation : int
        The EXIF tag 0x0112, 1 to 8 (Exif 3.0, 4.6.5.1.8): where row 0 and column 0 are.

    Returns
    -------
    (H, W, ...) or (W, H, ...)
        A contiguous array; the input itself for orientation 1.
    """
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def unorient(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn an upright picture back to how it was stored; the inverse of :func:`orient`."""
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    return np.ascontiguousarray(array)


def network_input(pixels: NDArray[Any], channels: int) -> NDArray[np.uint8]:
    """Convert any picture to what a network takes.

    16 bit is scaled to 8 (``round(v / 257)``, so 65535 becomes 255), float in [0, 1] to 0..255;
    grey becomes RGB and RGB grey (ITU-R BT.601 weights) as needed; alpha is dropped.

    Parameters
    ----------
    pixels : (H, W) or (H, W, C) uint8, uint16 or float32
        C is 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha.
    channels : int
        What the network takes: 1, 3, or C itself.

    Returns
    -------
    (H, W, channels) uint8

    Raises
    ------
    InputError
        For another type, dtype, rank or channel count.
    """
    check_array(pixels)
    if not pixels.dtype.isnative:  # as tifffile reads what ImageJ writes
        pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    pixels = np.atleast_3d(pixels)
    if pixels.shape[2] != channels:
        pixels = without_alpha(pixels)
    have = pixels.shape[2]
    image = np.ascontiguousarray(_to_uint8(pixels))
    if have == channels:
        return image
    if (have, channels) == (1, 3):
        return np.repeat(image, 3, axis=2)
    if (have, channels) == (3, 1):
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)[:, :, None]
    first = "; channels come last: image.transpose(1, 2, 0)" if pixels.shape[0] <= 4 < have else ""
    raise InputError(f"the model takes {channels} channels; the image has {have}{first}")


def without_alpha(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the colours of grey or RGB with alpha, (H, W, 2 or 4); other pixels (H, W, C) as they are."""
    return pixels[:, :, :-1] if pixels.shape[2] in (2, 4) else pixels


def check_channels(name: str, have: int, channels: int, *, stack: bool) -> None:
    """Raise ImageError where a file of `have` channels, of their own in a stack, is none for a network.

    Grey and colour are made of each other, and alpha is left out; what is measured is not.
    """
    if have != channels and (stack or channels not in (1, 3)):
        whole = "; of a stack none is left out" if stack else ""
        raise ImageError(f"{name}: has {have} channels; {channels} are expected{whole}")


def check_array(image: Any) -> None:
    """Raise InputError for what is no array of an image, such as a path or a picture of Pillow."""
    if not isinstance(image, np.ndarray):
        raise InputError(
            f"an image must be a NumPy array; got {type(image).__name__}. Of Pillow: "
            "numpy.asarray(image.convert('RGB')); of a file: unetfast.imaging.read(path).pixels"
        )
    if isinstance(image, np.ma.MaskedArray):
        raise InputError(
            "an image must be a plain NumPy array, as of a masked one its values are: numpy.asarray(image); "
            "what it masks would be lost"
        )
    if image.ndim not in (2, 3):
        raise InputError(f"an image must be (H, W) or (H, W, C); got shape {image.shape}")
    if not image.size:
        raise InputError(f"the image is empty: {image.shape}")


def as_known(dtype: np.dtype[Any]) -> str:
    """Say, for messages, how samples of a type that no function takes become those that it takes."""
    if dtype.kind == "b":
        return "image * numpy.uint8(255)"
    if dtype.kind == "f":
        return "image.astype(numpy.float32) where white is 1, image.astype(numpy.uint8) where it is 255"
    return "image.astype(numpy.uint8), or of 16 bits numpy.uint16"


def narrow_range(pixels: NDArray[Any]) -> tuple[int, int] | None:
    """Return the least and greatest sample of a 16-bit picture of which a network sees little, else None.

    It takes 8 bits: of less than a sixteenth of the 16 bits' range it sees 16 of 256 levels, or fewer.
    Cameras of 10 and 12 bits, microscopes and thermal cameras write such files. A picture of one value
    has nothing that could be seen. Of grey and RGB with alpha the colours count.
    """
    if pixels.dtype != np.uint16:
        return None
    colours = without_alpha(pixels)
    low, high = int(colours.min()), int(colours.max())
    return (low, high) if 0 < high - low < 4096 else None


def preview(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 to look at: of more than three channels the first three, of two the first."""
    pixels = np.atleast_3d(pixels)
    return network_input(pixels[:, :, :3] if pixels.shape[2] >= 3 else pixels[:, :, :1], 3)


def _to_uint8(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.uint16:
        # (v + 128) // 257 == round(v / 257) for every 16-bit v; uint32 so that the sum cannot wrap.
        return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if pixels.dtype == np.float32:
        if not (float(pixels.min()) >= 0.0 and float(pixels.max()) <= 1.0):
            raise InputError(
                f"float images must lie in [0, 1]; got {pixels.min():g} .. {pixels.max():g} "
                "(of 0 .. 255: image.astype(numpy.uint8))"
            )
        return np.rint(pixels * np.float32(255)).astype(np.uint8)
    raise InputError(
        f"an image must be uint8, uint16 or float32, as {as_known(pixels.dtype)}; got {pixels.dtype}"
    )


def cmyk_to_rgb(light: NDArray[Any]) -> NDArray[Any]:
    """Render CMYK as RGB.

    Parameters
    ----------
    light : (H, W, 4) uint8 or uint16
        What each ink lets through: the largest value, less the ink.

    Returns
    -------
    (H, W, 3), of the same type
    """
    top = int(np.iinfo(light.dtype).max)
    wide = np.uint16 if light.dtype == np.uint8 else np.uint32  # hold top * top + top // 2
    product = light[:, :, :3].astype(wide) * light[:, :, 3:]
    return np.asarray((product + top // 2) // top, light.dtype)


def middle(array: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Cut (height, width) out of the middle of a picture; a smaller one is mirrored at its ends first.

    Parameters
    ----------
    array : (H, W, ...)
    height, width : int
        In px.

    Returns
    -------
    (height, width, ...)
        A contiguous array.
    """
    short = max(0, height - array.shape[0]), max(0, width - array.shape[1])
    if any(short):
        array = np.pad(array, ((0, short[0]), (0, short[1]), *[(0, 0)] * (array.ndim - 2)), mode="symmetric")
    top, left = (array.shape[0] - height) // 2, (array.shape[1] - width) // 2
    return np.ascontiguousarray(array[top : top + height, left : left + width])


def resize(array: NDArray[Any], height: int, width: int, *, labels: bool = False) -> NDArray[Any]:
    """Resize an image (area or bilinear) or a label map (nearest).

    Parameters
    ----------
    array : (H, W) or (H, W, C) uint8, uint16 or float32
    height, width : int
        The new size in px.
    labels : bool
        Take the nearest value instead of mixing neighbours.

    Returns
    -------
    The same rank and dtype at the new size.
    """
    if array.shape[:2] == (height, width):
        return array
    smaller = height * width < array.shape[0] * array.shape[1]
    how = cv2.INTER_NEAREST_EXACT if labels else cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    if how == cv2.INTER_AREA and array.ndim == 3 and array.shape[2] > 4:  # OpenCV averages up to four
        parts = [resize(array[:, :, c : c + 4], height, width) for c in range(0, array.shape[2], 4)]
        return np.concatenate(parts, axis=2)
    out = np.asarray(cv2.resize(array, (width, height), interpolation=how))
    return out.reshape(height, width, *array.shape[2:])  # OpenCV drops a channel axis of one


def distance_to_clear(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return how far each pixel is from the nearest unmasked one, in px (chessboard), (H, W) float32."""
    packed = np.ascontiguousarray(mask).view(np.uint8)
    return np.asarray(cv2.distanceTransform(packed, cv2.DIST_C, 3), np.float32)


def near_clear(unfit: NDArray[np.bool_], mask: NDArray[np.bool_], rows: slice, reach_px: int) -> bool:
    """Tell whether each masked pixel of some rows is within `reach_px` (chessboard) of one that is not unfit.

    Parameters
    ----------
    unfit, mask : (H, W) bool
        Every masked pixel is unfit.
    rows : slice
    reach_px : int
    """
    for left in range(0, mask.shape[1], PIECE_PX):
        part = mask[rows, left : left + PIECE_PX]
        if part.any():
            begin = max(0, left - reach_px)
            far = distance_to_clear(unfit[:, begin : left + PIECE_PX + reach_px])[rows, left - begin :]
            if float((far[:, : part.shape[1]] * part).max()) > reach_px:
                return False
    return True


def near_edges(labels: NDArray[np.uint8], reach_px: int) -> NDArray[np.bool_]:
    """Return where another class lies within `reach_px` (chessboard) of a pixel, (H, W) bool."""
    square = np.ones((2 * reach_px + 1, 2 * reach_px + 1), np.uint8)
    return np.asarray(cv2.dilate(labels, square) != cv2.erode(labels, square), np.bool_)
