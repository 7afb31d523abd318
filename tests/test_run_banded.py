"""TIFF files read in bands give what the whole image gives, in bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from darkness_model import darkness
from runs import entries, photo, settings, tree

import unetfast
from unetfast import imaging
from unetfast.errors import ConfigError
from unetfast.inpainting.mask import dilate
from unetfast.pipeline import banded
from unetfast.pipeline.local import Engine
from unetfast.pipeline.plan import plan
from unetfast.pipeline.run import run
from unetfast.pipeline.sources import Found
from unetfast.segment import Segmenter
from unetfast.settings import parse_bytes
from unetfast.spec import ModelSpec

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
        run(
            [str(tmp_path / "in")],
            tmp_path / "bands",
            settings(max_memory="1.2MB", tile=80, **mode),
            model=model,
        )
        assert entries(tmp_path / "bands")["a.tif"]["how"].startswith("TIFF in windows")
        assert (
            entries(tmp_path / "bands")["a.tif"]["masked_px"]
            == entries(tmp_path / "whole")["a.tif"]["masked_px"]
        )
    read = {name: imaging.read(tmp_path / "bands" / name).pixels for name in tree(tmp_path / "bands")}
    for name in tree(tmp_path / "whole"):
        assert np.array_equal(read[name], imaging.read(tmp_path / "whole" / name).pixels), name
    assert sorted(read) == ["a.tif", "masks/a.png"]


def cracked(height: int, width: int) -> np.ndarray:
    """Return a picture with a crack across it and one from its top to its bottom, which meets every band."""
    image = photo(height=height, width=width)
    rng = np.random.default_rng(1)
    ys = np.linspace(0, height, 12)
    points = np.stack([width / 3 + rng.normal(0, width / 20, 12), ys], axis=1).astype(np.int32)
    cv2.polylines(image, [points], False, (30, 30, 30), 7)
    cv2.circle(image, (width * 3 // 4, height // 5), 9, (30, 30, 30), -1)
    return image


@pytest.mark.parametrize("kind", ["tiled", "stripped"])
@pytest.mark.parametrize(
    "mode",
    [
        {"grain": True},
        {"grain": True, "window_px": 31, "dilate_px": 9},
        {"dilate_px": 14},
        {"scale": 0.5},
        {"scale": 0.3, "inpaint": False},
        {"scale": 0.7, "grain": True},
    ],
    ids=str,
)
def test_grain_and_scale_in_windows_equal_as_a_whole(
    kind: str, mode: dict[str, Any], tmp_path: Path, model: Path
) -> None:
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in" / "a.tif", cracked(1100, 201), photometric="rgb", **KINDS[kind])
    run([str(tmp_path / "in")], tmp_path / "whole", settings(**mode), model=model)
    run(
        [str(tmp_path / "in")], tmp_path / "bands", settings(max_memory="900kB", tile=96, **mode), model=model
    )
    entry = entries(tmp_path / "bands")["a.tif"]
    assert entry["how"].startswith("TIFF in windows: only")
    assert entry["masked_px"] == entries(tmp_path / "whole")["a.tif"]["masked_px"] > 5000
    names = ["masks/a.png"] if mode.get("inpaint") is False else ["a.tif", "masks/a.png"]
    assert sorted(tree(tmp_path / "bands")) == sorted(tree(tmp_path / "whole")) == names
    for name in names:
        whole = imaging.read(tmp_path / "whole" / name).pixels
        assert np.array_equal(imaging.read(tmp_path / "bands" / name).pixels, whole), name


@pytest.mark.parametrize("kind", ["tiled", "stripped"])
@pytest.mark.parametrize("mode", [{}, {"grain": True}, {"scale": 0.5}], ids=str)
@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_mirrored_and_upside_down_in_windows_equal_as_a_whole(
    orientation: int, mode: dict[str, Any], kind: str, tmp_path: Path, model: Path
) -> None:
    (tmp_path / "in").mkdir()
    stored, options = cracked(1000, 201), {**KINDS[kind], "extratags": [(274, "H", 1, orientation, True)]}
    tifffile.imwrite(tmp_path / "in" / "a.tif", stored, photometric="rgb", **options)
    run([str(tmp_path / "in")], tmp_path / "whole", settings(**mode), model=model)
    run(
        [str(tmp_path / "in")], tmp_path / "bands", settings(max_memory="900kB", tile=96, **mode), model=model
    )
    assert entries(tmp_path / "bands")["a.tif"]["how"].startswith("TIFF in windows: only")
    mask = imaging.read_mask(tmp_path / "bands" / "masks" / "a.png").values
    assert np.array_equal(mask, imaging.read_mask(tmp_path / "whole" / "masks" / "a.png").values)
    cleaned = tifffile.imread(tmp_path / "bands" / "a.tif")
    assert np.array_equal(cleaned, tifffile.imread(tmp_path / "whole" / "a.tif"))
    changed = (cleaned != stored).any(axis=2)
    assert changed.sum() > 1000
    assert not changed[imaging.unorient(mask, orientation) == 0].any()


def test_cmyk_in_windows_equals_as_a_whole(tmp_path: Path, model: Path) -> None:
    inks = 255 - np.dstack([cracked(400, 201), np.full((400, 201), 250, np.uint8)])
    path = book(tmp_path / "in" / "a.tif", (inks, {"photometric": "separated", "rowsperstrip": 16}))
    run([str(path)], tmp_path / "whole", settings(), model=model)
    run([str(path)], tmp_path / "bands", settings(max_memory="900kB", tile=96), model=model)
    assert entries(tmp_path / "bands")["a.tif"]["how"].startswith("TIFF in windows: only")
    cleaned = tifffile.imread(tmp_path / "bands" / "a.tif")
    assert np.array_equal(cleaned, tifffile.imread(tmp_path / "whole" / "a.tif"))
    mask = imaging.read_mask(tmp_path / "bands" / "masks" / "a.png").values
    assert mask.sum() > 500
    assert np.array_equal(cleaned, unetfast.inpaint(inks, mask != 0, 0))


def grey16(seed: int) -> np.ndarray:
    return photo(seed, 150, 90).mean(axis=2).astype(np.uint16) * 257


PAGES: list[tuple[np.ndarray, dict[str, Any]]] = [
    (photo(1, 120, 160), {"photometric": "rgb", "compression": "lzw", "predictor": True, "rowsperstrip": 16}),
    (grey16(2), {"photometric": "minisblack", "compression": "zlib", "tile": (64, 48)}),
    (np.full((40, 50), 170, np.uint8), {"photometric": "minisblack"}),  # nothing to be found
    (
        photo(3, 60, 70),
        {"photometric": "rgb", "rowsperstrip": 8, "extratags": [(65000, "s", 0, "own", True)]},
    ),
]


@pytest.mark.parametrize("kind", [{}, {"bigtiff": True}, {"byteorder": ">"}])
def test_each_page_is_cleaned_as_a_file_of_its_own_would_be(
    kind: dict[str, Any], tmp_path: Path, model: Path
) -> None:
    for name in ("book", "single"):
        (tmp_path / name).mkdir()
    with tifffile.TiffWriter(tmp_path / "book" / "a.tif", **kind) as book:
        for number, (pixels, options) in enumerate(PAGES):
            book.write(pixels, metadata=None, **options)
            tifffile.imwrite(tmp_path / "single" / f"{number}.tif", pixels, metadata=None, **options)
    run([str(tmp_path / "single")], tmp_path / "wanted", settings(), model=model)
    summary = run([str(tmp_path / "book")], tmp_path / "out", settings(), model=model)
    assert (summary.done, summary.failed) == (1, 0)
    entry = entries(tmp_path / "out")["a.tif"]
    assert entry["how"].startswith("TIFF of 4 pages: only the strips or tiles under the mask")
    assert entry["outputs"] == {"cleaned": "a.tif", "mask": "masks/a.tif"}
    with (
        tifffile.TiffFile(tmp_path / "book" / "a.tif") as before,
        tifffile.TiffFile(tmp_path / "out" / "a.tif") as after,
        tifffile.TiffFile(tmp_path / "out" / "masks" / "a.tif") as masks,
    ):
        assert len(before.pages) == len(after.pages) == len(masks.pages) == 4
        for number, (old, new, mask) in enumerate(zip(before.pages, after.pages, masks.pages, strict=True)):
            wanted = imaging.read_mask(tmp_path / "wanted" / "masks" / f"{number}.png").values
            assert mask.bitspersample == 1
            assert np.array_equal(mask.asarray(), wanted != 0)
            assert np.array_equal(new.asarray(), tifffile.imread(tmp_path / "wanted" / f"{number}.tif"))
            assert np.array_equal(new.asarray()[wanted == 0], old.asarray()[wanted == 0])
            moving = (273, 279, 324, 325)  # where the strips and tiles lie
            assert [t.value for t in new.tags if t.code not in moving] == [
                t.value for t in old.tags if t.code not in moving
            ]
    again = run([str(tmp_path / "book")], tmp_path / "out", settings(), model=model)
    assert again.unchanged == 1


def book(path: Path, *pages: tuple[np.ndarray, dict[str, Any]]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with tifffile.TiffWriter(path) as writer:
        for pixels, options in pages:
            colours = "rgb" if pixels.ndim == 3 else "minisblack"
            writer.write(pixels, metadata=None, **{"photometric": colours, **options})
    return path


def test_a_page_that_cannot_be_cleaned_leaves_the_masks(tmp_path: Path, model: Path) -> None:
    lossy = (photo(1), {"compression": "jpeg2000", "rowsperstrip": 40})
    path = book(tmp_path / "in" / "a.tif", (photo(0), {}), lossy, (photo(2), {}))
    assert run([str(path)], tmp_path / "out", settings(), model=model).failed == 1
    entry = entries(tmp_path / "out")["a.tif"]
    assert entry["reason"].startswith(
        f"{path}: page 2: TIFF compressed as JPEG2000 can be segmented, not cleaned"
    )
    assert entry["outputs"] == {"mask": "masks/a.tif"}
    assert list(tree(tmp_path / "out")) == ["masks/a.tif"]
    with tifffile.TiffFile(path) as file, tifffile.TiffFile(tmp_path / "out" / "masks" / "a.tif") as masks:
        for page, mask in zip(file.pages, masks.pages, strict=True):
            assert np.array_equal(mask.asarray(), dilate(darkness(page.asarray()), 2))
    # Where nothing is found on it, such a page is no obstacle.
    blank = book(tmp_path / "in" / "b.tif", (photo(0), {}), (np.full_like(photo(0), 170), lossy[1]))
    assert run([str(blank)], tmp_path / "out", settings(), model=model).done == 1


@pytest.mark.parametrize("taken", ["masks/a.tif", "a.tif"])
def test_a_result_that_cannot_get_its_name_leaves_none_unnamed(
    taken: str, tmp_path: Path, model: Path
) -> None:
    path = book(tmp_path / "in" / "a.tif", (photo(0), {}), (photo(1), {}))
    (tmp_path / "out" / taken).mkdir(parents=True)
    assert run([str(path)], tmp_path / "out", settings(), model=model).failed == 1
    entry = entries(tmp_path / "out")["a.tif"]
    assert entry["reason"] == f"{path}: {tmp_path / 'out' / taken}: cannot be written: Is a directory"
    assert sorted(tree(tmp_path / "out")) == sorted(entry.get("outputs", {}).values())


def test_one_large_page_that_cannot_be_cleaned_leaves_its_mask(tmp_path: Path, model: Path) -> None:
    path = book(
        tmp_path / "in" / "a.tif", (photo(height=300), {"compression": "jpeg2000", "rowsperstrip": 16})
    )
    for memory in ("2GB", "500kB"):
        output = tmp_path / memory
        assert run([str(path)], output, settings(max_memory=memory), model=model).failed == 1
        assert "compressed as JPEG2000" in entries(output)["a.tif"]["reason"]
    assert tree(tmp_path / "2GB") != {}
    mask = imaging.read_mask(tmp_path / "2GB" / "masks" / "a.png").values
    assert np.array_equal(imaging.read_mask(tmp_path / "500kB" / "masks" / "a.png").values, mask)


def test_a_tiff_in_jpeg_is_cleaned_in_windows_as_in_memory(tmp_path: Path, model: Path) -> None:
    kept = {"compression": "jpeg", "compressionargs": {"level": 90}, "photometric": "ycbcr"}
    path = book(tmp_path / "in" / "a.tif", (photo(height=300), {**kept, "tile": (64, 48)}))
    for memory in ("2GB", "500kB"):
        assert run([str(path)], tmp_path / memory, settings(max_memory=memory), model=model).done == 1
    assert (tmp_path / "500kB" / "a.tif").read_bytes() == (tmp_path / "2GB" / "a.tif").read_bytes()
    mask = imaging.read_mask(tmp_path / "2GB" / "masks" / "a.png").values
    assert np.array_equal(imaging.read_mask(tmp_path / "500kB" / "masks" / "a.png").values, mask)
    words = "strips or tiles under the mask re-encoded; of those in JPEG only the 8x8 blocks under it"
    for memory in ("2GB", "500kB"):
        assert entries(tmp_path / memory)["a.tif"]["how"].endswith(words)


@pytest.mark.parametrize("mode", [{"method": "telea"}, {"scale": 0.5}, {"grain": True}], ids=str)
def test_pages_that_fit_into_memory_are_as_pictures_of_their_own(
    mode: dict[str, Any], tmp_path: Path, model: Path
) -> None:
    turned = [(photo(i), {"extratags": [(274, "H", 1, i, True)]} if i > 1 else {}) for i in range(1, 9)]
    for number, page in enumerate(turned):
        book(tmp_path / "single" / f"{number}.tif", page)
    path = book(tmp_path / "book" / "a.tif", *turned)
    run([str(tmp_path / "single")], tmp_path / "wanted", settings(**mode), model=model)
    assert run([str(path)], tmp_path / "out", settings(**mode), model=model).done == 1
    with tifffile.TiffFile(tmp_path / "out" / "a.tif") as pages:
        for number, page in enumerate(pages.pages):
            assert np.array_equal(page.asarray(), tifffile.imread(tmp_path / "wanted" / f"{number}.tif"))
            wanted = imaging.read_mask(tmp_path / "wanted" / "masks" / f"{number}.png").values
            mask = tifffile.imread(tmp_path / "out" / "masks" / "a.tif", key=number)
            assert np.array_equal(mask, wanted != 0)


@pytest.mark.parametrize(
    ("options", "mode", "words"),
    [
        ({}, {"method": "telea"}, "--method telea needs the whole picture in memory; raise --max-memory"),
        (
            {"extratags": [(274, "H", 1, 6, True)]},
            {},
            "a TIFF turned by a quarter needs the whole",
        ),
    ],
)
def test_what_windows_cannot_do_is_refused(
    options: dict[str, Any], mode: dict[str, Any], words: str, tmp_path: Path, model: Path
) -> None:
    path = book(tmp_path / "in" / "a.tif", (photo(height=300), {"rowsperstrip": 16, **options}))
    summary = run([str(path)], tmp_path / "out", settings(max_memory="500kB", **mode), model=model)
    assert summary.failed == 1
    assert entries(tmp_path / "out")["a.tif"]["reason"].startswith(f"{path}: {words}")


def test_grain_of_a_very_wide_picture_is_refused_where_memory_is_short(tmp_path: Path, model: Path) -> None:
    wide = np.full((600, 4000, 3), 170, np.uint8)
    path = book(tmp_path / "in" / "a.tif", (wide, {"rowsperstrip": 16, "compression": "zlib"}))
    for memory, mode, failed in (("30MB", True, 1), ("30MB", False, 0), ("330MB", True, 0)):
        chosen = settings(max_memory=memory, grain=mode)
        assert run([str(path)], tmp_path / memory, chosen, model=model).failed == failed
        assert (entries(tmp_path / memory)["a.tif"]["status"] == "failed") == failed
    run([str(path)], tmp_path / "30MB", settings(max_memory="30MB", grain=True), model=model)
    reason = entries(tmp_path / "30MB")["a.tif"]["reason"]
    assert reason.startswith(f"{path}: --grain needs 0.2 GB for 526 rows of 4000 px, more than half of")


def test_a_page_that_cannot_be_read_is_named(tmp_path: Path, model: Path) -> None:
    path = book(tmp_path / "in" / "a.tif", (photo(), {}), (photo()[..., 0].astype(np.int32), {}))
    assert run([str(path)], tmp_path / "out", settings(), model=model).failed == 1
    assert f"{path}: page 2: TIFF samples of 32 bits" in entries(tmp_path / "out")["a.tif"]["reason"]


def test_a_page_that_no_library_understands_stops_no_dry_run(tmp_path: Path, model: Path) -> None:
    path = book(tmp_path / "in" / "a.tif", (photo(), {}))
    with tifffile.TiffFile(path) as file:
        width = file.pages[0].tags[256].offset
    data = bytearray(path.read_bytes())
    data[width + 4] = 3  # three widths
    path.write_bytes(data)
    where = [str(path)], str(tmp_path / "out"), settings()
    assert [step.what for step in plan(*where, Found(), model=model)] == ["new"]
    run(*where, model=model)
    entry = entries(tmp_path / "out")["a.tif"]
    assert entry["reason"].startswith(f"{path}: damaged, cannot be decoded: ")
    assert "traceback" not in entry


def test_a_dry_run_names_what_a_file_of_several_pages_becomes(tmp_path: Path, model: Path) -> None:
    path = book(tmp_path / "in" / "a.tif", (photo(0), {}), (photo(1), {}))
    (planned,) = plan([str(path)], str(tmp_path / "out"), settings(overlay=True), Found(), model=model)
    run([str(path)], tmp_path / "out", settings(overlay=True), model=model)
    assert sorted(planned.results) == sorted(tree(tmp_path / "out")) == ["a.tif", "masks/a.tif"]


def test_a_pipe_that_is_named_itself_is_refused_not_waited_for(
    tmp_path: Path, model: Path, unetfast_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    os.mkfifo(tmp_path / "a.tif")
    done = unetfast_command("run", tmp_path / "a.tif", "-m", model, "-o", tmp_path / "out", "--threads", 1)
    assert done.returncode == 3
    assert f"{tmp_path / 'a.tif'}: " in done.stderr
    assert "pipe" in done.stderr


def test_pages_under_a_name_of_another_kind_get_an_ending(tmp_path: Path, model: Path) -> None:
    path = book(tmp_path / "in" / "a.tif", (photo(0), {}), (photo(1), {}))
    path.rename(tmp_path / "in" / "a.jpg")
    run([str(tmp_path / "in")], tmp_path / "out", settings(), model=model)
    assert list(tree(tmp_path / "out")) == ["a.jpg.tif", "masks/a.tif"]


def test_pages_that_share_their_strips_stay_whole(tmp_path: Path, model: Path) -> None:
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "a.tif"
    image = photo(height=80)
    with tifffile.TiffWriter(path) as book:
        for _ in range(2):
            book.write(image, photometric="rgb", metadata=None, rowsperstrip=80)
    with tifffile.TiffFile(path, mode="r+") as book:
        book.pages[1].tags[273].overwrite(book.pages[0].dataoffsets[0])
    assert run([str(path)], tmp_path / "out", settings(), model=model).done == 1
    pages = tifffile.imread(tmp_path / "out" / "a.tif", key=range(2))
    assert np.array_equal(pages[0], pages[1])
    assert (pages[0] != image).any()
    with tifffile.TiffFile(tmp_path / "out" / "a.tif") as book:
        assert book.pages[0].dataoffsets != book.pages[1].dataoffsets


@pytest.mark.parametrize("pages", [1, 2])
def test_strips_that_claim_bytes_of_others_do_not_overwrite_them(
    pages: int, tmp_path: Path, model: Path
) -> None:
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "a.tif"
    images = [photo(i, height=96) for i in range(pages)]
    with tifffile.TiffWriter(path) as book:
        for image in images:
            book.write(image, photometric="rgb", metadata=None, rowsperstrip=16, compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as book:
        for page in book.pages:
            page.tags[279].overwrite([size + 1500 for size in page.databytecounts])
    with path.open("ab") as file:
        file.write(bytes(1500))  # that the last strip claims
    assert np.array_equal(tifffile.imread(path, key=0), images[0])
    # With grain what is new takes more bytes than what was there.
    assert run([str(path)], tmp_path / "out", settings(grain=True), model=model).done == 1
    for number, image in enumerate(images):
        cleaned = tifffile.imread(tmp_path / "out" / "a.tif", key=number)
        wanted = unetfast.inpaint(image, dilate(darkness(image), 2), 0, grain=True)
        assert np.array_equal(cleaned, wanted)


def test_pages_behind_one_directory_are_refused_not_passed_over(tmp_path: Path, model: Path) -> None:
    (tmp_path / "in").mkdir()
    stack = np.stack([photo(i)[..., 0] for i in range(3)])
    tifffile.imwrite(tmp_path / "in" / "a.tif", stack, imagej=True, truncate=True)
    assert run([str(tmp_path / "in")], tmp_path / "out", settings(), model=model).failed == 1
    assert "one page a picture" in entries(tmp_path / "out")["a.tif"]["reason"]


def test_a_file_that_changes_while_it_is_read_fails_and_leaves_nothing(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "a.tif"
    tifffile.imwrite(path, photo(height=200), photometric="rgb", rowsperstrip=16)
    pages = banded.write_pages

    def slowly(*arguments: Any, **options: Any) -> int:
        with open(path, "ab") as file:
            file.write(b"x")
        return pages(*arguments, **options)

    monkeypatch.setattr(banded, "write_pages", slowly)
    assert run([str(path)], tmp_path / "out", settings(max_memory="500kB"), model=model).failed == 1
    assert "changed while it was read" in entries(tmp_path / "out")["a.tif"]["reason"]
    assert tree(tmp_path / "out") == {}


def test_smaller_copies_in_the_file_are_named(tmp_path: Path, model: Path) -> None:
    (tmp_path / "in").mkdir()
    with tifffile.TiffWriter(tmp_path / "in" / "a.tif") as file:
        file.write(photo(height=200), photometric="rgb", subifds=1, rowsperstrip=16)
        file.write(photo(height=200)[::2, ::2], photometric="rgb", subfiletype=1)
        file.write(photo(height=200)[::4, ::4], photometric="rgb", subfiletype=1)
    for memory in ("2GB", "500kB"):
        run([str(tmp_path / "in")], tmp_path / memory, settings(max_memory=memory), model=model)
        assert (
            "; 2 smaller copies in the file stay as they were" in entries(tmp_path / memory)["a.tif"]["how"]
        )


def test_the_page_with_a_hole_is_named_where_there_are_several(tmp_path: Path, model: Path) -> None:
    striped = (photo(height=200), {"rowsperstrip": 16})
    for name, pages in (("a.tif", [striped]), ("b.tif", [striped, striped])):
        path = book(tmp_path / "in" / name, *pages)
        with tifffile.TiffFile(path, mode="r+b") as file:
            sizes = file.pages[len(pages) - 1].tags[279]
            sizes.overwrite((*sizes.value[:-1], 0))
    words = (
        "1 of 13 strips or tiles are not in the file and hold no data; "
        "1280 pixels hold no data: they are neither marked nor filled from"
    )
    for memory in ("2GB", "500kB"):
        run([str(tmp_path / "in")], tmp_path / memory, settings(max_memory=memory), model=model)
        lines = entries(tmp_path / memory)
        assert (lines["a.tif"]["notes"], lines["b.tif"]["notes"]) == (words, f"page 2: {words}")


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
    assert "more than --max-memory (0.0005 GB)" in entries(tmp_path / "out")["a.tif"]["reason"]
    assert tree(tmp_path / "out") == {}


@pytest.mark.parametrize(
    ("text", "size"), [("2GB", 2e9), ("500M", 5e8), ("1e9", 1e9), ("1.5 kB", 1500), ("4GiB", 2**32)]
)
def test_sizes(text: str, size: float) -> None:
    assert parse_bytes(text) == size
    for wrong in ("much", "1.2.3GB", ".", "-1", "1e999", "4", "GB"):
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
