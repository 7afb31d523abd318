"""The bundled model against the classic U-Net, side by side: pytest benchmarks --benchmark-only."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from unetfast import backends
from unetfast.backends.base import Backend
from unetfast.spec import ModelSpec

BUNDLED = Path(str(resources.files("unetfast"))) / "assets" / "crack.onnx"
THREADS = 2


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


@pytest.fixture(scope="module", params=["bundled", "classic"])
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "bundled":
        return BUNDLED
    return classic(tmp_path_factory.mktemp("classic"))


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.benchmark(group="256x256 tile, 2 threads")
def test_tile(benchmark, artifact: Path, backend: str) -> None:  # type: ignore[no-untyped-def]
    if backend == "openvino":
        pytest.importorskip("openvino")
    run: Backend = backends.load(artifact, backend=backend, threads=THREADS)
    image = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), dtype=np.uint8)
    benchmark(run.infer, image)


@pytest.mark.benchmark(group="12-megapixel photo, bundled model, 2 threads")
def test_photo(benchmark) -> None:  # type: ignore[no-untyped-def]
    import unetfast

    segmenter = unetfast.load("crack", threads=THREADS)
    image = np.random.default_rng(0).integers(0, 256, (3000, 4000, 3), dtype=np.uint8)
    benchmark.pedantic(segmenter.segment, (image,), rounds=3, warmup_rounds=1)
