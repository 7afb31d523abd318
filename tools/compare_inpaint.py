"""Time the inpainting kernel beside OpenCV's methods and a copy of the frame, in one run.

    python tools/compare_inpaint.py                  # the table of docs/inpainting.md
    python tools/compare_inpaint.py --megapixels 1   # a quick look
    python tools/compare_inpaint.py --part main      # one part: main, kinds, threads, isa, scaling

Medians of seven runs, all parts on the same picture and mask. The last two parts give the CPU time of
one thread, which other load on the machine disturbs little.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import inpaint_scene as scene

from unetfast.inpainting import inpaint
from unetfast.inpainting.mask import dilate
from unetfast.inpainting.median_native import isa

THREADS = 2


def median_ms(call: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the median time of seven calls in milliseconds, after one call to warm up."""
    call()
    return statistics.median(timed_ms(call, clock) for _ in range(7))


def timed_ms(call: Callable[[], Any], clock: Callable[[], float]) -> float:
    """Return the time of one call in milliseconds."""
    start = clock()
    call()
    return (clock() - start) * 1e3


def row(*cells: object) -> None:
    """Print one row of a Markdown table."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def head(*cells: str) -> None:
    """Print the head of a Markdown table."""
    print()
    row(*cells)
    row(*("---" for _ in cells))


def machine() -> str:
    """Return one line that says on what this ran."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor = names[0].partition(":")[2].strip() if names else platform.processor()
    return (
        f"{processor}, {os.cpu_count()} processors, {THREADS} threads, {isa()}; "
        f"Python {platform.python_version()}, NumPy {np.__version__}, OpenCV {cv2.__version__}"
    )


def main_table(height: int, width: int) -> None:
    """Compare with TELEA, NS, medianBlur and a copy."""
    image, mask = scene.photo(height, width), scene.curves(height, width, 0.021)
    holes = mask.astype(np.uint8)
    work = image.copy()
    calls: dict[str, Callable[[], Any]] = {
        "copy of the frame": image.copy,
        "cv2.inpaint TELEA, radius 3": lambda: cv2.inpaint(image, holes, 3, cv2.INPAINT_TELEA),
        "cv2.inpaint NS, radius 3": lambda: cv2.inpaint(image, holes, 3, cv2.INPAINT_NS),
        "cv2.medianBlur, k = 15 (whole frame)": lambda: cv2.medianBlur(image, 15),
    }
    for k in (3, 7, 15, 31):
        calls[f"native, k = {k}"] = partial(inpaint, image, mask, k, threads=THREADS)
    for k in (7, 15):
        calls[f"native, k = {k}, in place"] = partial(inpaint, work, mask, k, threads=THREADS, out=work)
    # Turn by turn, each after one call to warm up: a machine that slows down for a while slows all of them.
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(7):
        for name, call in calls.items():
            call()
            times[name].append(timed_ms(call, time.perf_counter))
    ms = {name: statistics.median(each) for name, each in times.items()}
    copy, telea, *_ = ms.values()
    print(f"RGB uint8, {height * width / 1e6:.1f} MP, {mask.mean():.2%} masked by curves 3 to 15 px wide")
    head("method", "ms", "times faster than TELEA", "times one copy")
    for name, each in ms.items():
        row(name, f"{each:.1f}", f"{telea / each:.1f}", f"{each / copy:.1f}")


def kinds_table(height: int, width: int) -> None:
    """Compare sample types, masks, dilation and Numba, at one window."""
    image, mask = scene.photo(height, width), scene.curves(height, width, 0.021)
    blobs = scene.blobs(height, width, 0.021)
    head("k", "uint8", "uint16", "float32", "noise uint8", "blobs, a masked px", "dilate_px=3", "numba")
    for window in (7, 15, 31):

        def ms(image: Any, mask: Any = mask, window: int = window, **more: Any) -> float:
            return median_ms(lambda: inpaint(image, mask, window, threads=THREADS, **more))

        plain = ms(image)
        wide = scene.photo(height, width, dtype="uint16")
        work = image.copy()
        in_place = {"curves": ms(work, mask, out=work), "blobs": ms(work, blobs, out=work)}
        per_pixel = (in_place["blobs"] / blobs.sum()) / (in_place["curves"] / mask.sum())
        grown = dilate(mask, 3)
        dilation = ms(image, dilate_px=3) - ms(image, grown)
        numba_ms = median_ms(lambda k=window: inpaint(image, mask, k, method="numba", threads=THREADS))
        row(
            window,
            f"{plain:.1f} ms",
            f"{ms(wide) / plain:.2f}x",
            f"{ms(scene.photo(height, width, dtype='float32')) / plain:.2f}x",
            f"{ms(scene.noise(height, width)) / plain:.2f}x",
            f"{per_pixel:.2f}x",
            f"{dilation:+.1f} ms",
            f"{numba_ms / plain:.1f}x",
        )


def isa_table(megapixels: float) -> None:
    """Time every instruction set in a process of its own."""
    head("UNETFAST_ISA", "k = 7 in place, CPU ms", "k = 15", "k = 31")
    for level in ("avx512", "avx2", "scalar"):
        done = subprocess.run(
            [sys.executable, __file__, "--megapixels", str(megapixels), "--part", "isa-row"],
            env={**os.environ, "UNETFAST_ISA": level},
            check=False,
            capture_output=True,
            text=True,
        )
        row(level, *(done.stdout.split() if done.returncode == 0 else ["not on this machine"] * 3))


def isa_row(height: int, width: int) -> None:
    """Print the times of one instruction set."""
    image, mask = scene.photo(height, width), scene.curves(height, width, 0.021)
    print(*(f"{cpu_ms(image, mask, k):.1f}" for k in (7, 15, 31)))


def cpu_ms(work: Any, mask: Any, window: int) -> float:
    """Return the CPU time of one thread that fills `work` in place."""
    return median_ms(lambda: inpaint(work, mask, window, threads=1, out=work), time.thread_time)


def threads_table(height: int, width: int) -> None:
    """Compare one thread with two."""
    work, mask = scene.photo(height, width), scene.curves(height, width, 0.021)
    head("k, in place", "one thread, ms", f"{THREADS} threads, ms", "speed-up")
    for window in (7, 15, 31):
        one, two = (
            median_ms(lambda n=n, k=window: inpaint(work, mask, k, threads=n, out=work)) for n in (1, THREADS)
        )
        row(window, f"{one:.1f}", f"{two:.1f}", f"{one / two:.2f}")
    one, two = (median_ms(partial(hash_bytes, n)) for n in (1, THREADS))
    row("SHA-256 of 16 MB", f"{one:.1f}", f"{two:.1f}", f"{one / two:.2f}")


def hash_bytes(threads: int) -> None:
    """Hash 16 MB by so many threads: arithmetic that shares nothing, so what the machine itself allows."""
    part = bytes(2**24 // threads)
    workers = [threading.Thread(target=hashlib.sha256, args=(part,)) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def scaling_table(height: int, width: int) -> None:
    """Show time against the number of masked pixels."""
    work = scene.photo(height, width)
    head("masked", "k = 15 in place, CPU ms", "ns a masked pixel beyond an empty mask")
    unmasked = cpu_ms(work, np.zeros((height, width), bool), 15)
    for fraction in (0.001, 0.003, 0.01, 0.02, 0.05, 0.1):
        mask = scene.curves(height, width, fraction)
        one = cpu_ms(work, mask, 15)
        row(f"{mask.mean():.2%}", f"{one:.2f}", f"{(one - unmasked) / mask.sum() * 1e6:.1f}")


def main() -> None:
    """Read the options and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megapixels", type=float, default=12.0)
    parser.add_argument(
        "--part", default="all", choices=["all", "main", "kinds", "threads", "isa", "isa-row", "scaling"]
    )
    options = parser.parse_args()
    height = round((options.megapixels * 1e6 * 3 / 4) ** 0.5)
    width = round(height * 4 / 3)
    cv2.setNumThreads(THREADS)
    if options.part == "isa-row":
        return isa_row(height, width)
    print(machine())
    if options.part in ("all", "main"):
        main_table(height, width)
    if options.part in ("all", "kinds"):
        kinds_table(height, width)
    if options.part in ("all", "threads"):
        threads_table(height, width)
    if options.part in ("all", "isa"):
        isa_table(options.megapixels)
    if options.part in ("all", "scaling"):
        scaling_table(height, width)
    return None


if __name__ == "__main__":
    main()
