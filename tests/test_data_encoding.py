"""Mask values become class ids by a table."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_masks import Labels
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from unetfast.data.encoding import LabelEncoding
from unetfast.errors import DatasetError, InputError
from unetfast.imaging import MaskFile


@settings(max_examples=60)
@given(
    arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    st.dictionaries(st.integers(0, 255), st.integers(0, 254) | st.just(255), min_size=1, max_size=20),
    st.none() | st.integers(0, 255),
)
def test_tables_are_looked_up_pixel_by_pixel(
    values: Labels, table: dict[int, int], other: int | None
) -> None:
    encoding = LabelEncoding("grey", "exact", tuple(table.items()), other, ("a", "b"))
    mask = MaskFile(values, None, "L")
    expected = [[table.get(int(v), other) for v in row] for row in values]
    if any(None in row for row in expected):
        with pytest.raises(DatasetError):
            encoding.apply(mask, "m")
    else:
        np.testing.assert_array_equal(encoding.apply(mask, "m"), np.array(expected, np.uint8))
    coloured = LabelEncoding(
        "colour", "exact", tuple((v * 0x010101, i) for v, i in table.items()), other, ("a", "b")
    )
    if other is not None:
        rgb = MaskFile(np.repeat(values[:, :, None], 3, axis=2), None, "RGB")
        np.testing.assert_array_equal(coloured.apply(rgb, "m"), np.array(expected, np.uint8))


def test_encodings_travel_as_plain_values() -> None:
    encoding = LabelEncoding("colour", "nearest", ((0, 0), (255, 1), (65280, 255)), None, ("a", "b"))
    assert LabelEncoding.from_dict(encoding.to_dict()) == encoding
    with pytest.raises(InputError, match="not a label encoding"):
        LabelEncoding.from_dict({"domain": "grey"})
