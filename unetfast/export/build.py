"""From a checkpoint to a certified artifact: build, reload, compare, and only then give it its name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from torch import nn

from unetfast import weights
from unetfast.backends import onnxruntime_, openvino_, torch_
from unetfast.backends.artifact import CHECKPOINTS, sidecar_path
from unetfast.backends.base import Backend
from unetfast.backends.torch_ import TorchBackend
from unetfast.checkpoint import load
from unetfast.errors import ConfigError, ParityError
from unetfast.export import onnx as graph
from unetfast.export.job import Exported, Job, Say, beside, draft_folder, finish, open_job
from unetfast.export.logits import logit_difference
from unetfast.export.precision import DTYPES, folded, narrow
from unetfast.export.settings import ExportSettings, precision_of
from unetfast.models.deployable import Deployable

__all__ = ["export"]

_MOST_KEPT = 8  # layers in float; with more of them int8 is hardly faster


def export(path: Path, settings: ExportSettings, say: Say = print) -> list[Exported]:
    """Make the artifact that `settings` ask for.

    Parameters
    ----------
    path : Path
        A checkpoint, ``.pt`` or ``.safetensors``; the fp32 ``.onnx`` of a `fast` network; or the name of a
        bundled model, whose exports go to the working folder.
    settings : ExportSettings
    say : callable
        Told one line per step.

    Returns
    -------
    list of Exported
        The artifact asked for comes first.

    Raises
    ------
    ParityError
        When the artifact does not compute what the checkpoint computes. Then no file is left under
        the artifact's name, not even an earlier one, and ``<name>.refused.png`` shows the worst image.
    ConfigError, ArtifactError, BackendError, MissingDependencyError
    """
    if settings.openvino:
        openvino_.runtime()
    if settings.trt:
        from unetfast.backends.tensorrt_ import runtime

        runtime()  # before the minutes of work
    path = Path(path)
    final = _target(path, settings)
    if settings.safetensors and path.suffix.lower() not in CHECKPOINTS:
        raise ConfigError(f"{path}: is an export; --safetensors needs the checkpoint (.pt) it was made from")
    if final.resolve() == path.resolve():
        raise ConfigError(f"{final}: is the checkpoint itself; choose another name with --to")
    job = open_job(path, settings, say)
    try:
        return _made(job, settings, final)
    except ParityError:
        # An older artifact under this name would pass for an export of this checkpoint.
        _remove(final)
        raise


def _made(job: Job, settings: ExportSettings, final: Path) -> list[Exported]:
    if settings.safetensors:
        return [write_safetensors(job, final)]
    proto, made_by = build_graph(job, settings)
    if settings.openvino:
        from unetfast.export.openvino import write_openvino

        return [write_openvino(job, proto, made_by, final)]
    if settings.trt:
        from unetfast.export.tensorrt import write_tensorrt

        done = [write_tensorrt(job, proto, made_by, settings, final)]
    else:
        done = [write_onnx(job, proto, made_by, final)]
    if settings.triton is not None:
        from unetfast.export.triton import write_repository

        job.say(f"Triton model repository: {write_repository(final, settings.triton)}")
    return done


def _target(checkpoint: Path, settings: ExportSettings) -> Path:
    endings = {"openvino": ".xml", "trt": ".engine", "safetensors": ".safetensors"}
    suffix = next((end for name, end in endings.items() if getattr(settings, name)), ".onnx")
    if settings.to is not None:
        if settings.to.suffix != suffix:
            raise ConfigError(f"{settings.to}: the file's name must end with {suffix}")
        return settings.to
    precision, usual = precision_of(settings), "fp16" if settings.trt else "fp32"
    return checkpoint.with_name(f"{checkpoint.stem}{'' if precision == usual else '.' + precision}{suffix}")


def _remove(final: Path) -> None:
    """Remove an artifact and what belongs to it."""
    parts = {".xml": [final.with_suffix(".bin")], ".engine": [sidecar_path(final), beside(final, "onnx")]}
    for path in (final, *parts.get(final.suffix, []), beside(final, "certificate.json")):
        path.unlink(missing_ok=True)


class _Attempt(NamedTuple):
    """An int8 model and how it did."""

    passed: bool
    score: float  # Dice of the worst class against the checkpoint
    made: onnx.ModelProto
    notes: dict[str, Any]

    def rank(self) -> tuple[bool, float]:
        return self.passed, self.score


def build_graph(job: Job, settings: ExportSettings) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Return the ONNX model in the precision asked for, and what to note about how it was made."""
    precision = job.spec.precision
    job.say(f"building the {precision} graph")
    if precision == "int8":
        return _int8(job, "tensorrt" if settings.trt else "cpu")
    # OpenVINO narrows fp32 weights to bf16 itself.
    if precision == "fp32" or (precision == "bf16" and settings.openvino):
        return graph.build(folded(job.model), job.spec), {}
    return _narrow(job, DTYPES[precision])


def _narrow(job: Job, dtype: torch.dtype) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Narrow a network, judged by torch's own narrow arithmetic.

    onnxruntime computes narrow graphs in fp32 on a CPU, where nothing overflows: it would certify a
    model that is black on a GPU.
    """
    tensors = [torch.from_numpy(np.ascontiguousarray(image[None])) for image in job.samples.images[:8]]
    found: dict[str, Any] = {}

    def passes(network: nn.Module) -> bool:
        found.update(job.certify(TorchBackend(network, job.spec, "cpu")))
        return bool(found["passed"])

    network, kept = narrow(job.model, job.spec, dtype, tensors, passes)
    if kept:
        job.say(f"kept in fp32: {', '.join(kept)}")
    arithmetic = {key: found[key] for key in ("differing_fraction", "dice")}
    notes = {"kept_fp32": kept, f"torch_{job.spec.precision}_arithmetic": arithmetic}
    return graph.build(network, job.spec, dtype=dtype), notes


def _int8(job: Job, target: str) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Quantise with every calibrator; if none passes, keep in float, one by one, what int8 costs most."""
    from unetfast.export.int8 import CALIBRATORS, calibrate, layers, scaled

    plain = graph.build(folded(job.model), job.spec.replace(precision="fp32"))
    ranges = {
        name: calibrate(plain, job.spec, job.samples.calibration, target=target, calibrator=name)
        for name in CALIBRATORS
    }

    def attempt(calibrator: str, keep: Sequence[str]) -> _Attempt:
        made = scaled(ranges[calibrator], job.spec, keep)
        certificate = job.certify(onnxruntime_.load_bytes(made.SerializeToString()))
        score = min(value for value in certificate["dice"].values() if value is not None)
        notes = {"calibrator": calibrator, "kept_fp32": list(keep)}
        return _Attempt(certificate["passed"], score, made, notes)

    def said(one: _Attempt, how: str) -> _Attempt:
        job.say(f"{how}: Dice against the checkpoint {one.score:.5f}")
        return one

    tried = [said(attempt(name, []), f"calibrated by {name}") for name in CALIBRATORS]
    best = max(tried, key=_Attempt.rank)
    if best.passed:
        return best.made, best.notes
    every = layers(plain)
    job.say(f"looking for the layers that int8 costs most, of {len(every)}")
    calibrator, names = best.notes["calibrator"], [name for layer in every for name in layer]
    alone = [attempt(calibrator, [name for name in names if name not in layer]).score for layer in every]
    keep: list[str] = []
    for count, index in enumerate(sorted(range(len(every)), key=alone.__getitem__)[:_MOST_KEPT], 1):
        keep = [*keep, *every[index]]
        tried.append(said(attempt(calibrator, keep), f"{count} in fp32"))
        if tried[-1].passed:
            break
    best = max(tried, key=_Attempt.rank)
    return best.made, best.notes


def write_onnx(job: Job, proto: onnx.ModelProto, made_by: dict[str, Any], final: Path) -> Exported:
    """Write, reload and certify an ONNX file."""
    spec = graph.get_spec(proto)
    with draft_folder(final) as folder:
        draft = folder / "draft.onnx"
        graph.write(proto, draft)
        candidate = onnxruntime_.load(draft, device="cpu")
        certificate = {**job.certify(candidate), **made_by}
        deployable = Deployable(job.model, spec).eval()
        if spec.target == "cpu" and find_spec("openvino"):
            certificate["also"] = {"openvino": _also(job, openvino_.load(draft))}
        certificate["max_logit_difference"] = logit_difference(proto, deployable, job.samples.images[:4])
        job.refuse_unless_passed(certificate, candidate, final)
        graph.put_spec(proto, spec.replace(certificate=certificate))
        graph.write(proto, draft)
        os.replace(draft, final)
    return finish(job, final, certificate)


def _also(job: Job, candidate: Backend) -> dict[str, Any]:
    """Certify the same file on another runtime, which rounds int8 otherwise."""
    found = job.certify(candidate)
    if not found["passed"]:
        job.say(f"not certified on {found['candidate']}: {'; '.join(found['problems'])}")
    return {key: found[key] for key in ("passed", "candidate", "differing_fraction", "dice", "problems")}


def write_safetensors(job: Job, final: Path) -> Exported:
    """Write, reload and certify the checkpoint's weights as ``.safetensors``."""
    kept = load(job.checkpoint)
    with draft_folder(final) as folder:
        draft = folder / final.name
        weights.save(draft, kept.spec, kept.model_state, kept.parity_images, kept.parity_labels)
        candidate = torch_.load(draft, device="cpu")
        certificate = job.certify(candidate)
        job.refuse_unless_passed(certificate, candidate, final)
        os.replace(draft, final)
    return finish(job, final, certificate)
