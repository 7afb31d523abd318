"""Train the bundled crack model, from the data on disk and drawn scenes, in one command.

    python tools/train_default.py --data ../shared/data --out runs/default

Stages, each kept in --out and not repeated when it is there: scenes (drawn pictures), training
(checkpoint every 500 steps, resumed exactly where it stopped), a second round with the counter-examples
that the model got wrong, and the threshold on validation data.
With --start MODEL an exported model or a checkpoint takes the place of the first round.
Export the result with: unetfast export OUT/crack.pt
Needs: pip install 'unetfast[train]'.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from default_batches import HELD, SCENE_PX, Batches
from default_bounds import Bounds
from default_data import Pair, RealData, beside_plants, load
from default_start import normalised, released
from numpy.typing import NDArray
from torch import Tensor, nn

from unetfast import checkpoint
from unetfast.data.synth import Subject, scenes
from unetfast.losses.overlap import tversky
from unetfast.losses.pixel import cross_entropy
from unetfast.metrics import f1, hit_counts
from unetfast.models.fast import FastNet
from unetfast.spec import ModelSpec

ARCH_ARGS: dict[str, Any] = {
    "widths": (32, 64, 64),
    "depths": (1, 2, 3),
    "dilations": (1, 2, 1),
    "context": 8,
    "views": 3,
    "sharpened": True,
}
# What draws cracks narrower is not there while it learns, or it learns to draw them wider.
LEARNING = {**ARCH_ARGS, "sharpened": False}
RANKS = 2
THRESHOLDS = np.arange(0.02, 0.99, 0.02)
LOGGED = slice(4, None, 5)  # of them: 0.1, 0.2 and so on
SHARE_OF_NEW = 0.6  # of the weights, where a model was gone on from; see docs/default_model_runs.md
BEYOND = 3.0  # what activations beyond their usual range weigh in the second round
MOST_MARKED = 0.0016  # of held-back road without cracks, for 0.002 of any: a fifth in reserve


def main() -> None:
    """Run all stages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder that holds cracktile/ and the others"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/default"), help="where everything is kept")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenes", type=int, default=6000, help="drawn pictures, %(default)s")
    parser.add_argument("--near-scenes", type=int, default=2000, help="drawn rough roads, %(default)s")
    parser.add_argument("--scenery", type=int, default=2000, help="drawn scenery, %(default)s")
    parser.add_argument("--steps", type=int, default=18000, help="steps of the first round, %(default)s")
    parser.add_argument("--hard-steps", type=int, default=5000, help="steps of the second round, %(default)s")
    parser.add_argument("--start", type=Path, help="a model to go on from: .onnx or .pt")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # see _train
    cv2.setNumThreads(1)
    real = load(args.data)
    drawn = all_drawn(args, real)
    few = [image for image, _ in drawn["surface"][:64]]
    made = functools.partial(Batches, args.seed, args.batch // RANKS, real, drawn)
    if args.start:
        first = released(args.start, few, LEARNING)
    else:
        first = _train(args, "first", args.steps, args.lr, made([], []), None)
    mistakes = made(_hard(args, first, real), _verges(args, first, real))
    net = _train(args, "second", args.hard_steps, args.lr / 2, mistakes, first)
    if args.start:  # the mean forgets less than was learnt (M. Wortsman et al., CVPR 2022)
        follow(net, first, SHARE_OF_NEW)
    whole = FastNet(3, 1, **ARCH_ARGS)
    whole.load_state_dict(net.state_dict())
    finish(args, whole.eval(), real, drawn)


def all_drawn(args: argparse.Namespace, real: RealData) -> dict[Subject, list[Pair]]:
    """Draw the pictures of each kind, or map those drawn before."""
    return {
        "surface": _drawn(args, real, args.scenes, args.seed, "surface"),
        "rough road": _drawn(args, real, args.near_scenes, args.seed + 2, "rough road"),
        "scenery": _drawn(args, real, args.scenery, args.seed + 3, "scenery"),
    }


def _drawn(args: argparse.Namespace, real: RealData, count: int, seed: int, subject: Subject) -> list[Pair]:
    """Draw the scenes on all cores, or map those drawn before; the first `HELD` are for validation."""
    path = args.out / f"{subject.replace(' ', '_')}_{count}_{seed}.npy"
    if not path.exists():
        store = np.lib.format.open_memmap(
            path.with_suffix(".part.npy"), "w+", np.uint8, (count, SCENE_PX, SCENE_PX, 4)
        )
        share = 0.5 if subject == "rough road" else 0.75
        drawing = scenes(
            count, seed, SCENE_PX, photos=real.clean, cracked_share=share, subject=subject, workers=2
        )
        for index, (image, mask) in enumerate(drawing):
            store[index, ..., :3], store[index, ..., 3] = image, mask
            if index % 500 == 0:
                print(f"scene {index} of {count}", flush=True)
        store.flush()
        path.with_suffix(".part.npy").rename(path)
    store = np.lib.format.open_memmap(path, "r")
    return [(store[i, ..., :3], store[i, ..., 3]) for i in range(count)]


def _train(
    args: argparse.Namespace, name: str, steps: int, peak: float, batches: Batches, start: nn.Module | None
) -> FastNet:
    """Train for `steps` batches on all ranks and return the moving average; goes on from its checkpoint.

    Ranks of one thread each, and not one process of two threads: on a machine that others use too,
    the threads of one process wait for each other at every layer (measured: 0.67 s a step against
    0.26 s).
    """
    kept = args.out / f"{name}.pt"
    fork = torch.multiprocessing.get_context("fork")  # shares the pictures instead of copying them
    plan = (args, name, steps, peak, batches, start, kept)
    ranks = [fork.Process(target=_rank, args=(rank, *plan)) for rank in range(RANKS)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join()
    if any(process.exitcode for process in ranks):
        raise SystemExit(f"training stopped; the same command goes on from {kept}")
    net = FastNet(3, 1, **LEARNING)
    net.load_state_dict(torch.load(kept, weights_only=True)["average"])
    return net.eval()


def _rank(
    rank: int,
    args: argparse.Namespace,
    name: str,
    steps: int,
    peak: float,
    batches: Batches,
    start: nn.Module | None,
    kept: Path,
) -> None:
    """Train on this rank's half of each batch; rank 0 keeps the average and the log."""
    meeting = f"file://{(args.out / f'{name}.meeting').resolve()}"
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=RANKS)
    torch.manual_seed(args.seed)
    salt = {"first": 0, "second": 10_000_000}[name]
    model = (FastNet(3, 1, **LEARNING) if start is None else copy.deepcopy(start)).train()
    model = model.to(memory_format=torch.channels_last)
    average = copy.deepcopy(model).eval()
    bounds = None
    if start is not None:
        _settle(model)
        bounds = Bounds(model, [normalised(batches.batch(salt + n, 0)[0]) for n in range(8)])
    half = bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
    optimiser = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.02)
    done = 0
    if kept.exists():
        state = torch.load(kept, weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        done = state["step"]
    began, shown, losses = time.time(), done, []
    for step in range(done, steps):
        rate = peak * min(1.0, (step + 1) / 300) * (0.5 + 0.5 * math.cos(math.pi * step / steps)) + 1e-6
        for group in optimiser.param_groups:
            group["lr"] = rate
        losses.append(_step(model, optimiser, *batches.batch(salt + step, rank), bounds, half=half))
        if rank:
            continue
        follow(average, model, min(0.999, (step + 1) / (step + 20)))
        if (step + 1) % 500 == 0 or step + 1 == steps:
            speed = (step + 1 - shown) / (time.time() - began)
            weights = {"model": model.state_dict(), "average": average.state_dict()}
            whole = {**weights, "optimiser": optimiser.state_dict(), "step": step + 1}
            torch.save(whole, kept.with_suffix(".part"))
            kept.with_suffix(".part").replace(kept)
            line = {"round": name, "step": step + 1, "loss": float(np.mean(losses)), "lr": rate}
            scores = validate(average, batches.real, batches.held)
            _log(args, {**line, "steps_s": speed, **scores})
            began, shown, losses = time.time(), step + 1, []
    torch.distributed.barrier()
    if rank == 0:
        (args.out / f"{name}.meeting").unlink(missing_ok=True)


def _step(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    bounds: Bounds | None,
    *,
    half: bool,
) -> float:
    """Learn from one batch, together with the other ranks; returns the loss."""
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        logits = model(normalised(images))
    loss = loss_of(logits.float(), labels)
    learnt = loss if bounds is None else loss + BEYOND * bounds.beyond()
    optimiser.zero_grad(set_to_none=True)
    learnt.backward()
    _share_gradients(model)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 3.0)
    optimiser.step()
    return float(loss.detach())


def _settle(model: nn.Module) -> None:
    """Let the batch norms use the statistics they have, so that what is trained is what is run."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()


def _share_gradients(model: nn.Module) -> None:
    """Average the gradients of all ranks, in one message."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(flat)
    flat /= RANKS
    for gradient, shared in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(shared.view_as(gradient))


def loss_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy keeps probabilities honest; Tversky keeps thin cracks from being left out."""
    return cross_entropy(logits, labels) + tversky(logits, labels, false_positive=0.5, false_negative=0.5)


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, keep: float) -> None:
    """Move the average a little towards the model; `keep` of it stays."""
    for mean, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.dtype.is_floating_point:
            mean.lerp_(value, 1 - keep)
        else:
            mean.copy_(value)


def _log(args: argparse.Namespace, entry: dict[str, Any]) -> None:
    text = json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in entry.items()})
    print(text, flush=True)
    with (args.out / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(text + "\n")


@torch.no_grad()
def probabilities(net: FastNet, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Run the network on one (H, W, 3) uint8 picture of any size: (H, W) float32."""
    height, width = image.shape[:2]
    stride = net.stride_px
    padded = np.pad(image, ((0, -height % stride), (0, -width % stride), (0, 0)), mode="edge")
    logits = net(normalised(torch.from_numpy(padded)[None]).contiguous(memory_format=torch.channels_last))
    return np.asarray(logits.sigmoid()[0, 0, :height, :width].numpy(), np.float32)


def held_cracks(real: RealData, held: Mapping[Subject, list[Pair]]) -> dict[str, list[Pair]]:
    """Name what the Dice is measured on."""
    return {"tile": real.held_cracks, "drawn": held["surface"], "near": held["rough road"]}


@torch.no_grad()
def validate(net: FastNet, real: RealData, held: Mapping[Subject, list[Pair]]) -> dict[str, Any]:
    """Score on what is held back: pooled Dice at each threshold, and marks where no crack is."""
    scores: dict[str, Any] = {}
    for name, pairs in held_cracks(real, held).items():
        counts = sum(hit_counts(truth, probabilities(net, image), THRESHOLDS) for image, truth in pairs)
        dice = f1(np.asarray(counts))
        scores[f"{name}_dice"] = [round(float(v), 4) for v in dice[LOGGED]]
        scores[f"{name}_best"] = float(dice.max())
    for name, pairs in (("road", real.held_roads), ("scenery", held["scenery"])):
        scores[f"{name}_marked_percent"] = [round(float(v), 3) for v in 100 * marked(net, pairs)[LOGGED]]
    return scores


@torch.no_grad()
def marked(net: FastNet, pairs: Sequence[Pair]) -> NDArray[np.float64]:
    """Give the fraction of the pixels without cracks that is marked at each threshold."""
    found, total = np.zeros(len(THRESHOLDS)), 0
    for image, truth in pairs:
        scored = probabilities(net, image)[truth == 0]
        found += (scored[:, None] > THRESHOLDS).sum(0)
        total += scored.size
    return np.asarray(found / total)


def _hard(args: argparse.Namespace, net: FastNet, real: RealData) -> list[Pair]:
    """Collect what the model marks where nothing is: road scenes and freshly drawn crack-free ones."""
    found: list[tuple[float, Pair]] = []
    for image, truth in real.roads:
        wrong = float((probabilities(net, image)[truth == 0] > 0.4).mean())
        found.append((wrong, (image, truth)))
    roads = [pair for _, pair in sorted(found, key=lambda item: -item[0])[:40]]
    worst: list[Pair] = []
    wanted: tuple[tuple[int, Subject, int], ...] = (
        (1600, "surface", 500),
        (1200, "rough road", 400),
        (1600, "scenery", 600),
    )
    for count, subject, keep in wanted:
        found = []
        fresh = scenes(
            count, args.seed + 1, SCENE_PX, photos=real.clean, cracked_share=0.0, subject=subject, workers=2
        )
        for image, truth in fresh:
            found.append((float((probabilities(net, image) > 0.4).mean()), (image, truth)))
        worst += [pair for wrong, pair in sorted(found, key=lambda item: -item[0])[:keep] if wrong > 0]
    _log(args, {"hard_roads": len(roads), "hard_drawn": len(worst)})
    return roads * 11 + worst


def _verges(args: argparse.Namespace, net: FastNet, real: RealData) -> list[tuple[Pair, NDArray[np.int64]]]:
    """Collect where the model takes the edge of a verge for a crack.

    Its other marks on road scenes are not gone after: most are cracks that the annotators left out.
    """
    found = []
    for image, truth in real.roads:
        places = np.argwhere((probabilities(net, image) > 0.3) & (truth == 0) & beside_plants(image))
        if len(places) >= 50:
            found.append(((image, truth), places))
    _log(args, {"verges": len(found)})
    return found


def finish(
    args: argparse.Namespace, net: FastNet, real: RealData, drawn: Mapping[Subject, list[Pair]]
) -> None:
    """Choose the threshold on validation data and write the checkpoint that is exported."""
    scores = []
    for pairs in (real.held_cracks, drawn["surface"][:HELD], drawn["rough road"][:HELD]):
        counts = sum(hit_counts(truth, probabilities(net, image), THRESHOLDS) for image, truth in pairs)
        scores.append(f1(np.asarray(counts)))
    on_road = marked(net, real.held_roads)
    # What marks intact roads is of no use, however well it does on pictures that all have cracks.
    useful = np.where(on_road <= MOST_MARKED, np.mean(scores, 0), -on_road)
    threshold = float(np.round(THRESHOLDS[int(np.argmax(useful))], 2))
    best = {name: round(float(s.max()), 4) for name, s in zip(("tile", "drawn", "near"), scores, strict=True)}
    spec = _spec(args, threshold, best)
    images = [image for image, _ in real.held_cracks[:12]] + [image for image, _ in real.held_roads[:4]]
    labels = [(probabilities(net, image) > threshold).astype(np.uint8) for image in images]
    checkpoint.save(
        args.out / "crack.pt",
        model_state=net.state_dict(),
        spec=spec,
        parity_images=[torch.from_numpy(np.ascontiguousarray(image)) for image in images],
        parity_labels=[torch.from_numpy(label) for label in labels],
    )
    _log(args, {"threshold": threshold, "dice": [float(s.max()) for s in scores]})
    print(f"wrote {args.out / 'crack.pt'}; export it with: unetfast export {args.out / 'crack.pt'}")


def _spec(args: argparse.Namespace, threshold: float, validation_dice: dict[str, float]) -> ModelSpec:
    shape = FastNet(3, 1, **ARCH_ARGS)
    said = ("seed", "scenes", "near_scenes", "scenery", "steps", "hard_steps", "batch", "lr")
    return ModelSpec(
        arch="fast",
        arch_args={k: list(v) if isinstance(v, tuple) else v for k, v in ARCH_ARGS.items()},
        classes=("background", "crack"),
        threshold=threshold,
        stride_px=shape.stride_px,
        halo_px=shape.halo_px,
        training={
            "tool": "tools/train_default.py",
            **{name: getattr(args, name) for name in said},
            "start": args.start.name if args.start else None,
            "data": "cracktile/train, crackconcrete, br_cracks_potholes/train, 2 craquelure, drawn scenes",
            "validation_dice": validation_dice,
        },
    )


if __name__ == "__main__":
    main()
