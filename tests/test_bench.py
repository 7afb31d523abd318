from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import exported
import numpy as np
import onnx
import pytest

from unetfast.bench.kernels import bench_inpainting, crack_mask
from unetfast.bench.models import bench_models
from unetfast.bench.settings import BenchSettings
from unetfast.bench.stages import bench_stages
from unetfast.bench.worker import Worker
from unetfast.data import open_dataset
from unetfast.errors import BackendError, ConfigError, DatasetError
from unetfast.export import onnx as graph
from unetfast.imaging import Picture, read, write
from unetfast.settings import from_mapping


def quiet(_: str) -> None: ...


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for i, (image, labels) in enumerate(exported.pictures()):
        for folder, pixels in (("images", image), ("masks", (labels * 255)[..., None])):
            (root / folder).mkdir(exist_ok=True)
            write(root / folder / f"{i}.png", Picture(pixels, "png"))
    return root


def test_a_table_with_failing_rows(data: Path, tmp_path: Path) -> None:
    lacking = ("absent.onnx", "weights.h5")
    artifacts = [exported.artifact("fp32"), exported.trained(), *(tmp_path / name for name in lacking)]
    settings = BenchSettings(
        data=data, repeats=1, seconds=0.05, batches="1,2", threads=1, backend=("onnxruntime", "torch")
    )
    found = bench_models(artifacts, settings, quiet)
    json.dumps(found, allow_nan=False)
    onnx_row, torch_row, *failed = found["rows"]
    for row, name in zip(failed, lacking, strict=True):
        assert name in row["artifact"]
        assert row["status"] != "ok"
        assert row["p50_ms"] is None
    for row in (onnx_row, torch_row):
        assert row["status"] == "ok"
        assert row["p50_ms"] <= row["p95_ms"]
        assert row["best_batch"] in (1, 2)
        assert row["peak_mb"] > 10
        assert row["dice"] > 0.9
        assert row["iou"] < row["dice"]
        assert row["differing"] == 0.0
        assert "1 threads" in row["description"]
    assert torch_row["speedup"] == 1.0
    assert found["reference"] == f"{exported.trained()} on torch"
    assert found["images"] == 8


def test_one_split_of_the_data(data: Path, tmp_path: Path) -> None:
    for split, kept in (("train", "01234"), ("test", "567")):
        for folder in ("images", "masks"):
            (tmp_path / split / folder).mkdir(parents=True)
            for i in kept:
                shutil.copy(data / folder / f"{i}.png", tmp_path / split / folder)
    settings = BenchSettings(
        data=tmp_path, split="test", repeats=1, seconds=0.05, batches="1", backend=("onnxruntime",)
    )
    artifacts = [exported.artifact("fp32")]
    found = bench_models(artifacts, settings, quiet)
    assert found["images"] == 3
    assert found["data"] == f"{tmp_path} (test)"
    whole = bench_models(artifacts, replace(settings, split=None), quiet)
    alone = bench_models(artifacts, replace(settings, data=tmp_path / "test", split=None), quiet)
    assert whole["images"] == 8
    assert found["rows"][0]["dice"] == alone["rows"][0]["dice"]
    with pytest.raises(DatasetError, match="no images of the split 'val'"):
        bench_models(artifacts, replace(settings, split="val"), quiet)
    with pytest.raises(DatasetError):
        bench_models(artifacts, replace(settings, data=data / "images"), quiet)


def test_masks_that_cannot_be_read_are_not_taken_for_photos(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    for mask in (tmp_path / "data/masks").iterdir():
        shutil.copy(data / "images/0.png", mask)  # a photograph: no classes
    settings = BenchSettings(
        data=tmp_path / "data", repeats=1, seconds=0.05, batches="1", backend=("onnxruntime",)
    )
    found = bench_models([Path("crack")], settings, quiet)
    assert found["images"] == 8
    assert found["rows"][0]["dice"] is None


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none of the artifacts"):
        bench_models([tmp_path / "absent.onnx"], BenchSettings(), quiet)


def test_what_is_wrong_with_the_artifacts_is_said(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"no")
    with pytest.raises(ConfigError, match=r"damaged\.onnx: .*; .*absent\.onnx: no such model file"):
        bench_models([damaged, tmp_path / "absent.onnx"], BenchSettings(), quiet)
    with pytest.raises(ConfigError, match=r"backend must be one of torch, .*got 'onnx'"):
        from_mapping(BenchSettings, {"backend": ["onnx"]}, "command line")


def test_batches_are_read_before_anything_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unetfast.bench.models.Worker", pytest.fail)
    with pytest.raises(ConfigError, match="batches must be like 1,2,4,8; got '1,b'"):
        bench_models([Path("crack")], BenchSettings(batches="1,b"), quiet)


def test_a_bundled_model_by_its_name() -> None:
    settings = BenchSettings(imgsz=64, repeats=1, seconds=0.05, batches="1", backend=("onnxruntime",))
    (row,) = bench_models([Path("crack")], settings, quiet)["rows"]
    assert row["status"] == "ok"
    assert row["artifact"].endswith("crack.onnx")


def test_masks_of_other_values_than_in_training_mean_the_same(data: Path, tmp_path: Path) -> None:
    for i, (image, labels) in enumerate(exported.pictures()):
        for folder, pixels in (("images", image), ("masks", labels[..., None])):  # {0, 1}
            (tmp_path / folder).mkdir(exist_ok=True)
            write(tmp_path / folder / f"{i}.png", Picture(pixels, "png"))
    proto = onnx.load(exported.artifact("fp32"))
    trained = open_dataset(data).encoding  # {0, 255}
    graph.put_spec(proto, graph.get_spec(proto).replace(label_encoding=trained.to_dict()))
    graph.write(proto, tmp_path / "m.onnx")
    settings = BenchSettings(
        data=tmp_path, repeats=1, seconds=0.05, batches="1", threads=1, backend=("onnxruntime",)
    )
    (row,) = bench_models([tmp_path / "m.onnx"], settings, quiet)["rows"]
    assert row["dice"] > 0.9


def test_a_model_of_other_classes_is_not_compared(
    data: Path, tmp_path: Path, unetfast_command: Callable[..., CompletedProcess[str]]
) -> None:
    first, second = tmp_path / "a/best.onnx", tmp_path / "b/best.onnx"
    for path, classes in ((first, 2), (second, 3)):
        path.parent.mkdir()
        shutil.copy(exported.artifact("fp32", classes=classes), path)
    done = unetfast_command(
        "bench", first, second, "--data", data, "--backend", "onnxruntime",
        "--repeats", 1, "--seconds", 0.05, "--batches", 1, "--threads", 1,
        "--json", tmp_path / "bench.json",
    )  # fmt: skip
    one, other = json.loads((tmp_path / "bench.json").read_text())["models"]["rows"]
    assert (one["status"], one["dice"] > 0.9) == ("ok", True)
    said = "another task than the first: classes background, line, disc, not background, line"
    assert (other["status"], other["p50_ms"]) == (said, None)
    assert str(first) in done.stdout  # both are called best.onnx
    assert str(second) in done.stdout


def test_a_dying_process_is_a_reason_not_a_crash() -> None:
    worker = Worker(exported.artifact("fp32"), "onnxruntime", "cpu", 1)
    image = np.zeros((1, 8, 8, 3), np.uint8)
    assert len(worker.time(image, 0.01)) >= 3
    assert worker.peak_mb() > 10
    worker._process.kill()
    with pytest.raises(BackendError, match=r"process ended \(exit code -9\)"):
        worker.predict(image[0])
    worker.close()


def test_the_command_writes_what_it_measured(
    data: Path, tmp_path: Path, unetfast_command: Callable[..., CompletedProcess[str]]
) -> None:
    done = unetfast_command(
        "bench", exported.artifact("fp32"), "--data", data / "images", "--backend", "onnxruntime",
        "--repeats", 1, "--seconds", 0.05, "--batches", 1, "--threads", 1,
        "--json", tmp_path / "bench.json", "--plot", tmp_path / "bench.png",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "p50 ms" in done.stdout
    assert "1 threads" in done.stdout
    rows = json.loads((tmp_path / "bench.json").read_text())["models"]["rows"]
    assert [row["dice"] for row in rows] == [None]  # no truth: no Dice made up
    assert read(tmp_path / "bench.png").pixels.shape[2] >= 3
    assert unetfast_command("bench").returncode == 2
    assert unetfast_command("bench", "--inpaint", "--threads", 99999).returncode == 2
    lost = unetfast_command("bench", exported.artifact("fp32"), "--json", tmp_path / "no/bench.json")
    assert lost.returncode == 2
    assert lost.stderr == f"unetfast: {tmp_path}/no/bench.json: there is no folder {tmp_path}/no\n"


def test_inpainting_methods_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unetfast.bench.kernels._SIZES", {"small": (60, 80)})
    rows = bench_inpainting(1, 1, quiet)
    assert {row["method"] for row in rows} >= {"native", "telea"}
    assert all(row["status"] == "ok" and row["ms"] > 0 for row in rows if row["method"] == "native")


def test_the_mask_of_the_benchmark_is_two_percent() -> None:
    assert 0.02 <= crack_mask(500, 700).mean() < 0.05


def test_stages_are_timed(data: Path) -> None:
    found = bench_stages(BenchSettings(stages=data / "images", model=str(exported.artifact("fp32"))))
    assert found["photos"] == 8
    assert set(found["stages"]) == set(found["alone"]) >= {"read", "network", "write"}
    assert found["ratio"] == found["seconds"] / max(found["alone"].values())
    assert found["seconds"] > 0
