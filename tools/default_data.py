"""The pictures that the bundled model learns from: real ones whose licence allows it, and drawn ones.

Only folders under the MIT licence are read (their notices stand in unetfast/assets/crack.md):
cracktile/train, crackconcrete, br_cracks_potholes/train, two craquelure photographs, and boxes
without cracks of two large photographs. Test folders are never opened here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from unetfast import imaging
from unetfast.spec import IGNORE

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # (H, W, 3) RGB, (H, W) 0 | 1 | 255

# Crack-free boxes, chosen by eye: y0, y1, x0, x1.
CLEAN_BOXES = {
    "akomp22_7408.jpg": [(0, 1050, 0, 3264), (1700, 2448, 0, 3264)],
    "rthete_tunnel_wall_4096.jpg": [(750, 2750, 0, 1500), (0, 1750, 2450, 3750)],
}
UNSURE = (0, 1750, 2450, 3750)  # one line in it may be a crack: a surface to draw on, no counter-example


@dataclass(frozen=True)
class RealData:
    """What is read from disk.

    Attributes
    ----------
    cracks, held_cracks : list of Pair
        Annotated cracks to train on, and every fifth of cracktile/train to choose on.
    roads, held_roads : list of Pair
        Road scenes: 0 where no crack was annotated near, 255 elsewhere.
    road_cracks : list of Pair
        The annotated parts of the same scenes, see :func:`_weak`.
    clean : list of (H, W, 3) uint8
        Crack-free pictures to draw cracks on.
    walls : list of Pair
        Crack-free parts of large photographs of walls, as counter-examples.
    lifted : list of Pair
        Annotated cracks without their surface, see :func:`lifted`.
    """

    cracks: list[Pair]
    held_cracks: list[Pair]
    roads: list[Pair]
    held_roads: list[Pair]
    road_cracks: list[Pair]
    clean: list[NDArray[np.uint8]]
    walls: list[Pair]
    lifted: list[Pair]


def load(root: Path) -> RealData:
    """Read everything; `root` is the folder that holds cracktile/ and the others."""
    cracks, held = _cracktile(root)
    roads = _roads(root)
    held_roads, roads = roads[::5], [pair for i, pair in enumerate(roads) if i % 5]
    road_cracks = _road_cracks(root)
    clean = [_erased(pair) for pair in cracks]
    clean += [image for image, labels in roads if not labels.any()]
    clean += _boxes(root)
    cracks += _concrete(root)
    return RealData(
        cracks + _craquelure(root),
        held,
        roads,
        held_roads,
        road_cracks,
        clean,
        [(wall, np.zeros(wall.shape[:2], np.uint8)) for wall in _boxes(root, UNSURE)],
        [lifted(pair) for pair in cracks],
    )


def _rgb(path: Path) -> NDArray[np.uint8]:
    return imaging.network_input(imaging.read(path).pixels, 3)


def _mask(path: Path) -> NDArray[np.uint8]:
    values = imaging.read_mask(path).values
    grey = values if values.ndim == 2 else values[..., :3].max(2)
    return (grey > (127 if grey.max() > 1 else 0)).astype(np.uint8)


def _cracktile(root: Path) -> tuple[list[Pair], list[Pair]]:
    folder = root / "cracktile" / "train"
    pairs = [
        (_rgb(path), _mask(folder / "label" / path.name)) for path in sorted((folder / "image").iterdir())
    ]
    return [pair for i, pair in enumerate(pairs) if i % 5], pairs[::5]


def _concrete(root: Path) -> list[Pair]:
    """768 px photographs whose labels are a third of that: both meet at half the photograph's size."""
    folder = root / "cracktile" / "crackconcrete_size_mismatch"
    pairs = []
    for path in sorted((folder / "image").iterdir()):
        image, small = _rgb(path), _mask(folder / "label" / path.name)
        side = image.shape[0] // 2
        grown = cv2.resize(small * 255, (side, side), interpolation=cv2.INTER_CUBIC)
        pairs.append((imaging.resize(image, side, side), (grown > 127).astype(np.uint8)))
    return pairs


def _craquelure(root: Path) -> list[Pair]:
    """Masks are automatic centre lines: one pixel is added, and one more is left undecided."""
    folder = root / "large_photos"
    pairs = []
    for name in ("fl187", "ge230"):
        image = _rgb(folder / f"craquelure_{name}.jpg")
        line = _mask(folder / "masks" / f"craquelure_{name}.tif")
        if line.shape != image.shape[:2]:
            raise ValueError(f"craquelure_{name}: photo {image.shape[:2]}, mask {line.shape}")
        if line.mean() > 0.5:
            line = 1 - line
        inner, outer = (cv2.dilate(line, np.ones((k, k), np.uint8)) for k in (3, 7))
        pairs.append((image, np.where(outer > inner, IGNORE, inner).astype(np.uint8)))
    return pairs


def _roads(root: Path) -> list[Pair]:
    """Road scenes as counter-examples: their crack masks are speckled, so nothing near one counts."""
    pairs = []
    for image, masks in _road_scenes(root):
        near = np.zeros(image.shape[:2], np.uint8)
        for kind, reach in (("CRACK", 81), ("POTHOLE", 31)):
            near |= _grown(masks[kind], reach)
        pairs.append((image, near * np.uint8(IGNORE)))
    return pairs


def beside_plants(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell where a road scene's verge is: within 22 px of a coloured patch, which asphalt never is."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    coloured = (np.hypot(lab[..., 1] - 128, lab[..., 2] - 128) > 14).astype(np.float32)
    return np.asarray(cv2.dilate(cv2.blur(coloured, (15, 15)), np.ones((31, 31), np.uint8)) > 0.6)


def _road_cracks(root: Path) -> list[Pair]:
    """Cut out what lies around annotated cracks; every fifth scene is held back, as in `load`."""
    pairs = []
    for number, (image, masks) in enumerate(_road_scenes(root)):
        labels = _weak(image, masks["CRACK"])
        labels[_grown(masks["POTHOLE"], 31) > 0] = IGNORE
        rows, columns = (np.flatnonzero((labels == 1).any(axis)) for axis in (1, 0))
        if number % 5 == 0 or (labels == 1).sum() < 300:
            continue
        y, x = (slice(max(0, int(v[0]) - 80), int(v[-1]) + 80) for v in (rows, columns))
        pairs.append((np.ascontiguousarray(image[y, x]), np.ascontiguousarray(labels[y, x])))
    return pairs


def _weak(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Make labels of a speckled annotation: crack where it is dark too, ground where it is light.

    The annotators' specks cover a part of the cracks and some of the ground between them, so what is
    neither is undecided within 40 px of an annotation.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    ground = cv2.GaussianBlur(grey, (0, 0), 8)
    _, number, sizes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    large = sizes[:, cv2.CC_STAT_AREA] >= 50
    large[0] = False  # the background
    dark = cv2.GaussianBlur(grey, (0, 0), 0.7) < 0.92 * ground
    crack = _grown((large[number] & dark).astype(np.uint8), 3)  # a pixel more, as in the drawn masks
    light = (cv2.GaussianBlur(grey, (0, 0), 1.0) > 0.99 * ground) & (_grown(mask, 9) == 0)
    undecided = (_grown(mask, 81) > 0) & ~light
    return np.where(crack > 0, 1, np.where(undecided, IGNORE, 0)).astype(np.uint8)


def _road_scenes(root: Path) -> Iterator[tuple[NDArray[np.uint8], dict[str, NDArray[np.uint8]]]]:
    for folder in sorted((root / "br_cracks_potholes" / "train").iterdir()):
        masks = {kind: _mask(folder / f"{folder.name}_{kind}.png") for kind in ("CRACK", "POTHOLE")}
        yield _rgb(folder / f"{folder.name}_RAW.jpg"), masks


def _grown(mask: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.dilate(mask, np.ones((side_px, side_px), np.uint8)), np.uint8)


def _boxes(root: Path, without: tuple[int, int, int, int] | None = None) -> list[NDArray[np.uint8]]:
    boxes = []
    for name, corners in CLEAN_BOXES.items():
        photo = _rgb(root / "large_photos" / name)
        for y0, y1, x0, x1 in corners:
            if (y0, y1, x0, x1) == without:
                continue
            cut = photo[y0:y1, x0:x1]
            # Several scales, and several times the weight of a tile of 256 x 256.
            boxes += [cut, imaging.resize(cut, cut.shape[0] // 2, cut.shape[1] // 2)] * 3
    return boxes


def _erased(pair: Pair) -> NDArray[np.uint8]:
    """Take an annotated crack out of a tile, leaving joints and pattern: a clean surface to draw on."""
    image, labels = pair
    wide = cv2.dilate((labels == 1).astype(np.uint8), np.ones((7, 7), np.uint8))
    return np.asarray(cv2.inpaint(image, wide, 4, cv2.INPAINT_TELEA), np.uint8)


def lifted(pair: Pair) -> Pair:
    """Lift a crack off its surface: 128 times the ratio of the picture with it to the one without."""
    image, labels = pair
    bare = _erased(pair).astype(np.float32) + 4
    ratio = np.clip(128 * (image + np.float32(4)) / bare, 0, 255)
    near = cv2.GaussianBlur(cv2.dilate((labels == 1).astype(np.float32), np.ones((5, 5))), (0, 0), 1.0)
    ratio = 128 + near[..., None] * (ratio - 128)
    return np.asarray(np.round(ratio), np.uint8), labels


def laid(surface: Pair, crack: Pair) -> Pair:
    """Lay a lifted crack on another surface of the same size; marked where it can be seen there."""
    image, labels = surface
    ratio, truth = crack
    made = np.clip(image * (ratio.astype(np.float32) / 128), 0, 255).astype(np.uint8)
    seen = (np.abs(made.astype(np.int16) - image).mean(2) > 6).astype(np.uint8)
    return made, np.maximum(labels, truth * cv2.dilate(seen, np.ones((7, 7), np.uint8)))


def crop(
    rng: np.random.Generator,
    pair: Pair,
    side_px: int,
    edge: float = 0.2,
    scales: tuple[float, float] = (0.65, 2.0),
    places: NDArray[np.int64] | None = None,
) -> Pair:
    """Cut a turned, scaled and mirrored square; what lies outside the picture is mirrored in.

    Its middle stays `edge` times the picture's size away from the picture's border, or lies about one of
    `places`, (N, 2) rows and columns.
    """
    image, labels = pair
    height, width = image.shape[:2]
    scale = float(np.exp(rng.uniform(*np.log(scales))))
    angle = float(rng.choice([0, 90, 180, 270]) + (rng.uniform(-20, 20) if rng.random() < 0.5 else 0))
    centre = (float(rng.uniform(edge, 1 - edge) * width), float(rng.uniform(edge, 1 - edge) * height))
    if places is not None:
        y, x = places[int(rng.integers(len(places)))] + rng.normal(0, 30, 2)
        centre = (float(np.clip(x, 0, width - 1)), float(np.clip(y, 0, height - 1)))
    turn = cv2.getRotationMatrix2D(centre, angle, scale)
    turn[:, 2] += side_px / 2 - np.array(centre)
    if rng.random() < 0.5:
        turn[0] = [-turn[0, 0], -turn[0, 1], side_px - 1 - turn[0, 2]]
    cut = cv2.warpAffine(
        image, turn, (side_px, side_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    truth = cv2.warpAffine(
        labels, turn, (side_px, side_px), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(cut, np.uint8), np.asarray(truth, np.uint8)
