"""A GPU made of host memory, so that the whole way to a TensorRT plan and through it runs anywhere.

The builder, the parser and the plans are real (TensorRT-RTX). What needs a GPU is emulated at the
border of the two modules that unetfast imports: ``tensorrt``'s runtime computes with onnxruntime,
and ``cuda.bindings.runtime`` hands out host memory. Addresses, streams, recorded graphs and the
rules about them are kept, so that code that breaks them fails here too. Speed is not shown.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.machinery
import json
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest


class Gpu(types.ModuleType):
    """``cuda.bindings.runtime``: every function returns (error, value...)."""

    cudaMemcpyKind = types.SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)  # noqa: N815
    cudaStreamCaptureMode = types.SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)  # noqa: N815

    def __init__(self) -> None:
        super().__init__("cuda.bindings.runtime")
        self.named, self.major, self.minor = b"NVIDIA Emulated", 8, 0
        self.memory: dict[int, Any] = {}
        self.recording: dict[int, list[Callable[[], None]] | None] = {}
        self.launched = 0
        self.refuses_to_record = False

    def put(self, stream: int, work: Callable[[], None]) -> None:
        recorded = self.recording[stream]
        if recorded is None:
            work()
        else:
            recorded.append(work)

    def array(self, address: int, count: int) -> np.ndarray:
        base = max(start for start in self.memory if start <= address)
        assert address + count <= base + len(self.memory[base]), "outside of what was allocated"
        return np.ctypeslib.as_array((ctypes.c_uint8 * count).from_address(address))

    def cudaSetDevice(self, index: int) -> tuple[int]:  # noqa: N802
        return (0 if index == 0 else 101,)

    def cudaGetDeviceProperties(self, index: int) -> tuple[int, Any]:  # noqa: N802
        return 0, types.SimpleNamespace(name=self.named, major=self.major, minor=self.minor)

    def cudaMalloc(self, size: int) -> tuple[int, int]:  # noqa: N802
        made = (ctypes.c_uint8 * size)()
        self.memory[ctypes.addressof(made)] = made
        return 0, ctypes.addressof(made)

    cudaMallocHost = cudaMalloc  # noqa: N815

    def cudaFree(self, address: int) -> tuple[int]:  # noqa: N802
        del self.memory[address]
        return (0,)

    cudaFreeHost = cudaFree  # noqa: N815

    def cudaMemcpyAsync(self, to: int, origin: int, count: int, kind: int, stream: int) -> tuple[int]:  # noqa: N802
        self.array(to, count), self.array(origin, count)
        self.put(stream, lambda: ctypes.memmove(to, origin, count) and None)
        return (0,)

    def cudaStreamCreate(self) -> tuple[int, int]:  # noqa: N802
        self.recording[len(self.recording) + 1] = None
        return 0, len(self.recording)

    def cudaStreamSynchronize(self, stream: int) -> tuple[int]:  # noqa: N802
        assert self.recording[stream] is None, "a stream that records cannot be waited for"
        return (0,)

    def cudaStreamBeginCapture(self, stream: int, mode: int) -> tuple[int]:  # noqa: N802
        if self.refuses_to_record:
            return (900,)
        self.recording[stream] = []
        return (0,)

    def cudaStreamEndCapture(self, stream: int) -> tuple[int, Any]:  # noqa: N802
        recorded, self.recording[stream] = self.recording[stream], None
        return 0, recorded

    def cudaGraphInstantiate(self, graph: list[Any], flags: int) -> tuple[int, list[Any]]:  # noqa: N802
        return 0, list(graph)

    def cudaGraphDestroy(self, graph: list[Any]) -> tuple[int]:  # noqa: N802
        graph.clear()
        return (0,)

    def cudaGraphExecDestroy(self, graph: list[Any]) -> tuple[int]:  # noqa: N802
        graph.clear()
        return (0,)

    def cudaGraphLaunch(self, graph: list[Any], stream: int) -> tuple[int]:  # noqa: N802
        self.launched += 1
        assert graph, "an empty or destroyed graph"
        for work in graph:
            work()
        return (0,)


class Context:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.shape: tuple[int, ...] = ()
        self.addresses: dict[str, int] = {}
        self.scratch = 0
        self.changes = 0  # a recorded graph is void once its context changed

    def set_device_memory(self, address: int, size: int) -> None:
        assert size >= self.engine.device_memory_size_v2
        self.engine.gpu.array(address, size)
        self.scratch = address

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        low, _, high = self.engine.profile
        self.changes += 1
        self.shape = tuple(shape)
        return all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True))

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        symbolic = self.engine.session.get_outputs()[0].shape
        return (*self.shape[:3], *symbolic[3:])

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.changes += 1
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        changes, gpu, session = self.changes, self.engine.gpu, self.engine.session

        def work() -> None:
            assert changes == self.changes, "the context changed after the graph was recorded"
            name_in, name_out = session.get_inputs()[0].name, session.get_outputs()[0].name
            given = gpu.array(self.addresses[name_in], int(np.prod(self.shape))).reshape(self.shape)
            (answer,) = session.run([name_out], {name_in: given})
            gpu.array(self.addresses[name_out], answer.nbytes)[:] = answer.reshape(-1).view(np.uint8)

        assert self.scratch, "USER_MANAGED contexts need memory before they run"
        gpu.put(stream, work)
        return True


class Engine:
    device_memory_size_v2 = 4096

    def __init__(self, gpu: Gpu, model: bytes, profile: Any, layers: list[str]) -> None:
        self.gpu, self.profile, self.layers = gpu, [tuple(shape) for shape in profile], layers
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.names = [self.session.get_inputs()[0].name, self.session.get_outputs()[0].name]
        self.num_io_tensors = 2

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def get_tensor_mode(self, name: str) -> Any:
        import tensorrt_rtx

        return tensorrt_rtx.TensorIOMode.INPUT if name == self.names[0] else tensorrt_rtx.TensorIOMode.OUTPUT

    def get_tensor_profile_shape(self, name: str, index: int) -> Any:
        return self.profile

    def create_execution_context(self, strategy: Any) -> Context:
        return Context(self)

    def create_engine_inspector(self) -> Any:
        found = [{"Name": "x", "Outputs": [{"Name": "y", "Format/Datatype": kind}]} for kind in self.layers]
        return types.SimpleNamespace(
            get_engine_information=lambda form: json.dumps({"Layers": found, "Bindings": self.names})
        )


class TensorRt(types.ModuleType):
    """``tensorrt``: all of TensorRT-RTX, but for a runtime that needs no GPU."""

    def __init__(self, real: Any, gpu: Gpu) -> None:
        super().__init__("tensorrt")
        self._real, self._gpu = real, gpu
        self.__version__ = "11.4.0"
        self._parsed = b""
        self._plans: dict[str, tuple[bytes, Any]] = {}
        self.layers = ["Row major linear FP16 format", "Half", "Float"]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def OnnxParser(self, network: Any, logger: Any) -> Any:  # noqa: N802
        parser = self._real.OnnxParser(network, logger)

        def parse(model: bytes) -> bool:
            self._parsed = model
            return bool(parser.parse(model))

        return types.SimpleNamespace(parse=parse, num_errors=0, get_error=parser.get_error, real=parser)

    def Builder(self, logger: Any) -> Any:  # noqa: N802
        builder = self._real.Builder(logger)
        shapes: list[Any] = []

        def profile() -> Any:
            shapes.append(builder.create_optimization_profile())
            return shapes[-1]

        def build(network: Any, config: Any) -> Any:
            plan = builder.build_serialized_network(network, config)
            if plan is not None:
                found = shapes[-1].get_shape(network.get_input(0).name)
                self._plans[hashlib.sha256(bytes(plan)).hexdigest()] = self._parsed, found
            return plan

        return types.SimpleNamespace(
            create_network=builder.create_network,
            create_builder_config=builder.create_builder_config,
            create_optimization_profile=profile,
            build_serialized_network=build,
        )

    def Runtime(self, logger: Any) -> Any:  # noqa: N802
        def deserialize(plan: bytes) -> Engine | None:
            known = self._plans.get(hashlib.sha256(plan).hexdigest())
            return None if known is None else Engine(self._gpu, *known, self.layers)

        return types.SimpleNamespace(deserialize_cuda_engine=deserialize)


def install(monkeypatch: pytest.MonkeyPatch) -> tuple[TensorRt, Gpu]:
    """Put both modules where unetfast imports them."""
    real = pytest.importorskip("tensorrt_rtx", reason="pip install 'unetfast[test-trt]' to build real plans")
    gpu = Gpu()
    trt = TensorRt(real, gpu)
    package, bindings = types.ModuleType("cuda"), types.ModuleType("cuda.bindings")
    package.bindings, bindings.runtime = bindings, gpu  # type: ignore[attr-defined]
    for module in (trt, package, bindings, gpu):
        module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)  # torch looks for it
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return trt, gpu
