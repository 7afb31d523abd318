# ruff: noqa: T201
"""Hide crack-shaped holes in photos, fill them by every method, and compare with what was there.

    python benchmarks/quality_inpaint.py ../shared/data/large_photos/*.jpg

Holes keep away from the cracks that a photo is known to have: those of masks/NAME.png or .tif in its
folder, or of ../label/NAME.png. scikit-image's method takes part where that is installed.

Prints for each method the PSNR of the filled pixels, the SSIM around them (Wang et al. 2004, 11 x 11
Gaussian, mean over the masked pixels), how much of the local contrast (standard deviation in 7 x 7)
is left, and the CPU time a masked megapixel. Photos larger than 4 megapixels are cropped.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import inpaint_scene as scene
import numpy as np

from unetfast.imaging import network_input, read, read_mask
from unetfast.inpainting import inpaint

Fill = Callable[[Any, Any], Any]
CASES: dict[str, Fill] = {
    **{f"native, k = {k}": partial(inpaint, window_px=k) for k in (7, 15, 31)},
    **{f"native, k = {k}, grain": partial(inpaint, window_px=k, grain=True) for k in (7, 15, 31)},
    "native, by width": partial(inpaint, window_px=0),
    "native, by width, grain": partial(inpaint, window_px=0, grain=True),
    "telea, k = 7": partial(inpaint, window_px=7, method="telea"),
    "ns, k = 7": partial(inpaint, window_px=7, method="ns"),
}
if importlib.util.find_spec("skimage"):

    def biharmonic(image: Any, mask: Any) -> Any:
        from skimage.restoration import inpaint_biharmonic

        filled = inpaint_biharmonic(image, mask, channel_axis=-1, split_into_regions=True)
        return np.clip(np.rint(filled * 255), 0, 255).astype(np.uint8)

    CASES["scikit-image biharmonic"] = biharmonic


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


def holes(path: Path, height: int, width: int, seed: int) -> Any:
    """Return (H, W) bool: curves, away from the cracks that the photo is known to have."""
    mask = scene.curves(height, width, 0.02, seed=seed)
    folder = path.parent
    for known in (folder / "masks", folder.parent / "label"):
        for file in known.glob(f"{path.stem}.*"):
            values = read_mask(file).values[:height, :width]
            cracks = (values.reshape(height, width, -1)[:, :, 0] > 0).astype(np.uint8)
            mask &= cv2.dilate(cracks, np.ones((41, 41), np.uint8)) == 0
    return mask


def main(paths: list[str]) -> None:
    sums = {name: np.zeros(4) for name in CASES}
    masked_px = 0
    for number, path in enumerate(map(Path, paths)):
        image = np.ascontiguousarray(network_input(read(path).pixels, 3)[:2000, :2000])
        mask = holes(path, *image.shape[:2], seed=number)
        broken = np.where(mask[:, :, np.newaxis], np.uint8(0), image)
        masked_px += int(mask.sum())
        for name, fill in CASES.items():
            start = time.process_time()
            filled = fill(broken, mask)
            seconds = time.process_time() - start
            error = ((filled[mask].astype(np.float64) - image[mask]) ** 2).mean()
            psnr = 10 * np.log10(255**2 / max(error, 1e-9))
            ssim = ssim_map(grey(filled), grey(image))[mask].mean()
            left = contrast(grey(filled))[mask].mean() / max(contrast(grey(image))[mask].mean(), 1e-9)
            sums[name] += (psnr, ssim, left, seconds)
    print(f"{len(paths)} photos, {masked_px / 1e6:.2f} masked megapixels; means over the photos")
    print("| method | PSNR, dB | SSIM | contrast left | CPU s a masked megapixel |")
    print("| --- | --- | --- | --- | --- |")
    for name, total in sums.items():
        psnr, ssim, left = total[:3] / len(paths)
        print(f"| {name} | {psnr:.2f} | {ssim:.3f} | {left:.0%} | {total[3] / (masked_px / 1e6):.3f} |")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
