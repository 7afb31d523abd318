"""TensorRT plans, built the one way that 10.12 and later, 11 and TensorRT-RTX all understand.

Networks are strongly typed: every type comes from the ONNX graph and none from a builder flag.
TensorRT 11 has no such flags any more, and code that sets them "where present" builds fp32 plans
there without a word. That the plan has the types it should is read from the network and recorded.

The functions take the ``tensorrt`` module as an argument, so that they run as they are on the
TensorRT-RTX builder, which needs no GPU.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetfast.errors import BackendError, ConfigError
from unetfast.imaging import atomic_write
from unetfast.spec import ModelSpec

__all__ = [
    "MUST_HAVE",
    "Plan",
    "PlanOptions",
    "Profile",
    "build_plan",
    "parse_profile",
    "profile_for",
]

log = logging.getLogger(__name__)

OnStep = Callable[[str, int, int], None]  # phase, step, steps

_RUN_TILE_PX = 1024  # what `unetfast run` cuts large photos into; the default profile takes it
_RUN_BATCH = 8

# What each precision must show in the network's layers, by name of tensorrt.DataType.
MUST_HAVE = {"fp32": "FLOAT", "fp16": "HALF", "bf16": "BF16", "int8": "INT8"}


@dataclass(frozen=True)
class Profile:
    """The shapes a plan takes: (batch, height, width) from `low` to `high`, fastest at `best`."""

    low: tuple[int, int, int]
    best: tuple[int, int, int]
    high: tuple[int, int, int]


@dataclass(frozen=True)
class PlanOptions:
    """How a plan is built.

    Attributes
    ----------
    workspace_bytes : int
        Memory that layers may use.
    builder_level : int
        0 (quick) .. 5 (exhaustive search for kernels).
    timing_cache : Path or None
        Kernel timings kept between builds.
    hardware_compatible, version_compatible : bool
        Plans for Ampere and newer, and for later versions of TensorRT.
    """

    workspace_bytes: int = 4 * 2**30
    builder_level: int = 3
    timing_cache: Path | None = None
    hardware_compatible: bool = False
    version_compatible: bool = False


@dataclass(frozen=True)
class Plan:
    """A built plan.

    Attributes
    ----------
    data : bytes
        What ``trtexec --loadEngine`` and ``Runtime.deserialize_cuda_engine`` take.
    layer_types : dict of str to int
        How many layers of the network give each type.
    """

    data: bytes
    layer_types: dict[str, int]


def parse_profile(text: str) -> Profile:
    """Read ``"1x256x256,1x512x512,8x1024x1024"``: batch x height x width; min, best, max.

    Two shapes are min and max; one is all three.

    Raises
    ------
    ConfigError
    """
    sizes = []
    for part in text.split(","):
        numbers = part.strip().lower().split("x")
        if len(numbers) != 3 or not all(n.isdigit() and int(n) > 0 for n in numbers):
            raise ConfigError(
                f"shapes must be like 1x256x256,8x1024x1024 (batch x height x width); got {part!r}"
            )
        n, h, w = (int(number) for number in numbers)
        sizes.append((n, h, w))
    if len(sizes) > 3:
        raise ConfigError(f"give at most three shapes (min, best, max); got {len(sizes)}")
    low, best, high = sizes if len(sizes) == 3 else (sizes[0], sizes[-1], sizes[-1])
    if not all(a <= b <= c for a, b, c in zip(low, best, high, strict=True)):
        raise ConfigError(f"shapes must grow from min to max in every dimension; got {text!r}")
    return Profile(low, best, high)


def profile_for(images: Sequence[NDArray[np.uint8]], spec: ModelSpec) -> Profile:
    """Return a profile that takes every size up to the data's own and the tiles of `unetfast run`."""
    side = spec.preprocess.resize_px
    if side is not None:
        return Profile((1, side, side), (1, side, side), (_RUN_BATCH, side, side))
    heights, widths = ([image.shape[axis] for image in images] for axis in (0, 1))
    tile = _RUN_TILE_PX + 2 * spec.margin_px
    best = 1, int(np.median(heights)), int(np.median(widths))
    return Profile((1, 1, 1), best, (_RUN_BATCH, max(tile, *heights), max(tile, *widths)))


def build_plan(
    trt: Any,
    model: bytes,
    profile: Profile,
    precision: str,
    options: PlanOptions = PlanOptions(),
    on_step: OnStep | None = None,
) -> Plan:
    """Build a plan from an ONNX model.

    Parameters
    ----------
    trt : module
        ``tensorrt`` or ``tensorrt_rtx``.
    model : bytes
        An ONNX file's content, weights inside.
    profile : Profile
    precision : str
        "fp32", "fp16", "bf16" or "int8"; the graph already has it, and the network must show it.
    options : PlanOptions
    on_step : callable, optional
        Told the builder's progress.

    Raises
    ------
    BackendError
        When TensorRT cannot parse or build the model (with its own words), when no GPU is there, or
        when the network does not have the types of `precision`.
    """
    logger = _logger(trt)
    builder = trt.Builder(logger)
    # TensorRT 10 needs the flag; 11 knows nothing else and ignores it.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model) or network.num_outputs == 0:  # an empty file parses as an empty network
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        said = [f"{e.node_operator()} {e.node_name()}: {e.desc()}" for e in errors] or [
            logger.last or "empty"
        ]
        raise BackendError(f"TensorRT cannot parse the ONNX model: {'; '.join(said)}")
    layer_types = _layer_types(trt, network)
    if not layer_types.get(MUST_HAVE[precision]):
        raise BackendError(f"the network shows no {MUST_HAVE[precision]} layer, only {layer_types}")
    config = _config(trt, builder, network, profile, precision, options, on_step)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BackendError(f"TensorRT cannot build the plan: {logger.last or 'it gave no reason'}")
    if options.timing_cache is not None:
        atomic_write(options.timing_cache, bytes(config.get_timing_cache().serialize()))
    return Plan(bytes(plan), layer_types)


def _config(
    trt: Any,
    builder: Any,
    network: Any,
    profile: Profile,
    precision: str,
    options: PlanOptions,
    on_step: OnStep | None,
) -> Any:
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_bytes)
    config.builder_optimization_level = options.builder_level
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # the engine inspector shows types
    if precision == "fp32":
        config.clear_flag(trt.BuilderFlag.TF32)  # TF32 keeps 10 bits of 23, and fp32 is what was asked for
    if options.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.timing_cache is not None:
        known = options.timing_cache.read_bytes() if options.timing_cache.is_file() else b""
        cache = config.create_timing_cache(known)
        if not config.set_timing_cache(cache, ignore_mismatch=False):
            log.warning("%s: timings of another GPU or TensorRT; starting anew", options.timing_cache)
            config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    if on_step is not None:
        config.progress_monitor = _monitor(trt, on_step)
    image = network.get_input(0)
    channels = image.shape[3]
    shapes = builder.create_optimization_profile()
    shapes.set_shape(image.name, *((*shape, channels) for shape in (profile.low, profile.best, profile.high)))
    config.add_optimization_profile(shapes)
    return config


def _layer_types(trt: Any, network: Any) -> dict[str, int]:
    """Count layers by the type of their first output; shape arithmetic is left out."""
    known = {getattr(trt.DataType, name): name for name in ("FLOAT", "HALF", "BF16", "INT8", "UINT8", "BOOL")}
    found: Counter[str] = Counter()
    for i in range(network.num_layers):
        layer = network.get_layer(i)
        if layer.num_outputs:
            found[known.get(layer.get_output(0).dtype, "other")] += 1
    found.pop("other", None)
    return dict(found)


def _logger(trt: Any) -> Any:
    """Return a logger that keeps TensorRT's last error, which its functions do not return."""

    class Keeper(trt.ILogger):  # type: ignore[misc]  # the module has no types
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.last = ""

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.last = message
                log.debug("TensorRT: %s", message)

    return Keeper()


def _monitor(trt: Any, on_step: OnStep) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # the module has no types
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.steps[phase_name] = num_steps

        def step_complete(self, phase_name: str, step: int) -> bool:
            on_step(phase_name, step + 1, self.steps.get(phase_name, 0))
            return True

        def phase_finish(self, phase_name: str) -> None:
            self.steps.pop(phase_name, None)

    return Monitor()
