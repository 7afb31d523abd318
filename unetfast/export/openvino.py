"""OpenVINO models: the certified ONNX graph, converted, reloaded and certified again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import onnx

from unetfast.backends import openvino_
from unetfast.backends.torch_ import TorchBackend
from unetfast.errors import BackendError
from unetfast.export import onnx as graph
from unetfast.export.job import Exported, Job, draft_folder, finish
from unetfast.export.precision import DTYPES, folded, narrowed
from unetfast.spec import SPEC_KEY

__all__ = ["write_openvino"]


def write_openvino(job: Job, proto: onnx.ModelProto, made_by: dict[str, Any], final: Path) -> Exported:
    """Convert, reload and certify; ``.bin`` with the weights lies beside the ``.xml``.

    Raises
    ------
    BackendError
        When OpenVINO cannot convert the graph.
    ParityError
    """
    ov = openvino_.runtime()
    spec = graph.get_spec(proto)
    with draft_folder(final) as folder:
        source, draft = folder / "draft.onnx", folder / final.name
        graph.write(proto, source)
        try:
            model = ov.Core().read_model(str(source))
            model.set_rt_info(spec.to_json(), SPEC_KEY.split("."))
            ov.save_model(model, str(draft), compress_to_fp16=False)
        except Exception as exc:  # OpenVINO raises RuntimeError and its own kin
            raise BackendError(f"OpenVINO cannot convert {spec.arch}: {exc}") from exc
        candidate = openvino_.load(draft)
        if candidate.widened:
            made_by = {**made_by, **_judged_by_torch(job, final)}
        certificate = {**job.certify(candidate), **made_by}
        job.refuse_unless_passed(certificate, candidate, final)
        candidate.close()
        model.set_rt_info(spec.replace(certificate=certificate).to_json(), SPEC_KEY.split("."))
        ov.save_model(model, str(draft), compress_to_fp16=False)
        # The weights first: an .xml under its final name always has its .bin.
        os.replace(draft.with_suffix(".bin"), final.with_suffix(".bin"))
        os.replace(draft, final)
    return finish(job, final, certificate)


def _judged_by_torch(job: Job, final: Path) -> dict[str, Any]:
    """Certify torch's bf16 in place of OpenVINO's, on a CPU where OpenVINO computes such files in fp32."""
    job.say("this CPU has no bf16, and OpenVINO computes in fp32; torch's bf16 arithmetic is certified too")
    narrow = TorchBackend(narrowed(folded(job.model), DTYPES["bf16"]), job.spec, "cpu")
    found = job.certify(narrow)
    job.refuse_unless_passed(found, narrow, final)
    return {"torch_bf16_arithmetic": {key: found[key] for key in ("differing_fraction", "dice")}}
