"""Training throughput: a step on a cached batch, and the same step fed by the loader.

The loader should keep at least nine tenths of the cached speed: ``pytest --benchmark-only
benchmarks/test_bench_train.py`` and compare images a second in ``extra_info``.
"""

from __future__ import annotations

from pathlib import Path
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


@pytest.mark.parametrize("fed", ["cached", "loader"])
def test_steps(benchmark: Any, shared_data: Path, fed: str) -> None:
    settings = TrainSettings()
    data = open_dataset(shared_data / "crackforest" / "train")
    train, val = data.split(settings.val_fraction, settings.seed)
    spec = prepare.describe(settings, data, train, val)
    device = torch.device("cpu")
    amp = prepare.amp_type(settings.amp, device)
    network = Deployable(prepare.build(spec).to(memory_format=torch.channels_last), spec)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    loss_of = loss_function(settings.loss, 2)
    batches = Batches(train, data.encoding, spec, settings, Team(), device)

    def step(images: torch.Tensor, target: torch.Tensor) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=amp is not None):
            logits = network.logits(images)
        loss_of(logits, target).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def steps() -> None:
        for _ in range(STEPS):
            step(*(kept if fed == "cached" else next(stream)[1]))

    def forever() -> Any:
        epoch = 0
        while True:
            yield from batches.of_epoch(epoch)
            epoch += 1

    stream = forever()
    _, kept = next(stream)
    benchmark.pedantic(steps, rounds=4, warmup_rounds=1)
    benchmark.extra_info["images_per_s"] = round(STEPS * settings.batch / benchmark.stats.stats.min, 1)
