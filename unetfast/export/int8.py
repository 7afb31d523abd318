"""Static int8: scales of activations from real images, scales of weights per channel.

Two kinds, because the runtimes want opposite things. CPUs (onnxruntime, OpenVINO) multiply unsigned
activations by signed weights, and OpenVINO computes signed activations wrongly without a word;
TensorRT takes signed, symmetric activations and a float bias, and nothing else. The spec says which
kind a file is (``target``), and the backends refuse the other.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType
from onnxruntime.quantization.quantize import quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from unetfast.errors import BackendError
from unetfast.export.onnx import INPUT, put_spec
from unetfast.preprocess import fit
from unetfast.spec import ModelSpec

__all__ = ["CALIBRATORS", "LADDER", "ends", "quantize"]

# In order of cost; the certificate chooses among them.
CALIBRATORS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}

# How many convolutions at the start and at the end stay in float: the next rung is taken when no
# calibrator passes the certificate. On a U-Net of width 16 trained on crackforest/train the Dice
# against the checkpoint was 0.956, 0.964 and 0.987.
LADDER = ((0, 0), (1, 1), (2, 3))

# All that moves data between convolutions must be int8 too, or every convolution pays for the way
# to float and back.
_OPERATORS = ["Conv", "ConvTranspose", "MaxPool", "Concat", "Add", "Resize"]
_CROP_PX = 256  # histograms keep every activation of every image until the end: 16 of 256 px fit


def quantize(
    model: onnx.ModelProto,
    spec: ModelSpec,
    images: Sequence[NDArray[np.uint8]],
    *,
    target: str,
    calibrator: str = "minmax",
    keep: Sequence[str] = (),
) -> onnx.ModelProto:
    """Return the int8 version of an fp32 ONNX model.

    Parameters
    ----------
    model : onnx.ModelProto
        What ``export.onnx.build`` made, in fp32.
    spec : ModelSpec
        Of `model`; the result carries it with precision "int8" and `target`.
    images : sequence of (H, W, C) uint8
        Real images; their middle is used.
    target : {"cpu", "tensorrt"}
    calibrator : str
        A key of :data:`CALIBRATORS`.
    keep : sequence of str
        Names of nodes that stay in float.

    Raises
    ------
    BackendError
        When onnxruntime cannot quantise the model.
    """
    signed = target == "tensorrt"
    try:
        with tempfile.TemporaryDirectory() as folder, _quiet():
            plain, ready, done = (Path(folder, name) for name in ("plain.onnx", "ready.onnx", "int8.onnx"))
            onnx.save(model, str(plain))
            quant_pre_process(str(plain), str(ready), skip_symbolic_shape=True)
            quantize_static(
                str(ready),
                str(done),
                _Crops(images, spec),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=_OPERATORS,
                nodes_to_exclude=list(keep),
                per_channel=True,
                activation_type=QuantType.QInt8 if signed else QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CALIBRATORS[calibrator],
                extra_options={"ActivationSymmetric": signed, "QuantizeBias": not signed},
            )
            quantized: onnx.ModelProto = onnx.load(str(done))
    except Exception as exc:  # the quantiser raises many unrelated types
        raise BackendError(f"onnxruntime cannot quantise {spec.arch}: {type(exc).__name__}: {exc}") from exc
    put_spec(quantized, spec.replace(precision="int8", target=target))
    return quantized


def ends(model: onnx.ModelProto, first: int, last: int) -> list[str]:
    """Name the first and the last convolutions, which lose the most by int8."""
    convolutions = [node.name for node in model.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    return [*convolutions[:first], *convolutions[max(first, len(convolutions) - last) :]]


class _Crops(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """The middle of every image, one at a time; all of one size, as histograms need them."""

    def __init__(self, images: Sequence[NDArray[np.uint8]], spec: ModelSpec) -> None:
        inputs = [fit(image, spec, max(image.shape))[0][1] for image in images]
        height, width = (
            min(_CROP_PX, int(np.median([image.shape[axis] for image in inputs]))) for axis in (0, 1)
        )
        self._crops = iter([_middle(image, height, width)[None] for image in inputs])

    def get_next(self) -> dict[str, Any] | None:
        crop = next(self._crops, None)
        return None if crop is None else {INPUT: crop}


def _middle(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Cut (height, width) out of an image; one that is smaller is mirrored at its edges first."""
    short = max(0, height - image.shape[0]), max(0, width - image.shape[1])
    if any(short):
        image = np.pad(image, ((0, short[0]), (0, short[1]), (0, 0)), mode="symmetric")
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return np.ascontiguousarray(image[top : top + height, left : left + width])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's prints, and its advice on preprocessing, which was followed, off the screen."""
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)
