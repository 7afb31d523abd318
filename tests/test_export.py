from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import exported
import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import unetfast
from unetfast import backends, checkpoint
from unetfast.backends import bundled, onnxruntime_
from unetfast.backends.base import Backend
from unetfast.backends.torch_ import TorchBackend
from unetfast.errors import ArtifactError, BackendError, ConfigError, InputError, ParityError
from unetfast.export import onnx as graph
from unetfast.export.build import export
from unetfast.export.job import open_job
from unetfast.export.logits import logit_difference
from unetfast.export.parity import LIMITS, certify, compare, limits_for, require_passed, summary
from unetfast.export.precision import folded, narrow, narrowed, overflowing
from unetfast.export.samples import collect
from unetfast.export.settings import ExportSettings, precision_of
from unetfast.export.verify import checkpoint_of, verify
from unetfast.imaging import Picture, read, write
from unetfast.models import MODELS
from unetfast.models.deployable import Deployable
from unetfast.spec import ModelSpec

Command = Callable[..., CompletedProcess[str]]


def reference(classes: int = 2) -> Backend:
    return backends.load(exported.trained(classes))


def real_images(classes: int = 2) -> list[NDArray[np.uint8]]:
    return [image for image, _ in exported.pictures(3, classes)]


def broken(change: Callable[[onnx.ModelProto], None]) -> Backend:
    """Return the fp32 export with one thing wrong."""
    model = onnx.load(exported.artifact("fp32"))
    change(model)
    onnx.checker.check_model(model)
    return onnxruntime_.load_bytes(model.SerializeToString())


# --- the certificate can fail -------------------------------------------------------------------


def scale_a_weight(model: onnx.ModelProto) -> None:
    tensor = next(t for t in model.graph.initializer if len(t.dims) == 4)
    weights = onnx.numpy_helper.to_array(tensor).copy()
    weights[0] *= 3
    tensor.raw_data = weights.tobytes()


def swap_the_resize_mode(model: onnx.ModelProto) -> None:
    node = next(n for n in model.graph.node if n.op_type == "Resize")
    mode = next(a for a in node.attribute if a.name == "mode")
    assert mode.s == b"linear"
    mode.s = b"nearest"


def shift_the_normalisation(model: onnx.ModelProto) -> None:
    shift = next(t for t in model.graph.initializer if t.name == "shift")
    shift.raw_data = (onnx.numpy_helper.to_array(shift) + np.float32(0.4)).tobytes()


def move_the_threshold(model: onnx.ModelProto) -> None:
    node = next(n for n in model.graph.node if n.op_type == "Greater")
    cut = next(t for t in model.graph.initializer if t.name == node.input[1])
    cut.raw_data = (onnx.numpy_helper.to_array(cut) + np.float32(1.0)).astype(np.float32).tobytes()


def test_the_untouched_export_passes() -> None:
    found = certify(reference(), broken(lambda model: None), real_images())
    assert found["passed"]
    assert found["differing_pixels"] == 0


@pytest.mark.parametrize(
    "damage", [scale_a_weight, swap_the_resize_mode, shift_the_normalisation, move_the_threshold]
)
def test_a_wrong_export_fails(damage: Callable[[onnx.ModelProto], None]) -> None:
    found = certify(reference(), broken(damage), real_images())
    assert not found["passed"]
    assert found["differing_pixels"] > 0
    with pytest.raises(ParityError, match=r"^best.onnx: does not compute .* pixels differ"):
        require_passed(found, "best.onnx")


def test_a_refused_export_leaves_a_picture_and_no_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "best.pt"
    shutil.copy(exported.trained(), source)
    for earlier in ("best.onnx", "best.onnx.certificate.json", "best.onnx.data"):
        (tmp_path / earlier).touch()

    def wrong(model: nn.Module, spec: ModelSpec, **options: object) -> onnx.ModelProto:
        made = onnx.load(exported.artifact("fp32"))
        graph.put_spec(made, spec)
        shift_the_normalisation(made)
        return made

    monkeypatch.setattr(graph, "build", wrong)
    with pytest.raises(ParityError, match=r"best\.onnx\.refused\.png") as caught:
        export(source, ExportSettings(), say=lambda _: None)
    assert caught.value.exit_code == 4
    left = {"best.pt", "best.onnx.refused.png", "best.onnx.data"}  # the last one is somebody else's
    assert {path.name for path in tmp_path.iterdir()} == left
    shown = read(tmp_path / "best.onnx.refused.png").pixels
    assert (shown == (255, 0, 0)).all(axis=2).any()
    (tmp_path / "best.onnx.refused.png").unlink()
    (tmp_path / "best.onnx.refused.png").mkdir()
    with pytest.raises(ParityError, match=r"\(on 8 images\)$"):  # the picture cannot be written
        export(source, ExportSettings(), say=lambda _: None)


def test_a_checkpoint_is_not_exported_onto_itself(tmp_path: Path) -> None:
    source = tmp_path / "best.safetensors"
    export(exported.trained(), ExportSettings(safetensors=True, to=source), say=lambda _: None)
    with pytest.raises(ConfigError, match="is the checkpoint itself"):
        export(source, ExportSettings(safetensors=True), say=lambda _: None)


# --- what the certificate measures --------------------------------------------------------------


def test_compare_counts_what_it_should() -> None:
    spec = ModelSpec(classes=("sky", "tree", "kite"), task="multiclass")
    wanted = np.array([[0, 0, 1, 1], [0, 0, 1, 2]], np.uint8)
    got = np.array([[0, 0, 1, 1], [0, 1, 1, 0]], np.uint8)
    truth = np.array([[0, 0, 1, 1], [0, 0, 255, 2]], np.uint8)
    image = np.zeros((2, 4, 3), np.uint8)
    found = compare(spec, lambda _: wanted, lambda _: got, [image, image], [truth, None])
    assert found["differing_pixels"] == 4
    assert found["pixels"] == 16
    assert found["thinnest_class"] == "kite"
    assert found["dice"] == {"sky": 3 / 4, "tree": pytest.approx(6 / 7), "kite": 0.0}
    assert found["truth"]["dice"]["reference"]["kite"] == 1.0
    assert found["truth"]["dice"]["change_points"]["kite"] == -100.0
    assert found["truth"]["iou"]["candidate"]["sky"] == pytest.approx(3 / 5)


def test_a_class_nobody_shows_has_no_dice() -> None:
    spec = ModelSpec(classes=("a", "b", "c"), task="multiclass")
    zeros = np.zeros((4, 4), np.uint8)
    found = compare(spec, lambda _: zeros, lambda _: zeros, [np.zeros((4, 4, 3), np.uint8)], [None])
    assert found["dice"] == {"a": 1.0, "b": None, "c": None}
    assert found["thinnest_class"] == "a"
    json.dumps(found, allow_nan=False)
    assert "finds nothing else on these images, so this proves little" in summary(found)
    ones = np.eye(4, dtype=np.uint8)
    found = compare(spec, lambda _: ones, lambda _: ones, [np.zeros((4, 4, 3), np.uint8)], [None])
    assert "proves little" not in summary(found)


def test_a_certificate_needs_images() -> None:
    with pytest.raises(InputError, match="at least one image"):
        certify(reference(), reference(), [])


def test_limits_can_be_overridden() -> None:
    assert limits_for("fp16", dice=0.5).dice == 0.5
    assert limits_for("fp16", dice=0.5).drop == LIMITS["fp16"].drop
    with pytest.raises(ConfigError, match="fp32, fp16"):
        limits_for("fp8")


def test_a_black_mask_fails_whatever_the_precision() -> None:
    class Black:
        name, description = "black", "answers nothing"
        spec = reference().spec

        def infer(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
            return np.zeros(images.shape[:3], np.uint8)

        def close(self) -> None: ...

    for precision in LIMITS:
        found = certify(reference(), Black(), real_images(), limits=LIMITS[precision])
        assert not found["passed"], precision


# --- artifacts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["fp32", "fp16", "int8"])
def test_an_artifact_carries_its_certificate(kind: str) -> None:
    path = exported.artifact(kind)
    spec = backends.read_spec(path)
    assert spec.precision == kind
    assert spec.certificate is not None
    assert spec.certificate["passed"]
    assert spec.certificate["images"] >= 8
    assert len(spec.certificate["sizes"]) > 1
    assert 0 < spec.certificate["max_logit_difference"] < {"fp32": 1e-3, "fp16": 0.1, "int8": 5.0}[kind]
    beside = json.loads(path.with_name(path.name + ".certificate.json").read_text())
    assert beside == spec.certificate
    assert path.read_bytes().count(str(Path.cwd()).encode()) == 0  # no path of the exporting machine


def test_sizes_of_files_follow_the_precision() -> None:
    fp32, fp16 = (exported.artifact(kind).stat().st_size for kind in ("fp32", "fp16"))
    assert fp16 < 0.8 * fp32


def test_fp16_is_in_the_graph() -> None:
    model = onnx.load(exported.artifact("fp16"))
    types = {t.data_type for t in model.graph.initializer if len(t.dims) == 4}
    assert onnx.TensorProto.FLOAT16 in types


def test_three_classes_of_grey() -> None:
    spec = backends.read_spec(exported.artifact("fp32", 3, 1))
    assert spec.task == "multiclass"
    assert spec.certificate is not None
    assert set(spec.certificate["dice"]) == {"background", "line", "disc"}


@pytest.mark.parametrize(("kind", "classes"), [("fp32", 2), ("prob", 2), ("fp32", 3)])
def test_logits_are_found_and_compared(kind: str, classes: int) -> None:
    channels = 3 if classes == 2 else 1
    model = onnx.load(exported.artifact(kind, classes, channels))
    found = checkpoint.load(exported.trained(classes, channels))
    network = checkpoint.build_model(found.spec, found.model_state)
    images = [image for image, _ in exported.pictures(channels, classes)][:3]
    same = logit_difference(model, Deployable(network, found.spec).eval(), images)
    assert same is not None
    assert same < 1e-3
    with torch.no_grad():
        network.head.bias += 0.25
    moved = logit_difference(model, Deployable(network, found.spec).eval(), images)
    assert moved == pytest.approx(0.25, abs=1e-3)


# --- narrow types -------------------------------------------------------------------------------


def loaded() -> tuple[nn.Module, ModelSpec]:
    found = checkpoint.load(exported.trained())
    return checkpoint.build_model(found.spec, found.model_state), found.spec


@pytest.mark.parametrize("arch", list(MODELS))
@torch.inference_mode()
def test_folding_changes_nothing(arch: str) -> None:
    torch.manual_seed(1)
    small = {"width": 4} if arch.startswith("unet") else {}
    model = MODELS[arch](3, 2, **small).train()
    x = torch.rand(2, 3, 2 * model.stride_px, 3 * model.stride_px)
    model(x)  # moves the running statistics off their start
    model.eval()
    plain = folded(model)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in plain.modules())
    torch.testing.assert_close(plain(x), model(x), atol=2e-4, rtol=1e-4)


def test_overflowing_layers_stay_in_fp32() -> None:
    model, spec = loaded()
    # The numbers between two layers times 1e5, and back: the same function, but not in half precision.
    first = next(layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d))
    second = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)][1]
    with torch.no_grad():
        first.weight.mul_(1e5)
        first.bias.mul_(1e5)
        second.weight.div_(1e5)
    images = [torch.from_numpy(image[None]) for image in real_images()]
    base = folded(model)
    names = overflowing(base, spec, images, torch.float16)
    assert names
    with torch.inference_mode():
        wanted = [Deployable(model, spec)(image) for image in images]

        def differing(network: nn.Module) -> int:
            answers = [Deployable(network, spec)(image) for image in images]
            return sum(int((a != w).sum()) for a, w in zip(answers, wanted, strict=True))

        assert differing(narrowed(base, torch.float16)) > 100  # this is the black mask
        network, kept = narrow(model, spec, torch.float16, images, lambda n: differing(n) < 20)
        assert differing(network) < 20
    assert set(names) <= set(kept)
    assert len(kept) < 10


def test_narrowing_gives_up_aloud() -> None:
    model, spec = loaded()
    images = [torch.from_numpy(real_images()[0][None])]
    with pytest.raises(ParityError, match="too much accuracy"):
        narrow(model, spec, torch.float16, images, lambda _: False)


# --- images -------------------------------------------------------------------------------------


def test_images_come_from_the_checkpoint_or_from_data(tmp_path: Path) -> None:
    source = exported.trained()
    found = collect(checkpoint.load(source), None, source)
    assert len(found.images) >= 8
    assert any(image.shape[0] % 2 and image.shape[1] % 2 for image in found.images)
    assert found.truths == [None] * len(found.images)

    for folder, values in (("images", None), ("masks", 255)):
        (tmp_path / folder).mkdir()
        for i, (image, labels) in enumerate(exported.pictures()):
            pixels = image if values is None else (labels * values)[..., None]
            write(tmp_path / folder / f"{i}.png", Picture(pixels, "png"))
    paired = collect(checkpoint.load(source), tmp_path, source)
    assert all(
        truth is not None and truth.shape == image.shape[:2]
        for image, truth in zip(paired.images, paired.truths, strict=True)
    )
    (tmp_path / "masks" / "0.png").write_bytes((tmp_path / "images" / "0.png").read_bytes())
    unread = collect(checkpoint.load(source), tmp_path, source)  # masks that cannot be read are no images
    count = len(exported.pictures())
    assert unread.source == f"{tmp_path} ({count} of {count})"
    assert unread.truths == [None] * len(unread.images)
    alone = collect(checkpoint.load(source), tmp_path / "images", source)
    assert alone.truths == [None] * len(alone.images)
    single = collect(checkpoint.load(source), tmp_path / "images" / "0.png", source)
    assert len(single.images) == 8


def test_every_image_is_compared_and_half_only_where_int8_needs_the_others(tmp_path: Path) -> None:
    source = exported.trained()
    for i in range(35):
        write(tmp_path / f"{i:02d}.png", Picture(np.full((24 + i, 32, 3), 100, np.uint8), "png"))
    trained = checkpoint.load(source)
    found = collect(trained, tmp_path, source)
    assert (len(found.images), len(found.calibration)) == (32, 0)  # the limit
    assert found.source == f"{tmp_path} (32 of 35)"
    for i in range(17, 35):
        (tmp_path / f"{i:02d}.png").unlink()
    found = collect(trained, tmp_path, source)
    assert len(found.images) == 17
    assert found.source == f"{tmp_path} (17 of 17)"
    found = collect(trained, tmp_path, source, calibrating=True)
    assert (len(found.images), len(found.calibration)) == (9, 8)
    assert found.source == f"{tmp_path} (9 of 17, calibrated on others)"
    whole = [image.shape[0] for image in found.images if image.shape[1] == 32]  # the others are cut
    assert not {image.shape[0] for image in found.calibration} & set(whole)


def test_a_checkpoint_that_changed_its_mind_is_refused(tmp_path: Path) -> None:
    found = checkpoint.load(exported.trained())
    path = tmp_path / "old.pt"
    flipped = [1 - labels for labels in found.parity_labels]
    checkpoint.save(
        path,
        model_state=found.model_state,
        spec=found.spec,
        parity_images=found.parity_images,
        parity_labels=flipped,
    )
    with pytest.raises(ParityError, match="another version of unetfast"):
        open_job(path, ExportSettings(), say=lambda _: None)


# --- settings and commands ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (ExportSettings(half=True, int8=True), "--half and --int8"),
        (ExportSettings(fp32=True, half=True), "--fp32 and --half"),
        (ExportSettings(safetensors=True, half=True), "keeps the checkpoint as it is"),
        (ExportSettings(openvino=True, triton=Path("models")), "leave out --openvino"),
        (ExportSettings(shapes="1x64x64"), "--shapes is an option of TensorRT"),
        (ExportSettings(hardware_compatible=True), "--hardware-compatible is an option of TensorRT"),
        (ExportSettings(openvino=True, trt=True), "--openvino and --trt"),
        (ExportSettings(bf16=True), "--bf16 needs"),
        (ExportSettings(openvino=True, half=True), "computes fp16 files in fp32"),
    ],
)
def test_contradictions_are_refused(settings: ExportSettings, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        precision_of(settings)


def test_a_wrong_ending_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"must end with \.onnx"):
        export(exported.trained(), ExportSettings(to=Path("model.bin")), say=lambda _: None)


@pytest.mark.parametrize(
    ("kind", "settings", "error", "says"),
    [
        ("fp32", ExportSettings(to=Path("new.onnx")), ArtifactError, "give the checkpoint that it was made"),
        ("fp32", ExportSettings(safetensors=True), ConfigError, "is an export; --safetensors needs"),
        ("int8", ExportSettings(to=Path("new.onnx")), ArtifactError, "give the checkpoint that it was made"),
    ],
)
def test_of_exports_only_whole_ones_are_exported(
    kind: str, settings: ExportSettings, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        export(exported.artifact(kind), settings, say=lambda _: None)


def test_the_bundled_model_is_exported_and_verified_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (made,) = export(Path("crack"), ExportSettings(), say=lambda _: None)
    assert made.path.resolve() == tmp_path / "crack.onnx"
    assert checkpoint_of(made.path) == Path("crack")
    assert verify(made.path, Path("crack"))["passed"]
    photo = read(Path(__file__).parents[1] / "examples" / "stone_tile.jpg").pixels
    found = unetfast.load("crack").segment(photo)
    assert found.any()
    assert np.array_equal(unetfast.load("crack.onnx").segment(photo), found)


def test_an_export_whose_weights_were_changed_is_not_exported_again(tmp_path: Path) -> None:
    model = onnx.load(bundled("crack"))
    node = next(node for node in model.graph.node if node.op_type == "Relu")
    node.op_type = "Identity"
    path = tmp_path / "other.onnx"
    graph.write(model, path)
    with pytest.raises(ParityError, match="differently than when it was saved"):
        export(path, ExportSettings(to=tmp_path / "new.onnx"), say=lambda _: None)


def test_a_checkpoint_is_not_verified_against_itself() -> None:
    with pytest.raises(ConfigError, match=r"\.pt: is a checkpoint itself; give an export of it"):
        checkpoint_of(exported.trained())
    path = exported.artifact("fp32")  # an export is a model to compare with, too, but not with itself
    with pytest.raises(ConfigError, match=r"\.onnx: --against names this very file"):
        verify(path, path)


def test_verify_finds_the_checkpoint_and_another_model() -> None:
    path = exported.artifact("fp32")
    assert checkpoint_of(path) == exported.trained()
    assert verify(path, exported.trained())["passed"]
    with pytest.raises(ArtifactError, match="not an export of"):
        verify(path, exported.trained(3, 1))


def test_the_commands(tmp_path: Path, unetfast_command: Command, command_here: Command) -> None:
    path, source = tmp_path / "best.onnx", tmp_path / "best.pt"
    shutil.copy(exported.artifact("fp32"), path)
    shutil.copy(exported.trained(), source)
    done = unetfast_command("verify", path, "--against", source, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["passed"]

    spec = graph.get_spec(onnx.load(path))
    model = onnx.load(path)
    shift_the_normalisation(model)
    graph.put_spec(model, spec)
    path.write_bytes(model.SerializeToString())
    done = command_here("verify", path, "--against", source)
    assert done.returncode == 4
    assert done.stderr.startswith(f"unetfast: {path}: does not compute")
    assert (tmp_path / "best.onnx.refused.png").is_file()

    done = command_here("export", tmp_path / "none.pt")
    assert done.returncode == 1
    assert "none.pt: no such checkpoint" in done.stderr


def test_triton_repository(tmp_path: Path) -> None:
    from unetfast.export.triton import write_repository

    folder = write_repository(exported.artifact("fp32"), tmp_path)
    text = (folder / "config.pbtxt").read_text()
    assert f'name: "{folder.name}"' in text
    assert "dims: [ -1, -1, -1, 3 ]" in text
    assert "TYPE_UINT8" in text
    assert (folder / "1" / "model.onnx").read_bytes() == exported.artifact("fp32").read_bytes()
    assert text.count("[") == text.count("]")
    assert (
        'name: "prob", data_type: TYPE_FP32, dims: [ -1, -1, -1, 1 ]'
        in (write_repository(exported.artifact("prob"), tmp_path) / "config.pbtxt").read_text()
    )
    with pytest.raises(ConfigError, match="Triton repository takes"):
        write_repository(exported.artifact("openvino"), tmp_path)


def test_a_network_that_cannot_be_traced_says_so() -> None:
    class Branching(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(BackendError, match="cannot trace"):
        folded(Branching())


def test_resized_models_are_compared_at_their_own_size() -> None:
    found = checkpoint.load(exported.trained())
    pre = found.spec.preprocess
    spec = found.spec.replace(preprocess=type(pre)(pre.channels, pre.mean, pre.std, 32))
    model = checkpoint.build_model(spec, found.model_state)
    backend = TorchBackend(model, spec, "cpu")
    assert certify(backend, backend, real_images())["passed"]
