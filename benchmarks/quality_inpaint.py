# ruff: noqa: T201
"""Hide crack-shaped holes in photos, fill them by every method, and compare with what was there.

    python benchmarks/quality_inpaint.py ../shared/data/large_photos/*.jpg

Prints for each method the PSNR of the filled pixels, the SSIM around them (Wang et al. 2004, 11 x 11
Gaussian, mean over the masked pixels), how much of the local contrast (standard deviation in 7 x 7)
is left, and the time a masked megapixel. Photos larger than 4 megapixels are cropped.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import cv2
import inpaint_scene as scene
import numpy as np

from unetfast.imaging import network_input, read
from unetfast.inpainting import inpaint

CASES = [("native", 7), ("native", 15), ("native", 31), ("telea", 7), ("ns", 7)]


def blurred(image: Any) -> Any:
    return cv2.GaussianBlur(image, (11, 11), 1.5)


def ssim_map(a: Any, b: Any) -> Any:
    """Return the (H, W) structural similarity of two grey float images in 0..255."""
    mean_a, mean_b = blurred(a), blurred(b)
    var_a, var_b = blurred(a * a) - mean_a**2, blurred(b * b) - mean_b**2
    cov = blurred(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return (2 * mean_a * mean_b + c1) * (2 * cov + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))


def contrast(grey: Any) -> Any:
    mean = cv2.blur(grey, (7, 7))
    return np.sqrt(np.maximum(cv2.blur(grey * grey, (7, 7)) - mean**2, 0))


def grey(image: Any) -> Any:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)


def main(paths: list[str]) -> None:
    sums = {case: np.zeros(4) for case in CASES}
    masked_px = 0
    for number, path in enumerate(paths):
        image = np.ascontiguousarray(network_input(read(Path(path)).pixels, 3)[:2000, :2000])
        mask = scene.curves(*image.shape[:2], 0.02, seed=number)
        broken = np.where(mask[:, :, np.newaxis], np.uint8(0), image)
        masked_px += int(mask.sum())
        for case in CASES:
            method, window = case
            start = time.perf_counter()
            filled = inpaint(broken, mask, window, method=method)
            seconds = time.perf_counter() - start
            error = ((filled[mask].astype(np.float64) - image[mask]) ** 2).mean()
            psnr = 10 * np.log10(255**2 / max(error, 1e-9))
            ssim = ssim_map(grey(filled), grey(image))[mask].mean()
            left = contrast(grey(filled))[mask].mean() / max(contrast(grey(image))[mask].mean(), 1e-9)
            sums[case] += (psnr, ssim, left, seconds)
    print(f"{len(paths)} photos, {masked_px / 1e6:.2f} masked megapixels; means over the photos")
    print("| method | PSNR, dB | SSIM | contrast left | s a masked megapixel |")
    print("| --- | --- | --- | --- | --- |")
    for (method, window), total in sums.items():
        psnr, ssim, left = total[:3] / len(paths)
        pace = total[3] / (masked_px / 1e6)
        print(f"| {method}, k = {window} | {psnr:.2f} | {ssim:.3f} | {left:.0%} | {pace:.3f} |")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
