"""The model that ships: small, described, and right about the example photos."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pytest

import unetfast
from unetfast import imaging

MODEL = Path(str(resources.files("unetfast"))) / "assets" / "crack.onnx"

# Points on the crack and on things that are not one (joint, cable, chalk, plain wall), found by
# eye: (x, y) in pixels of the photo.
EXAMPLES = {
    "painted_steel.jpg": {
        "crack": [(225, 423), (495, 378), (720, 330), (1050, 273), (1275, 275)],
        "sound": [(425, 825), (300, 150), (900, 675)],
    },
    "tunnel_wall.jpg": {
        "crack": [(558, 130), (535, 247), (558, 390), (552, 727), (530, 844)],
        "sound": [(390, 647), (779, 955), (260, 130), (900, 350)],
    },
    "floor_tiles.jpg": {
        "crack": [(125, 55), (118, 138), (129, 194), (146, 238)],
        "sound": [(18, 166), (85, 102), (218, 72)],
    },
    "stone_tile.jpg": {
        "crack": [(29, 93), (140, 148), (190, 182), (223, 171)],
        "sound": [(29, 215), (196, 49)],
    },
}


@pytest.fixture(scope="module")
def segmenter():  # type: ignore[no-untyped-def]
    return unetfast.load("crack", threads=1)


def test_it_is_small_and_has_a_card() -> None:
    assert MODEL.stat().st_size <= 1_500_000
    card = MODEL.with_suffix(".md").read_text(encoding="utf-8")
    for word in (
        "MIT",
        "Arthur Flôr",
        "Bianka Passos",
        "Andrii Kompanets",
        "xinyi",
        "Dice",
        "tools/train_default.py",
    ):
        assert word in card, f"the model card says nothing about {word}"


def test_its_spec_says_what_it_is(segmenter) -> None:  # type: ignore[no-untyped-def]
    spec = segmenter.spec
    assert spec.arch == "fast"
    assert spec.classes == ("background", "crack")
    assert spec.certificate is not None
    assert not Path(spec.certificate["images_from"]).is_absolute()  # of the machine that made it
    assert spec.training["tool"] == "tools/train_default.py"


def near(mask: np.ndarray, x: int, y: int, reach_px: int) -> bool:
    return bool(mask[max(0, y - reach_px) : y + reach_px + 1, max(0, x - reach_px) : x + reach_px + 1].any())


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_obvious_crack_is_found_and_nothing_else(name: str, root: Path, segmenter) -> None:  # type: ignore[no-untyped-def]
    image = imaging.network_input(imaging.read(root / "examples" / name).pixels, 3)
    mask = segmenter.segment(image)
    assert mask.shape == image.shape[:2]
    missed = [point for point in EXAMPLES[name]["crack"] if not near(mask, *point, 6)]
    assert not missed, f"no crack found at {missed}"
    invented = [point for point in EXAMPLES[name]["sound"] if near(mask, *point, 3)]
    assert not invented, f"a crack invented at {invented}"
    assert 0.001 < mask.mean() < 0.15


@pytest.mark.parametrize("value", [0, 128, 255])
def test_an_empty_picture_has_no_crack(value: int, segmenter) -> None:  # type: ignore[no-untyped-def]
    assert not segmenter.segment(np.full((300, 200, 3), value, np.uint8)).any()


def test_cracktile(shared_data: Path, segmenter) -> None:  # type: ignore[no-untyped-def]
    """A floor under the score of the model card, on ten of the test pictures."""
    folder = shared_data / "cracktile" / "test"
    both = sizes = 0
    for path in sorted((folder / "image").iterdir())[::2]:
        truth = imaging.read_mask(folder / "label" / path.name).values
        truth = (truth if truth.ndim == 2 else truth[..., 0]) > 127
        found = segmenter.segment(imaging.network_input(imaging.read(path).pixels, 3)) > 0
        both += int((found & truth).sum())
        sizes += int(found.sum() + truth.sum())
    assert 2 * both / sizes > 0.35
