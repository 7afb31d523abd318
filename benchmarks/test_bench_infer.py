"""One network on every CPU runtime and precision: pytest benchmarks/test_bench_infer.py --benchmark-only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unetfast import backends
from unetfast.spec import ModelSpec

torch = pytest.importorskip("torch")

THREADS = 1
SIDE_PX = 256
CASES = [
    ("torch", "fp32"),
    ("onnxruntime", "fp32"),
    ("onnxruntime", "fp16"),
    ("onnxruntime", "int8"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
]


@pytest.fixture(scope="module", params=["unet-small", "fast"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a checkpoint and its graphs with random weights: speed does not depend on them."""
    from unetfast import checkpoint
    from unetfast.export import onnx as graph
    from unetfast.export.int8 import quantize
    from unetfast.export.precision import folded, narrowed
    from unetfast.models import MODELS

    torch.manual_seed(0)
    model = MODELS[request.param](3, 1).eval()
    spec = ModelSpec(arch=request.param, stride_px=model.stride_px, halo_px=model.halo_px)
    folder = tmp_path_factory.mktemp(request.param)
    checkpoint.save(folder / "fp32.pt", model_state=model.state_dict(), spec=spec)
    base = folded(model)
    plain = graph.build(base, spec)
    half = spec.replace(precision="fp16")
    images = [np.random.default_rng(i).integers(0, 256, (256, 256, 3), dtype=np.uint8) for i in range(4)]
    graphs = {
        "fp32": plain,
        "fp16": graph.build(narrowed(base, torch.float16), half, dtype=torch.float16),
        "int8": quantize(plain, spec, images, target="cpu"),
    }
    for precision, proto in graphs.items():
        graph.write(proto, folder / f"{precision}.onnx")
    graph.put_spec(plain, spec.replace(precision="bf16"))  # OpenVINO narrows the weights itself
    graph.write(plain, folder / "bf16.onnx")
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.benchmark(group=f"{SIDE_PX}x{SIDE_PX}, {THREADS} thread")
@pytest.mark.parametrize(("backend", "precision"), CASES)
def test_infer(benchmark: Any, made: dict[str, Path], backend: str, precision: str) -> None:
    if backend == "openvino":
        pytest.importorskip("openvino")
    path = made[f"{precision}.pt" if backend == "torch" else f"{precision}.onnx"]
    run = backends.load(path, backend=backend, device="cpu", threads=THREADS)
    image = np.random.default_rng(0).integers(0, 256, (1, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    benchmark.pedantic(run.infer, (image,), rounds=30, warmup_rounds=3)
