"""One ONNX graph for every size of image, with its spec inside."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import onnx
import torch
from torch import nn

from unetfast.errors import BackendError
from unetfast.imaging import atomic_write
from unetfast.models.deployable import Deployable
from unetfast.spec import SPEC_KEY, ModelSpec

__all__ = ["INPUT", "build", "get_spec", "put_spec", "write"]

INPUT = "image"

# Read completely by TensorRT 10.12 to 11.4, onnxruntime 1.24 and OpenVINO 2025.
_OPSET = 20
_OPSET_BF16 = 22  # the first whose convolutions take bfloat16


def build(model: nn.Module, spec: ModelSpec, *, dtype: torch.dtype = torch.float32) -> onnx.ModelProto:
    """Turn a network into an ONNX model with dynamic batch, height and width.

    Parameters
    ----------
    model : nn.Module
        The network, exported as it is; ``export.precision.folded`` gives the form to deploy.
    spec : ModelSpec
        Put into ``metadata_props`` under ``unetfast.spec``.
    dtype : torch.dtype
        What the network computes in; a network not in float32 must already be converted.

    Returns
    -------
    onnx.ModelProto
        Input ``image`` (batch, height, width, C) uint8; output ``mask`` (batch, height, width)
        uint8, or ``prob`` (batch, height, width, K) float32.

    Raises
    ------
    BackendError
        When the network cannot be exported, or the result is not valid ONNX.
    """
    deployable = Deployable(model, spec).eval()
    # An example that is no multiple of the stride and not square, so that no size is taken for fixed.
    example = torch.zeros(2, 2 * spec.stride_px + 1, 3 * spec.stride_px + 1, spec.preprocess.channels)
    try:
        with _quiet():
            program = torch.onnx.export(
                deployable,
                (example.to(torch.uint8),),
                input_names=[INPUT],
                output_names=[spec.output],
                dynamic_shapes=({0: "batch", 1: "height", 2: "width"},),
                opset_version=_OPSET_BF16 if dtype == torch.bfloat16 else _OPSET,
                dynamo=True,
                verbose=False,
            )
        assert program is not None  # it is None only when a file name is given
        proto: onnx.ModelProto = program.model_proto
        _strip(proto)
        put_spec(proto, spec)
        onnx.checker.check_model(proto, full_check=True)
    except Exception as exc:  # torch.onnx and onnx raise many unrelated types
        raise BackendError(f"torch cannot export {spec.arch} to ONNX: {type(exc).__name__}: {exc}") from exc
    return proto


def put_spec(model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Write `spec` into ``metadata_props``, in place of one that is there."""
    kept = [entry for entry in model.metadata_props if entry.key != SPEC_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    entry = model.metadata_props.add()
    entry.key, entry.value = SPEC_KEY, spec.to_json()


def get_spec(model: onnx.ModelProto) -> ModelSpec:
    """Read back what :func:`put_spec` wrote."""
    text = next(str(entry.value) for entry in model.metadata_props if entry.key == SPEC_KEY)
    return ModelSpec.from_json(text, "ONNX model in memory")


def write(model: onnx.ModelProto, path: Path) -> None:
    """Write one file, whole or not at all."""
    atomic_write(path, model.SerializeToString())


def _strip(model: onnx.ModelProto) -> None:
    """Drop the exporter's notes on every node: stack traces with paths of the exporting machine."""
    graph = model.graph
    for item in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del item.metadata_props[:]
        item.doc_string = ""
    model.producer_name = f"unetfast (torch {torch.__version__})"
    model.producer_version = ""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress lines and its notes on its own internals off the screen."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
