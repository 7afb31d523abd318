"""What a training starts with: fresh weights, a checkpoint's, or the bundled model's."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import exported
import numpy as np
import pytest
import torch
from torch import nn

import unetfast
from unetfast import backends, checkpoint
from unetfast.backends import bundled
from unetfast.data import DataSet, open_dataset
from unetfast.errors import ArtifactError, ConfigError
from unetfast.imaging import write_mask
from unetfast.models import MODELS
from unetfast.models.deployable import Deployable
from unetfast.models.fast import FastNet
from unetfast.train import prepare
from unetfast.train import start as starting
from unetfast.train.loop import train
from unetfast.train.settings import TrainSettings

QUICK = TrainSettings(
    imgsz=64, batch=2, crops=1, epochs=1, workers=0, val_fraction=0.25, amp="off", device="cpu", lr=1e-3
)


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """Eight pictures of dark lines on noise."""
    folder = tmp_path_factory.mktemp("lines")
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for i in range(8):
        image = rng.normal(150, 12, (80, 96, 3)).clip(0, 255).astype(np.uint8)
        labels = np.zeros((80, 96), np.uint8)
        cv2.line(labels, (int(rng.integers(96)), 0), (int(rng.integers(96)), 79), 1, 3)
        image[labels == 1] //= 3
        cv2.imwrite(str(folder / "images" / f"{i}.png"), image)
        write_mask(folder / "masks" / f"{i}.png", labels == 1)
    return open_dataset(folder)


@pytest.mark.parametrize("arch", tuple(MODELS))
@pytest.mark.parametrize("pixels", [[98, 2], [50, 30, 20], [10**6, 0]])
def test_a_fresh_network_answers_the_class_frequencies(arch: str, pixels: list[int]) -> None:
    binary = len(pixels) == 2
    model = MODELS[arch](3, 1 if binary else 3)
    starting.start_at_frequencies(model, np.array(pixels))
    model.head.weight.data.zero_()
    logits = model.eval()(torch.rand(1, 3, 32, 32))
    found = logits.sigmoid()[:, 0] if binary else logits.softmax(dim=1)[:, 1]
    assert found.min().item() == pytest.approx(pixels[1] / sum(pixels), abs=2e-4)
    assert found.max().item() == pytest.approx(pixels[1] / sum(pixels), abs=2e-4)


def _settled(arch: str) -> FastNet:
    """Build a network whose batch norms have seen something, so that folding them changes every weight."""
    torch.manual_seed(1)
    model = MODELS[arch](3, 1)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias)
    for _ in range(3):
        model.train()(torch.randn(2, 3, 64, 64))
    assert isinstance(model, FastNet)
    return model.eval()


@pytest.mark.parametrize("arch", ["fast", "fast-fine"])
def test_folded_weights_can_be_taken_up_again(arch: str) -> None:
    trained = _settled(arch)
    images = torch.randn(2, 3, 64, 64)
    fresh = MODELS[arch](3, 1)
    fresh.load_fused(trained.fused().state_dict(), torch.randn(4, 3, 96, 96))
    with torch.no_grad():
        wanted, found = trained(images), fresh.eval()(images)
    assert torch.allclose(found, wanted, atol=2e-4 * float(wanted.abs().max()))
    norms = [layer for layer in fresh.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert all(float(norm.running_var.min()) != 1 for norm in norms), "the statistics are not the images'"
    assert not any(layer._forward_pre_hooks for layer in fresh.modules())


def test_the_bundled_model_is_what_training_goes_on_from(lines: DataSet, root: Path) -> None:
    """Before the first step the network answers what the shipped file answers in onnxruntime."""
    start = starting.read(dataclasses.replace(QUICK, weights="crack"))
    spec = prepare.describe(QUICK, lines, lines.samples, [], start.spec)
    assert spec.arch_args == start.spec.arch_args
    model = prepare.build(spec)
    image = unetfast.imaging.network_input(unetfast.imaging.read(root / "examples/floor_tiles.jpg").pixels, 3)
    starting.begin(model, spec, start, np.array([98, 2]), [("one", image, image[..., 0])])
    deployed = Deployable(model, spec.replace(threshold=start.spec.threshold)).eval()
    with torch.no_grad():
        found = deployed(torch.from_numpy(image)[None])[0].numpy()
    wanted = unetfast.load("crack", threads=1).segment(image)
    assert wanted.any()
    assert (found != wanted).mean() < 1e-4


def test_a_run_from_the_bundled_model_and_one_from_its_checkpoint(lines: DataSet, tmp_path: Path) -> None:
    first = train(dataclasses.replace(QUICK, weights="crack", output=tmp_path / "first"), lines)
    saved = checkpoint.load(first / "best.pt")
    assert saved.spec.arch_args == backends.read_spec(bundled("crack")).arch_args
    again = dataclasses.replace(QUICK, weights=str(first / "best.pt"), lr=1e-9, output=tmp_path / "second")
    second = checkpoint.load(train(again, lines) / "best.pt")
    assert second.spec.training["settings"]["weights"] == "best.pt", "a path travels with the model"
    weights = [name for name, tensor in saved.model_state.items() if name.endswith("kernel3")]
    for name in weights:
        assert torch.allclose(saved.model_state[name], second.model_state[name], atol=1e-6), name


def test_going_on_after_a_stop_needs_no_weights_file(lines: DataSet, tmp_path: Path) -> None:
    base = train(dataclasses.replace(QUICK, arch="unet", width=4, output=tmp_path / "base"), lines)
    settings = dataclasses.replace(QUICK, weights=str(base / "best.pt"), output=tmp_path / "run")
    run = train(settings, lines)
    (base / "best.pt").unlink()
    train(dataclasses.replace(settings, epochs=2), lines, resume=run)
    last = checkpoint.load(run / "last.pt").spec
    assert last.arch == last.training["settings"]["arch"] == "unet"
    assert 'arch = "unet"' in (run / "args.toml").read_text()


def test_other_classes_get_a_fresh_last_layer() -> None:
    trained = _settled("fast")
    spec = prepare.ModelSpec(arch="fast", classes=("sky", "road", "car"), task="multiclass")
    binary = spec.replace(classes=("background", "crack"), task="binary")
    start = checkpoint.Checkpoint(binary, trained.state_dict())
    model = MODELS["fast"](3, 3)
    starting.begin(model, spec, start, np.array([50, 30, 20]), [])
    assert torch.equal(model.down[0][0].kernel3, trained.down[0][0].kernel3)
    assert model.head.weight.shape[0] == 48


@pytest.mark.parametrize(
    ("classes", "kept"), [(("sky", "road", "car"), True), (("road", "sky", "car"), False)]
)
def test_the_last_layer_stays_where_the_classes_are_the_same(classes: tuple[str, ...], kept: bool) -> None:
    trained = MODELS["fast"](3, 3)
    spec = prepare.ModelSpec(arch="fast", classes=("sky", "road", "car"), task="multiclass")
    start = checkpoint.Checkpoint(spec, trained.state_dict())
    model = MODELS["fast"](3, 3)
    starting.begin(model, spec.replace(classes=classes), start, np.array([50, 30, 20]), [])
    assert torch.equal(model.head.weight, trained.head.weight) is kept


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"weights": "nowhere.pt"}, ArtifactError, "nowhere.pt: no such"),
        ({"weights": "crack.engine"}, ArtifactError, "cannot be trained on"),
        ({"weights": "crack", "arch": "unet"}, ConfigError, "leave out --arch"),
        ({"weights": "crack", "width": 8}, ConfigError, "leave out --width"),
        ({"weights": "crack", "channels": 1}, ConfigError, "takes images of 3 channels"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, str], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        starting.read(dataclasses.replace(QUICK, **changes))  # type: ignore[arg-type]


def test_weights_of_another_network_are_refused() -> None:
    path = bundled("crack")
    assert path is not None
    start = starting.read(dataclasses.replace(QUICK, weights=str(path)))
    spec = start.spec.replace(arch_args={})  # fast as it comes, 80 channels wide
    black = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(ArtifactError, match="do not fit"):
        starting.begin(prepare.build(spec), spec, start, np.array([9, 1]), [("black", black, black[..., 0])])


@pytest.mark.parametrize("kind", ["fp32", "int8"])
def test_an_export_of_a_plain_unet_is_refused_with_what_to_give(kind: str) -> None:
    with pytest.raises(ArtifactError, match=r"its best\.pt"):
        starting.read(dataclasses.replace(QUICK, weights=str(exported.artifact(kind))))
