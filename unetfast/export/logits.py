"""How far the logits inside an ONNX export are from the checkpoint's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from unetfast.export.onnx import INPUT
from unetfast.models.deployable import Deployable

__all__ = ["logit_difference"]

_DECISIONS = ("Greater", "ArgMax", "Sigmoid", "Softmax")  # what Deployable.answer does with logits


def _logits_name(model: onnx.ModelProto) -> str | None:
    """Return the name of the value that the graph decides on, or None if there is no such node."""
    makers = {name: node for node in model.graph.node for name in node.output}
    name = model.graph.output[0].name
    while name in makers and makers[name].op_type not in _DECISIONS:
        name = makers[name].input[0]
    return str(makers[name].input[0]) if name in makers else None


def logit_difference(
    model: onnx.ModelProto, deployable: Deployable, images: Sequence[NDArray[np.uint8]]
) -> float | None:
    """Return the largest absolute difference of any logit on `images`, (H, W, C) uint8 each."""
    name = _logits_name(model)
    if name is None:
        return None
    open_model = onnx.ModelProto()
    open_model.CopyFrom(model)
    open_model.graph.output.append(onnx.ValueInfoProto(name=name))
    session = ort.InferenceSession(open_model.SerializeToString(), providers=["CPUExecutionProvider"])
    largest = 0.0
    for image in images:
        (found,) = session.run([name], {INPUT: image[None]})
        with torch.inference_mode():
            wanted = deployable.logits(torch.from_numpy(np.ascontiguousarray(image[None]))).numpy()
        largest = max(largest, float(np.abs(wanted.reshape(found.shape) - found).max()))
    return largest
