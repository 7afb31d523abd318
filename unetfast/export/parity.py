"""The certificate: an export computes on real images what the checkpoint computes, or it is refused.

The comparison is made where it matters: on the class ids of whole images, end to end through each
backend's own ``infer``, preprocessing included. A bound on raw tensors says little about that: an
export can be close in every number and still lose a thin class.
"""

from __future__ import annotations

import dataclasses
import math
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unetfast import __version__
from unetfast.backends.base import Backend
from unetfast.backends.whole import Predict, label_predictor
from unetfast.errors import ConfigError, InputError, ParityError
from unetfast.metrics import confusion_matrix, scores
from unetfast.spec import ModelSpec

__all__ = [
    "LIMITS",
    "Limits",
    "certify",
    "compare",
    "limits_for",
    "require_passed",
    "summary",
]


@dataclass(frozen=True)
class Limits:
    """How far an export may be from its checkpoint.

    Attributes
    ----------
    differ : float
        Fraction of pixels whose class id may differ, in [0, 1].
    dice : float
        Least Dice of any class against the checkpoint's own answer, in [0, 1].
    drop : float
        Most that the Dice of any class against the truth may fall, in points of 100; counts only
        where there is a truth.
    """

    differ: float
    dice: float
    drop: float


# The widest of what was measured over architectures and data, with room (docs/export.md, "The certificate").
LIMITS = {
    "fp32": Limits(differ=1e-5, dice=0.0, drop=0.1),
    "fp16": Limits(differ=1.0, dice=0.999, drop=0.1),
    "bf16": Limits(differ=1.0, dice=0.99, drop=0.5),
    "int8": Limits(differ=1.0, dice=0.98, drop=0.5),
}


def limits_for(
    precision: str, *, differ: float | None = None, dice: float | None = None, drop: float | None = None
) -> Limits:
    """Return the limits of a precision, some of them overridden.

    Raises
    ------
    ConfigError
        For an unknown precision.
    """
    if precision not in LIMITS:
        raise ConfigError(f"precision must be one of {', '.join(LIMITS)}; got {precision!r}")
    said = {"differ": differ, "dice": dice, "drop": drop}
    changes = {name: value for name, value in said.items() if value is not None}
    return dataclasses.replace(LIMITS[precision], **changes)


def certify(
    reference: Backend,
    candidate: Backend,
    images: Sequence[NDArray[np.uint8]],
    truths: Sequence[NDArray[np.uint8] | None] | None = None,
    *,
    limits: Limits | None = None,
) -> dict[str, Any]:
    """Measure a candidate against its reference; judge with :func:`require_passed`.

    Parameters
    ----------
    reference, candidate : Backend
        Both answer class ids ("mask"), or both probabilities ("prob").
    images : sequence of (H, W, C) uint8
        Real images, sizes mixed.
    truths : sequence of (H, W) uint8 or None, optional
        Class ids, 255 = ignore.
    limits : Limits, optional
        Default: those of the candidate's precision.

    Returns
    -------
    dict
        The certificate: JSON values only. ``"passed"`` says whether it holds; ``"problems"``
        what does not; ``"worst_image"`` is an index into `images`.

    Raises
    ------
    InputError
        When there is no image.
    """
    if not images:
        raise InputError("a certificate needs at least one image")
    spec = candidate.spec
    limits = limits or LIMITS[spec.precision]
    measured = compare(
        spec, label_predictor(reference), label_predictor(candidate), images, truths or [None] * len(images)
    )
    problems = _problems(measured, limits)
    return {
        **measured,
        "precision": spec.precision,
        "reference": reference.description,
        "candidate": candidate.description,
        "limits": dataclasses.asdict(limits),
        "passed": not problems,
        "problems": problems,
        "versions": _versions(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def compare(
    spec: ModelSpec,
    reference: Predict,
    candidate: Predict,
    images: Sequence[NDArray[np.uint8]],
    truths: Sequence[NDArray[np.uint8] | None],
) -> dict[str, Any]:
    """Count where two predictions differ, and what each scores against the truth."""
    k = len(spec.classes)
    against_reference = np.zeros((k, k), np.int64)
    truth_reference, truth_candidate = np.zeros((k, k), np.int64), np.zeros((k, k), np.int64)
    differing = []
    for image, truth in zip(images, truths, strict=True):
        wanted, got = reference(image), candidate(image)
        against_reference += confusion_matrix(wanted, got, k)
        differing.append(int(np.count_nonzero(wanted != got)))
        if truth is not None:
            truth_reference += confusion_matrix(truth, wanted, k)
            truth_candidate += confusion_matrix(truth, got, k)
    pixels = int(against_reference.sum())
    shares = against_reference.sum(axis=1) / pixels
    fractions = [n / (im.shape[0] * im.shape[1]) for n, im in zip(differing, images, strict=True)]
    result: dict[str, Any] = {
        "images": len(images),
        "sizes": sorted({f"{im.shape[1]}x{im.shape[0]}" for im in images}),
        "pixels": pixels,
        "differing_pixels": sum(differing),
        "differing_fraction": sum(differing) / pixels,
        "worst_image": int(np.argmax(fractions)),
        "dice": _by_class(spec, scores(against_reference)["dice"]),
        "differing_by_class": dict(zip(spec.classes, map(int, _differing(against_reference)), strict=True)),
        "thinnest_class": spec.classes[int(np.argmin(np.where(shares > 0, shares, np.inf)))],
        "seen_classes": [name for name, share in zip(spec.classes, shares, strict=True) if share > 0],
        "truth": None,
    }
    if truth_reference.any():
        before, after = scores(truth_reference), scores(truth_candidate)
        result["truth"] = {
            name: {
                "reference": _by_class(spec, before[name]),
                "candidate": _by_class(spec, after[name]),
                "change_points": _by_class(spec, 100 * (after[name] - before[name])),
            }
            for name in ("dice", "iou")
        }
    return result


def _differing(confusion: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count, for every class, the pixels that only one of the two answers gives it."""
    counts: NDArray[np.int64] = confusion.sum(axis=0) + confusion.sum(axis=1) - 2 * confusion.diagonal()
    return counts


def _by_class(spec: ModelSpec, values: NDArray[np.float64]) -> dict[str, float | None]:
    """Name values by class; None where a class occurs nowhere (JSON has no NaN)."""
    return {
        name: None if math.isnan(value) else float(value)
        for name, value in zip(spec.classes, values, strict=True)
    }


def _problems(measured: dict[str, Any], limits: Limits) -> list[str]:
    differing, pixels = measured["differing_pixels"], measured["pixels"]
    problems = []
    if differing > max(1, limits.differ * pixels):
        problems.append(
            f"{differing} of {pixels} pixels differ ({100 * differing / pixels:.4f} %; "
            f"limit {100 * limits.differ:g} %)"
        )
    # What even fp32 is allowed is never held against a class of few pixels.
    allowed = max(1, LIMITS["fp32"].differ * pixels)
    problems += [
        f"Dice of class {name!r} against the checkpoint is {value:.5f} (limit {limits.dice:g})"
        for name, value in measured["dice"].items()
        if value is not None and value < limits.dice and measured["differing_by_class"][name] > allowed
    ]
    if measured["truth"] is not None:
        problems += [
            f"Dice of class {name!r} against the truth falls by {-change:.2f} points (limit {limits.drop:g})"
            for name, change in measured["truth"]["dice"]["change_points"].items()
            if change is not None and change < -limits.drop
        ]
    return problems


def _versions() -> dict[str, str]:
    found = {"unetfast": __version__, "python": platform.python_version()}
    for package in ("torch", "onnx", "onnxruntime", "openvino", "tensorrt", "numpy"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def require_passed(certificate: dict[str, Any], artifact: Path | str) -> None:
    """Raise ParityError, with what differs and by how much, if a certificate does not hold.

    Parameters
    ----------
    certificate : dict
    artifact : Path or str
        The message starts with it.
    """
    if certificate["passed"]:
        return
    seen = f"; see {certificate['picture']}" if "picture" in certificate else ""
    raise ParityError(
        f"{artifact}: does not compute what the checkpoint computes: {'; '.join(certificate['problems'])}"
        f" (on {certificate['images']} images){seen}"
    )


def summary(certificate: dict[str, Any]) -> str:
    """Return the certificate in one line."""
    thin = certificate["thinnest_class"]
    text = (
        f"{certificate['images']} images, {certificate['differing_pixels']} of {certificate['pixels']} "
        f"pixels differ, Dice of {thin!r} against the checkpoint {certificate['dice'][thin]:.5f}"
    )
    if certificate["truth"] is not None:
        change = certificate["truth"]["dice"]["change_points"][thin]
        if change is not None:
            text += f", against the truth {change:+.3f} points"
    if len(certificate["seen_classes"]) == 1:
        text += "; the checkpoint finds nothing else on these images, so this proves little: give others "
        text += "with --data"
    return text
