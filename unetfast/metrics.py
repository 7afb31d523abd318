"""Counts that add up over images, and the scores computed from them.

Everything is NumPy. Class ids are uint8, 255 means "ignore". A score that nothing defines (0 / 0:
the class is neither in the truth nor in the prediction) is NaN, and means over classes or images
leave NaN out; so a metric never hides behind a made-up 0 or 1.

Two ways to average over a set, which differ much on thin structures and are always named:
*pooled* adds the counts of all images first (every pixel weighs the same); *image mean* computes
the score of each image and takes the mean (every image weighs the same).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import InputError
from unetfast.skeleton import skeletonize
from unetfast.spec import IGNORE

__all__ = [
    "cldice_counts",
    "confusion_matrix",
    "f1",
    "hit_counts",
    "scores",
]

Counts = NDArray[np.int64]


def confusion_matrix(truth: NDArray[np.uint8], prediction: NDArray[np.uint8], classes: int) -> Counts:
    """Count pixels by true and predicted class.

    Parameters
    ----------
    truth, prediction : (H, W) uint8
        Class ids; pixels whose truth is 255 are left out.
    classes : int
        Number of classes K.

    Returns
    -------
    (K, K) int64
        Row: true class, column: predicted class. Matrices of several images add up.

    Raises
    ------
    InputError
        When the shapes differ, or an id is neither a class nor 255.
    """
    if truth.shape != prediction.shape:
        raise InputError(f"truth is {truth.shape} but prediction is {prediction.shape}")
    keep = truth != IGNORE
    rows, columns = truth[keep].astype(np.int64), prediction[keep].astype(np.int64)
    if rows.size and max(int(rows.max()), int(columns.max())) >= classes:
        raise InputError(f"class id {max(int(rows.max()), int(columns.max()))} with only {classes} classes")
    return np.bincount(rows * classes + columns, minlength=classes**2).reshape(classes, classes)


def scores(confusion: Counts) -> dict[str, Any]:
    """Compute the scores of a confusion matrix.

    Parameters
    ----------
    confusion : (K, K) int64
        Row: truth, column: prediction.

    Returns
    -------
    dict
        ``"accuracy"``: float. ``"dice"``, ``"iou"``, ``"precision"``, ``"recall"``: (K,) float64,
        per class; NaN where 0 / 0.

    References
    ----------
    Dice is also called F1; IoU is also called Jaccard index.
    """
    hit = np.diag(confusion).astype(np.float64)
    true, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    return {
        "accuracy": float(_ratio(hit.sum(), confusion.sum())),
        "dice": _ratio(2 * hit, true + predicted),
        "iou": _ratio(hit, true + predicted - hit),
        "precision": _ratio(hit, predicted),
        "recall": _ratio(hit, true),
    }


def _ratio(numerator: Any, denominator: Any) -> NDArray[np.float64]:
    numerator, denominator = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    undefined = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    ratio: NDArray[np.float64] = np.divide(numerator, denominator, out=undefined, where=denominator > 0)
    return ratio


def hit_counts(
    truth: NDArray[np.uint8],
    probability: NDArray[Any],
    thresholds: NDArray[np.float64],
    tolerance_px: float = 0.0,
) -> Counts:
    """Count the hits of a binary map at many thresholds, for :func:`f1`.

    A predicted pixel is right when a true pixel lies within `tolerance_px` (Euclidean distance of
    pixel centres); a true pixel is found when a predicted pixel lies within it. With tolerance 0
    the two are the true positives, and F1 is the Dice score.

    Parameters
    ----------
    truth : (H, W) uint8
        0, 1, or 255 for ignore; ignored pixels count neither as truth nor as prediction.
    probability : (H, W) float or bool
        Of class 1, in [0, 1]. A pixel is predicted where it is above the threshold.
    thresholds : (T,) float64
        Ascending.
    tolerance_px : float

    Returns
    -------
    (T, 4) int64
        Right predicted pixels, predicted pixels, found true pixels, true pixels.
    """
    keep, true = truth != IGNORE, truth == 1
    scored = np.where(keep, probability, -1.0).astype(np.float64)
    # The best probability in reach of a true pixel says at which thresholds it is found, so one
    # grey dilation serves all thresholds.
    near_truth, reach = (_dilate(plane, tolerance_px) for plane in (true, scored))
    return np.stack(
        [
            _above(scored[keep & near_truth], thresholds),
            _above(scored[keep], thresholds),
            _above(reach[true], thresholds),
            np.full(len(thresholds), true.sum()),
        ],
        axis=1,
    ).astype(np.int64)


def _above(values: NDArray[np.float64], thresholds: NDArray[np.float64]) -> Counts:
    """How many values lie above each threshold: (T,) int64."""
    passed = np.bincount(np.searchsorted(thresholds, values, side="left"), minlength=len(thresholds) + 1)
    return passed[::-1].cumsum()[::-1][1:]


def _dilate(plane: NDArray[Any], radius_px: float) -> NDArray[Any]:
    """Maximum over the disc of a radius around each pixel; the image's outside does not count."""
    height, width = plane.shape
    result, reach = plane.copy(), int(radius_px)
    for dy in range(-min(reach, height - 1), min(reach, height - 1) + 1):
        for dx in range(-min(reach, width - 1), min(reach, width - 1) + 1):
            if 0 < dy * dy + dx * dx <= radius_px * radius_px:
                target = result[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)]
                source = plane[max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)]
                np.maximum(target, source, out=target)
    return result


def f1(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Harmonic mean of precision and recall.

    Parameters
    ----------
    counts : (..., 4) int64
        Right predicted, predicted, found true, true; as of :func:`hit_counts`.

    Returns
    -------
    (...) float64
        1 is best; 0 where nothing is hit; NaN where nothing is predicted and nothing is true.
    """
    right, predicted, found, true = np.moveaxis(counts.astype(np.float64), -1, 0)
    # 2PR / (P + R) with the fractions cleared, so that an empty side gives 0 and not 0 / 0.
    harmonic = np.nan_to_num(_ratio(2 * right * found, right * true + found * predicted))
    return np.where((predicted > 0) | (true > 0), harmonic, np.nan)


def cldice_counts(truth: NDArray[np.uint8], prediction: NDArray[np.bool_]) -> Counts:
    """Count for centreline Dice, the F1 of skeletons within masks.

    Parameters
    ----------
    truth : (H, W) uint8
        0, 1, or 255 for ignore.
    prediction : (H, W) bool

    Returns
    -------
    (4,) int64
        Skeleton pixels of the prediction within the truth, skeleton pixels of the prediction,
        skeleton pixels of the truth within the prediction, skeleton pixels of the truth: the
        counts for :func:`f1`.

    References
    ----------
    S. Shit et al., "clDice - a Novel Topology-Preserving Loss Function for Tubular Structure
    Segmentation", CVPR 2021, https://arxiv.org/abs/2003.07311
    """
    true, predicted = truth == 1, prediction & (truth != IGNORE)
    thin_true, thin_predicted = skeletonize(true), skeletonize(predicted)
    return np.array(
        [(thin_predicted & true).sum(), thin_predicted.sum(), (thin_true & predicted).sum(), thin_true.sum()],
        dtype=np.int64,
    )
