"""Metrics against scikit-learn and against slow, plainly written versions."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from sklearn import metrics as oracle

from unetfast.errors import InputError
from unetfast.metrics import cldice_counts, confusion_matrix, f1, hit_counts, scores
from unetfast.skeleton import skeletonize

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12))


@st.composite
def _labels(draw: st.DrawFn, classes: int = 4) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    shape = draw(SHAPES)
    ids = st.one_of(st.integers(0, classes - 1), st.just(255))
    truth = draw(arrays(np.uint8, shape, elements=ids))
    return truth, draw(arrays(np.uint8, shape, elements=st.integers(0, classes - 1)))


@settings(max_examples=60)
@given(_labels())
def test_scores_are_those_of_scikit_learn(pair: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> None:
    truth, prediction = pair
    counts = confusion_matrix(truth, prediction, 4)
    keep = truth != 255
    if not keep.any():
        assert counts.sum() == 0
        assert np.isnan(scores(counts)["accuracy"])
        return
    t, p = truth[keep], prediction[keep]
    assert (counts == oracle.confusion_matrix(t, p, labels=range(4))).all()
    found = scores(counts)
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(t, p), abs=1e-6)
    expected = {
        "dice": oracle.f1_score(t, p, labels=range(4), average=None, zero_division=np.nan),
        "iou": oracle.jaccard_score(t, p, labels=range(4), average=None, zero_division=0.0),
        "precision": oracle.precision_score(t, p, labels=range(4), average=None, zero_division=np.nan),
        "recall": oracle.recall_score(t, p, labels=range(4), average=None, zero_division=np.nan),
    }
    expected["iou"][counts.sum(axis=0) + counts.sum(axis=1) == 0] = np.nan  # it has no NaN of its own
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-6, err_msg=name)


def test_pooled_and_image_mean_differ_as_named() -> None:
    small, large = np.array([[1, 0]], np.uint8), np.array([[1, 1, 1, 0]], np.uint8)
    parts = [confusion_matrix(small, small, 2), confusion_matrix(large, np.zeros_like(large), 2)]
    pooled = scores(parts[0] + parts[1])["dice"][1]
    image_mean = np.mean([scores(part)["dice"][1] for part in parts])
    assert pooled == pytest.approx(2 * 1 / (4 + 1))
    assert image_mean == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        (np.zeros((2, 2)), np.zeros((2, 3)), "truth is"),
        (np.full((2, 2), 7), np.zeros((2, 2)), "class id 7 with only 2 classes"),
        (np.zeros((2, 2)), np.full((2, 2), 255), "class id 255"),
    ],
)
def test_bad_labels_are_refused(
    truth: NDArray[np.uint8], prediction: NDArray[np.uint8], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        confusion_matrix(truth.astype(np.uint8), prediction.astype(np.uint8), 2)


def _slow_hits(truth: NDArray[np.uint8], predicted: NDArray[np.bool_], tolerance: float) -> list[int]:
    true_at = np.argwhere(truth == 1)
    predicted_at = np.argwhere(predicted & (truth != 255))

    def near(points: NDArray[np.int64], others: NDArray[np.int64]) -> int:
        return sum(
            bool(len(others)) and np.linalg.norm(others - p, axis=1).min() <= tolerance for p in points
        )

    return [near(predicted_at, true_at), len(predicted_at), near(true_at, predicted_at), len(true_at)]


@settings(max_examples=60)
@given(st.data(), st.sampled_from([0.0, 1.0, 1.5, 2.0, 5.0]))
def test_tolerant_hits_are_those_of_all_pairs_of_pixels(data: st.DataObject, tolerance: float) -> None:
    shape = data.draw(SHAPES)
    truth = data.draw(arrays(np.uint8, shape, elements=st.sampled_from([0, 0, 1, 255])))
    probability = data.draw(arrays(np.float32, shape, elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])))
    thresholds = np.array([0.0, 0.25, 0.4, 0.9])
    found = hit_counts(truth, probability, thresholds, tolerance)
    for row, threshold in zip(found, thresholds, strict=True):
        assert row.tolist() == _slow_hits(truth, probability > threshold, tolerance)


@settings(max_examples=40)
@given(_labels(classes=2))
def test_f1_without_tolerance_is_dice(pair: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> None:
    truth, prediction = pair
    found = f1(hit_counts(truth, prediction == 1, np.array([0.5])))
    np.testing.assert_allclose(
        found[0], scores(confusion_matrix(truth, prediction, 2))["dice"][1], atol=1e-12
    )


def test_precision_recall_curve_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth, probability = rng.integers(0, 2, (20, 30), np.uint8), rng.random((20, 30))
    precision, recall, at = oracle.precision_recall_curve(truth.ravel(), probability.ravel())
    counts = hit_counts(truth, probability, np.nextafter(at, -1))  # ours is >, theirs >=
    np.testing.assert_allclose(counts[:, 0] / counts[:, 1], precision[:-1], atol=1e-12)
    np.testing.assert_allclose(counts[:, 2] / counts[:, 3], recall[:-1], atol=1e-12)


def test_f1_by_hand() -> None:
    counts = np.array([[3, 4, 2, 5], [0, 4, 0, 5], [0, 0, 0, 5], [0, 4, 0, 0], [0, 0, 0, 0]])
    precision, recall = 3 / 4, 2 / 5
    expected = [2 * precision * recall / (precision + recall), 0, 0, 0, np.nan]
    np.testing.assert_allclose(f1(counts), expected)


@settings(max_examples=80)
@given(arrays(np.bool_, SHAPES))
def test_skeleton_is_thin_and_keeps_every_part(mask: NDArray[np.bool_]) -> None:
    thin = skeletonize(mask)
    assert not (thin & ~mask).any()
    parts, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    thin_parts, _ = cv2.connectedComponents(thin.astype(np.uint8), connectivity=8)
    assert parts == thin_parts
    assert set(np.unique(labels[thin])) == set(range(1, parts))
    assert (skeletonize(thin) == thin).all()


def _slow_thinning(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Guo and Hall's A1, pixel by pixel."""
    image = np.pad(mask, 1).astype(int)
    ring = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]
    changed = True
    while changed:
        changed = False
        for half in (0, 1):
            delete = []
            for y, x in np.argwhere(image):
                p = [image[y + dy, x + dx] for dy, dx in ring]
                crossings = sum(not p[i] and (p[i + 1] or p[(i + 2) % 8]) for i in (0, 2, 4, 6))
                fewest = min(
                    sum(p[i - 1] | p[i] for i in (0, 2, 4, 6)), sum(p[i] | p[i + 1] for i in (0, 2, 4, 6))
                )
                a, b, c, d = ((4, 5, 7, 6), (0, 1, 3, 2))[half]
                if crossings == 1 and 2 <= fewest <= 3 and not ((p[a] or p[b] or not p[c]) and p[d]):
                    delete.append((y, x))
            for at in delete:
                image[at], changed = 0, True
    return image[1:-1, 1:-1].astype(bool)


@settings(max_examples=40)
@given(arrays(np.bool_, SHAPES))
def test_skeleton_is_that_of_the_plain_algorithm(mask: NDArray[np.bool_]) -> None:
    assert (skeletonize(mask) == _slow_thinning(mask)).all()


def test_cldice_sees_a_gap_and_not_the_thickness() -> None:
    truth = np.zeros((21, 60), np.uint8)
    truth[9:12, 5:55] = 1
    thick = cv2.dilate(truth, np.ones((3, 3), np.uint8)) == 1
    gap = truth == 1
    gap[:, 25:35] = False
    assert f1(cldice_counts(truth, thick)) > 0.97
    right, predicted, found, true = cldice_counts(truth, gap)
    assert right == predicted
    assert 0.7 < found / true < 0.9


def test_thresholds_count_down() -> None:
    rng = np.random.default_rng(1)
    counts = hit_counts(rng.integers(0, 2, (9, 9), np.uint8), rng.random((9, 9)), np.linspace(0.1, 0.9, 9), 2)
    assert all((a >= b).all() for a, b in pairwise(counts[:, :3]))
