"""Measure a model against truth: the same code for training and for ``unetfast eval``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetfast.backends.whole import Predict
from unetfast.data.encoding import LabelEncoding
from unetfast.data.labels import read_pair
from unetfast.data.threads import in_threads
from unetfast.metrics import cldice_counts, confusion_matrix, f1, hit_counts, scores
from unetfast.preprocess import labels_of
from unetfast.spec import ModelSpec, Sample

__all__ = ["THRESHOLDS", "Evaluation", "ImageScore", "Pair", "evaluate", "read_pairs", "score"]

THRESHOLDS = np.arange(1, 100) / 100
_NAMES = ("dice", "iou", "precision", "recall")

Pair = tuple[str, NDArray[np.uint8], NDArray[np.uint8]]  # id, image (H, W, C), truth (H, W)


@dataclass(frozen=True)
class ImageScore:
    """The counts of one image; those of a set are their sums.

    Attributes
    ----------
    id : str
        Of the sample.
    confusion : (K, K) int64
        Row: truth, column: prediction.
    curve, tolerant_curve : (T, 4) int64 or None
        :func:`unetfast.metrics.hit_counts` at :data:`THRESHOLDS` without and with the tolerance;
        for binary models that answer probabilities.
    tolerant, centreline : (4,) int64 or None
        Hits with the tolerance, and those of the centre lines, of the labels themselves; binary.
    """

    id: str
    confusion: NDArray[np.int64]
    curve: NDArray[np.int64] | None = None
    tolerant_curve: NDArray[np.int64] | None = None
    tolerant: NDArray[np.int64] | None = None
    centreline: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Evaluation:
    """The scores of a set of images.

    Attributes
    ----------
    images : list of ImageScore
    classes : tuple of str
    binary : bool
        Of a binary task, the foreground is what counts; of others, the mean over classes.
    threshold : float
    tolerance_px : float or None
        None: scores of thin structures were not asked for.
    """

    images: list[ImageScore]
    classes: tuple[str, ...]
    binary: bool
    threshold: float
    tolerance_px: float | None = None

    @property
    def confusion(self) -> NDArray[np.int64]:
        """(K, K) int64, summed over the images."""
        start = np.zeros((len(self.classes), len(self.classes)), np.int64)
        return sum((image.confusion for image in self.images), start)

    @property
    def curve(self) -> NDArray[np.int64] | None:
        """(T, 4) int64 hits at :data:`THRESHOLDS`, summed over the images."""
        return _total([image.curve for image in self.images])

    def curves(self) -> dict[str, NDArray[np.int64]]:
        """Hits at :data:`THRESHOLDS` by name, without and with the tolerance; empty without probabilities."""
        plain, tolerant = self.curve, _total([image.tolerant_curve for image in self.images])
        lines = {} if plain is None else {"exact": plain}
        return lines if tolerant is None else {**lines, f"within {self.tolerance_px:g} px": tolerant}

    def best_threshold(self) -> float:
        """Threshold of the best pooled Dice; 0.5 where there is no foreground at all.

        Where several do equally well, as on a clean set, it is the middle one.
        """
        curve = self.curve
        if curve is None or not curve[:, 3].any():
            return 0.5
        dice = f1(curve)
        return float(np.median(THRESHOLDS[dice >= np.nanmax(dice) - 1e-12]))

    def at(self, threshold: float) -> Evaluation:
        """Move the threshold of a binary evaluation, reading the counts off the curves.

        Scores of thin structures are left out: they need the images again.
        """
        index = int(np.argmin(np.abs(THRESHOLDS - threshold)))
        moved = []
        for image in self.images:
            assert image.curve is not None, "only binary evaluations of probabilities have curves"
            hit, predicted, _, true = image.curve[index]
            rest = image.confusion.sum() - true - predicted + hit
            confusion = np.array([[rest, predicted - hit], [true - hit, hit]])
            moved.append(ImageScore(image.id, confusion, image.curve))
        return Evaluation(moved, self.classes, self.binary, float(THRESHOLDS[index]))

    def headline(self) -> dict[str, float]:
        """Pooled Dice, IoU, precision and recall: of the foreground, or the mean over classes."""
        return self._headline(self.confusion)

    def image_rows(self) -> list[dict[str, Any]]:
        """One row per image: id and its own headline scores."""
        return [self._image_row(image) for image in self.images]

    def summary(self) -> dict[str, Any]:
        """All scores as plain values, for ``metrics.json``; None where a score is 0 / 0."""
        rows = self.image_rows()
        image_mean = (
            {name: _mean([row[name] for row in rows]) for name in rows[0] if name != "id"} if rows else {}
        )
        pooled = scores(self.confusion)
        content = {
            "images": len(self.images),
            "classes": list(self.classes),
            "threshold": self.threshold if self.binary else None,
            "tolerance_px": self.tolerance_px,
            "headline": "foreground" if self.binary else "mean over classes",
            "pooled": {**self.headline(), "accuracy": pooled["accuracy"], **self._thin()},
            "image_mean": image_mean,
            "pooled_per_class": {
                name: {score: float(pooled[score][k]) for score in _NAMES}
                for k, name in enumerate(self.classes)
            },
            "confusion": self.confusion.tolist(),
        }
        plain: dict[str, Any] = _without_nan(content)
        return plain

    def _headline(self, confusion: NDArray[np.int64]) -> dict[str, float]:
        found = scores(confusion)
        return {name: float(found[name][1]) if self.binary else _mean(found[name]) for name in _NAMES}

    def _image_row(self, image: ImageScore) -> dict[str, Any]:
        row = {"id": image.id, **self._headline(image.confusion)}
        row["accuracy"] = scores(image.confusion)["accuracy"]
        if image.tolerant is not None and image.centreline is not None:
            row["tolerance_f1"], row["cldice"] = float(f1(image.tolerant)), float(f1(image.centreline))
        return row

    def _thin(self) -> dict[str, float]:
        tolerant = _total([image.tolerant for image in self.images])
        centreline = _total([image.centreline for image in self.images])
        curves = [image.tolerant_curve for image in self.images]
        found: dict[str, float] = {}
        if tolerant is not None and centreline is not None:
            found = {"tolerance_f1": float(f1(tolerant)), "cldice": float(f1(centreline))}
        pooled = _total(curves)
        if pooled is not None:
            # As the Berkeley benchmark defines them: one best threshold for the whole set, and
            # the counts pooled with each image at its own best.
            best = [_at_its_best(curve) for curve in curves if curve is not None]
            found["ods_f1"] = float(np.nanmax(f1(pooled), initial=0.0))
            found["ois_f1"] = float(f1(np.sum(best, axis=0)))
        return found


def score(
    id: str,
    truth: NDArray[np.uint8],
    answer: NDArray[Any],
    spec: ModelSpec,
    tolerance_px: float | None = None,
) -> ImageScore:
    """Count one image.

    Parameters
    ----------
    id : str
    truth : (H, W) uint8
        Class ids, 255 where a pixel does not count.
    answer : (H, W) uint8 class ids or (H, W, K) float32 probabilities
    spec : ModelSpec
        Its threshold turns probabilities into labels.
    tolerance_px : float, optional
        Also count what thin structures need (binary only).
    """
    labels = labels_of(answer, spec)
    confusion = confusion_matrix(truth, labels, len(spec.classes))
    if spec.task != "binary":
        return ImageScore(id, confusion)
    probability = answer[:, :, 0] if answer.ndim == 3 else None
    curve = None if probability is None else hit_counts(truth, probability, THRESHOLDS)
    if tolerance_px is None:
        return ImageScore(id, confusion, curve)
    return ImageScore(
        id,
        confusion,
        curve,
        None if probability is None else hit_counts(truth, probability, THRESHOLDS, tolerance_px),
        hit_counts(truth, labels, np.array([0.5]), tolerance_px)[0],
        cldice_counts(truth, labels == 1),
    )


def read_pairs(samples: Iterable[Sample], encoding: LabelEncoding, channels: int) -> Iterator[Pair]:
    """Read images and truths in order, a few ahead in threads."""

    def read(sample: Sample) -> Pair:
        return sample.id, *read_pair(sample, encoding, channels)

    return in_threads(read, samples, threads=2)


def evaluate(
    predict: Predict,
    samples: Iterable[Sample],
    encoding: LabelEncoding,
    spec: ModelSpec,
    *,
    tolerance_px: float | None = None,
) -> Evaluation:
    """Measure a model on samples.

    Parameters
    ----------
    predict : callable
        (H, W, C) uint8 to (H, W) uint8 class ids or (H, W, K) float32 probabilities; see
        :func:`unetfast.backends.whole.predictor`.
    encoding : LabelEncoding
        How the masks' values are read as class ids.
    tolerance_px : float, optional
        Of a binary task, also measure what thin structures need: F1 with this tolerance, ODS and
        OIS, centreline Dice.

    Raises
    ------
    ImageError, DatasetError
        When a sample cannot be read.
    """
    found = [
        score(id_, truth, predict(image), spec, tolerance_px)
        for id_, image, truth in read_pairs(samples, encoding, spec.preprocess.channels)
    ]
    thin = tolerance_px if spec.task == "binary" else None
    return Evaluation(found, spec.classes, spec.task == "binary", spec.threshold, thin)


def _at_its_best(curve: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the row of (T, 4) counts with the best F1; without any truth, that of the least predicted."""
    if not curve[0, 3]:
        return np.asarray(curve[-1])
    return np.asarray(curve[int(np.argmax(f1(curve)))])


def _total(counts: list[NDArray[np.int64] | None]) -> NDArray[np.int64] | None:
    present = [count for count in counts if count is not None]
    total: NDArray[np.int64] | None = np.sum(present, axis=0) if present else None
    return total


def _mean(values: Any) -> float:
    """Mean without NaN; NaN of nothing."""
    array = np.asarray(values, np.float64)
    array = array[~np.isnan(array)]
    return float(array.mean()) if array.size else float("nan")


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value
