"""From a checkpoint to a certified artifact: build, reload, compare, and only then give it its name."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from unetfast import weights
from unetfast.backends import onnxruntime_, openvino_, torch_
from unetfast.backends.artifact import sidecar_path
from unetfast.backends.base import Backend
from unetfast.backends.torch_ import TorchBackend
from unetfast.backends.whole import label_predictor
from unetfast.checkpoint import Checkpoint, build_model, load
from unetfast.errors import ConfigError, ParityError
from unetfast.export import onnx as graph
from unetfast.export.logits import logit_difference
from unetfast.export.parity import (
    Limits,
    certify,
    limits_for,
    require_passed,
    show_worst,
    summary,
)
from unetfast.export.precision import DTYPES, folded, narrow
from unetfast.export.samples import Samples, collect
from unetfast.export.settings import ExportSettings
from unetfast.imaging import atomic_write
from unetfast.models.deployable import Deployable
from unetfast.spec import ModelSpec

__all__ = ["Exported", "Job", "export", "open_job", "precision_of"]

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
        show_worst(certificate, self.reference, candidate, self.samples.images, _beside(final, "refused.png"))
        require_passed(certificate, final)


_TRT_ONLY = (
    *("shapes", "workspace", "builder_level", "timing_cache"),
    *("hardware_compatible", "version_compatible"),
)


def _said(settings: ExportSettings, name: str) -> bool:
    return bool(getattr(settings, name) != getattr(ExportSettings, name))


def precision_of(settings: ExportSettings) -> str:
    """Return "fp32", "fp16", "bf16" or "int8".

    Raises
    ------
    ConfigError
        When more than one was asked for, or settings contradict each other.
    """
    asked = [name for name in ("fp32", "half", "bf16", "int8") if getattr(settings, name)]
    if len(asked) > 1:
        said = " and ".join(f"--{name}" for name in asked)
        raise ConfigError(f"give one of --fp32, --half, --bf16, --int8; got {said}")
    kinds = [name for name in ("openvino", "trt", "safetensors") if getattr(settings, name)]
    if len(kinds) > 1:
        raise ConfigError(f"give one of {' and '.join('--' + name for name in kinds)}")
    if settings.safetensors and (asked or settings.output != "mask" or settings.threshold is not None):
        raise ConfigError("--safetensors keeps the checkpoint as it is; other choices are for other formats")
    if settings.triton is not None and (settings.openvino or settings.safetensors):
        raise ConfigError(f"--triton serves ONNX and TensorRT; leave out --{kinds[0]}")
    if not settings.trt and (alone := [name for name in _TRT_ONLY if _said(settings, name)]):
        raise ConfigError(f"--{alone[0].replace('_', '-')} is an option of TensorRT; add --trt")
    if settings.bf16 and not (settings.openvino or settings.trt):
        raise ConfigError(
            "--bf16 needs --openvino or --trt: onnxruntime computes no bf16 convolutions on the CPU, "
            "so a bf16 ONNX file could not be certified"
        )
    if settings.openvino and settings.half:
        raise ConfigError("--openvino computes fp16 files in fp32 on a CPU; use --openvino --bf16 or --int8")
    if not asked:
        return "fp16" if settings.trt else "fp32"
    return {"half": "fp16"}.get(asked[0], asked[0])


def open_job(path: Path, settings: ExportSettings, say: Say = print) -> Job:
    """Read the checkpoint and the images, and check that the checkpoint still gives its own answers."""
    checkpoint = load(path)
    precision = precision_of(settings)
    spec = checkpoint.spec.replace(output=settings.output)
    if settings.threshold is not None:
        if spec.task != "binary":
            raise ConfigError("--threshold is for models of two classes; this one takes the largest logit")
        spec = spec.replace(threshold=settings.threshold)
    model = build_model(checkpoint.spec, checkpoint.model_state, path)
    if settings.threshold is None:
        _check_memory(checkpoint, model, path)
    samples = collect(checkpoint, settings.data, path, calibrating=precision == "int8")
    say(f"certifying on {len(samples.images)} images from {samples.source}")
    limits = limits_for(precision, differ=settings.max_differ, dice=settings.min_dice, drop=settings.max_drop)
    reference = TorchBackend(model, spec, "cpu")
    return Job(path, model, spec.replace(precision=precision), reference, samples, limits, say)


def _check_memory(checkpoint: Checkpoint, model: nn.Module, path: Path) -> None:
    """Refuse a checkpoint whose network, rebuilt here, no longer gives the labels that training kept."""
    predict = label_predictor(TorchBackend(model, checkpoint.spec.replace(output="mask"), "cpu"))
    differing = pixels = 0
    for image, labels in zip(checkpoint.parity_images, checkpoint.parity_labels, strict=True):
        got = predict(image.numpy())
        differing += int(np.count_nonzero(got != labels.numpy()))
        pixels += got.size
    if differing > max(1, 1e-3 * pixels):  # bf16 training and other machines round differently
        raise ParityError(
            f"{path}: rebuilt from its spec, the network answers {100 * differing / pixels:.3f} % of pixels "
            "otherwise than when it was saved; was it trained with another version of unetfast?"
        )


def export(path: Path, settings: ExportSettings, say: Say = print) -> list[Exported]:
    """Make the artifact that `settings` ask for.

    Parameters
    ----------
    path : Path
        A ``.pt`` checkpoint.
    settings : ExportSettings
    say : callable
        Told one line a step.

    Returns
    -------
    list of Exported
        The artifact asked for comes first.

    Raises
    ------
    ParityError
        When the artifact does not compute what the checkpoint computes. Then no file is left under
        the artifact's name, an earlier one neither, and ``<name>.refused.png`` shows the worst image.
    ConfigError, ArtifactError, BackendError, MissingDependencyError
    """
    if settings.openvino:
        from unetfast.errors import require

        require("openvino", "openvino")
    if settings.trt:
        from unetfast.backends.tensorrt_ import runtime

        runtime()  # before the minutes of work
    final = _target(Path(path), settings)
    if Path(path).suffix.lower() in (".onnx", ".xml", ".engine", ".plan"):
        raise ConfigError(f"{path}: is an export already; give the checkpoint (.pt) it was made from")
    if final.resolve() == Path(path).resolve():
        raise ConfigError(f"{final}: is the checkpoint itself; choose another name with --to")
    job = open_job(Path(path), settings, say)
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


def _beside(final: Path, ending: str) -> Path:
    return final.with_name(f"{final.name}.{ending}")


def _remove(final: Path) -> None:
    """Remove an artifact and what belongs to it."""
    beside = {".xml": [final.with_suffix(".bin")], ".engine": [sidecar_path(final), _beside(final, "onnx")]}
    for path in (final, *beside.get(final.suffix, []), _beside(final, "certificate.json")):
        path.unlink(missing_ok=True)


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
    """Quantise with every calibrator and keep the best; if none passes, with the ends in float."""
    from unetfast.export.int8 import CALIBRATORS, LADDER, Calibrated, calibrate, ends, scaled

    plain = graph.build(folded(job.model), job.spec.replace(precision="fp32"))
    measured: dict[str, Calibrated] = {}
    tried: list[tuple[bool, float, onnx.ModelProto, dict[str, Any]]] = []
    for rung in LADDER:
        keep = ends(plain, *rung)
        for calibrator in CALIBRATORS:
            if calibrator not in measured:
                measured[calibrator] = calibrate(
                    plain, job.spec, job.samples.calibration, target=target, calibrator=calibrator
                )
            made = scaled(measured[calibrator], job.spec, keep)
            certificate = job.certify(onnxruntime_.load_bytes(made.SerializeToString()))
            score = min(value for value in certificate["dice"].values() if value is not None)
            notes = {"calibrator": calibrator, "kept_fp32": keep}
            tried.append((certificate["passed"], score, made, notes))
            kept = f", {len(keep)} layers in fp32" if keep else ""
            job.say(f"calibrated by {calibrator}{kept}: Dice against the checkpoint {score:.5f}")
        if any(passed for passed, *_ in tried):
            break
    _, _, made, notes = max(tried, key=lambda one: one[:2])
    return made, notes


def write_onnx(job: Job, proto: onnx.ModelProto, made_by: dict[str, Any], final: Path) -> Exported:
    """Write, reload and certify an ONNX file."""
    spec = graph.get_spec(proto)
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=".unetfast-export-") as folder:
        draft = Path(folder, "draft.onnx")
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
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=".unetfast-export-") as folder:
        draft = Path(folder, final.name)
        weights.save(draft, kept.spec, kept.model_state, kept.parity_images, kept.parity_labels)
        candidate = torch_.load(draft, device="cpu")
        certificate = job.certify(candidate)
        job.refuse_unless_passed(certificate, candidate, final)
        os.replace(draft, final)
    return finish(job, final, certificate)


def finish(job: Job, final: Path, certificate: dict[str, Any]) -> Exported:
    """Write the certificate beside the artifact too, and say what was made."""
    text = json.dumps(certificate, indent=2, sort_keys=True) + "\n"
    atomic_write(_beside(final, "certificate.json"), text.encode())
    _beside(final, "refused.png").unlink(missing_ok=True)  # of an earlier attempt
    job.say(f"certified: {summary(certificate)}")
    job.say(f"{final} ({final.stat().st_size / 1e6:.2f} MB)")
    return Exported(final, certificate)
