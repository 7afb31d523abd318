"""Every engine opens the model of a run in the same way."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from runs import folder_of_photos, settings

from unetfast.backends import onnxruntime_
from unetfast.cli.main import cli
from unetfast.errors import ArtifactError
from unetfast.pipeline.model import open_model
from unetfast.pipeline.run import run
from unetfast.pipeline.stages import Context
from unetfast.segment import _streams


def test_an_actor_of_ray_keeps_to_all_settings_of_the_network(model: Path) -> None:
    pytest.importorskip("ray")
    from unetfast.pipeline.ray_ import _Network

    chosen = settings(engine="ray", max_memory="200MB", batch=3)
    with _Network(str(model), Context(chosen, ""))._segmenter as actor, open_model(model, chosen, 1) as here:
        assert (actor.tile_px, actor.batch, actor.streams) == (here.tile_px, 3, 1)


def test_a_damaged_model_is_told_before_a_cluster_starts(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    (broken := tmp_path / "broken.onnx").write_bytes(b"nothing of the kind")
    photos = folder_of_photos(tmp_path / "in", 1)
    with pytest.raises(ArtifactError, match=r"broken\.onnx"):
        run([str(photos)], tmp_path / "out", settings(engine="ray"), model=broken)
    assert not ray.is_initialized()


@pytest.mark.parametrize("command", ["run", "eval", "verify", "bench"])
def test_help_names_every_device(command: str) -> None:
    text = " ".join(CliRunner().invoke(cli, [command, "--help"]).output.split())
    assert "auto, cpu, cuda or cuda:N; of onnxruntime also tensorrt or tensorrt:N" in text


@pytest.mark.parametrize(("device", "streams"), [("cpu", 4), ("cuda:1", 1), ("tensorrt:0", 1)])
def test_several_tiles_at_once_are_for_the_cpu(model: Path, device: str, streams: int) -> None:
    assert _streams(model, "onnxruntime", device, 4, 10**10) == streams


def test_several_tiles_at_once_are_not_for_a_gpu_that_auto_takes(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime_, "has_cuda", lambda: True)
    assert _streams(model, "auto", "auto", 4, 10**10) == 1
