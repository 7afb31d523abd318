"""Overlays and contact sheets."""

from __future__ import annotations

import numpy as np

from unetfast.imaging.class_colours import class_colour
from unetfast.report.sheet import overlay, page_html, table_html, thumbnail


def test_overlay_changes_classes_only(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    labels = np.zeros((40, 50), np.uint8)
    labels[5:9, 5:9], labels[20:30, 20:30] = 1, 255
    before = image.copy()
    drawn = overlay(image, labels)
    np.testing.assert_array_equal(drawn[labels == 0], image[labels == 0])
    np.testing.assert_allclose(drawn[6, 6], image[6, 6] * 0.45 + np.array(class_colour(1)) * 0.55, atol=1)
    striped = (drawn[labels == 255] != image[labels == 255]).any(axis=1).mean()
    assert 0.4 < striped < 0.6
    np.testing.assert_array_equal(image, before)
    assert overlay(image[:, :, :1], labels).shape == (40, 50, 3)


def test_thin_lines_survive_shrinking() -> None:
    image, labels = np.zeros((400, 600, 3), np.uint8), np.zeros((400, 600), np.uint8)
    labels[201] = 1
    small = thumbnail(image, labels, 100)
    assert max(small.shape) <= 100
    assert (small.any(axis=2).sum(axis=1) > 0).sum() == 1
    strip = thumbnail(np.zeros((5, 3000, 3), np.uint8), np.ones((5, 3000), np.uint8), 100)
    assert strip.shape == (1, 100, 3)


def test_colours_differ() -> None:
    assert len({class_colour(i) for i in range(1, 64)}) == 63
    first = np.array([class_colour(i) for i in range(1, 21)], np.int64)
    apart = np.abs(first[:, None] - first[None]).sum(axis=2) + 1000 * np.eye(20, dtype=np.int64)
    assert apart.min() >= 90, "colours of usual numbers of classes are told apart at half opacity"


def test_html_is_escaped() -> None:
    page = page_html("<x>", table_html(["a"], [["<script>"]]))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
