"""The public function: it checks its arguments and hands them to a method."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import ConfigError, InputError
from unetfast.imaging.convert import as_known, check_array
from unetfast.inpainting.mask import as_mask, hole
from unetfast.inpainting.methods import METHODS
from unetfast.settings import check_threads, check_whole

__all__ = ["inpaint"]

DTYPES = ("uint8", "uint16", "float32")


def inpaint(
    image: NDArray[Any],
    mask: Any,
    window_px: int = 15,
    *,
    method: str = "native",
    threads: int = 0,
    dilate_px: int = 0,
    grain: bool = False,
    seed: int = 0,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Replace the masked pixels of an image by the median of the intact ones around them.

    Each masked pixel becomes, channel by channel, the lower median (rank ``(n - 1) // 2`` of the
    ``n`` sorted samples) of the original unmasked pixels in the `window_px` x `window_px` window
    centred on it and clipped to the image. Where the window holds none it grows to the smallest
    odd side that holds at least one. Pixels outside the mask keep their bits. The result depends
    on no order and no number of threads, and ``native``, ``numba`` and ``reference`` are equal to
    the last bit.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of uint8, uint16 or float32
        C from 1 to 4. A float32 pixel with a NaN in any channel counts as masked. Need not be
        contiguous nor writable.
    mask : (H, W) array of bool or uint8, or a tuple of three integer arrays
        Non-zero is masked. The tuple is a run list ``(rows, starts, ends)``: in row ``rows[i]``
        the pixels ``starts[i] <= x < ends[i]`` are masked.
    window_px : int
        The full side of the window, odd. 0: for each pixel 15, 31, 63 or 127, about twice the width of
        what is masked around it, see :func:`unetfast.inpainting.window.by_width`.
    method : {"native", "numba", "reference", "telea", "ns"}
        ``native`` is the C++ kernel; ``numba`` and ``reference`` compute the same. ``telea`` and
        ``ns`` are OpenCV's, with radius ``window_px // 2`` (7 for a `window_px` of 0); the definition
        above is not theirs.
    threads : int
        0 takes one for each processor. Only ``native`` and ``numba`` use more than one.
    dilate_px : int
        Grow the mask by a disc of this radius first: the anti-aliased edges of a crack otherwise
        leave a dark rim.
    grain : bool
        Add to each filled pixel the residual of an intact one near it, so that the surface keeps its
        noise: a median is flat. It looks better and is further from what was there (docs/inpainting.md).
    seed : int
        Of the grain, at least 0.
    out : array like `image`, optional
        Where the result goes; `image` itself is allowed, any other overlap is not.

    Returns
    -------
    array like `image`
        `out`, or a new array.

    Raises
    ------
    InputError
        For a wrong shape or dtype, an `out` that does not fit, or a mask that leaves no pixel.
        No pixel of `out` has been touched.
    ConfigError
        For an even window, a negative number or an unknown method.

    References
    ----------
    ``telea``: A. Telea, "An image inpainting technique based on the fast marching method", 2004.
    ``ns``: M. Bertalmio, A. L. Bertozzi, G. Sapiro, "Navier-Stokes, fluid dynamics, and image and
    video inpainting", 2001. How the median is computed: docs/inpainting.md.

    Examples
    --------
    >>> image = np.full((5, 5), 7, np.uint8)
    >>> image[2, 2] = 0
    >>> int(inpaint(image, image == 0, window_px=3)[2, 2])
    7
    """
    _check_settings(window_px, dilate_px, threads, seed)
    fill = METHODS[method]
    _check_image(image)
    masked = as_mask(mask, image.shape[:2])
    _check_out(image, out, masked)
    # More than the whole image is no more; and numbers of any size fit the kernels' so.
    around = 2 * max(image.shape[:2])
    window_px, dilate_px = min(window_px, around + 1), min(dilate_px, around)

    source = np.atleast_3d(_packed(image))
    result = np.empty(image.shape, image.dtype) if out is None else out
    # An `out` of strided pixels cannot be written by the kernels: they fill a packed copy of it.
    target = _packed(result)
    filled = np.atleast_3d(target)
    # Before `source` may lose its NaNs.
    holes = hole(source, masked, dilate_px) if grain else None
    fill(source, masked, filled, window_px, dilate_px, threads)
    if holes is not None:
        from unetfast.inpainting.grain import add_grain

        add_grain(filled, holes, window_px, seed)
    if target is not result:
        result[...] = target
    return result


def _check_settings(window_px: int, dilate_px: int, threads: int, seed: int) -> None:
    for name, value in {"window_px": window_px, "dilate_px": dilate_px, "seed": seed}.items():
        check_whole(value, name)
    if window_px < 0 or (window_px % 2 == 0 and window_px != 0):
        raise ConfigError(f"window_px must be odd, or 0 (by the width of what is masked); got {window_px}")
    if dilate_px < 0:
        raise ConfigError(f"dilate_px must be at least 0; got {dilate_px}")
    check_threads(threads)
    if seed < 0:
        raise ConfigError(f"seed must be at least 0; got {seed}")


def _check_image(image: NDArray[Any]) -> None:
    check_array(image)
    if not image.dtype.isnative:
        native = f"image.astype(numpy.{image.dtype.name})"
        raise InputError(f"image must be of this machine's byte order, as {native} is; got {image.dtype}")
    if image.dtype.name not in DTYPES:
        raise InputError(f"image must be {', '.join(DTYPES)}, as {as_known(image.dtype)}; got {image.dtype}")
    if image.ndim == 3 and image.shape[2] > 4:
        raise InputError(f"image must be (H, W) or (H, W, C) with C from 1 to 4; got {image.shape}")


def _check_out(image: NDArray[Any], out: NDArray[Any] | None, mask: NDArray[Any]) -> None:
    if out is None:
        return
    if not isinstance(out, np.ndarray) or out.shape != image.shape or out.dtype != image.dtype:
        got = f"{out.shape} {out.dtype}" if isinstance(out, np.ndarray) else type(out).__name__
        raise InputError(f"out must be {image.shape} {image.dtype} like image; got {got}")
    if not out.flags.writeable:
        raise InputError("out is read-only")
    same = out.ctypes.data == image.ctypes.data and out.strides == image.strides
    if not same and np.may_share_memory(out, image):
        raise InputError("out overlaps image without being image")
    if np.may_share_memory(out, mask):
        raise InputError("out overlaps mask")


def _packed(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array itself when it is aligned and packed in each row, else a copy of it."""
    packed_row = array.itemsize * (array.shape[2] if array.ndim == 3 else 1)
    samples_ok = array.ndim == 2 or array.shape[2] == 1 or array.strides[2] == array.itemsize
    pixels_ok = array.shape[1] == 1 or array.strides[1] == packed_row
    if samples_ok and pixels_ok and array.flags.aligned:
        return array
    return array.copy(order="C")
