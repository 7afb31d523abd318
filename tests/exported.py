"""A small network that really separates its classes, and its exports; each is made once a session."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from unetfast import checkpoint
from unetfast.export import onnx as graph
from unetfast.export.build import export
from unetfast.export.settings import ExportSettings
from unetfast.models import MODELS
from unetfast.models.deployable import Deployable
from unetfast.spec import ModelSpec, PreprocessSpec

SIZES = ((64, 96), (61, 83), (48, 48), (33, 70))


@functools.cache
def folder() -> Path:
    path = Path(tempfile.mkdtemp(prefix="unetfast-tests-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def pictures(
    channels: int = 3, classes: int = 2, count: int = 8
) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Return noisy images with a dark line (and a bright disc for a third class), and their labels."""
    rng = np.random.default_rng(7)
    made = []
    for i in range(count):
        h, w = SIZES[i % len(SIZES)]
        image = rng.integers(110, 150, (h, w, channels))
        labels = np.zeros((h, w), np.uint8)
        row = int(rng.integers(8, h - 12))
        labels[row : row + 4] = 1
        if classes > 2:
            y, x = np.mgrid[:h, :w]
            labels[(y - h // 2) ** 2 + (x - int(rng.integers(10, w - 10))) ** 2 < 64] = 2
        image[labels == 1] -= 80
        image[labels == 2] += 90
        made.append((image.astype(np.uint8), labels))
    return made


@functools.cache
def trained(classes: int = 2, channels: int = 3, arch: str = "unet-small", up: str = "bilinear") -> Path:
    """Return a checkpoint that was trained for a few seconds."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    arguments = {"width": 4, "depth": 2, "up": up} if arch.startswith("unet") else {}
    outputs = 1 if classes == 2 else classes
    model = MODELS[arch](channels, outputs, **arguments)
    spec = ModelSpec(
        arch=arch,
        arch_args=arguments,
        classes=("background", "line", "disc")[:classes],
        task="binary" if classes == 2 else "multiclass",
        preprocess=PreprocessSpec(channels, (0.5,) * channels, (0.25,) * channels),
        stride_px=model.stride_px,
        halo_px=model.halo_px,
    )
    deployable = Deployable(model, spec)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    pairs = pictures(channels, classes, 16)
    images = torch.from_numpy(
        np.stack([np.resize(image[:32, :48], (32, 48, channels)) for image, _ in pairs])
    )
    labels = torch.from_numpy(np.stack([label[:32, :48] for _, label in pairs])).long()
    for _ in range(40):
        logits = deployable.logits(images)
        if classes == 2:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0], labels.float())
        else:
            loss = torch.nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    deployable.eval()
    kept = [torch.from_numpy(image) for image, _ in pictures(channels, classes)]
    with torch.inference_mode():
        answers = [deployable(image[None])[0] for image in kept]
    path = folder() / f"{arch}-{up}-{classes}-{channels}.pt"
    checkpoint.save(
        path, model_state=model.state_dict(), spec=spec, parity_images=kept, parity_labels=answers
    )
    return path


@functools.cache
def _graph(key: tuple[object, ...]) -> list[onnx.ModelProto]:
    """Return the place where the graph of `key` is kept."""
    return []


def _build_once(model: nn.Module, spec: ModelSpec, **options: object) -> onnx.ModelProto:
    """Trace a network once for all kinds of export: it is the same graph and takes seconds."""
    weights = tuple((p.dtype, float(p.detach().double().sum())) for p in model.parameters())
    # What a graph is called says nothing of what it computes; it is written into it afterwards.
    kept = _graph((spec.replace(precision="fp32").to_json(), weights, *options.items()))
    if not kept:
        kept.append(_build(model, spec, **options))  # type: ignore[arg-type]
    copy = onnx.ModelProto()
    copy.CopyFrom(kept[0])
    graph.put_spec(copy, spec)
    return copy


def traced_once() -> AbstractContextManager[object]:
    """Let every export within take its graph from those that are traced already."""
    return mock.patch.object(graph, "build", _build_once)


_build = graph.build


@functools.cache
def artifact(kind: str = "fp32", classes: int = 2, channels: int = 3) -> Path:
    """Return a certified export of :func:`trained`: fp32, fp16, int8, prob, openvino."""
    source = trained(classes, channels)
    settings = {
        "fp32": ExportSettings(),
        "fp16": ExportSettings(half=True),
        "int8": ExportSettings(int8=True, min_dice=0.9),
        "prob": ExportSettings(output="prob", to=source.with_suffix(".prob.onnx")),
        "openvino": ExportSettings(openvino=True),
    }[kind]
    with traced_once():
        return export(source, settings, say=lambda _: None)[0].path
