"""TIFF files read in bands give what the whole image gives, in bounded memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from test_run import entries, model, photo, settings, tree

import unetfast
from unetfast import imaging
from unetfast.errors import ConfigError
from unetfast.pipeline.local import Engine
from unetfast.pipeline.run import run
from unetfast.pipeline.windowed import parse_bytes
from unetfast.segment import Segmenter
from unetfast.spec import ModelSpec

__all__ = ["model"]

KINDS: dict[str, dict[str, Any]] = {
    "tiled": {"tile": (64, 48), "compression": "lzw", "predictor": True},
    "stripped": {"rowsperstrip": 32, "compression": "zlib"},
    "big-endian": {"rowsperstrip": 16, "byteorder": ">"},
    "bigtiff-planar": {"tile": (32, 32), "bigtiff": True, "planarconfig": "separate"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_in_windows_equals_as_a_whole(kind: str, tmp_path: Path, model: Path) -> None:
    (tmp_path / "in").mkdir()
    image = photo(height=500, width=300)
    stored = np.moveaxis(image, -1, 0) if kind == "bigtiff-planar" else image
    tifffile.imwrite(tmp_path / "in" / "a.tif", stored, photometric="rgb", **KINDS[kind])
    for mode in ({}, {"inpaint": False}):
        run([str(tmp_path / "in")], tmp_path / "whole", settings(**mode), model=model)
        run([str(tmp_path / "in")], tmp_path / "bands", settings(max_memory="1.2MB", **mode), model=model)
        assert entries(tmp_path / "bands")["a.tif"]["how"].startswith("TIFF in windows")
        assert (
            entries(tmp_path / "bands")["a.tif"]["masked_px"]
            == entries(tmp_path / "whole")["a.tif"]["masked_px"]
        )
    read = {name: imaging.read(tmp_path / "bands" / name).pixels for name in tree(tmp_path / "bands")}
    for name in tree(tmp_path / "whole"):
        assert np.array_equal(read[name], imaging.read(tmp_path / "whole" / name).pixels), name
    assert sorted(read) == ["a.tif", "masks/a.png"]


class Dark:
    """A backend that marks what is black."""

    name = description = "dark"
    spec = ModelSpec(stride_px=1, halo_px=0, classes=("background", "crack"))

    def infer(self, images: np.ndarray) -> np.ndarray:
        return (images[..., 0] == 0).astype(np.uint8)

    def close(self) -> None: ...


def test_a_region_larger_than_a_band_is_filled_from_its_far_rim(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    from unetfast.pipeline.journal import Journal
    from unetfast.pipeline.output import Output
    from unetfast.pipeline.run import listing
    from unetfast.pipeline.sources import Found
    from unetfast.pipeline.stages import Context

    image = rng.integers(1, 256, (600, 200, 3), np.uint8)
    image[150:420, 20:180] = 0
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in" / "a.tif", image, photometric="rgb", rowsperstrip=16)
    chosen = settings(window_px=5, dilate_px=0, max_memory="700kB")
    with Output(tmp_path / "out") as output, Journal(tmp_path / "out", "results.jsonl") as journal:
        engine = Engine(Context(chosen, ""), Segmenter(Dark()), output, journal, 1)
        (entry,) = engine.run(listing([str(tmp_path / "in")], chosen, Found()))
        engine.finish(5)
    assert entry["how"].startswith("TIFF in windows")
    wanted = unetfast.inpaint(image, image[..., 0] == 0, 5)
    assert np.array_equal(imaging.read(tmp_path / "out" / "a.tif").pixels, wanted)


def test_too_little_memory_for_one_strip_is_one_clear_line(tmp_path: Path, model: Path) -> None:
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in" / "a.tif", photo(height=300), photometric="rgb", rowsperstrip=300)
    summary = run([str(tmp_path / "in")], tmp_path / "out", settings(max_memory="500kB"), model=model)
    assert summary.failed == 1
    assert "--max-memory 500kB" in entries(tmp_path / "out")["a.tif"]["reason"]
    assert tree(tmp_path / "out") == {}


@pytest.mark.parametrize(("text", "size"), [("2GB", 2e9), ("500M", 5e8), ("1e9", 1e9), ("1.5 kB", 1500)])
def test_sizes(text: str, size: float) -> None:
    assert parse_bytes(text) == size
    for wrong in ("much", "1.2.3GB", ".", "-1", "1e999"):
        with pytest.raises(ConfigError, match="number with a unit"):
            parse_bytes(wrong)


@pytest.mark.slow
def test_a_picture_larger_than_the_memory_limit(tmp_path: Path, model: Path) -> None:
    """30,000 x 30,000 px, 2.7 GB of pixels, in a process that may use a third of that."""
    (tmp_path / "in").mkdir()
    side = 30_000
    rows = photo(height=256, width=side)

    def tiles() -> Any:
        for _ in range(0, side, 256):
            for left in range(0, side, 256):
                tile = rows[:, left : left + 256]
                yield np.pad(tile, ((0, 0), (0, 256 - tile.shape[1]), (0, 0)))

    tifffile.imwrite(
        tmp_path / "in" / "a.tif", tiles(), shape=(side, side, 3), dtype=np.uint8, tile=(256, 256),
        photometric="rgb", compression="zlib", compressionargs={"level": 1}, bigtiff=True,
    )  # fmt: skip
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom unetfast.pipeline.run import run\n"
        "from unetfast.pipeline.settings import RunSettings\n"
        "s = RunSettings(inpaint=True, save_masks=True, max_memory='500MB', max_pixels=10**9)\n"
        f"done = run([{str(tmp_path / 'in')!r}], Path({str(tmp_path / 'out')!r}), s, model={str(model)!r})\n"
        "assert done.done == 1\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1000, f"peak {done.stdout.strip()} MB"
