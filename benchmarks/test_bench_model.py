"""The bundled model against the classic U-Net, side by side: pytest benchmarks --benchmark-only."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from unetfast import backends, imaging
from unetfast.backends.base import Backend
from unetfast.spec import ModelSpec

EXAMPLES = Path(__file__).parent.parent / "examples"
BUNDLED = Path(str(resources.files("unetfast"))) / "assets" / "crack.onnx"
THREADS = 2
KEPT_FP32 = (0, 1, 2, 15)  # layers, of `unetfast export crack --int8 --data cracktile/train`


def classic(folder: Path) -> Path:
    """Export a U-Net of width 64 with random weights: speed does not depend on them."""
    torch = pytest.importorskip("torch")
    from unetfast.export.onnx import build, write
    from unetfast.models import MODELS

    torch.manual_seed(0)
    net = MODELS["unet"](3, 1, width=64, up="transposed").eval()
    spec = ModelSpec(
        arch="unet",
        arch_args={"width": 64, "up": "transposed"},
        stride_px=net.stride_px,
        halo_px=net.halo_px,
    )
    path = folder / "classic.onnx"
    write(build(net, spec), path)
    return path


def bundled(folder: Path, precision: str) -> Path:
    """Give the bundled model as it is, in int8 calibrated on the example photos, or in bf16."""
    if precision == "fp32":
        return BUNDLED
    pytest.importorskip("onnx")
    import onnx

    from unetfast.export import int8
    from unetfast.export.onnx import get_spec, put_spec, write

    model = onnx.load(str(BUNDLED))
    spec = get_spec(model)
    if precision == "int8":
        paths = sorted(EXAMPLES.glob("*.jpg"))
        photos = [
            imaging.network_input(imaging.read(path).pixels, spec.preprocess.channels) for path in paths
        ]
        # In float what its certificate keeps so: what is timed is what would be used.
        layers = int8.layers(model)
        keep = [name for index in KEPT_FP32 for name in layers[index]]
        model = int8.quantize(model, spec, photos, target="cpu", keep=keep)
    else:
        put_spec(model, spec.replace(precision=precision))  # OpenVINO computes in what the spec says
    path = folder / f"crack.{precision}.onnx"
    write(model, path)
    return path


@pytest.mark.parametrize(
    ("model", "precision", "backend"),
    [
        ("classic", "fp32", "onnxruntime"),
        ("classic", "fp32", "openvino"),
        ("bundled", "fp32", "onnxruntime"),
        ("bundled", "int8", "onnxruntime"),
        ("bundled", "fp32", "openvino"),
        ("bundled", "bf16", "openvino"),
        ("bundled", "int8", "openvino"),
    ],
)
@pytest.mark.benchmark(group="256x256 tile, 2 threads")
def test_tile(benchmark, tmp_path: Path, model: str, precision: str, backend: str) -> None:  # type: ignore[no-untyped-def]
    if backend == "openvino":
        pytest.importorskip("openvino")
    artifact = classic(tmp_path) if model == "classic" else bundled(tmp_path, precision)
    run: Backend = backends.load(artifact, backend=backend, threads=THREADS)
    image = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), dtype=np.uint8)
    benchmark(run.infer, image)


@pytest.mark.benchmark(group="12-megapixel photo, bundled model, 2 threads")
def test_photo(benchmark) -> None:  # type: ignore[no-untyped-def]
    import unetfast

    segmenter = unetfast.load("crack", threads=THREADS)
    image = np.random.default_rng(0).integers(0, 256, (3000, 4000, 3), dtype=np.uint8)
    benchmark.pedantic(segmenter.segment, (image,), rounds=3, warmup_rounds=1)
