from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import exported
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import unetfast
from unetfast import backends, imaging
from unetfast.backends import openvino_, tensorrt_
from unetfast.backends.artifact import read_sidecar
from unetfast.backends.base import Backend
from unetfast.backends.onnx_header import read_header
from unetfast.errors import (
    ArtifactError,
    BackendError,
    ConfigError,
    InputError,
    MissingDependencyError,
)
from unetfast.export import onnx as graph
from unetfast.spec import SPEC_KEY, ModelSpec

KINDS = ["torch", "onnxruntime", "openvino"]


def opened(kind: str, classes: int = 2, channels: int = 3) -> Backend:
    path = (
        exported.trained(classes, channels)
        if kind == "torch"
        else exported.artifact("fp32", classes, channels)
    )
    return backends.load(path, backend=kind, threads=1)


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    return opened(request.param)


def images(n: int = 2, h: int = 37, w: int = 53, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (n, h, w, channels), dtype=np.uint8)


def test_contract(backend: Backend) -> None:
    assert isinstance(backend, Backend)
    assert backend.name in KINDS
    assert backend.spec.classes == ("background", "line")
    answer = backend.infer(images())
    assert answer.shape == (2, 37, 53)
    assert answer.dtype == np.uint8
    assert set(np.unique(answer)) <= {0, 1}


def test_a_batch_equals_its_images(backend: Backend) -> None:
    batch = images(3)
    together = backend.infer(batch)
    for i in range(3):
        np.testing.assert_array_equal(backend.infer(batch[i : i + 1])[0], together[i])


def test_input_may_be_any_view_and_is_left_alone(backend: Backend) -> None:
    batch = images()
    plain = backend.infer(batch)
    view = np.asfortranarray(batch)
    view.flags.writeable = False
    np.testing.assert_array_equal(backend.infer(view), plain)
    np.testing.assert_array_equal(batch, images())
    np.testing.assert_array_equal(backend.infer(batch[:, ::-1][:, ::-1]), plain)


def test_an_answer_outlives_the_next_call(backend: Backend) -> None:
    first = backend.infer(images())
    kept = first.copy()
    backend.infer(255 - images())
    np.testing.assert_array_equal(first, kept)


def test_threads_may_share_a_backend(backend: Backend) -> None:
    batches = [np.roll(images(1), shift, axis=2) for shift in range(8)]
    alone = [backend.infer(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        for got, expected in zip(pool.map(backend.infer, batches * 3), alone * 3, strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (images()[0], "must be"),
        (images().astype(np.float32), "float32"),
        (images()[..., :1], "takes 3 channels"),
        (images()[:, :0], "at least one pixel"),
        ([[0]], "list"),
    ],
)
def test_wrong_input_is_named(backend: Backend, bad: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        backend.infer(bad)  # type: ignore[arg-type]


def test_a_closed_backend_says_so(backend: Backend) -> None:
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.infer(images())


@pytest.mark.parametrize(("classes", "channels"), [(2, 3), (3, 1)])
def test_all_backends_agree(classes: int, channels: int) -> None:
    batch = np.stack([image[:33, :48] for image, _ in exported.pictures(channels, classes)])
    answers = [opened(kind, classes, channels).infer(batch) for kind in KINDS]
    assert len(np.unique(answers[0])) == classes
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer, answers[0])


def test_probabilities_agree() -> None:
    path = exported.artifact("prob")
    answers = [backends.load(path, backend=kind).infer(images()) for kind in ("onnxruntime", "openvino")]
    assert answers[0].shape == (2, 37, 53, 1)
    assert answers[0].dtype == np.float32
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "window"),
    [
        ("tunnel_wall", np.s_[100:431, 200:717]),
        ("painted_steel", np.s_[300:317, 600:633]),
        ("painted_steel", np.s_[450:451, 700:701]),
        ("stone_tile", np.s_[:, :]),
    ],
)
def test_the_readme_s_lines_give_the_mask_of_run(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, window: Any
) -> None:
    from unetfast.pipeline.run import run
    from unetfast.pipeline.settings import RunSettings

    photo = imaging.read(root / "examples" / f"{name}.jpg").pixels[window]
    imaging.write(tmp_path / "photo.png", imaging.Picture(np.ascontiguousarray(photo), "png"))
    shutil.copy(root / "unetfast" / "assets" / "crack.onnx", tmp_path / "best.onnx")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (root / "README.md").read_text(), re.DOTALL)
    (lines,) = [block for block in blocks if "InferenceSession" in block]
    names: dict[str, Any] = {}
    exec(lines, names)  # exactly what is in the README

    summary = run(["photo.png"], "out", RunSettings(save_masks=True), model="best.onnx")
    assert summary.done == 1
    mask = imaging.read_mask(Path("out/masks/photo.png")).values
    np.testing.assert_array_equal(names["mask"] > 0, mask.reshape(mask.shape[:2]) > 0)
    np.testing.assert_array_equal(names["mask"], unetfast.load("best.onnx").segment(photo))


def test_onnxruntime_needs_neither_torch_nor_onnx() -> None:
    code = (
        "import sys, numpy as np\n"
        "from unetfast import backends\n"
        f"backend = backends.load({str(exported.artifact('fp32'))!r})\n"
        "backend.infer(np.zeros((1, 20, 20, 3), np.uint8))\n"
        "sys.exit(' '.join({'torch', 'onnx', 'openvino'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("device", ["cuda", "tensorrt:1"])
def test_a_gpu_that_onnxruntime_lacks_is_not_replaced_by_the_cpu(device: str) -> None:
    from unetfast.backends import onnxruntime_

    if "TensorrtExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has GPUs")
    with pytest.raises(MissingDependencyError, match="onnxruntime-gpu"):
        onnxruntime_.load(exported.artifact("fp32"), device=device)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_device_is_refused(kind: str) -> None:
    path = exported.trained() if kind == "torch" else exported.artifact("fp32")
    with pytest.raises(ConfigError, match="device"):
        backends.load(path, backend=kind, device="tpu")


def test_a_backend_refuses_what_it_cannot_open(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="backends that can: torch"):
        backends.load(exported.trained(), backend="onnxruntime")
    with pytest.raises(ConfigError, match="threads must be in"):
        backends.load(exported.trained(), threads=99999)
    with pytest.raises(ArtifactError, match=r"none\.onnx: no such"):
        backends.load(tmp_path / "none.onnx")
    (tmp_path / "model.h5").write_bytes(b"x")
    with pytest.raises(ArtifactError, match="not a model file"):
        backends.load(tmp_path / "model.h5")


# --- artifacts from strangers -------------------------------------------------------------------


def changed(tmp_path: Path, change: object) -> Path:
    model = onnx.load(exported.artifact("fp32"))
    change(model)  # type: ignore[operator]
    path = tmp_path / "changed.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def with_spec(tmp_path: Path, **changes: object) -> Path:
    def change(model: onnx.ModelProto) -> None:
        graph.put_spec(model, graph.get_spec(model).replace(**changes))

    return changed(tmp_path, change)


def test_header_reads_what_onnx_reads() -> None:
    path = exported.artifact("fp32")
    model, header = onnx.load(path), read_header(path)
    assert header.metadata == {entry.key: entry.value for entry in model.metadata_props}
    assert header.producer.startswith("unetfast")
    assert header.external == ()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["onnxruntime", "openvino"])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float, kind: str) -> None:
    data = exported.artifact("fp32").read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ArtifactError, match=re.escape(str(path))):
        backends.load(path, backend=kind)


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    path = exported.folder() / "fuzz.onnx"
    path.write_bytes(data)
    with contextlib.suppress(ArtifactError):
        read_header(path)


@settings(max_examples=150)
@given(st.data())
def test_any_damage_is_read_or_refused(data: st.DataObject) -> None:
    whole = bytearray(exported.artifact("fp32").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, min(len(whole), 4000) - 1))] = data.draw(st.integers(0, 255))
    path = exported.folder() / "fuzz.onnx"
    path.write_bytes(whole)
    with contextlib.suppress(ArtifactError):
        read_header(path)


def test_foreign_files_are_named(tmp_path: Path) -> None:
    text = tmp_path / "notes.onnx"
    text.write_text("this is not a model\n" * 50)
    with pytest.raises(ArtifactError, match="not a whole ONNX file"):
        backends.load(text)
    foreign = changed(tmp_path, lambda model: model.ClearField("metadata_props"))
    with pytest.raises(ArtifactError, match=r"no unetfast spec inside.*unetfast export"):
        backends.load(foreign)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"newer unetfast.*pip install -U"):
        backends.load(with_spec(tmp_path, format_version=99))


@pytest.mark.parametrize(
    "changes",
    [
        {"threshold": "high"},
        {"stride_px": "16"},
        {"certificate": [1]},
        {"classes": "abc"},
        {"precision": "fp7"},
        {"preprocess": None},
        {"arch": 3},
    ],
)
def test_a_spec_of_wrong_values_is_damaged(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError, match=rf"the spec inside is damaged: {next(iter(changes))} "):
        backends.read_spec(with_spec(tmp_path, **changes))


@pytest.mark.parametrize("field", ["threshold", "preprocess", "classes", "stride_px", "arch"])
def test_a_spec_that_lacks_a_field_is_not_completed_by_a_guess(field: str) -> None:
    said = json.loads(ModelSpec().to_json())
    del said[field]
    with pytest.raises(ArtifactError, match=rf"x\.onnx: the spec inside is damaged: it lacks {field}$"):
        ModelSpec.from_json(json.dumps(said), "x.onnx")


def test_a_spec_that_does_not_fit_its_graph_is_caught(tmp_path: Path) -> None:
    lying = backends.load(with_spec(tmp_path, output="prob"))
    with pytest.raises(BackendError, match="should answer float32"):
        lying.infer(images())


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "sub/../../secret.bin"])
def test_weights_outside_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret.bin").write_bytes(b"\0" * 1_000_000)
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)

    def outside(model: onnx.ModelProto) -> None:
        tensor = max(model.graph.initializer, key=lambda t: len(t.raw_data))
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)

    path = changed(folder, outside)
    assert read_header(path).external == (location,)
    for kind in ("onnxruntime", "openvino"):
        with pytest.raises(ArtifactError, match="outside its folder"):
            backends.load(path, backend=kind)


def test_weights_behind_a_link_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(b"\0" * 1000)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.bin").symlink_to(tmp_path / "secret.bin")

    def linked(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="weights.bin")

    with pytest.raises(ArtifactError, match="outside its folder"):
        backends.load(changed(folder, linked))


def _in_attributes(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("many", [tensor]))


def _in_inner_graphs(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    inner = onnx.helper.make_graph([], "inner", [], [], [tensor])
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("graphs", [inner]))


def _in_a_function(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    node = onnx.helper.make_node("Constant", [], ["y"], value=tensor)
    model.functions.append(onnx.helper.make_function("own", "f", [], ["y"], [node], []))


def _in_a_sparse_tensor(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    model.graph.sparse_initializer.add().values.CopyFrom(tensor)


def _in_training(model: onnx.ModelProto, tensor: onnx.TensorProto) -> None:
    model.training_info.add().algorithm.initializer.append(tensor)


@pytest.mark.parametrize(
    "hide", [_in_attributes, _in_inner_graphs, _in_a_function, _in_a_sparse_tensor, _in_training]
)
def test_weights_outside_the_folder_are_found_wherever_they_are_named(
    hide: Callable[[onnx.ModelProto, onnx.TensorProto], None], tmp_path: Path
) -> None:
    tensor = onnx.helper.make_tensor("secret", onnx.TensorProto.FLOAT, [0], [])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret.bin")
    with pytest.raises(ArtifactError, match="outside its folder"):
        backends.load(changed(tmp_path, lambda model: hide(model, tensor)))


def test_missing_weights_are_named(tmp_path: Path) -> None:
    def lost(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="lost.bin")

    with pytest.raises(ArtifactError, match=r"weights 'lost\.bin' are missing"):
        backends.load(changed(tmp_path, lost))


@pytest.mark.parametrize("kind", ["onnxruntime", "openvino"])
def test_int8_for_tensorrt_is_refused_on_cpus(tmp_path: Path, kind: str) -> None:
    path = with_spec(tmp_path, target="tensorrt", precision="int8")
    with pytest.raises(ArtifactError, match=r"made for TensorRT.*--int8"):
        backends.load(path, backend=kind)


# --- OpenVINO -----------------------------------------------------------------------------------


def openvino_copy(tmp_path: Path) -> Path:
    source = exported.artifact("openvino")
    for suffix in (".xml", ".bin"):
        (tmp_path / f"model{suffix}").write_bytes(source.with_suffix(suffix).read_bytes())
    return tmp_path / "model.xml"


def test_openvino_model_computes_the_same(tmp_path: Path) -> None:
    path = openvino_copy(tmp_path)
    np.testing.assert_array_equal(backends.load(path).infer(images()), opened("torch").infer(images()))
    assert backends.read_spec(path).certificate is not None


def test_damaged_openvino_models_are_refused(tmp_path: Path) -> None:
    path = openvino_copy(tmp_path)
    whole = path.read_text()
    for text, message in [
        (whole[: len(whole) // 2], "not a whole OpenVINO model"),
        ("<html/>", "not an OpenVINO model"),
        (whole.replace("<unetfast>", "<other>").replace("</unetfast>", "</other>"), "no unetfast spec"),
    ]:
        path.write_text(text)
        with pytest.raises(ArtifactError, match=message):
            backends.load(path)
    path.write_text(whole)
    path.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(ArtifactError, match="OpenVINO cannot open it"):
        backends.load(path)
    path.with_suffix(".bin").unlink()
    with pytest.raises(ArtifactError, match=r"weights model\.bin are missing"):
        backends.load(path)


def test_openvino_is_for_cpus() -> None:
    with pytest.raises(ConfigError, match="auto or cpu"):
        openvino_.load(exported.artifact("fp32"), device="cuda")


# --- TensorRT: what can be said without a GPU ---------------------------------------------------

SIDECAR = {
    "spec": json.loads(ModelSpec().to_json()),
    "tensorrt": "10.13.2",
    "gpu": "NVIDIA A100-SXM4-80GB (8.0)",
    "plan_sha256": "0" * 64,
    "rebuild": "unetfast export best.pt --trt --half",
}


def test_a_plan_needs_its_sidecar(tmp_path: Path) -> None:
    plan = tmp_path / "best.engine"
    plan.write_bytes(b"plan")
    with pytest.raises(ArtifactError, match=r"best\.engine\.json is missing"):
        backends.load(plan)
    (tmp_path / "best.engine.json").write_text("{")
    with pytest.raises(ArtifactError, match="not JSON"):
        backends.load(plan)
    (tmp_path / "best.engine.json").write_text("{}")
    with pytest.raises(ArtifactError, match="holds no spec"):
        backends.load(plan)
    (tmp_path / "best.engine.json").write_text(json.dumps(SIDECAR))
    assert backends.read_spec(plan) == ModelSpec()
    assert read_sidecar(plan)["tensorrt"] == "10.13.2"
    with pytest.raises(ArtifactError, match=r"truncated, or replaced.*unetfast export best.pt --trt --half"):
        backends.load(plan)
    with pytest.raises(ConfigError, match="cuda"):
        backends.load(plan, device="cpu")


@pytest.mark.parametrize(
    ("changes", "version", "gpu", "said"),
    [
        ({}, "10.13.2", "NVIDIA A100-SXM4-80GB (8.0)", None),
        ({}, "10.13.2", "NVIDIA A100-PCIE-40GB (8.0)", None),
        ({}, "11.0.0", "NVIDIA A100-SXM4-80GB (8.0)", "by TensorRT 10.13.2, and here is 11.0.0"),
        ({"version_compatible": True}, "11.0.0", "NVIDIA A100-SXM4-80GB (8.0)", None),
        (
            {},
            "10.13.2",
            "NVIDIA H100 (9.0)",
            "for NVIDIA A100-SXM4-80GB (8.0), and here is NVIDIA H100 (9.0)",
        ),
        ({"hardware_compatible": True}, "10.13.2", "NVIDIA H100 (9.0)", None),
        ({"hardware_compatible": True}, "10.13.2", "Tesla T4 (7.5)", "Tesla T4"),
    ],
)
def test_a_stale_plan_says_what_differs(
    changes: dict[str, bool], version: str, gpu: str, said: str | None
) -> None:
    found = tensorrt_.stale({**SIDECAR, **changes}, version, gpu)
    if said is None:
        assert found is None
    else:
        assert found is not None
        assert said in found


@pytest.mark.gpu
def test_a_plan_runs() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("tensorrt", reason="TensorRT is not installed")
    if not torch.cuda.is_available():
        pytest.skip("running a plan needs an NVIDIA GPU")
    from unetfast.export.build import export
    from unetfast.export.settings import ExportSettings

    made = export(exported.trained(), ExportSettings(trt=True, half=True), say=lambda _: None)[0]
    assert made.certificate["passed"]


def test_spec_key_is_where_others_look() -> None:
    assert SPEC_KEY in read_header(exported.artifact("fp32")).metadata
