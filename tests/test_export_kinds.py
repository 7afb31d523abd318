"""Kinds of artifacts beside ONNX: Triton, safetensors, one file for two runtimes; last-resort images."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import exported
import numpy as np
import onnx
import pytest
import torch

from unetfast import backends, checkpoint
from unetfast.errors import ArtifactError, ParityError
from unetfast.export import onnx as graph
from unetfast.export.build import export
from unetfast.export.samples import collect
from unetfast.export.settings import ExportSettings


def triton_grammar() -> Any:
    """Return the protobuf messages of Triton's config.pbtxt; its package as a whole would want grpc."""
    package = importlib.util.find_spec("tritonclient")
    if package is None or not package.submodule_search_locations:
        pytest.skip("pip install tritonclient to check the grammar of config.pbtxt")
    file = Path(package.submodule_search_locations[0], "grpc", "model_config_pb2.py")
    spec = importlib.util.spec_from_file_location("model_config_pb2", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("kind", "classes", "channels"), [("fp32", 2, 3), ("prob", 2, 3), ("fp32", 3, 1)])
def test_triton_s_config_is_what_the_model_takes_and_gives(
    tmp_path: Path, kind: str, classes: int, channels: int
) -> None:
    from google.protobuf import text_format

    from unetfast.export.triton import write_repository

    grammar = triton_grammar()
    folder = write_repository(exported.artifact(kind, classes, channels), tmp_path)
    config = text_format.Parse((folder / "config.pbtxt").read_text(), grammar.ModelConfig())
    assert (config.name, config.backend, config.max_batch_size) == (folder.name, "onnxruntime", 0)
    model = onnx.load(folder / "1" / "model.onnx").graph
    for said, real in ((config.input[0], model.input[0]), (config.output[0], model.output[0])):
        tensor = real.type.tensor_type
        assert said.name == real.name
        assert list(said.dims) == [dim.dim_value or -1 for dim in tensor.shape.dim]
        wanted = {onnx.TensorProto.UINT8: "TYPE_UINT8", onnx.TensorProto.FLOAT: "TYPE_FP32"}[tensor.elem_type]
        assert grammar.DataType.Name(said.data_type) == wanted


def test_safetensors_carry_everything(tmp_path: Path) -> None:
    settings = ExportSettings(safetensors=True, to=tmp_path / "best.safetensors")
    made = export(exported.trained(), settings, say=lambda _: None)[0]
    assert made.certificate["differing_pixels"] == 0
    before, after = checkpoint.load(exported.trained()), checkpoint.load(made.path)
    assert after.spec == before.spec == backends.read_spec(made.path)
    assert after.model_state.keys() == before.model_state.keys()
    assert all(torch.equal(after.model_state[name], before.model_state[name]) for name in before.model_state)
    assert all(map(torch.equal, after.parity_images, before.parity_images))
    assert all(map(torch.equal, after.parity_labels, before.parity_labels))
    image = exported.pictures()[0][0][None]
    same = backends.load(exported.trained()).infer(image)
    np.testing.assert_array_equal(backends.load(made.path).infer(image), same)


def test_openvino_in_bf16_is_judged_in_bf16_also_where_the_cpu_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There OpenVINO computes in fp32 without a word, and its certificate would say nothing."""
    settings = ExportSettings(openvino=True, bf16=True, to=tmp_path / "best.bf16.xml")
    with exported.traced_once():
        made = export(exported.trained(), settings, say=lambda _: None)[0]
    native = "BF16" in pytest.importorskip("openvino").Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert ("torch_bf16_arithmetic" in made.certificate) is not native
    assert ("computed in fp32" in backends.load(made.path).description) is not native
    monkeypatch.setattr("unetfast.backends.openvino_._computes_in", lambda _: "f32")
    monkeypatch.setattr("unetfast.export.openvino.narrowed", lambda model, _: model.apply(_blank))
    with exported.traced_once(), pytest.raises(ParityError, match="against the checkpoint"):
        export(exported.trained(), settings, say=lambda _: None)
    assert not made.path.exists()


def _blank(layer: torch.nn.Module) -> None:
    for parameter in layer.parameters():
        parameter.data.zero_()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_damaged_safetensors_file_is_refused(tmp_path: Path, share: float) -> None:
    from unetfast import weights

    known = checkpoint.load(exported.trained())
    path = tmp_path / "best.safetensors"
    weights.save(path, known.spec, known.model_state, [], [])
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ArtifactError, match=r"best\.safetensors: not a"):
        backends.load(path)


def test_foreign_safetensors_are_named(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ArtifactError, match="no unetfast spec inside"):
        backends.read_spec(tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_bytes(b"\x05\x00\x00\x00\x00\x00\x00\x00hello")
    with pytest.raises(ArtifactError, match="not a safetensors file"):
        backends.read_spec(tmp_path / "text.safetensors")


def test_int8_is_certified_on_both_cpu_runtimes_and_auto_takes_the_faster() -> None:
    path = exported.artifact("int8")
    also = graph.get_spec(onnx.load(path)).certificate["also"]["openvino"]  # type: ignore[index]
    assert also["passed"]
    assert backends.load(path).name == "openvino"
    assert backends.load(path, backend="onnxruntime").name == "onnxruntime"
    assert backends.load(exported.artifact("fp32")).name == "onnxruntime"


def test_auto_takes_no_runtime_that_the_file_is_not_certified_on(tmp_path: Path) -> None:
    model = onnx.load(exported.artifact("int8"))
    spec = graph.get_spec(model)
    assert spec.certificate is not None
    spec.certificate["also"]["openvino"]["passed"] = False
    graph.put_spec(model, spec)
    graph.write(model, tmp_path / "best.onnx")
    assert backends.load(tmp_path / "best.onnx").name == "onnxruntime"


def test_the_bundled_photos_are_the_last_resort(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    known = checkpoint.load(exported.trained())
    for channels in (1, 2, 3, 5):
        pre = known.spec.preprocess
        spec = known.spec.replace(preprocess=type(pre)(channels, (0.5,) * channels, (0.25,) * channels))
        bare = checkpoint.Checkpoint(spec, known.model_state)
        found = collect(bare, None, tmp_path / "bare.pt")
        assert found.source == "the bundled photos"
        assert len(found.images) >= 8
        assert all(image.dtype == np.uint8 and image.shape[2] == channels for image in found.images)
        assert any(side % 2 for image in found.images for side in image.shape[:2])
    assert "--data FOLDER" in caplog.text


def test_images_of_two_channels_are_exported_and_certified() -> None:  # of five: test_channels.py
    path = exported.artifact("fp32", 3, 2)
    images = np.random.default_rng(3).integers(0, 256, (2, 17, 33, 2), dtype=np.uint8)
    wanted = backends.load(exported.trained(3, 2)).infer(images)
    for backend in ("onnxruntime", "openvino"):
        np.testing.assert_array_equal(backends.load(path, backend=backend).infer(images), wanted)
