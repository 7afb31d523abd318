"""The table of methods; standard library only, so that ``--help`` can name them."""

from __future__ import annotations

from unetfast.registry import Registry

__all__ = ["METHODS"]

# A method is a function fill(image, mask, out, window_px, dilate_px, threads) -> None. It gets
# image and out (H, W, C), C in 1..4, rows packed, and mask (H, W) uint8, non-zero masked, rows
# packed, and writes every pixel of out. `out` may be `image`. A `window_px` of 0 is by the width of
# what is masked, or 15 where the method is no median.
METHODS = Registry(
    "inpainting method",
    {
        "native": "unetfast.inpainting.median_native:fill",
        "numba": "unetfast.inpainting.median_numba:fill",
        "reference": "unetfast.inpainting.median_reference:fill",
        "telea": "unetfast.inpainting.opencv:fill_telea",
        "ns": "unetfast.inpainting.opencv:fill_ns",
    },
)
