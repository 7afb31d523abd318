"""Train the bundled network and a classic U-Net on the same crops, for as many steps each, and compare.

    python tools/compare_unet.py --data ../shared/data --scenes-from runs/default --out runs/compare

Both start from nothing and see the first round of tools/train_default.py: its crops, loss, schedule and
moving average, without its counter-examples. Writes a line of scores on the held-back pictures for each, and
OUT/NAME.pt for `unetfast eval`. Needs: pip install 'unetfast[train]'.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import train_default as bundled
from default_batches import Batches
from default_data import RealData, load
from default_start import normalised
from torch import nn

from unetfast import checkpoint
from unetfast.metrics import f1, hit_counts
from unetfast.models import MODELS
from unetfast.spec import ModelSpec

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "bundled": ("fast", bundled.ARCH_ARGS),
    "unet16": ("unet", {"width": 16}),
}


def main() -> None:
    """Train and score each network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder that holds cracktile/ and the others"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/compare"))
    parser.add_argument("--scenes-from", type=Path, help="folder with drawn scenes; default: drawn in --out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenes", type=int, default=6000)
    parser.add_argument("--near-scenes", type=int, default=2000)
    parser.add_argument("--scenery", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    real = load(args.data)
    drawing = argparse.Namespace(**{**vars(args), "out": args.scenes_from or args.out})
    batches = Batches(args.seed, args.batch, real, bundled.all_drawn(drawing, real), [], [])
    for name, (arch, arch_args) in NETWORKS.items():
        torch.manual_seed(args.seed)
        began = time.process_time()
        net = _trained(MODELS[arch](3, 1, **arch_args), batches, args.steps, args.lr)
        line = {"network": name, "steps": args.steps, "cpu_s": round(time.process_time() - began)}
        spec = ModelSpec(
            arch, arch_args, ("background", "crack"), stride_px=net.stride_px, halo_px=net.halo_px
        )
        line |= _judged(net, spec, batches, real, args.out / f"{name}.pt")
        print(json.dumps(line), flush=True)


def _trained(model: nn.Module, batches: Batches, steps: int, peak: float) -> Any:
    """Train from nothing and return the moving average of the weights."""
    model = model.train().to(memory_format=torch.channels_last)
    average = copy.deepcopy(model).eval()
    optimiser = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.02)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = (
                peak * min(1, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * step / steps)) + 1e-6
            )
        images, labels = batches.batch(step, 0)
        loss = bundled.loss_of(model(normalised(images)), labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 3.0)
        optimiser.step()
        bundled.follow(average, model, min(0.99, (step + 1) / (step + 20)))
    return average


def _judged(net: Any, spec: ModelSpec, batches: Batches, real: RealData, kept: Path) -> dict[str, Any]:
    """Score at the best threshold, and at the one that marks as little road as the bundled model may."""
    on_road = bundled.marked(net, real.held_roads)
    chosen = int(np.argmax(on_road <= bundled.MOST_MARKED)) if on_road[-1] <= bundled.MOST_MARKED else -1
    spec = spec.replace(threshold=float(np.round(bundled.THRESHOLDS[chosen], 2)))
    images = [image for image, _ in real.held_cracks[:8]]
    labels = [(bundled.probabilities(net, image) > spec.threshold).astype(np.uint8) for image in images]
    checkpoint.save(
        kept,
        model_state=net.state_dict(),
        spec=spec,
        parity_images=[torch.from_numpy(np.ascontiguousarray(image)) for image in images],
        parity_labels=[torch.from_numpy(label) for label in labels],
    )
    scores: dict[str, Any] = {
        "threshold": spec.threshold,
        "road_percent": round(100 * float(on_road[chosen]), 3),
    }
    for name, pairs in bundled.held_cracks(real, batches.held).items():
        found = [(truth, bundled.probabilities(net, image)) for image, truth in pairs]
        for measure, reach in (("dice", 0.0), ("f1_2px", 2.0)):
            counts = sum(hit_counts(truth, shown, bundled.THRESHOLDS, reach) for truth, shown in found)
            reached = f1(np.asarray(counts))
            scores[f"{name}_{measure}"] = [round(float(v), 4) for v in (reached[chosen], reached.max())]
    return scores


if __name__ == "__main__":
    main()
