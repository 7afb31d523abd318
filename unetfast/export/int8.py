"""Static int8: scales of activations from real images, scales of weights per channel.

Two kinds, because the runtimes want opposite things. CPUs (onnxruntime, OpenVINO) multiply unsigned
activations by signed weights, and OpenVINO computes signed activations wrongly without a word;
TensorRT takes signed, symmetric activations and a float bias, and nothing else. The spec says which
kind a file is (``target``), and the backends refuse the other.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import create_calibrator
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.shape_inference import quant_pre_process

from unetfast.errors import BackendError
from unetfast.export.onnx import INPUT, put_spec
from unetfast.imaging import middle
from unetfast.preprocess import fit
from unetfast.spec import ModelSpec

__all__ = ["CALIBRATORS", "Calibrated", "calibrate", "layers", "quantize", "scaled"]

# In order of cost; the certificate chooses among them.
CALIBRATORS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}
# onnxruntime's default for entropy, 128 bins for 128 steps, always finds the whole range.
_BINS = {"entropy": {"num_bins": 512}}

# All that moves data between convolutions must be int8 too, or every convolution pays for the way
# to float and back. So must ReLU: its scale is then the convolution's own, and the two become one
# (a U-Net of width 16: 26.2 -> 21.1 ms in onnxruntime, 20.7 -> 18.0 in OpenVINO; the same masks).
_CONVOLUTIONS = ("Conv", "ConvTranspose")
_MOVING = ("MaxPool", "Concat", "Add", "Resize")
_OPERATORS = [*_CONVOLUTIONS, *_MOVING, "Relu"]
_CROP_PX = 256  # histograms keep every activation of every image until the end: 16 of 256 px fit


@dataclass(frozen=True)
class Calibrated:
    """A model made ready for int8, and the range of every activation, as onnxruntime's tools keep them."""

    model: onnx.ModelProto
    ranges: Any
    target: str


def quantize(
    model: onnx.ModelProto,
    spec: ModelSpec,
    images: Sequence[NDArray[np.uint8]],
    *,
    target: str,
    calibrator: str = "minmax",
    keep: Sequence[str] = (),
) -> onnx.ModelProto:
    """Return the int8 version of an fp32 ONNX model: :func:`calibrate`, then :func:`scaled`."""
    return scaled(calibrate(model, spec, images, target=target, calibrator=calibrator), spec, keep)


def calibrate(
    model: onnx.ModelProto,
    spec: ModelSpec,
    images: Sequence[NDArray[np.uint8]],
    *,
    target: str,
    calibrator: str = "minmax",
) -> Calibrated:
    """Measure the range of every activation on real images.

    Parameters
    ----------
    model : onnx.ModelProto
        What ``export.onnx.build`` made, in fp32.
    spec : ModelSpec
        Of `model`.
    images : sequence of (H, W, C) uint8
        Real images; their middle is used.
    target : {"cpu", "tensorrt"}
    calibrator : str
        A key of :data:`CALIBRATORS`.

    Raises
    ------
    BackendError
        When onnxruntime cannot calibrate the model.
    """
    # Else percentile measures a range about 0, and behind a ReLU half of it holds nothing.
    options = {"symmetric": target == "tensorrt", **_BINS.get(calibrator, {})}
    with _tools(spec), tempfile.TemporaryDirectory() as folder:
        plain, ready, watched = (Path(folder, name) for name in ("plain.onnx", "ready.onnx", "watched.onnx"))
        onnx.save(model, str(plain))
        quant_pre_process(str(plain), str(ready), skip_symbolic_shape=True)
        observer = create_calibrator(
            str(ready),
            _OPERATORS,
            augmented_model_path=str(watched),
            calibrate_method=CALIBRATORS[calibrator],
            extra_options=options,
        )
        observer.collect_data(_Crops(images, spec))
        return Calibrated(onnx.load(str(ready)), observer.compute_data(), target)


def scaled(calibrated: Calibrated, spec: ModelSpec, keep: Sequence[str] = ()) -> onnx.ModelProto:
    """Return the int8 model: every operator between its scales.

    Parameters
    ----------
    calibrated : Calibrated
    spec : ModelSpec
        The result carries it with precision "int8" and the target.
    keep : sequence of str
        Names of nodes that stay in float.

    Raises
    ------
    BackendError
        When onnxruntime cannot quantise the model.
    """
    signed = calibrated.target == "tensorrt"
    with _tools(spec):
        quantizer = QDQQuantizer(
            copy.deepcopy(calibrated.model),
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QInt8 if signed else QuantType.QUInt8,
            tensors_range=calibrated.ranges,
            nodes_to_quantize=[],
            nodes_to_exclude=[*keep, *_outside(calibrated.model)],
            op_types_to_quantize=_OPERATORS,
            extra_options={
                "ActivationSymmetric": signed,
                "QuantizeBias": not signed,
                "TensorQuantOverrides": {} if signed else _seven_bits(calibrated.model, keep),
                # TensorRT fuses a convolution with the ReLU behind it only where nothing is quantised
                # between them, and signed scales are not moved behind the ReLU as unsigned ones are.
                "OpTypesToExcludeOutputQuantization": ["Conv", "ConvTranspose"] if signed else [],
            },
        )
        quantizer.quantize_model()
        made: onnx.ModelProto = quantizer.model.model
    put_spec(made, spec.replace(precision="int8", target=calibrated.target))
    return made


def layers(model: onnx.ModelProto) -> list[list[str]]:
    """Name the nodes of each layer: a convolution and what only moves or adds data before it.

    A network that looks several times runs a layer, which is one kernel, as often.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    outside = set(_outside(model))
    found: dict[str, list[str]] = {}
    for node in model.graph.node:
        if _learnt(node):
            layer = found.setdefault(node.input[1], [])
            before = makers.get(node.input[0])
            if before is not None and before.op_type in _MOVING and before.name not in outside:
                layer.append(before.name)
            layer.append(node.name)
    return list(found.values())


def _seven_bits(model: onnx.ModelProto, keep: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Give the weights that multiply an image 7 bits.

    CPUs without dot products of bytes (AVX2) add two products of a byte with a byte in 16 bits, without a
    word when they do not fit: 2 * 255 * 127 does not, 2 * 255 * 64 does. Behind a ReLU nearly all are
    far below 255; of an image they are not. With 8 bits the bundled model of 0.85 GFLOP had a Dice of 0.87
    against its checkpoint there and of 0.98 without that loss; with 7 bits it has 0.975 both ways.
    """
    first = next(node for node in model.graph.node if _learnt(node))
    return {} if first.name in keep else {first.input[1]: [{"axis": 0, "reduce_range": True}]}


def _learnt(node: onnx.NodeProto) -> bool:
    """Say whether a node is a convolution of the network, and not one that only enlarges a map."""
    return node.op_type in _CONVOLUTIONS and str(node.input[1]).endswith(".weight")


def _outside(model: onnx.ModelProto) -> list[str]:
    """Name the nodes before the first convolutions and behind the last: images and logits are not rounded."""
    behind: set[str] = set()  # tensors that depend on a convolution
    for node in model.graph.node:  # ONNX has them in order
        if _learnt(node) or behind.intersection(node.input):
            behind.update(node.output)
    before: set[str] = set()  # and those that one depends on
    for node in reversed(model.graph.node):
        if _learnt(node) or before.intersection(node.output):
            before.update(node.input)
    return [
        node.name
        for node in model.graph.node
        if not _learnt(node) and not (behind.intersection(node.output) and before.intersection(node.output))
    ]


class _Crops(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """The middle of every image, one at a time; all of one size, as histograms need them."""

    def __init__(self, images: Sequence[NDArray[np.uint8]], spec: ModelSpec) -> None:
        inputs = [fit(image, spec, max(*image.shape, spec.stride_px))[0][1] for image in images]
        height, width = (
            min(_CROP_PX, int(np.median([image.shape[axis] for image in inputs]))) for axis in (0, 1)
        )
        self._crops = iter([middle(image, height, width)[None] for image in inputs])

    def get_next(self) -> dict[str, Any] | None:
        crop = next(self._crops, None)
        return None if crop is None else {INPUT: crop}


@contextlib.contextmanager
def _tools(spec: ModelSpec) -> Iterator[None]:
    """Keep the prints of onnxruntime's tools off the screen, and make their many errors one."""
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except Exception as exc:  # they raise many unrelated types
        raise BackendError(f"onnxruntime cannot quantise {spec.arch}: {type(exc).__name__}: {exc}") from exc
    finally:
        logging.disable(logging.NOTSET)
