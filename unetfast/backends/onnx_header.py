"""What an ONNX file says about itself, read without running it and without the onnx package.

An ONNX file is one protobuf message (onnx/onnx.proto): fields of (number, wire type, value) one
after another. Walking its top level costs microseconds, allocates nothing by the file's word, and
tells a truncated or foreign file before any runtime sees it.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from unetfast.errors import ArtifactError

__all__ = ["OnnxHeader", "read_header"]

_MAX_BYTES = 2**31 - 1  # protobuf's own limit of one message
_MAX_METADATA_BYTES = 16 * 2**20
_MAX_DEPTH = 8  # graphs inside attributes of nodes inside graphs

# Field numbers of onnx.proto.
_MODEL_IR, _MODEL_PRODUCER, _MODEL_PRODUCER_VERSION = 1, 2, 3
_MODEL_GRAPH, _MODEL_METADATA, _MODEL_TRAINING, _MODEL_FUNCTION = 7, 14, 20, 25
_TRAINING_GRAPHS = (1, 2)
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE_INITIALIZER = 1, 5, 15
_FUNCTION_NODE, _FUNCTION_ATTRIBUTE = 7, 11
_NODE_ATTRIBUTE = 5
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE_TENSORS = (5, 10), (6, 11), (22, 23)
_SPARSE_TENSORS = (1, 2)  # values and indices
_TENSOR_EXTERNAL = 13
_KEY, _VALUE = 1, 2  # of StringStringEntryProto

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class _DamagedError(Exception):
    """The bytes are not the message they should be."""


@dataclass(frozen=True)
class OnnxHeader:
    """The top level of an ONNX file.

    Attributes
    ----------
    producer : str
        The tool that wrote it and its version, or "".
    metadata : dict of str to str
        ``metadata_props``.
    external : tuple of str
        File names of weights kept outside, as written in the file.
    """

    producer: str
    metadata: dict[str, str]
    external: tuple[str, ...]

    def check_external_data(self, path: Path) -> None:
        """Raise ArtifactError if weights are to be read from outside the model's folder."""
        folder = path.resolve().parent
        for name in self.external:
            if not (folder / name).resolve().is_relative_to(folder):
                raise ArtifactError(f"{path}: refuses to read weights outside its folder: {name!r}")
            if not (folder / name).is_file():
                raise ArtifactError(f"{path}: its weights {name!r} are missing; copy them beside it")


def read_header(path: Path) -> OnnxHeader:
    """Read the top level of an ONNX file.

    Raises
    ------
    ArtifactError
        When the file cannot be read, is truncated, is not ONNX, or is over 2 GiB.
    """
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise ArtifactError(f"{path}: {size} bytes; an ONNX file holds at most {_MAX_BYTES}")
        if size == 0:
            raise ArtifactError(f"{path}: the file is empty")
        with path.open("rb") as file:
            # Closed by its last view: an explicit close would fail while an error's traceback holds one.
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return _parse(memoryview(data))
    except _DamagedError as exc:
        raise ArtifactError(f"{path}: not a whole ONNX file ({exc}); export or download it again") from exc
    except OSError as exc:
        raise ArtifactError(f"{path}: cannot be read: {exc.strerror}") from exc


def _parse(data: memoryview) -> OnnxHeader:
    producer = version = ""
    ir_version = 0
    metadata: dict[str, str] = {}
    external: set[str] = set()
    graphs = 0
    for number, value in _fields(data):
        if number == _MODEL_IR and isinstance(value, int):
            ir_version = value
        elif not isinstance(value, memoryview):
            continue
        elif number == _MODEL_PRODUCER:
            producer = _text(value)
        elif number == _MODEL_PRODUCER_VERSION:
            version = _text(value)
        elif number == _MODEL_GRAPH:
            graphs += 1
            external |= _of_graph(value, 0)
        elif number == _MODEL_FUNCTION:
            external |= _of_function(value)
        elif number == _MODEL_TRAINING:
            external |= _all(_of_graph(graph, 0) for graph in _messages(value, *_TRAINING_GRAPHS))
        elif number == _MODEL_METADATA:
            key, text = _pair(value)
            metadata[key] = text
    if ir_version == 0 or graphs != 1:
        raise _DamagedError("no graph in it")
    return OnnxHeader(f"{producer} {version}".strip(), metadata, tuple(sorted(external)))


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (field number, integer or bytes) of one message."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise _DamagedError(f"no field starts at byte {at}")
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == _BYTES:
            length, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise _DamagedError(f"unknown wire type {wire} at byte {at}")
        if length > end - at:
            raise _DamagedError(f"truncated: {length} bytes announced, {end - at} left")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise _DamagedError("truncated inside a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _pair(data: memoryview) -> tuple[str, str]:
    """Read a message of two strings, key and value."""
    found = {number: _text(value) for number, value in _fields(data) if isinstance(value, memoryview)}
    return found.get(_KEY, ""), found.get(_VALUE, "")


def _text(data: memoryview) -> str:
    if len(data) > _MAX_METADATA_BYTES:
        raise _DamagedError(f"a text of {len(data)} bytes")
    try:
        return bytes(data).decode("utf-8")
    except UnicodeDecodeError as exc:
        raise _DamagedError("a text that is not UTF-8") from exc


def _of_graph(graph: memoryview, depth: int) -> set[str]:
    """Return the locations of external data in a graph, its nodes' attributes included."""
    if depth > _MAX_DEPTH:
        raise _DamagedError(f"graphs nested deeper than {_MAX_DEPTH}")
    found: set[str] = set()
    for number, value in _fields(graph):
        if not isinstance(value, memoryview):
            continue
        if number == _GRAPH_INITIALIZER:
            found |= _of_tensor(value)
        elif number == _GRAPH_SPARSE_INITIALIZER:
            found |= _of_sparse_tensor(value)
        elif number == _GRAPH_NODE:
            found |= _of_node(value, depth)
    return found


def _of_function(function: memoryview) -> set[str]:
    nodes, defaults = _messages(function, _FUNCTION_NODE), _messages(function, _FUNCTION_ATTRIBUTE)
    return _all(_of_node(node, 0) for node in nodes) | _all(_of_attribute(one, 0) for one in defaults)


def _of_node(node: memoryview, depth: int) -> set[str]:
    return _all(_of_attribute(attribute, depth) for attribute in _messages(node, _NODE_ATTRIBUTE))


def _of_attribute(attribute: memoryview, depth: int) -> set[str]:
    return (
        _all(_of_tensor(tensor) for tensor in _messages(attribute, *_ATTRIBUTE_TENSORS))
        | _all(_of_sparse_tensor(tensor) for tensor in _messages(attribute, *_ATTRIBUTE_SPARSE_TENSORS))
        | _all(_of_graph(graph, depth + 1) for graph in _messages(attribute, *_ATTRIBUTE_GRAPHS))
    )


def _of_sparse_tensor(tensor: memoryview) -> set[str]:
    return _all(_of_tensor(part) for part in _messages(tensor, *_SPARSE_TENSORS))


def _of_tensor(tensor: memoryview) -> set[str]:
    pairs = (_pair(entry) for entry in _messages(tensor, _TENSOR_EXTERNAL))
    return {value for key, value in pairs if key == "location"}


def _all(parts: Iterable[set[str]]) -> set[str]:
    return set().union(*parts)


def _messages(data: memoryview, *wanted: int) -> Iterator[memoryview]:
    for number, value in _fields(data):
        if number in wanted and isinstance(value, memoryview):
            yield value
