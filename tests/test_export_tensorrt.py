"""TensorRT, tested on the TensorRT-RTX builder, which builds real plans on machines without a GPU."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import exported
import numpy as np
import onnx
import pytest
import torch

import unetfast
from unetfast.errors import BackendError, ConfigError, MissingDependencyError
from unetfast.export import onnx as graph
from unetfast.export.int8 import quantize
from unetfast.export.plan import PlanOptions, Profile, build_plan, parse_profile, profile_for
from unetfast.export.precision import folded, narrowed
from unetfast.export.settings import ExportSettings
from unetfast.export.tensorrt import rebuild_command
from unetfast.models import MODELS
from unetfast.spec import ModelSpec, PreprocessSpec

PACKAGE = Path(unetfast.__file__).parent
PROFILE = parse_profile("1x1x1,1x256x256,8x1024x1024")
TYPES = {"fp32": "FLOAT", "fp16": "HALF", "bf16": "BF16", "int8": "INT8"}


@pytest.fixture(scope="module")
def trt() -> Any:
    return pytest.importorskip("tensorrt_rtx", reason="pip install 'unetfast[test-trt]' to build real plans")


def check(trt: Any, proto: onnx.ModelProto, precision: str) -> int:
    """Build a plan, check the types of its layers, and return its size."""
    assert graph.get_spec(proto).precision == precision
    plan = build_plan(trt, proto.SerializeToString(), PROFILE, precision)
    assert plan.layer_types[TYPES[precision]] > 5
    assert plan.layer_types["UINT8"] >= 1
    for other in {"HALF", "BF16", "INT8"} - {TYPES[precision]}:
        assert other not in plan.layer_types
    return len(plan.data)


def test_exports_build(trt: Any) -> None:
    protos = {precision: onnx.load(exported.artifact(precision)) for precision in ("fp32", "fp16")}
    images = [image for image, _ in exported.pictures()]
    protos["int8"] = quantize(protos["fp32"], graph.get_spec(protos["fp32"]), images, target="tensorrt")
    for precision, proto in protos.items():
        check(trt, proto, precision)
    check(trt, onnx.load(exported.artifact("fp32", 3, 1)), "fp32")


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("arch", list(MODELS))
def test_every_model_builds_in_every_precision(trt: Any, arch: str, classes: int) -> None:
    torch.manual_seed(0)
    small: dict[str, Any] = {"width": 8} if arch.startswith("unet") else {}
    if arch == "fast":  # as the bundled model is
        small = {"context": 8, "views": 3, "sharpened": True}
    model = MODELS[arch](3, 1 if classes == 2 else classes, **small).eval()
    spec = ModelSpec(
        arch=arch,
        classes=tuple(f"c{i}" for i in range(classes)),
        task="binary" if classes == 2 else "multiclass",
        stride_px=model.stride_px,
        halo_px=model.halo_px,
    )
    base = folded(model)
    made = {"fp32": graph.build(base, spec)}
    for precision, dtype in (("fp16", torch.float16), ("bf16", torch.bfloat16)):
        made[precision] = graph.build(narrowed(base, dtype), spec.replace(precision=precision), dtype=dtype)
    images = [image for image, _ in exported.pictures()]
    made["int8"] = quantize(made["fp32"], spec, images, target="tensorrt")
    sizes = {precision: check(trt, proto, precision) for precision, proto in made.items()}
    assert sizes["fp16"] < sizes["fp32"]


@pytest.mark.slow
def test_transposed_convolutions_build(trt: Any) -> None:
    model = MODELS["unet-small"](1, 1, width=8, up="transposed").eval()
    spec = ModelSpec(stride_px=model.stride_px, preprocess=PreprocessSpec(1, (0.5,), (0.25,)))
    assert build_plan(trt, graph.build(folded(model), spec).SerializeToString(), PROFILE, "fp32").data


def fp32() -> bytes:
    return exported.artifact("fp32").read_bytes()


def test_the_precision_is_proven_not_assumed(trt: Any) -> None:
    with pytest.raises(BackendError, match="shows no HALF layer"):
        build_plan(trt, fp32(), PROFILE, "fp16")


@pytest.mark.filterwarnings("ignore:.*[Tt]iming [Cc]ache:DeprecationWarning")  # a no-op in TensorRT-RTX
def test_options_reach_the_builder(trt: Any, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    options = PlanOptions(2**31, 1, tmp_path / "timing.cache")
    plan = build_plan(trt, fp32(), PROFILE, "fp32", options, lambda *step: steps.append(step))
    assert plan.data
    assert steps
    assert (tmp_path / "timing.cache").is_file()
    assert build_plan(trt, fp32(), PROFILE, "fp32", options).data  # reads the cache it wrote


def test_too_little_workspace_is_said(trt: Any) -> None:
    with pytest.raises(BackendError, match="workspace"):
        build_plan(trt, fp32(), PROFILE, "fp32", PlanOptions(2**20))


def test_a_bad_profile_is_refused(trt: Any) -> None:
    with pytest.raises(BackendError, match="cannot build the plan"):
        build_plan(trt, fp32(), Profile((2, 64, 64), (1, 64, 64), (4, 64, 64)), "fp32")


def test_an_unsupported_operator_is_named(trt: Any) -> None:
    model = onnx.load_from_string(fp32())
    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Det"
    with pytest.raises(BackendError, match=r"cannot parse the ONNX model.*Det"):
        build_plan(trt, model.SerializeToString(), PROFILE, "fp32")


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_truncated_model_is_refused(trt: Any, share: float) -> None:
    data = fp32()
    with pytest.raises(BackendError, match="cannot parse"):
        build_plan(trt, data[: int(share * len(data))], PROFILE, "fp32")


def test_int8_for_cpus_is_refused_by_the_parser(trt: Any) -> None:
    plain = onnx.load_from_string(fp32())
    images = [image for image, _ in exported.pictures()]
    made = quantize(plain, graph.get_spec(plain), images, target="cpu")
    with pytest.raises(BackendError, match="TensorRT cannot"):
        build_plan(trt, made.SerializeToString(), PROFILE, "int8")


# --- without any TensorRT -----------------------------------------------------------------------


def test_profiles_are_read() -> None:
    assert parse_profile("4x32x48") == Profile((4, 32, 48), (4, 32, 48), (4, 32, 48))
    assert parse_profile("1x32x48, 8x64X64") == Profile((1, 32, 48), (8, 64, 64), (8, 64, 64))
    assert parse_profile("1x32x48,2x40x50,8x64x64").best == (2, 40, 50)


@pytest.mark.parametrize(
    "text", ["", "32x48", "1x32x48,", "1x0x4", "axbxc", "8x64x64,1x32x32", "1x2x3,1x2x3,1x2x3,1x2x3"]
)
def test_bad_profiles_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="shapes"):
        parse_profile(text)


def test_the_data_s_own_sizes_make_a_profile() -> None:
    images = [np.zeros((h, w, 3), np.uint8) for h, w in ((30, 50), (40, 40), (35, 2000))]
    spec = ModelSpec(stride_px=16, halo_px=90)
    assert profile_for(images, spec) == Profile((1, 1, 1), (1, 35, 50), (8, 1216, 2000))
    square = spec.replace(preprocess=type(spec.preprocess)(resize_px=128))
    assert profile_for(images, square) == Profile((1, 128, 128), (1, 128, 128), (8, 128, 128))


def test_the_rebuild_command_says_what_was_asked() -> None:
    settings = ExportSettings(
        trt=True, int8=True, shapes="1x64x64", version_compatible=True, min_dice=0.9, to=Path("b.engine")
    )
    assert rebuild_command(Path("my best.pt"), settings) == (
        "unetfast export 'my best.pt' --trt --int8 --to b.engine --min-dice 0.9 --shapes 1x64x64 "
        "--version-compatible"
    )


def test_without_tensorrt_the_pip_line_is_given() -> None:
    from unetfast.backends import tensorrt_

    try:
        import tensorrt  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(MissingDependencyError, match=r"pip install 'unetfast\[trt\]'"):
            tensorrt_.runtime()
    else:
        assert tensorrt_.runtime().__version__


# --- every name used exists in TensorRT 10 and 11 -----------------------------------------------

NAMES = json.loads((Path(__file__).parent / "trt_api_names.json").read_text())

# Variables of the source -> the class of TensorRT they hold.
HOLDS = {
    "builder": "Builder",
    "config": "IBuilderConfig",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "layer": "ILayer",
    "image": "ITensor",
    "shapes": "IOptimizationProfile",
    "engine": "ICudaEngine",
    "_engine": "ICudaEngine",
    "context": "IExecutionContext",
    "_context": "IExecutionContext",
    "inspector": "EngineInspector",
    "_runtime": "Runtime",
}
OURS = {"__version__", "ILogger"}  # ILogger is the base of Logger; not a name of the list's classes


def used() -> set[tuple[str, str]]:
    """Return (class or "module", name) of every TensorRT name in the source."""
    found = set()
    for file in ("export/plan.py", "export/tensorrt.py", "backends/tensorrt_.py"):
        for node in ast.walk(ast.parse((PACKAGE / file).read_text())):
            if not isinstance(node, ast.Attribute):
                continue
            held = node.value
            if isinstance(held, ast.Name) and held.id == "trt":
                found.add(("module", node.attr))
            elif isinstance(held, ast.Attribute) and getattr(held.value, "id", "") == "trt":
                found.add((held.attr, node.attr))
            elif isinstance(held, (ast.Name, ast.Attribute)):
                name = held.id if isinstance(held, ast.Name) else held.attr
                if name in HOLDS:
                    found.add((HOLDS[name], node.attr))
    return found


@pytest.mark.parametrize("version", list(NAMES))
def test_every_name_exists(version: str) -> None:
    names = {key: set(text.split()) for key, text in NAMES[version].items()}
    missing = []
    for owner, name in sorted(used()):
        if owner == "module":
            known = name in names["module"] | set(names) | OURS
        else:
            known = name in names.get(owner, {name} if owner in OURS else set())
        if not known and name != "__init__":
            missing.append(f"{owner}.{name}")
    assert not missing, f"not in TensorRT {version}: {', '.join(missing)}"


def test_the_check_of_names_sees_something() -> None:
    found = used()
    assert ("Builder", "build_serialized_network") in found
    assert ("IExecutionContext", "execute_async_v3") in found
    assert ("NetworkDefinitionCreationFlag", "STRONGLY_TYPED") in found
    assert ("MemoryPoolType", "WORKSPACE") in found
    assert ("BuilderFlag", "FP16") not in found  # gone in TensorRT 11
    assert len(found) > 30
