"""Training: it learns, it can be stopped anywhere, and the same settings give the same weights."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from unetfast import checkpoint
from unetfast.data import DataSet, open_dataset
from unetfast.errors import BackendError, ConfigError, DatasetError, is_memory_error
from unetfast.imaging import write_mask
from unetfast.spec import FileRef
from unetfast.train import loop, prepare, run_folder
from unetfast.train.loop import train
from unetfast.train.progress import Display
from unetfast.train.schedule import learning_rate
from unetfast.train.settings import TrainSettings
from unetfast.train.state import Average, settle_norms

TINY = TrainSettings(
    arch="unet",
    width=4,
    depth=2,
    imgsz=32,
    batch=4,
    crops=2,
    epochs=3,
    lr=1e-2,
    warmup=2,
    workers=0,
    val_fraction=0.25,
    amp="off",
    device="cpu",
)


def _draw(folder: Path, count: int, classes: int = 2) -> Path:
    """Dark lines (and, as class 2, bright discs) on noise."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for i in range(count):
        image = rng.normal(150, 12, (48, 64, 3)).clip(0, 255).astype(np.uint8)
        labels = np.zeros((48, 64), np.uint8)
        ends = rng.integers(0, 48, 4)
        cv2.line(labels, (int(ends[0]), 0), (int(ends[1]), 47), 1, 3)
        if classes == 3:
            cv2.circle(labels, (int(ends[2]) + 8, int(ends[3])), 7, 2, -1)
        image[labels == 1] //= 3
        image[labels == 2] = 240
        cv2.imwrite(str(folder / "images" / f"{i:02}.png"), image)
        write_mask(folder / "masks" / f"{i:02}.png", labels == 1 if classes == 2 else labels)
    return folder


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    return open_dataset(_draw(tmp_path_factory.mktemp("lines"), 8))


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    return open_dataset(_draw(tmp_path_factory.mktemp("shapes"), 8, classes=3))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    for name, tensor in checkpoint.load(path).model_state.items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open() as file:
        return [
            {k: v for k, v in row.items() if k not in ("seconds", "images_per_s")}
            for row in csv.DictReader(file)
        ]


def test_it_learns_and_leaves_what_people_look_at(lines: DataSet, tmp_path: Path) -> None:
    folder = train(replace(TINY, epochs=12, output=tmp_path / "run"), lines)
    rows = _rows(folder)
    assert len(rows) == 12
    assert max(float(row["val_dice"]) for row in rows) > 0.8
    assert float(rows[-1]["train_loss"]) < 0.7 * float(rows[0]["train_loss"])
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "best.pt",
        "last.pt",
        "results.csv",
        "args.toml",
        "curves.png",
        "val_samples.png",
        "labels.png",
    }
    best = checkpoint.load(folder / "best.pt")
    assert best.training_state is None
    assert best.spec.classes == lines.classes
    assert best.spec.training["data"]["train_images"] == 6
    assert best.spec.training["metrics"]["val_dice"] == max(float(row["val_dice"]) for row in rows)
    assert len(best.parity_images) == len(best.parity_labels) == 2
    assert best.parity_images[0].shape[:2] == best.parity_labels[0].shape


def test_the_same_seed_gives_the_same_weights(lines: DataSet, tmp_path: Path) -> None:
    runs = [
        train(replace(TINY, epochs=2, output=tmp_path / str(i), seed=seed, workers=workers), lines)
        for i, (seed, workers) in enumerate([(0, 0), (0, 1), (1, 0)])
    ]
    hashes = [_hash(run / "last.pt") for run in runs]
    assert hashes[0] == hashes[1], "the number of workers changes nothing"
    assert hashes[0] != hashes[2]


STOPPABLE = replace(TINY, accumulate=2, batch=2, crops=1)  # three batches an epoch, two steps


@pytest.fixture(scope="module")
def straight(lines: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(replace(STOPPABLE, output=tmp_path_factory.mktemp("straight")), lines)


@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_a_stopped_run_goes_on_as_if_nothing_had_happened(
    lines: DataSet, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    """Stopped by a real SIGINT between the batches of a step, at an epoch's end, and within one."""
    handler = signal.getsignal(signal.SIGINT)  # a background job's ignores it
    steps = 0
    shown = Display.step

    def step(self: Display, *arguments: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == stop_after:
            os.kill(os.getpid(), signal.SIGINT)
        shown(self, *arguments)

    monkeypatch.setattr(Display, "step", step)
    with pytest.raises(KeyboardInterrupt):
        train(replace(STOPPABLE, output=tmp_path / "stopped"), lines)
    stopped = tmp_path / "stopped"
    assert signal.getsignal(signal.SIGINT) is handler
    changed = run_folder.read_settings(stopped, {})
    assert train(changed, lines, resume=stopped) == stopped
    assert _hash(stopped / "last.pt") == _hash(straight / "last.pt")
    assert _hash(stopped / "best.pt") == _hash(straight / "best.pt")
    assert _rows(stopped) == _rows(straight)


def test_more_epochs_can_follow(lines: DataSet, tmp_path: Path) -> None:
    folder = train(replace(TINY, epochs=1, schedule="constant", warmup=0, output=tmp_path / "a"), lines)
    train(run_folder.read_settings(folder, {"epochs": 3}), lines, resume=folder)
    straight = train(replace(TINY, epochs=3, schedule="constant", warmup=0, output=tmp_path / "b"), lines)
    assert _hash(folder / "last.pt") == _hash(straight / "last.pt")


def test_fewer_epochs_past_the_settling_point_still_settle_the_norms(
    lines: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loop, "SETTLED_STEPS", 0)
    long = replace(TINY, epochs=20, patience=4, lr=1e-9, output=tmp_path)  # settles in epoch 15
    folder = train(long, lines)
    assert len(_rows(folder)) < 14  # stopped early, long before
    done = len(_rows(folder))
    train(run_folder.read_settings(folder, {"epochs": done + 1}), lines, resume=folder)  # settles before it
    assert f"{done + 1} epochs in place of 20" in caplog.text
    saved = checkpoint.load(folder / "last.pt")
    assert saved.training_state is not None
    norms = {k: v for k, v in saved.model_state.items() if "running" in k}
    assert norms
    for name, average in norms.items():
        torch.testing.assert_close(saved.training_state["model"][name], average)


def test_args_toml_reproduces_the_run(
    lines: DataSet, tmp_path: Path, unetfast_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    first = train(replace(TINY, epochs=1, data=lines.root, output=tmp_path / "a"), lines)
    done = unetfast_command(
        "train", "--config", first / "args.toml", "-o", tmp_path / "b",
        cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "b" / "best.pt")
    assert "s left  best so far\n" in done.stderr
    assert re.search(r"best\.pt has the weights of epoch 1, validation Dice 0\.\d+; to measure", done.stderr)
    assert _hash(tmp_path / "b" / "best.pt") == _hash(first / "best.pt")


def test_no_score_is_shown_where_nothing_is_validated(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Display(True, 2, 3, 4, {"epoch": 0, "step": 0})
    row = {"epoch": 1, "train_loss": 0.5, "train_dice": 0.25, "images_per_s": 20.0}
    for value in (math.nan, 0.75):
        shown.epoch(row | dict.fromkeys(("val_loss", "val_dice", "val_iou"), value), better=True)
    without, with_score = capsys.readouterr().err.splitlines()
    assert without.startswith("epoch   1/2  train: loss 0.500 dice 0.250  20 images/s")
    assert "val: loss 0.750 dice 0.750 iou 0.750  20 images/s" in with_score


def _interrupted(data: Path, folder: Path, number: int) -> tuple[int, str, str]:
    """Start a long training on the command line and send it a signal after its first epoch."""
    config = folder.parent / "tiny.toml"
    config.write_text(run_folder.to_toml(replace(TINY, data=data, epochs=100_000, workers=1, output=folder)))
    process = subprocess.Popen(
        [sys.executable, "-m", "unetfast", "train", "--config", str(config)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (folder / "last.pt").exists() and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, number)  # as a terminal does: the workers get it too
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_stops_the_command(
    number: signal.Signals, lines: DataSet, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    code, out, err = _interrupted(lines.root, folder, number)
    assert code == 130, err
    assert out == ""
    assert f"go on with: unetfast train --resume {folder}" in err
    assert "Traceback" not in err
    assert checkpoint.load(folder / "last.pt").training_state is not None


def test_a_killed_run_goes_on_from_its_last_epoch(lines: DataSet, tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    code, _, err = _interrupted(lines.root, killed, signal.SIGKILL)
    assert code == -signal.SIGKILL, err
    state = checkpoint.load(killed / "last.pt").training_state
    assert state is not None
    epochs = state["progress"]["epoch"] + 1
    train(run_folder.read_settings(killed, {"epochs": epochs}), lines, resume=killed)
    rows = _rows(killed)
    assert [int(row["epoch"]) for row in rows] == list(range(1, epochs + 1))
    assert len({row["train_loss"] for row in rows}) == epochs


def test_resume_refuses_what_would_be_another_run(lines: DataSet, shapes: DataSet, tmp_path: Path) -> None:
    folder = train(replace(TINY, epochs=1, output=tmp_path / "a"), lines)
    with pytest.raises(ConfigError, match="--lr cannot change"):
        run_folder.read_settings(folder, {"lr": 0.5})
    assert run_folder.read_settings(folder, {"lr": TINY.lr, "epochs": 9}).epochs == 9
    with pytest.raises(DatasetError, match=r"is not what .* was trained on"):
        train(run_folder.read_settings(folder, {"epochs": 2}), shapes, resume=folder)
    with pytest.raises(ConfigError, match="holds a training run already"):
        train(replace(TINY, output=folder), lines)
    moved = tmp_path / "moved"  # the same files in another folder are the same data
    shutil.copytree(lines.root, moved)
    train(run_folder.read_settings(folder, {"epochs": 2, "data": moved}), open_dataset(moved), resume=folder)
    assert [row["epoch"] for row in _rows(folder)] == ["1", "2"]


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "sgd", "schedule": "poly", "ema": 0.0, "clip": 0.0, "loss": "ce+lovasz"},
        {
            "optimizer": "adam",
            "loss": "ce+dice",
            "class_weights": "auto",
            "amp": "bf16",
            "augment": "upright",
        },
        {"up": "transposed", "loss": "focal+tversky", "class_weights": "1,2,2", "cache": "none"},
        {"resize": True, "augment": "none", "channels": 1, "val_fraction": 0.0},
        {"arch": "fast", "width": None, "depth": None, "imgsz": 64},
    ],
)
def test_every_option_trains_three_classes(shapes: DataSet, tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = train(replace(TINY, **{"epochs": 2, "output": tmp_path / "run", **changes}), shapes)
    best = checkpoint.load(folder / "best.pt")
    assert best.spec.task == "multiclass"
    assert best.spec.preprocess.channels == changes.get("channels", 3)
    assert best.spec.preprocess.resize_px == (32 if "resize" in changes else None)
    assert all(torch.isfinite(t).all() for t in best.model_state.values() if t.is_floating_point())
    assert math.isnan(float(_rows(folder)[-1]["val_dice"])) == (changes.get("val_fraction") == 0.0)


def test_early_stopping(lines: DataSet, tmp_path: Path) -> None:
    folder = train(replace(TINY, epochs=50, lr=1e-9, patience=2, output=tmp_path / "run"), lines)
    assert 3 <= len(_rows(folder)) < 50


def test_two_processes_do_what_one_does_with_twice_the_batch(lines: DataSet, tmp_path: Path) -> None:
    """The same crops and the same mean gradient; batch norm sees half a batch, hence the tolerance."""
    settings = replace(TINY, data=lines.root, loss="bce", epochs=2, crops=4, optimizer="sgd", lr=0.05)
    one = train(replace(settings, batch=8, output=tmp_path / "one"), lines)
    config = tmp_path / "two.toml"
    run_folder.atomic_write(config, run_folder.to_toml(settings).encode())
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "torch.distributed.run",
                "--nproc-per-node",
                "2",
                "--master-port",
                "29533",
            ),
            *("-m", "unetfast", "train", "--config", config, "-o", tmp_path / "two"),
        ],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    for alone, together in zip(_rows(one), _rows(tmp_path / "two"), strict=True):
        assert alone["lr"] == together["lr"]
        for name in ("train_loss", "val_loss"):
            assert float(together[name]) == pytest.approx(float(alone[name]), rel=0.05)


def test_memory_that_is_not_there_is_explained() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert is_memory_error(caught.value)
    assert not is_memory_error(RuntimeError("shapes differ"))
    message = str(prepare.memory_error(8, 512, "cuda:0"))
    assert "batch 8 of 512x512 px" in message
    assert "--batch 4 --accumulate 2" in message
    assert isinstance(prepare.memory_error(1, 512, "cpu"), BackendError)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 0}, "batch auto needs a CUDA device"),
        ({"amp": "fp16"}, "fp16 needs CUDA"),
        ({"arch": "fast", "imgsz": 64}, "fast does not take --width --depth"),
        ({"imgsz": 30}, "imgsz must be a multiple of 4"),
        ({"loss": "dise"}, "did you mean 'dice'"),
        ({"class_weights": "1,2,3"}, "class_weights must be none, auto or 2 numbers"),
        ({"device": "tpu"}, "device must be"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    lines: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        train(replace(TINY, **changes), lines)
    assert not any(tmp_path.rglob("best.pt"))


def test_an_unknown_key_of_a_configuration_file(
    lines: DataSet, tmp_path: Path, command_here: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    config = tmp_path / "train.toml"
    config.write_text("epoch = 3\n")
    done = command_here("train", lines.root, "--config", config)
    assert done.returncode == 2
    assert f"{config}: unknown setting 'epoch'; did you mean 'epochs'?" in done.stderr


def test_folders_count_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [str(run_folder.new_folder(None)) for _ in range(3)]
    assert names == ["runs/train", "runs/train2", "runs/train3"]
    assert all(map(os.path.isdir, names))


def test_a_folder_that_holds_results_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "args.toml").touch()
    with pytest.raises(ConfigError, match=r"holds a training run already; go on .*--resume"):
        run_folder.new_folder(tmp_path)
    with pytest.raises(ConfigError, match=r"holds a training run already; choose another --output"):
        run_folder.new_folder(tmp_path, "eval")
    with pytest.raises(ConfigError, match="this folder cannot be made: Not a directory"):
        run_folder.new_folder(tmp_path / "args.toml/out")


def test_names_that_are_no_text(lines: DataSet, tmp_path: Path) -> None:
    odd = Path(os.fsdecode(b"/data\xff"))
    run_folder.write_settings(tmp_path, TrainSettings(data=odd))
    assert run_folder.read_settings(tmp_path, {}).data == odd
    link = tmp_path / os.fsdecode(b"\xe9.png")
    link.symlink_to(lines.samples[0].image.path)
    sample = dataclasses.replace(lines.samples[0], id=link.stem, image=FileRef(link))
    data = dataclasses.replace(lines, root=odd, samples=[sample])
    spec = prepare.describe(TrainSettings(), data, [sample], [])
    assert spec.training["data"]["name"] == "data\\udcff"


def test_class_weights_by_hand() -> None:
    cpu = torch.device("cpu")
    assert prepare.class_weights("none", np.array([1, 1]), cpu) is None
    # Shares .81 and .19 of ... here .8 and .2: 1/sqrt is 1.118 and 2.236; their mean over pixels is 1.342.
    weight = prepare.class_weights("auto", np.array([80, 20]), cpu)
    assert weight is not None
    assert weight.tolist() == pytest.approx([1.1180 / 1.3416, 2.2361 / 1.3416], rel=1e-4)


def test_schedules() -> None:
    def rates(kind: str, warmup: int = 4) -> list[float]:
        return [learning_rate(s, 20, peak=1.0, warmup=warmup, kind=kind) for s in range(20)]

    for kind in ("cosine", "poly", "constant"):
        assert rates(kind)[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    cosine = rates("cosine", warmup=0)
    assert cosine[10] == pytest.approx(0.01 + 0.99 * 0.5)
    assert cosine[-1] > 0
    assert rates("poly", warmup=0)[10] == pytest.approx(0.5**0.9)
    assert rates("constant")[-1] == 1
    assert max(rates("cosine", warmup=1000)) == 1, "a warm-up longer than the training is cut to its half"


def test_average_by_hand() -> None:
    model = torch.nn.BatchNorm2d(1)
    average = Average(model, 0.5)
    assert model.running_mean is not None
    model.running_mean.fill_(8.0)
    model.num_batches_tracked.fill_(7)  # type: ignore[union-attr, operator]
    average.update(model, 1)  # keeps min(0.5, 2 / 11)
    assert average.model.running_mean.item() == pytest.approx(8 * (1 - 2 / 11))
    average.update(model, 100)
    assert average.model.running_mean.item() == pytest.approx(8 * (1 - 1 / 11))
    assert average.model.num_batches_tracked.item() == 7


def test_settled_norms_use_the_averaged_statistics_and_keep_them() -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2)).train()
    average = Average(model, 0.5)
    average.model[1].running_mean.fill_(3.0)  # type: ignore[index, union-attr]
    settle_norms(model.train(), average, first=True)
    model(torch.rand(4, 1, 5, 5))
    assert model[1].running_mean.tolist() == [3.0, 3.0]  # type: ignore[union-attr, operator]
    average.model[1].running_mean.fill_(4.0)  # type: ignore[index, union-attr]
    settle_norms(model.train(), average, first=False)
    assert model[1].running_mean.tolist() == [3.0, 3.0]  # type: ignore[union-attr, operator]
    assert not model[1].training
