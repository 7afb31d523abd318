"""Checkpoints: whole, safe to open, and refused with a reason."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import torch

from unetfast import backends, checkpoint
from unetfast.errors import ArtifactError
from unetfast.models.unet import UNet
from unetfast.spec import ModelSpec, PreprocessSpec

SPEC = ModelSpec(
    arch="unet", arch_args={"width": 2, "depth": 1}, preprocess=PreprocessSpec(1, (0.5,), (0.25,))
)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, UNet]:
    model = UNet(1, 1, width=2, depth=1)
    path = tmp_path / "best.pt"
    checkpoint.save(
        path,
        model_state=model.state_dict(),
        spec=SPEC,
        training_state={"epoch": 3, "nested": [{"step": torch.tensor(1.5)}, (1, None, "x")]},
        parity_images=[torch.zeros(4, 5, 1, dtype=torch.uint8)],
        parity_labels=[torch.ones(4, 5, dtype=torch.uint8)],
    )
    return path, model.eval()


def test_round_trip(saved: tuple[Path, UNet]) -> None:
    path, model = saved
    found = checkpoint.load(path)
    assert found.spec == SPEC
    assert found.training_state == {"epoch": 3, "nested": [{"step": torch.tensor(1.5)}, (1, None, "x")]}
    assert found.parity_images[0].shape == (4, 5, 1)
    assert found.parity_labels[0].sum() == 20
    image = torch.rand(1, 1, 8, 8)
    assert torch.equal(checkpoint.build_model(found.spec, found.model_state)(image), model(image))
    assert [p.name for p in path.parent.iterdir()] == ["best.pt"], "no temporary file is left"


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("evil-was-here",)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Evil()}, "evil.pt")
    with pytest.raises(ArtifactError, match=r"^evil\.pt: refused.*could run code"):
        checkpoint.load("evil.pt")
    assert not Path("evil-was-here").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"not a checkpoint at all", "cannot be read"),
        (b"PK\x03\x04 half a zip", "cannot be read"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=f"^{path}: {message}"):
        checkpoint.load(path)


def test_a_truncated_checkpoint_is_refused(saved: tuple[Path, UNet]) -> None:
    path, _ = saved
    whole = path.read_bytes()
    for size in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:size])
        with pytest.raises(ArtifactError, match="cannot be read"):
            checkpoint.load(path)


WHOLE = {
    "unetfast.checkpoint": 1,
    "spec": SPEC.to_json(),
    "model_state": {"weight": torch.ones(2)},
    "training_state": None,
    "parity_images": [],
    "parity_labels": [],
}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weight": torch.ones(2)}, "a bare state dict without a spec"),
        ([1, 2], "not a checkpoint"),
        ({"unetfast.checkpoint": 99}, "another version"),
        ({"unetfast.checkpoint": 1, "spec": "{}"}, "no format_version"),
        ({"unetfast.checkpoint": 1, "spec": SPEC.to_json()}, "missing 'model_state'"),
        ({**WHOLE, "parity_images": "photo"}, "the images it keeps are not tensors"),
    ],
)
def test_foreign_content_is_refused(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "x.pt"
    torch.save(content, path)
    with pytest.raises(ArtifactError, match=message):
        checkpoint.load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no such checkpoint"):
        checkpoint.load(tmp_path / "none.pt")


@pytest.mark.parametrize(
    "changes", [{"arch": "unetx"}, {"arch_args": {"width": 3}}, {"arch_args": {"wide": 3}}]
)
def test_weights_of_another_network_are_refused(saved: tuple[Path, UNet], changes: dict[str, object]) -> None:
    path, model = saved
    checkpoint.save(path, model_state=model.state_dict(), spec=SPEC.replace(**changes))
    with pytest.raises(ArtifactError, match=f"^{re.escape(str(path))}: its weights do not fit"):
        backends.load(path)
