"""Evaluation: counts of images become scores of sets, and the names say which."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as oracle

from unetfast import checkpoint
from unetfast.backends.whole import predictor
from unetfast.data.encoding import LabelEncoding
from unetfast.evaluate import THRESHOLDS, Evaluation, score
from unetfast.spec import ModelSpec, PreprocessSpec

Command = Callable[..., subprocess.CompletedProcess[str]]

BINARY = ModelSpec(threshold=0.35, classes=("background", "crack"), output="prob")
THREE = ModelSpec(classes=("sky", "road", "tree"), task="multiclass", output="prob")


def _binary(
    rng: np.random.Generator, images: int = 4
) -> tuple[Evaluation, list[tuple[NDArray[np.uint8], NDArray[np.float32]]]]:
    pairs = []
    for _ in range(images):
        truth = (rng.random((16, 20)) < 0.2).astype(np.uint8)
        truth[0] = 255
        noisy = np.clip(0.6 * (truth == 1) + 0.5 * rng.random(truth.shape), 0, 1)
        pairs.append((truth, noisy.astype(np.float32)))
    scored = [score(str(i), t, p[:, :, None], BINARY, tolerance_px=1.0) for i, (t, p) in enumerate(pairs)]
    return Evaluation(scored, BINARY.classes, True, BINARY.threshold, 1.0), pairs


def test_pooled_and_image_mean_against_scikit_learn(rng: np.random.Generator) -> None:
    found, pairs = _binary(rng)
    summary = found.summary()
    truths = [t[t != 255] for t, _ in pairs]
    answers = [(p[t != 255] > 0.35).astype(int) for t, p in pairs]
    flat_truth, flat_answer = np.concatenate(truths), np.concatenate(answers)
    for name, function in {
        "dice": oracle.f1_score,
        "iou": oracle.jaccard_score,
        "precision": oracle.precision_score,
        "recall": oracle.recall_score,
        "accuracy": oracle.accuracy_score,
    }.items():
        assert summary["pooled"][name] == pytest.approx(function(flat_truth, flat_answer), abs=1e-6)
        each = [function(t, a) for t, a in zip(truths, answers, strict=True)]
        assert summary["image_mean"][name] == pytest.approx(np.mean(each), abs=1e-6)


def test_ods_and_ois_by_brute_force(rng: np.random.Generator) -> None:
    found, _ = _binary(rng)
    curves = [image.tolerant_curve for image in found.images]

    def value(hits: NDArray[np.int64]) -> float:
        precision, recall = hits[0] / max(1, hits[1]), hits[2] / max(1, hits[3])
        return 2 * precision * recall / max(1e-12, precision + recall)

    pooled = sum(c for c in curves if c is not None)
    assert found.summary()["pooled"]["ods_f1"] == pytest.approx(max(value(row) for row in pooled))
    best = sum(max(c, key=value) for c in curves if c is not None)
    assert found.summary()["pooled"]["ois_f1"] == pytest.approx(value(best))


def test_ois_of_images_without_truth(rng: np.random.Generator) -> None:
    """Their best threshold is the one that predicts least, not the first of many zeros."""
    empty = np.zeros((20, 30), np.uint8)
    line = empty.copy()
    line[10] = 1
    spec = ModelSpec(output="prob")
    answers = [np.where(truth == 1, 0.9, 0.2 * rng.random(truth.shape)) for truth in (empty, line)]
    scored = [
        score("", truth, answer[:, :, None].astype(np.float32), spec, 1.0)
        for truth, answer in zip((empty, line), answers, strict=True)
    ]
    pooled = Evaluation(scored, spec.classes, True, 0.5, 1.0).summary()["pooled"]
    assert pooled["ods_f1"] == pooled["ois_f1"] == 1


def test_best_threshold_is_the_best_of_all(rng: np.random.Generator) -> None:
    found, _ = _binary(rng)
    best = found.at(found.best_threshold()).headline()["dice"]
    assert best == pytest.approx(max(found.at(t).headline()["dice"] for t in THRESHOLDS))


def test_moving_the_threshold_equals_scoring_anew(rng: np.random.Generator) -> None:
    found, pairs = _binary(rng)
    moved = found.at(0.6)
    spec = BINARY.replace(threshold=0.6)
    for image, (truth, probability) in zip(moved.images, pairs, strict=True):
        assert (image.confusion == score("", truth, probability[:, :, None], spec).confusion).all()


def test_a_clean_answer_takes_the_middle_of_the_good_thresholds() -> None:
    truth = np.array([[0, 0, 1, 1]], np.uint8)
    answer = np.array([[0.1, 0.2, 0.8, 0.9]], np.float32)[:, :, None]
    found = Evaluation([score("", truth, answer, BINARY)], BINARY.classes, True, 0.5)
    assert found.best_threshold() == pytest.approx(0.495, abs=0.011)
    nothing = Evaluation([score("", truth * 0, answer, BINARY)], BINARY.classes, True, 0.5)
    assert nothing.best_threshold() == 0.5


def test_classes_macro_and_void() -> None:
    truth = np.array([[0, 0, 1, 255]], np.uint8)
    answer = np.zeros((1, 4, 3), np.float32)
    answer[0, [0, 1, 2, 3], [0, 1, 1, 2]] = 1
    found = Evaluation([score("a", truth, answer, THREE, 2.0)], THREE.classes, False, 0.5)
    summary = found.summary()
    assert summary["pooled_per_class"]["tree"]["dice"] is None, "a class that is nowhere has no score"
    assert summary["pooled"]["iou"] == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert "tolerance_f1" not in summary["pooled"]
    json.dumps(summary, allow_nan=False)


def test_predictor_tiles_without_a_seam(rng: np.random.Generator) -> None:
    class Brightness:
        """A model with a view of one pixel."""

        name = description = "test"
        spec = ModelSpec(output="prob", stride_px=4, halo_px=0, preprocess=PreprocessSpec())

        def infer(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            return images.mean(axis=3, keepdims=True).astype(np.float32) / 255

        def close(self) -> None: ...

    image = rng.integers(0, 256, (50, 70, 3), np.uint8)
    tiled, whole = predictor(Brightness(), 16)(image), predictor(Brightness(), 1024)(image)
    assert tiled.shape == (50, 70, 1)
    assert (tiled == whole).all()


@pytest.fixture(scope="module")
def checkpoint_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that finds dark pixels: its last layer reads one channel, without training."""
    import torch

    from unetfast.models.unet import UNet

    model = UNet(3, 1, width=2, depth=1).eval()
    for parameter in model.parameters():
        parameter.data.zero_()
    first, norm = model.stem[0], model.stem[1]
    assert isinstance(first, torch.nn.Conv2d)
    first.weight.data[0, :, 1, 1] = -1 / 3  # dark is positive
    norm.weight.data.fill_(1.0)
    last = model.decoder[0]
    model.stem[3].weight.data[0, 0, 1, 1] = model.stem[4].weight.data[0] = 1.0
    last[0].weight.data[0, 0, 1, 1] = last[1].weight.data[0] = 1.0
    last[3].weight.data[0, 0, 1, 1] = last[4].weight.data[0] = 1.0
    model.head.weight.data[0, 0], model.head.bias.data[0] = 8.0, -4.0
    spec = ModelSpec(arch="unet", arch_args={"width": 2, "depth": 1}, stride_px=2, halo_px=model.halo_px)
    path = tmp_path_factory.mktemp("model") / "dark.pt"
    checkpoint.save(path, model_state=model.state_dict(), spec=spec)
    return path


def test_eval_on_the_command_line(
    checkpoint_file: Path, tmp_path: Path, unetfast_command: Command, command_here: Command
) -> None:
    rng = np.random.default_rng(3)
    for i in range(3):
        truth = np.zeros((40, 50), bool)
        truth[10 + i : 14 + i] = True
        image = np.where(truth, 20, 200).astype(np.uint8) + rng.integers(0, 20, truth.shape, np.uint8)
        image[0, : 5 * i] = 10  # false alarms
        for folder, array in (("images", image), ("masks", truth.astype(np.uint8) * 255)):
            (tmp_path / folder).mkdir(exist_ok=True)
            assert cv2.imwrite(str(tmp_path / folder / f"{i}.png"), array)
    out = tmp_path / "out"
    done = unetfast_command("eval", checkpoint_file, tmp_path, "-o", out, "--tolerance", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith(f"{out}/")
    assert "samples: 3 (no split given)" in done.stderr
    assert "masks: two values: 0 is background, 255 is foreground" in done.stderr
    assert {p.name for p in out.iterdir()} == {
        "metrics.json",
        "per_image.csv",
        "confusion.png",
        "pr_curve.png",
        "worst.png",
    }
    found = json.loads((out / "metrics.json").read_text())
    assert found["pooled"]["recall"] == 1
    assert found["pooled"]["precision"] == pytest.approx(600 / 615)
    each = [200 / 200, 200 / 205, 200 / 210]
    assert found["image_mean"]["precision"] == pytest.approx(np.mean(each))
    assert (out / "per_image.csv").read_text().count("\n") == 4
    half = ("-o", tmp_path / "half", "--scale", "0.5")
    assert command_here("eval", checkpoint_file, tmp_path, *half).returncode == 0
    scaled = json.loads((tmp_path / "half" / "metrics.json").read_text())
    assert (found["scale"], scaled["scale"]) == (1, 0.5)
    assert 0 < scaled["pooled"]["dice"] != found["pooled"]["dice"]
    again = command_here("eval", checkpoint_file, tmp_path, "-o", out)
    assert again.returncode == 2
    assert again.stderr == f"unetfast: {out}: holds an evaluation already; choose another --output\n"


def test_eval_says_what_a_reader_of_its_scores_must_know(
    checkpoint_file: Path,
    tmp_path: Path,
    command_here: Command,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    truth = np.eye(40, dtype=np.uint8)
    for split in ("train", "test"):
        for folder, array in (("images", 200 - 180 * truth), ("masks", 255 - 255 * truth)):
            (tmp_path / split / folder).mkdir(parents=True)
            cv2.imwrite(str(tmp_path / split / folder / "1.png"), array)
    cv2.imwrite(str(tmp_path / "test/images/2.png"), truth)
    known = LabelEncoding().to_dict()
    saved = checkpoint.load(checkpoint_file)
    model = tmp_path / "model.pt"
    checkpoint.save(model, model_state=saved.model_state, spec=saved.spec.replace(label_encoding=known))
    refused = command_here("eval", model, tmp_path)
    assert "leave them out with --skip-unmatched" in refused.stderr
    done = command_here("eval", model, tmp_path, "--skip-unmatched")
    assert done.returncode == 0, done.stderr
    assert "samples: 2 (1 train, 1 test)" in done.stderr
    assert "for one alone: --split test" in done.stderr
    assert "98 % of all pixels are foreground; if these masks are inverted: --mask-values 0=" in caplog.text
    wrong = command_here("eval", model, tmp_path, "--backend", "onnxruntime")
    assert wrong.returncode == 2
    assert "backend onnxruntime cannot open it (backends that can: torch)" in wrong.stderr
    wrong = command_here("eval", model, tmp_path, "--backend", "onnx")
    assert "unknown backend 'onnx'" in wrong.stderr


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are text there")
def test_eval_of_files_whose_names_are_no_text(
    checkpoint_file: Path, tmp_path: Path, unetfast_command: Command
) -> None:
    data = Path(os.fsdecode(os.fsencode(tmp_path) + b"/data\xff"))
    truth = np.eye(40, dtype=np.uint8)
    for folder, array in (("images", 200 - 180 * truth), ("masks", 255 * truth)):
        (data / folder).mkdir(parents=True)
        for number in b"12":
            path = os.fsencode(data / folder) + b"/\xe9%d.png" % number
            Path(os.fsdecode(path)).write_bytes(cv2.imencode(".png", array)[1].tobytes())
    out = tmp_path / "out"
    done = unetfast_command("eval", checkpoint_file, data, "-o", out, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\n\\udce949," in (out / "per_image.csv").read_text()
    assert json.loads((out / "metrics.json").read_text())["data"].endswith("data\\udcff")
    assert (out / "worst.png").is_file()


def test_a_folder_that_cannot_be_made_is_known_before_model_and_data_are_opened(
    tmp_path: Path, command_here: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    done = command_here("eval", "no_model.pt", "no_data", "-o", "file/out")
    assert done.returncode == 2
    assert done.stderr == "unetfast: file/out: this folder cannot be made: Not a directory\n"
