"""The Cell Tracking Challenge."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from drawn_data import photo

from unetfast.data import open_dataset
from unetfast.data.labels import read_pair
from unetfast.errors import DatasetError


def _sequence(root: Path, truth: str = "GT", annotated: tuple[int, ...] = (0, 2), cells: int = 2) -> Path:
    """Write frames of two cells, the markers of both, and the outlines of some of them."""
    for t in range(4):
        (root / "01").mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(root / f"01/t{t:03}.tif", photo(t)[..., 0])
        outlines = np.zeros((48, 64), np.uint16)
        outlines[4:20, 4:20], outlines[24:40, 30:50] = 7, 9
        markers = np.zeros_like(outlines)
        markers[10:12, 10:12], markers[30:32, 40:42] = 1, 2
        outlines[outlines > (9 if cells == 2 else 7)] = 0
        for kind, picture, when in (
            ("SEG/man_seg", outlines, annotated),
            ("TRA/man_track", markers, range(4)),
        ):
            path = root / f"01_{truth}/{kind}{t:03}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            if t in when and (truth == "GT" or "SEG" in kind):
                tifffile.imwrite(path, picture)
    return root


def test_frames_with_outlines_are_taken_and_their_cells_merged(tmp_path: Path) -> None:
    found = open_dataset(_sequence(tmp_path))
    assert (found.layout, found.classes) == ("tracking", ("background", "cell"))
    assert [sample.id for sample in found.samples] == ["t000", "t002"]
    _, labels = read_pair(found.samples[0], found.encoding, found.channels)
    assert labels.sum() == 16 * 16 + 16 * 20
    assert "2 frames have no outlines" in " ".join(text for _, text in found.decisions)


def test_silver_truth_is_preferred_since_it_has_all_cells(tmp_path: Path) -> None:
    _sequence(tmp_path)
    _sequence(tmp_path, "ST", (0, 1, 2, 3))
    assert len(open_dataset(tmp_path).samples) == 4
    assert len(open_dataset(tmp_path, mask_name="GT").samples) == 2


def test_frames_of_which_some_cells_have_no_outline_are_no_truth(tmp_path: Path) -> None:
    """They would teach that the others are background."""
    with pytest.raises(DatasetError, match="no frame has outlines of all its cells"):
        open_dataset(_sequence(tmp_path, cells=1))


def test_outlines_that_no_marker_vouches_for_are_said_to_be(tmp_path: Path) -> None:
    shutil.rmtree(_sequence(tmp_path, cells=1) / "01_GT/TRA")
    said = " ".join(text for _, text in open_dataset(tmp_path).decisions)
    assert re.search(
        r"2 frames have no markers \(TRA\).*man_seg000\.tif: cells without count as background", said
    )


def test_slices_of_volumes_are_refused(tmp_path: Path) -> None:
    _sequence(tmp_path)
    tifffile.imwrite(tmp_path / "01_GT/SEG/man_seg_003_005.tif", np.zeros((48, 64), np.uint16))
    with pytest.raises(DatasetError, match=r"man_seg_003_005\.tif is the truth of one slice of a volume"):
        open_dataset(tmp_path)
