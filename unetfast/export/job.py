"""What every kind of export starts from, and how it ends: certified, and only then under its name."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from unetfast.backends import bundled, onnxruntime_
from unetfast.backends.base import Backend
from unetfast.backends.torch_ import TorchBackend
from unetfast.backends.whole import label_predictor
from unetfast.checkpoint import Checkpoint, build_model
from unetfast.errors import ConfigError, ParityError
from unetfast.export import trained
from unetfast.export.parity import Limits, certify, limits_for, require_passed, summary
from unetfast.export.samples import Samples, bundled_images, collect
from unetfast.export.settings import ExportSettings, precision_of
from unetfast.export.worst import show_worst
from unetfast.imaging import atomic_write
from unetfast.spec import ModelSpec

__all__ = ["Exported", "Job", "Say", "beside", "draft_folder", "finish", "open_job"]

Say = Callable[[str], None]


@dataclass(frozen=True)
class Exported:
    """An artifact under its final name, and its certificate."""

    path: Path
    certificate: dict[str, Any]


@dataclass(frozen=True)
class Job:
    """What every kind of export starts from."""

    checkpoint: Path
    model: nn.Module
    spec: ModelSpec
    reference: Backend
    samples: Samples
    limits: Limits
    say: Say

    def certify(self, candidate: Backend) -> dict[str, Any]:
        """Compare a candidate with the checkpoint."""
        found = certify(
            self.reference, candidate, self.samples.images, self.samples.truths, limits=self.limits
        )
        return {**found, "images_from": self.samples.source, "checkpoint": self.checkpoint.name}

    def refuse_unless_passed(self, certificate: dict[str, Any], candidate: Backend, final: Path) -> None:
        """Raise ParityError with a picture of the worst image, unless the certificate holds."""
        show_worst(certificate, self.reference, candidate, self.samples.images, beside(final, "refused.png"))
        require_passed(certificate, final)


def open_job(path: Path, settings: ExportSettings, say: Say = print) -> Job:
    """Read the checkpoint and the images, and check that the checkpoint still gives its own answers."""
    checkpoint = trained.load(path)
    precision = precision_of(settings)
    spec = checkpoint.spec.replace(output=settings.output)
    if settings.threshold is not None:
        if spec.task != "binary":
            raise ConfigError("--threshold is for models of two classes; this one takes the largest logit")
        spec = spec.replace(threshold=settings.threshold)
    model = build_model(checkpoint.spec, checkpoint.model_state, path, fused=checkpoint.fused)
    if settings.threshold is None:
        _check_memory(checkpoint, model, path)
    samples = collect(checkpoint, settings.data, path, calibrating=precision == "int8")
    say(f"certifying on {len(samples.images)} images from {samples.source}")
    limits = limits_for(precision, differ=settings.max_differ, dice=settings.min_dice, drop=settings.max_drop)
    reference = TorchBackend(model, spec, "cpu")
    return Job(path, model, spec.replace(precision=precision), reference, samples, limits, say)


def _check_memory(checkpoint: Checkpoint, model: nn.Module, path: Path) -> None:
    """Refuse a model whose network, rebuilt here, no longer answers what it answered before."""
    predict = label_predictor(TorchBackend(model, checkpoint.spec.replace(output="mask"), "cpu"))
    differing = pixels = 0
    for image, labels in _remembered(checkpoint, path):
        got = predict(image)
        differing += int(np.count_nonzero(got != labels))
        pixels += got.size
    if differing > max(1, 1e-3 * pixels):  # bf16 training and other machines round differently
        raise ParityError(
            f"{path}: rebuilt from its spec, the network answers {100 * differing / pixels:.3f} % of pixels "
            "differently than when it was saved; was it trained with another version of unetfast?"
        )


def _remembered(checkpoint: Checkpoint, path: Path) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Return images and what was answered to them: kept by training, or asked of the export itself."""
    if checkpoint.fused:
        answer = label_predictor(onnxruntime_.load(bundled(path) or path, device="cpu"))
        return [(image, answer(image)) for image in bundled_images(checkpoint.spec.preprocess.channels)]
    kept = zip(checkpoint.parity_images, checkpoint.parity_labels, strict=True)
    return [(image.numpy(), labels.numpy()) for image, labels in kept]


@contextlib.contextmanager
def draft_folder(final: Path) -> Iterator[Path]:
    """Give a folder beside an artifact, made if need be, for what has not been certified yet."""
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=".unetfast-export-") as folder:
        yield Path(folder)


def beside(final: Path, ending: str) -> Path:
    """Return where a file that belongs to an artifact lies: ``best.onnx`` -> ``best.onnx.ENDING``."""
    return final.with_name(f"{final.name}.{ending}")


def finish(job: Job, final: Path, certificate: dict[str, Any]) -> Exported:
    """Write the certificate beside the artifact too, and say what was made."""
    text = json.dumps(certificate, indent=2, sort_keys=True) + "\n"
    atomic_write(beside(final, "certificate.json"), text.encode())
    beside(final, "refused.png").unlink(missing_ok=True)  # of an earlier attempt
    job.say(f"certified: {summary(certificate)}")
    job.say(f"{final} ({final.stat().st_size / 1e6:.2f} MB)")
    return Exported(final, certificate)
