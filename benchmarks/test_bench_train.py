"""Training throughput: a step on a cached batch, and the same step fed by the loader.

The loader should keep at least nine tenths of the cached speed: ``pytest --benchmark-only
benchmarks/test_bench_train.py`` and compare images a second in ``extra_info``; on a busy machine, the CPU
times that ``test_loading_beside_a_step`` puts there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch

from unetfast.data import open_dataset
from unetfast.losses import loss_function
from unetfast.models.deployable import Deployable
from unetfast.train import prepare
from unetfast.train.batches import Batches
from unetfast.train.ddp import Team
from unetfast.train.settings import TrainSettings

STEPS = 10


def _trainer(root: Path, settings: TrainSettings) -> tuple[Callable[..., None], Batches]:
    """Return one training step as `train` does it, and what feeds it."""
    data = open_dataset(root)
    train, val = data.split(settings.val_fraction, settings.seed)
    spec = prepare.describe(settings, data, train, val)
    device = torch.device("cpu")
    amp = prepare.amp_type(settings.amp, device)
    network = Deployable(prepare.build(spec).to(memory_format=torch.channels_last), spec)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    loss_of = loss_function(settings.loss, 2)

    def step(images: torch.Tensor, target: torch.Tensor) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=amp is not None):
            logits = network.logits(images)
        loss_of(logits, target).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step, Batches(train, data.encoding, spec, settings, Team(), device)


def _forever(batches: Batches) -> Iterator[Any]:
    epoch = 0
    while True:
        yield from batches.of_epoch(epoch)
        epoch += 1


@pytest.mark.parametrize("fed", ["cached", "loader"])
def test_steps(benchmark: Any, shared_data: Path, fed: str) -> None:
    settings = TrainSettings()
    step, batches = _trainer(shared_data / "crackforest" / "train", settings)
    stream = _forever(batches)
    _, kept = next(stream)

    def steps() -> None:
        for _ in range(STEPS):
            step(*(kept if fed == "cached" else next(stream)[1]))

    benchmark.pedantic(steps, rounds=4, warmup_rounds=1)
    benchmark.extra_info["images_per_s"] = round(STEPS * settings.batch / benchmark.stats.stats.min, 1)


@pytest.mark.parametrize("cache", ["ram", "none"])
def test_loading_beside_a_step(benchmark: Any, shared_data: Path, cache: str) -> None:
    """CPU time of loading a batch and of a step, which other work on the machine leaves alone."""
    step, batches = _trainer(shared_data / "crackforest" / "train", TrainSettings(cache=cache, workers=0))
    stream = _forever(batches)
    took: dict[str, list[float]] = {"load": [], "step": []}

    def load_and_step() -> None:
        started = time.process_time()
        _, batch = next(stream)
        loaded = time.process_time()
        step(*batch)
        took["load"].append(loaded - started)
        took["step"].append(time.process_time() - loaded)

    benchmark.pedantic(load_and_step, rounds=8, warmup_rounds=2)
    load, compute = (median(took[part][2:]) for part in ("load", "step"))
    benchmark.extra_info["load_cpu_ms"], benchmark.extra_info["step_cpu_ms"] = 1e3 * load, 1e3 * compute
    benchmark.extra_info["speed_kept_in_one_thread"] = compute / (compute + load)
