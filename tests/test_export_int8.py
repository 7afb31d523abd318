"""int8: the types of each kind, what it may not overflow, and which layers stay in float."""

from __future__ import annotations

from pathlib import Path

import exported
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from unetfast import backends, checkpoint
from unetfast.backends import bundled, onnxruntime_
from unetfast.export import onnx as graph
from unetfast.export.build import export
from unetfast.export.int8 import layers, quantize
from unetfast.export.parity import certify, limits_for
from unetfast.export.settings import ExportSettings
from unetfast.imaging import read


def real_images() -> list[NDArray[np.uint8]]:
    return [image for image, _ in exported.pictures(3, 2)]


@pytest.mark.parametrize("target", ["cpu", "tensorrt"])
def test_int8_has_the_types_of_its_kind(target: str) -> None:
    plain = onnx.load(exported.artifact("fp32"))
    model = quantize(plain, graph.get_spec(plain), real_images(), target=target)
    spec = graph.get_spec(model)
    assert (spec.precision, spec.target) == ("int8", target)
    constants = {t.name: t for t in model.graph.initializer}
    biases = {node.input[2] for node in model.graph.node if node.op_type == "Conv" and len(node.input) > 2}
    points = [constants[n.input[2]] for n in model.graph.node if n.op_type == "QuantizeLinear"]
    if target == "cpu":
        assert {t.data_type for t in points} == {onnx.TensorProto.UINT8}
    else:
        assert {t.data_type for t in points} == {onnx.TensorProto.INT8}
        assert not any(onnx.numpy_helper.to_array(t).any() for t in points)  # symmetric
        assert biases <= set(constants)  # float, as they were
    certificate = certify(
        backends.load(exported.trained()),
        onnxruntime_.load_bytes(model.SerializeToString()),
        real_images(),
        limits=limits_for("int8"),
    )
    assert min(value for value in certificate["dice"].values() if value is not None) > 0.9


def test_int8_is_the_same_where_products_of_bytes_are_added_in_16_bits() -> None:
    plain = onnx.load(bundled("crack"))
    photos = Path(__file__).parents[1] / "examples"
    images = [read(photos / f"{name}.jpg").pixels for name in ("stone_tile", "floor_tiles")]
    model = quantize(plain, graph.get_spec(plain), images, target="cpu")
    kernel = next(
        t for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4
    )
    assert np.abs(onnx.numpy_helper.to_array(kernel).astype(int)).max() in (63, 64)  # two of 255 * 64 fit
    exact = onnxruntime.SessionOptions()  # each operator alone: bytes are multiplied as floats
    exact.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    sessions = [onnxruntime.InferenceSession(model.SerializeToString(), options) for options in (None, exact)]
    for image in images:
        fused, plain_ones = (session.run(["mask"], {"image": image[None]})[0] for session in sessions)
        assert fused.any()
        assert (fused != plain_ones).mean() < 0.001


def test_layers_can_stay_in_float() -> None:
    plain = onnx.load(exported.artifact("fp32"))
    convolutions = [node.name for node in plain.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    every = layers(plain)
    assert [name for layer in every for name in layer if name in convolutions] == convolutions
    assert any(len(layer) > 1 for layer in every)  # a concatenation stays with the layer that reads it
    keep = [*every[0], *every[-1]]
    made = quantize(plain, graph.get_spec(plain), real_images(), target="cpu", keep=keep)
    weights = {t.name: t.data_type for t in made.graph.initializer}
    left = [n for n in made.graph.node if n.op_type == "Conv" and n.input[1] in weights]
    assert {n.name for n in left} == {convolutions[0], convolutions[-1]}


def test_int8_keeps_the_layers_in_float_that_it_costs_most(tmp_path: Path) -> None:
    found = checkpoint.load(exported.trained())
    state = dict(found.model_state)
    channel = int(state["stem.1.bias"].argmax())
    for name in ("stem.1.weight", "stem.1.bias"):
        state[name] = torch.where(torch.arange(len(state[name])) == channel, 1e4 * state[name], state[name])
    state["stem.3.weight"] = state["stem.3.weight"].clone()
    state["stem.3.weight"][:, channel] /= 1e4
    kept = {"parity_images": found.parity_images, "parity_labels": found.parity_labels}
    checkpoint.save(tmp_path / "steep.pt", model_state=state, spec=found.spec, **kept)
    lines: list[str] = []
    (made,) = export(tmp_path / "steep.pt", ExportSettings(int8=True), say=lines.append)
    first, second = layers(onnx.load(exported.artifact("fp32")))[:2]
    assert set(made.certificate["kept_fp32"]) == {*first, *second}  # the channel lies between them
    scores = [float(line.rpartition(" ")[2]) for line in lines if "Dice against the checkpoint" in line]
    assert max(scores[:3]) < 0.98 < scores[-1]


def test_a_network_that_looks_several_times_has_its_layers_once() -> None:
    plain = onnx.load(bundled("crack"))
    convolutions = {node.name: node.input[1] for node in plain.graph.node if node.op_type == "Conv"}
    kernels = [{convolutions[name] for name in layer if name in convolutions} for layer in layers(plain)]
    assert all(len(kernel) == 1 for kernel in kernels)
    assert len(set.union(*kernels)) == len(kernels)
    assert len(layers(plain)[0]) == 3
    made = quantize(plain, graph.get_spec(plain), real_images(), target="cpu", keep=layers(plain)[-1])
    makers = {name: node.op_type for node in made.graph.node for name in node.output}
    enlarged = [node for node in made.graph.node if node.op_type == "Conv" and "doubling" in node.input[1]]
    assert len(enlarged) == 2
    for node in enlarged:  # the logits of the views are not rounded, nor is what enlarges them
        assert _made(node, makers) == ["Pad", ""]
        (summed,) = (user for user in made.graph.node if node.output[0] in user.input)
        assert (summed.op_type, _made(summed, makers)) == ("Add", ["Conv", "Conv"])


def _made(node: onnx.NodeProto, makers: dict[str, str]) -> list[str]:
    return [makers.get(name, "") for name in node.input]
