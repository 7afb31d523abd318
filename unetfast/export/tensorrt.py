"""From a certified graph to a certified TensorRT plan, with what lies beside it; and once more elsewhere."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shlex
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx

from unetfast.backends import onnxruntime_, tensorrt_
from unetfast.backends.artifact import read_sidecar, sidecar_path
from unetfast.errors import ArtifactError, BackendError
from unetfast.export import onnx as graph
from unetfast.export.job import Exported, Job, beside, draft_folder, finish
from unetfast.export.parity import certify, require_passed, summary
from unetfast.export.plan import (
    MUST_HAVE,
    OnStep,
    Plan,
    PlanOptions,
    Profile,
    build_plan,
    parse_profile,
    profile_for,
)
from unetfast.export.samples import bundled_images
from unetfast.export.settings import ExportSettings
from unetfast.imaging import atomic_write
from unetfast.settings import parse_bytes
from unetfast.spec import ModelSpec

__all__ = ["rebuild_command", "rebuild_if_stale", "write_tensorrt"]

log = logging.getLogger(__name__)


def write_tensorrt(
    job: Job, proto: onnx.ModelProto, made_by: dict[str, Any], settings: ExportSettings, final: Path
) -> Exported:
    """Build, reload and certify a plan; the ONNX it came from and a JSON sidecar lie beside it.

    Raises
    ------
    BackendError, ParityError, ConfigError
    """
    trt = tensorrt_.runtime()
    profile = parse_profile(settings.shapes) if settings.shapes else profile_for(job.samples.images, job.spec)
    options = PlanOptions(
        parse_bytes(settings.workspace, "workspace"),
        settings.builder_level,
        settings.timing_cache,
        settings.hardware_compatible,
        settings.version_compatible,
    )
    model = proto.SerializeToString()
    job.say(f"TensorRT {trt.__version__}: building for {profile.low} .. {profile.high}")
    plan = build_plan(trt, model, profile, job.spec.precision, options, _tell(job.say))
    spec = graph.get_spec(proto)
    sidecar = _describe(trt, plan, model, profile, options)
    sidecar["rebuild"] = rebuild_command(job.checkpoint, settings)

    def check(candidate: tensorrt_.TensorRtBackend) -> dict[str, Any]:
        certificate = {**job.certify(candidate), **made_by, **_types(candidate, plan)}
        job.refuse_unless_passed(certificate, candidate, final)
        return certificate

    return finish(job, final, _put(final, plan, model, sidecar, spec, check))


def rebuild_if_stale(path: Path, device: str = "auto", say: Callable[[str], None] = log.warning) -> None:
    """Build a plan again, from the ONNX kept beside it, if it was built for another GPU or TensorRT.

    The new plan is certified against that ONNX, run by onnxruntime on the CPU, on the bundled photos:
    the checkpoint need not be here.

    Raises
    ------
    ArtifactError
        When sidecar or ONNX are missing, or are not the plan's.
    BackendError, ParityError, MissingDependencyError
    """
    trt = tensorrt_.runtime()
    sidecar = read_sidecar(path)
    problem = tensorrt_.stale(sidecar, trt.__version__, tensorrt_.gpu(tensorrt_.device_index(device)))
    if problem is None:
        return
    source = beside(path, "onnx")
    if not source.is_file():
        raise ArtifactError(
            f"{path}: {problem}; {source.name} is not beside it, so it cannot be rebuilt here"
        )
    model = source.read_bytes()
    if hashlib.sha256(model).hexdigest() != sidecar.get("onnx_sha256"):
        raise ArtifactError(f"{path}: {problem}; {source.name} is not the ONNX it was built from")
    spec = ModelSpec.from_dict(sidecar["spec"], path)
    before = spec.certificate or {}
    try:
        profile = Profile(*(tuple(sidecar["profile"][name]) for name in ("min", "best", "max")))
        options = PlanOptions(**sidecar["options"])
    except (KeyError, TypeError) as exc:
        raise ArtifactError(f"{sidecar_path(path)}: does not say how the plan was built: {exc}") from exc
    say(f"{path}: {problem}; building it again from {source.name}")
    plan = build_plan(trt, model, profile, spec.precision, options)
    fresh = {**_describe(trt, plan, model, profile, options, device), "rebuild": sidecar.get("rebuild")}

    def check(candidate: tensorrt_.TensorRtBackend) -> dict[str, Any]:
        reference = onnxruntime_.load_bytes(model)
        found = certify(reference, candidate, bundled_images(spec.preprocess.channels))
        found |= {"checkpoint": before.get("checkpoint"), "images_from": "the bundled photos"}
        found |= {"rebuilt_from": source.name, **_types(candidate, plan)}
        require_passed(found, path)
        return found

    say(f"certified: {summary(_put(path, plan, model, fresh, spec, check, device))}")


def _types(candidate: tensorrt_.TensorRtBackend, plan: Plan) -> dict[str, Any]:
    """Return the types of the network's and of the engine's layers; refuse an engine that is not its name.

    TensorRT may fuse int8 layers into ones that answer in float, so int8 is proven by the network alone.
    """
    inspected = candidate.layer_types()
    wanted = MUST_HAVE[candidate.spec.precision]
    if inspected and candidate.spec.precision in ("fp16", "bf16") and not inspected.get(wanted):
        raise BackendError(f"the engine inspector shows no {wanted} layer, only {inspected}")
    return {"layer_types": plan.layer_types, "engine_layer_types": inspected}


def _put(
    final: Path,
    plan: Plan,
    model: bytes,
    sidecar: dict[str, Any],
    spec: ModelSpec,
    check: Callable[[tensorrt_.TensorRtBackend], dict[str, Any]],
    device: str = "auto",
) -> dict[str, Any]:
    """Load a plan from a draft, let `check` certify it, and only then give it its name."""
    with draft_folder(final) as folder:
        draft = folder / final.name
        atomic_write(draft, plan.data)
        _write_json(sidecar_path(draft), {**sidecar, "spec": json.loads(spec.to_json())})
        candidate = tensorrt_.load(draft, device=device)
        certificate = check(candidate)
        candidate.close()
        atomic_write(beside(final, "onnx"), model)
        # First: a plan is never without its sidecar.
        certified = json.loads(spec.replace(certificate=certificate).to_json())
        _write_json(sidecar_path(final), {**sidecar, "spec": certified})
        os.replace(draft, final)
    return certificate


def _describe(
    trt: Any, plan: Plan, model: bytes, profile: Profile, options: PlanOptions, device: str = "auto"
) -> dict[str, Any]:
    """Return what lies beside a plan, which itself stays as ``trtexec`` wants it."""
    kept = asdict(options)
    del kept["timing_cache"]  # a file of the machine that built it
    return {
        "tensorrt": trt.__version__,
        "gpu": tensorrt_.gpu(tensorrt_.device_index(device)),
        "hardware_compatible": options.hardware_compatible,
        "version_compatible": options.version_compatible,
        "options": kept,
        "profile": {"min": profile.low, "best": profile.best, "max": profile.high},
        "layer_types": plan.layer_types,
        "plan_sha256": hashlib.sha256(plan.data).hexdigest(),
        "onnx_sha256": hashlib.sha256(model).hexdigest(),
    }


def rebuild_command(checkpoint: Path, settings: ExportSettings) -> str:
    """Return the command that makes this plan again on another machine."""
    words = ["unetfast", "export", str(checkpoint), "--trt"]
    words += [f"--{name}" for name in ("fp32", "bf16", "int8") if getattr(settings, name)]
    for name in (
        *("to", "output", "data", "threshold", "max_differ", "min_dice", "max_drop"),
        *("shapes", "workspace", "builder_level"),
    ):
        value = getattr(settings, name)
        if value != getattr(ExportSettings, name):
            words += [f"--{name.replace('_', '-')}", str(value)]
    words += [
        f"--{name.replace('_', '-')}"
        for name in ("hardware_compatible", "version_compatible")
        if getattr(settings, name)
    ]
    return shlex.join(words)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    atomic_write(path, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())


def _tell(say: Callable[[str], None]) -> OnStep:
    """Return a progress hook that says each tenth of a long phase."""

    def on_step(phase: str, step: int, steps: int) -> None:
        if steps >= 20 and step % (steps // 10) == 0:
            say(f"  {phase}: {100 * step // steps} %")

    return on_step
