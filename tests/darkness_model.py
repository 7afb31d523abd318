"""A model of a few lines whose answer anybody can compute: darker than its surroundings.

A pixel is a crack where its grey value (the channels' mean) lies more than 24 below the mean of
the 31x31 window around it. Integer-valued sums in float32 are exact, so tiles, batches and
threads cannot change it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from unetfast.spec import SPEC_KEY, ModelSpec, PreprocessSpec

RADIUS = 15
DEPTH = 24.0


def write_darkness_model(
    path: Path, *, channels: int = 3, classes: tuple[str, ...] = ("background", "crack")
) -> Path:
    """Write the model as an ONNX file with a spec inside; what is dark has the last of the classes."""
    side = 2 * RADIUS + 1
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["float", "last"], ["sum"], keepdims=0),
        helper.make_node("Unsqueeze", ["sum", "one"], ["grey"]),
        helper.make_node(
            "AveragePool",
            ["grey"],
            ["around"],
            kernel_shape=[side, side],
            pads=[RADIUS] * 4,
            count_include_pad=0,
        ),
        helper.make_node("Sub", ["around", "grey"], ["depth"]),
        helper.make_node("Greater", ["depth", "limit"], ["dark"]),
        helper.make_node("Where", ["dark", "found", "nothing"], ["dark8"]),
        helper.make_node("Squeeze", ["dark8", "one"], ["mask"]),
    ]
    graph = helper.make_graph(
        nodes,
        "darkness",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", "h", "w", channels])],
        [helper.make_tensor_value_info("mask", TensorProto.UINT8, ["n", "h", "w"])],
        [
            helper.make_tensor("last", TensorProto.INT64, [1], [3]),
            helper.make_tensor("one", TensorProto.INT64, [1], [1]),
            helper.make_tensor("found", TensorProto.UINT8, [], [len(classes) - 1]),
            helper.make_tensor("nothing", TensorProto.UINT8, [], [0]),
            helper.make_tensor("limit", TensorProto.FLOAT, [], [DEPTH * channels]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    spec = ModelSpec(
        arch="fast",  # small enough for several tiles at once
        classes=classes,
        preprocess=PreprocessSpec(channels=channels, mean=(0.5,) * channels, std=(0.25,) * channels),
        stride_px=1,
        halo_px=RADIUS,
    )
    helper.set_model_props(model, {SPEC_KEY: spec.to_json()})
    onnx.save(model, path)
    return path


def darkness(image: np.ndarray) -> np.ndarray:
    """Compute what the model computes, in NumPy: (H, W, C) uint8 -> (H, W) bool."""
    grey = image.astype(np.int64).sum(axis=2)
    padded = np.pad(grey, RADIUS)
    inside = np.pad(np.ones_like(grey), RADIUS)
    side = 2 * RADIUS + 1

    def window_sums(values: np.ndarray) -> np.ndarray:
        total = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        return total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]

    mean = (window_sums(padded) / window_sums(inside)).astype(np.float32)
    return mean - grey.astype(np.float32) > DEPTH * image.shape[2]
