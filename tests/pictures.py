"""Small pictures in many formats."""

from __future__ import annotations

import io

import numpy as np
import tifffile
from PIL import Image

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (24, 37, 3), np.uint8)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def tiff(array: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, array, **options)
    return out.getvalue()


SMOOTH = np.asarray(Image.fromarray(RGB).resize((160, 120), Image.Resampling.BICUBIC))
GOOD = {
    "rgb.jpg": encoded(Image.fromarray(SMOOTH), "JPEG", quality=90),
    "grey.jpg": encoded(Image.fromarray(SMOOTH).convert("L"), "JPEG"),
    "progressive.jpg": encoded(Image.fromarray(SMOOTH), "JPEG", progressive=True),
    "rgb.png": encoded(Image.fromarray(RGB), "PNG"),
    "rgba.png": encoded(Image.fromarray(RGB).convert("RGBA"), "PNG"),
    "grey.png": encoded(Image.fromarray(RGB).convert("L"), "PNG"),
    "greya.png": encoded(Image.fromarray(RGB).convert("LA"), "PNG"),
    "bit.png": encoded(Image.fromarray(RGB).convert("1"), "PNG"),
    "palette.png": encoded(Image.fromarray(RGB).quantize(9), "PNG"),
    "palette-clear.png": encoded(Image.fromarray(RGB).quantize(9), "PNG", transparency=2),
    "rgb.bmp": encoded(Image.fromarray(RGB), "BMP"),
    "grey.bmp": encoded(Image.fromarray(RGB).convert("L"), "BMP"),
    "bit.bmp": encoded(Image.fromarray(RGB).convert("1"), "BMP"),
    "palette.bmp": encoded(Image.fromarray(RGB).quantize(9), "BMP"),
    "lossless.webp": encoded(Image.fromarray(RGB), "WEBP", lossless=True),
    "rgba.webp": encoded(Image.fromarray(RGB).convert("RGBA"), "WEBP", lossless=True),
    "lossy.webp": encoded(Image.fromarray(SMOOTH), "WEBP", quality=80),
    "rgb.pnm": encoded(Image.fromarray(RGB), "PPM"),
    "grey.pnm": encoded(Image.fromarray(RGB).convert("L"), "PPM"),
    "bit.pnm": encoded(Image.fromarray(RGB).convert("1"), "PPM"),
    "rgb.tif": tiff(RGB, photometric="rgb"),
    "lzw.tif": tiff(RGB, photometric="rgb", compression="lzw", predictor=True),
    "big-endian.tif": tiff(RGB.astype(np.uint16) * 257, photometric="rgb", byteorder=">"),
    "grey.tif": tiff(RGB[..., 0]),
    "bit.tif": tiff(RGB[..., 0] > 127),
    "float.tif": tiff((RGB[..., 0] / 255).astype(np.float32)),
}
