"""The whole way of a TensorRT plan: exported, certified, loaded, run, rebuilt; on an emulated GPU."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import emulated_gpu
import exported
import numpy as np
import pytest
from click.testing import CliRunner, Result

import unetfast
from unetfast import backends
from unetfast.backends import tensorrt_
from unetfast.backends.artifact import read_sidecar
from unetfast.cli.export import export
from unetfast.cli.verify import verify
from unetfast.errors import ArtifactError, BackendError, UnetfastError
from unetfast.export.tensorrt import rebuild_if_stale

SHAPES = "1x1x1,1x64x96,4x128x128"


@pytest.fixture(scope="module")
def module_patch() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def gpu(module_patch: pytest.MonkeyPatch) -> tuple[emulated_gpu.TensorRt, emulated_gpu.Gpu]:
    return emulated_gpu.install(module_patch)


@pytest.fixture(scope="module")
def engine(gpu: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return ``best.engine`` beside its ``best.pt``, as the command makes it."""
    folder = tmp_path_factory.mktemp("plan")
    shutil.copy(exported.trained(), folder / "best.pt")
    said = command(export, folder / "best.pt", "--trt", "--shapes", SHAPES, "--workspace", "1GB")
    assert said.exit_code == 0, said.output
    assert said.stdout.strip() == str(folder / "best.engine")
    return folder / "best.engine"


def command(called: Any, *arguments: object) -> Result:
    with exported.traced_once():
        return CliRunner().invoke(called, [str(word) for word in arguments])


def test_the_plan_is_fp16_unless_told_otherwise(engine: Path) -> None:
    spec = backends.read_spec(engine)
    assert spec.precision == "fp16"
    certificate = spec.certificate
    assert certificate is not None
    assert certificate["passed"]
    assert certificate["layer_types"]["HALF"] > 5
    assert certificate["engine_layer_types"] == {"HALF": 2, "FLOAT": 1}
    sidecar = read_sidecar(engine)
    assert (
        sidecar["rebuild"]
        == f"unetfast export {engine.with_suffix('.pt')} --trt --shapes {SHAPES} --workspace 1GB"
    )
    assert sidecar["profile"] == {"min": [1, 1, 1], "best": [1, 64, 96], "max": [4, 128, 128]}
    assert engine.with_name("best.engine.onnx").is_file()
    assert engine.with_name("best.engine.certificate.json").is_file()
    assert not list(engine.parent.glob(".unetfast-export-*"))


@pytest.mark.parametrize(("flag", "name"), [("--fp32", "best.fp32.engine"), ("--int8", "best.int8.engine")])
def test_other_precisions_say_so_in_their_name(engine: Path, flag: str, name: str) -> None:
    said = command(export, engine.with_suffix(".pt"), "--trt", flag, "--shapes", SHAPES, "--min-dice", 0.9)
    assert said.exit_code == 0, said.output
    assert said.stdout.strip() == str(engine.parent / name)
    kind = flag.removeprefix("--")
    assert backends.read_spec(engine.parent / name).precision == kind
    assert backends.load(engine.parent / name).infer(np.zeros((1, 9, 9, 3), np.uint8)).shape == (1, 9, 9)


def test_any_size_and_batch_is_answered_as_the_graph_does(engine: Path) -> None:
    plan = backends.load(engine)
    same = backends.load(shutil.copy(engine.with_name("best.engine.onnx"), engine.parent / "same.onnx"))
    rng = np.random.default_rng(0)
    for n, h, w in [
        (1, 1, 1),
        (1, 17, 33),
        (3, 64, 96),
        (4, 128, 128),
        (9, 20, 31),
        (1, 200, 90),
        (2, 131, 300),
    ]:
        images = rng.integers(0, 256, (n, h, w, 3), dtype=np.uint8)
        np.testing.assert_array_equal(plan.infer(images), same.infer(images), err_msg=f"{n}x{h}x{w}")
    plan.close()
    with pytest.raises(BackendError, match="closed"):
        plan.infer(images)


def test_the_segmenter_runs_it(engine: Path) -> None:
    image = exported.pictures()[1][0]
    labels = unetfast.load(engine).segment(image)
    wanted = unetfast.load(engine.with_suffix(".pt"), threads=1).segment(image)
    assert (labels != wanted).mean() < 0.01


def test_every_shape_is_recorded_at_its_second_use(engine: Path, gpu: Any) -> None:
    _, card = gpu
    plan = backends.load(engine)
    plan._idle.get()  # one slot, so that the counts are known
    rng = np.random.default_rng(1)
    shapes = [(1, 40, 48, 3), (2, 24, 24, 3)]
    before = card.launched
    answers: dict[Any, Any] = {}
    for turn in range(4):
        for shape in shapes:
            images = np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8)
            answer = plan.infer(images)
            np.testing.assert_array_equal(answers.setdefault(shape, answer), answer)
            other = rng.integers(
                0, 256, shape, dtype=np.uint8
            )  # what the graph reads is not what it was recorded on
            assert turn or not np.array_equal(images, other)
            plan.infer(other)
    # Of 8 calls a shape the first is plain.
    assert card.launched - before == 2 * 7


def test_many_shapes_do_not_pile_up(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_, "_SHAPES", 2)
    plan = backends.load(engine)
    slot = plan._idle.get()
    plan._idle.put(slot)
    plan._idle.get()
    plan._idle.put(slot)
    for size in (8, 9, 10, 11, 8, 8):
        plan.infer(np.zeros((1, size, size, 3), np.uint8))
    assert len(slot._executions) <= 2


def test_threads_share_two_slots(engine: Path) -> None:
    plan = backends.load(engine)
    images = np.random.default_rng(2).integers(0, 256, (6, 1, 33, 47, 3), dtype=np.uint8)
    wanted = [plan.infer(image) for image in images]
    wrong: list[int] = []

    def work(index: int) -> None:
        for _ in range(5):
            if not np.array_equal(plan.infer(images[index]), wanted[index]):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_without_graphs_it_goes_on_and_says_so(
    engine: Path, gpu: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gpu[1], "refuses_to_record", True)
    plan = backends.load(engine)
    image = np.full((1, 30, 30, 3), 90, np.uint8)
    answers = [plan.infer(image) for _ in range(6)]
    assert all(np.array_equal(answer, answers[0]) for answer in answers)
    assert "without a CUDA graph" in caplog.text


def test_memory_is_given_back(engine: Path, gpu: Any) -> None:
    before = len(gpu[1].memory)
    plan = backends.load(engine)
    plan.infer(np.zeros((1, 8, 8, 3), np.uint8))
    assert len(gpu[1].memory) > before
    del plan
    assert len(gpu[1].memory) == before


def test_verify_says_that_it_holds(engine: Path) -> None:
    said = command(verify, engine)
    assert said.exit_code == 0, said.output
    assert "holds on TensorRT 11.4.0" in said.output


def test_a_plan_from_elsewhere_is_refused_and_can_be_rebuilt(
    engine: Path, gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in engine.parent.glob("best.engine*"):
        shutil.copy(file, tmp_path)
    plan = tmp_path / "best.engine"
    monkeypatch.setattr(gpu[1], "major", 9)
    with pytest.raises(
        ArtifactError, match=r"best\.engine: built for .*\(8\.0\), and here is .*\(9\.0\).*--rebuild"
    ):
        backends.load(plan)
    lines: list[str] = []
    rebuild_if_stale(plan, say=lines.append)
    assert "building it again from best.engine.onnx" in lines[0]
    assert "certified: " in lines[1]
    sidecar = read_sidecar(plan)
    assert sidecar["gpu"].endswith("(9.0)")
    assert sidecar["spec"]["certificate"]["rebuilt_from"] == "best.engine.onnx"
    assert sidecar["profile"] == read_sidecar(engine)["profile"]
    assert backends.load(plan).infer(np.zeros((1, 8, 8, 3), np.uint8)).shape == (1, 8, 8)
    before = plan.stat().st_mtime_ns
    rebuild_if_stale(plan, say=lines.append)  # nothing to do
    assert len(lines) == 2
    assert plan.stat().st_mtime_ns == before


def test_loading_can_rebuild(engine: Path, gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in engine.parent.glob("best.*"):
        shutil.copy(file, tmp_path)
    monkeypatch.setattr(gpu[0], "__version__", "12.0.0")
    said = command(verify, tmp_path / "best.engine", "--rebuild")
    assert said.exit_code == 0, said.output
    assert "built by TensorRT 11.4.0, and here is 12.0.0; building it again" in said.output
    monkeypatch.setattr(gpu[0], "__version__", "12.1.0")
    assert unetfast.load(tmp_path / "best.engine", rebuild=True).segment(
        np.zeros((9, 9, 3), np.uint8)
    ).shape == (9, 9)


@pytest.mark.parametrize("damage", ["missing", "replaced", "no options"])
def test_a_rebuild_needs_the_onnx_it_came_from(
    engine: Path, gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    for file in engine.parent.glob("best.engine*"):
        shutil.copy(file, tmp_path)
    plan = tmp_path / "best.engine"
    if damage == "missing":
        plan.with_name("best.engine.onnx").unlink()
    elif damage == "replaced":
        plan.with_name("best.engine.onnx").write_bytes(b"x")
    else:
        sidecar = read_sidecar(plan)
        del sidecar["options"]
        plan.with_name("best.engine.json").write_text(json.dumps(sidecar))
    monkeypatch.setattr(gpu[0], "__version__", "10.13.0")
    with pytest.raises(ArtifactError, match=r"not beside it|not the ONNX|how the plan was built"):
        rebuild_if_stale(plan)


def test_an_engine_that_is_not_fp16_is_refused(
    engine: Path, gpu: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu[0], "layers", ["Float", "Row major linear FP32"])
    checkpoint = engine.with_suffix(".pt")
    to = engine.with_name("other.engine")
    said = command(export, checkpoint, "--trt", "--shapes", SHAPES, "--to", to)
    assert isinstance(said.exception, UnetfastError)
    assert "inspector shows no HALF layer" in str(said.exception)
    assert not to.exists()


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Row major linear FP32", "FLOAT"),
        ("Float", "FLOAT"),
        ("Channel major FP16 format where channel % 8 == 0", "HALF"),
        ("Half", "HALF"),
        ("BFloat16", "BF16"),
        ("Row major linear BF16 format", "BF16"),
        ("Thirty-two wide channel vectorized row major Int8 format", "INT8"),
        ("UInt8", "UINT8"),
    ],
)
@pytest.mark.parametrize("key", ["Format/Datatype", "Datatype"])
def test_the_inspector_s_words_are_understood(said: str, kind: str, key: str) -> None:
    text = json.dumps({"Layers": [{"Name": "a", "Outputs": [{key: said}]}, "b", {"Name": "c"}]})
    assert tensorrt_.inspected_types(text) == {kind: 1}
