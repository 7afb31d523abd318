"""Every artifact on every backend: speed, memory, and what the speed costs in quality."""

from __future__ import annotations

import importlib.util
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetfast.backends import SUFFIXES, bundled, read_spec
from unetfast.bench.settings import BenchSettings
from unetfast.bench.worker import Worker
from unetfast.data.collection import find_images, open_dataset
from unetfast.data.encoding import LabelEncoding
from unetfast.data.labels import read_pair
from unetfast.errors import BackendError, ConfigError, DatasetError, UnetfastError
from unetfast.imaging import middle, read
from unetfast.machine import available_cores
from unetfast.metrics import confusion_matrix, scores
from unetfast.spec import ModelSpec

__all__ = ["Row", "bench_models"]

Say = Callable[[str], None]


@dataclass
class Row:
    """One artifact on one backend; None where it was not measured.

    Attributes
    ----------
    status : str
        "ok", or why it failed.
    size_mb, load_ms, peak_mb : float
        Of the file(s); of opening it; of the process's resident memory at its largest.
    p50_ms, p95_ms : float
        Of one call on one image.
    mpx_s, best_batch : float, int
        Throughput in megapixels per second, and the batch size that gave it.
    speedup : float
        p50 of torch on the checkpoint over p50 here.
    dice, iou : float
        Against the truth, pooled over the images: of class 1 if binary, else the mean over classes.
    differing : float
        Fraction of pixels whose class is not the reference's (the checkpoint's, if one is there).
    """

    artifact: str
    backend: str
    precision: str = ""
    status: str = "ok"
    description: str = ""
    size_mb: float | None = None
    load_ms: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    mpx_s: float | None = None
    best_batch: int | None = None
    peak_mb: float | None = None
    speedup: float | None = None
    dice: float | None = None
    iou: float | None = None
    differing: float | None = None


Pair = tuple[NDArray[np.uint8], NDArray[np.uint8] | None]


def bench_models(artifacts: Sequence[Path], settings: BenchSettings, say: Say) -> dict[str, Any]:
    """Measure artifacts side by side.

    Candidates are timed in turn, round after round, so that a disturbance hits all of them alike;
    each runs in a process of its own.

    Returns
    -------
    dict
        ``"rows"``, one per candidate, and how it was measured.
    """
    artifacts = [bundled(path) or path for path in artifacts]
    batches = _batches(settings.batches)
    spec = _first_spec(artifacts)
    rows = _candidates(artifacts, settings)
    pairs = _images(settings, spec, say)
    workers = _start(rows, spec, settings, say)
    try:
        timed = _timing_images(pairs, settings)
        _latency(workers, timed, settings, say)
        _throughput(workers, timed, batches, settings, say)
        reference = _quality(workers, pairs, spec, say)
        for row, worker in workers:
            if row.status == "ok":
                row.peak_mb = _attempt(row, worker.peak_mb)
    finally:
        for _, worker in workers:
            worker.close()
    eager = next((row.p50_ms for row in rows if row.backend == "torch" and row.p50_ms), None)
    for row in rows:
        row.speedup = eager / row.p50_ms if eager and row.p50_ms else None
    return {
        "rows": [asdict(row) for row in rows],
        "images": len(pairs),
        "timed_on": f"{timed.shape[2]}x{timed.shape[1]}",
        "threads": settings.threads or f"as each takes by itself ({available_cores()} cores)",
        "rounds": settings.repeats,
        "reference": reference,
        "data": _data(settings),
    }


def _data(settings: BenchSettings) -> str:
    if settings.data is None:
        return "random pixels"
    return f"{settings.data} ({settings.split})" if settings.split else str(settings.data)


def _candidates(artifacts: Sequence[Path], settings: BenchSettings) -> list[Row]:
    rows = []
    for path in artifacts:
        able = SUFFIXES.get(path.suffix.lower(), ())
        wanted = [name for name in able if not settings.backend or name in settings.backend]
        # What is not installed is a row when it was asked for by name or by the kind of file. A backend
        # is called as the package that it needs.
        present = [name for name in wanted if importlib.util.find_spec(name) or len(wanted) == 1]
        rows += [Row(str(path), name) for name in present]
        if not present:
            rows.append(Row(str(path), "-", status=f"no backend here opens {path.suffix or 'it'}"))
    return rows


def _first_spec(artifacts: Sequence[Path]) -> ModelSpec:
    """Return the spec of the first artifact that has one; the rows of the others say what is wrong."""
    problems = []
    for path in artifacts:
        try:
            return read_spec(path)
        except UnetfastError as exc:
            problems.append(str(exc))
    raise ConfigError("none of the artifacts can be read: " + "; ".join(problems))


def _start(rows: list[Row], spec: ModelSpec, settings: BenchSettings, say: Say) -> list[tuple[Row, Worker]]:
    workers = []
    for row in rows:
        if row.status != "ok":
            continue
        path = Path(row.artifact)
        say(f"opening {path.name} with {row.backend}")
        try:
            worker = Worker(path, row.backend, settings.device, settings.threads)
        except BackendError as exc:
            row.status = str(exc)
            continue
        if other := _differs(worker.about["spec"], spec):
            row.status = f"another task than the first: {other}"
            worker.close()
            continue
        row.load_ms, row.description = worker.about["load_ms"], worker.about["description"]
        row.precision = worker.about["spec"].precision
        files = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
        row.size_mb = sum(file.stat().st_size for file in files) / 1e6
        workers.append((row, worker))
    return workers


def _differs(one: ModelSpec, first: ModelSpec) -> str:
    """Say how a model's input or its answer is none to compare with the first one's, "" where it is one."""
    if one.classes != first.classes:
        return f"classes {', '.join(one.classes)}, not {', '.join(first.classes)}"
    have, wanted = one.preprocess.channels, first.preprocess.channels
    return f"images of {have} channels, not {wanted}" if have != wanted else ""


def _attempt(row: Row, call: Callable[..., Any], *arguments: Any) -> Any:
    """Call a worker; when it fails, that is the row's status, and the others go on."""
    try:
        return call(*arguments)
    except BackendError as exc:
        row.status = str(exc)
        return None


def _latency(
    workers: list[tuple[Row, Worker]], timed: NDArray[np.uint8], settings: BenchSettings, say: Say
) -> None:
    spent: dict[int, list[float]] = {id(row): [] for row, _ in workers}
    for turn in range(settings.repeats):
        say(f"timing, round {turn + 1} of {settings.repeats}")
        for row, worker in workers:
            if row.status == "ok":
                spent[id(row)] += _attempt(row, worker.time, timed[:1], settings.seconds) or []
    for row, _ in workers:
        if row.status == "ok":
            row.p50_ms, row.p95_ms = (float(np.percentile(spent[id(row)], q)) for q in (50, 95))


def _throughput(
    workers: list[tuple[Row, Worker]],
    timed: NDArray[np.uint8],
    batches: Sequence[int],
    settings: BenchSettings,
    say: Say,
) -> None:
    for batch in batches:
        say(f"throughput at batch {batch}")
        images = np.concatenate([timed] * -(-batch // len(timed)))[:batch]
        for row, worker in workers:
            if row.status != "ok":
                continue
            spent = _attempt(row, worker.time, images, settings.seconds)
            if spent:
                speed = images.shape[0] * images.shape[1] * images.shape[2] / 1e3 / float(np.median(spent))
                if row.mpx_s is None or speed > row.mpx_s:
                    row.mpx_s, row.best_batch = speed, batch


def _batches(text: str) -> list[int]:
    numbers = [part.strip() for part in text.split(",")]
    if not all(number.isdigit() and int(number) > 0 for number in numbers):
        raise ConfigError(f"batches must be like 1,2,4,8; got {text!r}")
    return [int(number) for number in numbers]


def _quality(workers: list[tuple[Row, Worker]], pairs: list[Pair], spec: ModelSpec, say: Say) -> str:
    """Fill in Dice, IoU and disagreement; return what the others are compared with."""
    alive = [one for one in workers if one[0].status == "ok"]
    alive.sort(key=lambda one: one[0].backend != "torch")  # the checkpoint first: it is the reference
    say(f"quality on {len(pairs)} images")
    reference: list[NDArray[np.uint8]] = []
    for row, worker in alive:
        confusion = np.zeros((len(spec.classes),) * 2, np.int64)
        differing = pixels = 0
        answers = []
        for i, (image, truth) in enumerate(pairs):
            labels = _attempt(row, worker.predict, image)
            if labels is None:
                break
            answers.append(labels)
            if truth is not None:
                confusion += confusion_matrix(truth, labels, len(spec.classes))
            if reference:
                differing += int(np.count_nonzero(labels != reference[i]))
            pixels += labels.size
        if row.status != "ok":
            continue
        reference = reference or answers
        row.differing = differing / pixels
        if confusion.any():
            row.dice, row.iou = (_one(scores(confusion)[name], spec) for name in ("dice", "iou"))
    return f"{alive[0][0].artifact} on {alive[0][0].backend}" if alive else ""


def _one(values: NDArray[np.float64], spec: ModelSpec) -> float | None:
    value = float(values[1] if spec.task == "binary" else np.nanmean(values))
    return None if math.isnan(value) else value


def _images(settings: BenchSettings, spec: ModelSpec, say: Say) -> list[Pair]:
    if settings.data is None:
        side = settings.imgsz or 512
        noise = np.random.default_rng(0).integers(0, 256, (side, side, spec.preprocess.channels))
        return [(noise.astype(np.uint8), None)]
    channels = spec.preprocess.channels
    try:
        dataset = open_dataset(settings.data, encoding=LabelEncoding.of(spec))
    except DatasetError as exc:
        if settings.split is not None:  # pictures alone have no splits
            raise
        files = find_images(settings.data)[: settings.limit]
        if not files:
            raise
        say(f"no Dice, as there is no truth: {str(exc).splitlines()[0]}")
        pages = channels not in (1, 3)
        return [(read(file, pages=pages).input_of(channels), None) for file in files]
    samples = dataset.only(settings.split).samples[: settings.limit]
    return [read_pair(sample, dataset.encoding, channels) for sample in samples]


def _timing_images(pairs: list[Pair], settings: BenchSettings) -> NDArray[np.uint8]:
    """Return up to 8 images (N, H, W, C) of one size: the most frequent, or a middle square."""
    images = [image for image, _ in pairs]
    if settings.imgsz is not None:
        side = min([settings.imgsz, *(min(image.shape[:2]) for image in images)])
        images = [middle(image, side, side) for image in images]
    shape, _ = Counter(image.shape for image in images).most_common(1)[0]
    return np.stack([image for image in images if image.shape == shape][:8])
