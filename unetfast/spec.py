"""What a model is, in words that travel inside every artifact.

A ``.pt`` checkpoint carries the spec as a field, an ONNX file as the ``unetfast.spec`` entry of
``metadata_props``, an OpenVINO model in its ``rt_info``, a TensorRT plan in a JSON sidecar.
So `run` needs one file and no flags.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unetfast.errors import ArtifactError

__all__ = [
    "FORMAT_VERSION",
    "IGNORE",
    "MAX_PIXELS",
    "SPEC_KEY",
    "FileRef",
    "ModelSpec",
    "PreprocessSpec",
    "Sample",
    "as_text",
]

FORMAT_VERSION = 1
IGNORE = 255  # the class id of pixels that do not count
MAX_PIXELS = 250_000_000  # larger pictures are refused before they are decoded, unless another limit is given
SPEC_KEY = "unetfast.spec"  # the key in ONNX metadata_props and its kin


@dataclass(frozen=True)
class PreprocessSpec:
    """How an image becomes the network's input.

    Attributes
    ----------
    channels : int
        Channels the network takes: 1 (grey), 3 (RGB order) or N.
    mean, std : tuple of float
        Per channel, in units of [0, 1]: the graph computes ``(image / 255 - mean) / std``.
    resize_px : int or None
        None: the image enters at its own resolution, in tiles where it is large. A number: it is
        resized to a square of that side first, and the label map back (whole-object tasks, such
        as skin lesions).
    """

    channels: int = 3
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.25, 0.25, 0.25)
    resize_px: int | None = None


@dataclass(frozen=True)
class ModelSpec:
    """Everything needed to run a model and to say where it came from.

    Attributes
    ----------
    arch, arch_args
        Key of ``unetfast.models.MODELS`` and the keyword arguments that rebuild the network.
    classes : tuple of str
        Names by class id; id 0 is the background.
    task : {"binary", "multiclass"}
        Binary networks give one logit and compare its sigmoid with `threshold`; the others give
        one logit per class and take the argmax.
    threshold : float
        Probability above which a pixel is foreground (binary only), in (0, 1).
    preprocess : PreprocessSpec
    stride_px : int
        Tile origins must be multiples of it for a tile to compute what the whole image computes.
    halo_px : int
        Pixels around a tile that its result may depend on (the receptive field's radius).
    output : {"mask", "prob"}
        What the artifact answers: uint8 class ids (N, H, W), or float32 probabilities
        (N, H, W, K) with K = 1 for binary.
    precision : {"fp32", "fp16", "bf16", "int8"}
    target : {"any", "cpu", "tensorrt"}
        Which runtimes may run it; int8 files are made for one kind only.
    label_encoding : dict
        How the training masks' values were read as class ids.
    training : dict
        Data fingerprint, settings, metrics, versions.
    certificate : dict or None
        What the export was measured to compute, see ``unetfast.export.parity``.
    """

    arch: str = "unet"
    arch_args: dict[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ("background", "foreground")
    task: str = "binary"
    threshold: float = 0.5
    preprocess: PreprocessSpec = field(default_factory=PreprocessSpec)
    stride_px: int = 16
    halo_px: int = 96
    output: str = "mask"
    precision: str = "fp32"
    target: str = "any"
    label_encoding: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    certificate: dict[str, Any] | None = None
    format_version: int = FORMAT_VERSION

    @property
    def logit_channels(self) -> int:
        """Channels of the network's output: 1 for binary, one per class otherwise."""
        return 1 if self.task == "binary" else len(self.classes)

    @property
    def margin_px(self) -> int:
        """The halo, rounded up to a multiple of the stride: what a tile is read with to every side."""
        return -(-self.halo_px // self.stride_px) * self.stride_px

    def replace(self, **changes: Any) -> ModelSpec:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> str:
        """Return the spec as one JSON object, keys sorted."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str, source: Path | str) -> ModelSpec:
        """Read a spec.

        Parameters
        ----------
        text : str
            What :meth:`to_json` wrote.
        source : Path or str
            The artifact it came from; messages start with it.

        Raises
        ------
        ArtifactError
            When it is not a spec, or one of a newer format.
        """
        try:
            raw = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as exc:
            raise ArtifactError(f"{source}: the spec inside is not JSON: {exc}") from exc
        if not isinstance(raw, Mapping):
            raise ArtifactError(f"{source}: the spec inside is not a JSON object")
        return cls.from_dict(raw, source)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], source: Path | str) -> ModelSpec:
        """Read a spec from plain values; raises ArtifactError as :meth:`from_json` does."""
        version = raw.get("format_version")
        if not isinstance(version, int):
            raise ArtifactError(f"{source}: the spec inside has no format_version")
        if version > FORMAT_VERSION:
            raise ArtifactError(
                f"{source}: made by a newer unetfast (format {version}; this one reads up to "
                f"{FORMAT_VERSION}); upgrade with: pip install -U unetfast"
            )
        names = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(raw) - names)
        if unknown:
            raise ArtifactError(f"{source}: the spec inside has unknown fields: {', '.join(unknown)}")
        if missing := [name for name in _NEEDED if name not in raw]:
            raise ArtifactError(f"{source}: the spec inside is damaged: it lacks {', '.join(missing)}")
        kinds = {
            name: kind for name, kind in _KINDS.items() if name in raw and not isinstance(raw[name], kind)
        }
        if kinds:
            shown = ", ".join(f"{name} {raw[name]!r}" for name in kinds)
            raise ArtifactError(f"{source}: the spec inside is damaged: {shown}")
        try:
            values = dict(raw)
            pre = dict(values["preprocess"])
            pre["mean"] = tuple(float(v) for v in pre.get("mean", PreprocessSpec.mean))
            pre["std"] = tuple(float(v) for v in pre.get("std", PreprocessSpec.std))
            values["preprocess"] = PreprocessSpec(**pre)
            values["classes"] = tuple(str(name) for name in values["classes"])
            spec = cls(**values)
        except (TypeError, ValueError, KeyError) as exc:
            raise ArtifactError(f"{source}: the spec inside is damaged: {exc}") from exc
        spec._validate(source)
        return spec

    def _validate(self, source: Path | str) -> None:
        pre = self.preprocess
        problems = []
        if self.task not in ("binary", "multiclass"):
            problems.append(f"task {self.task!r}")
        if not 2 <= len(self.classes) <= 255:
            problems.append(f"{len(self.classes)} classes")
        if self.task == "binary" and not 0.0 < self.threshold < 1.0:
            problems.append(f"threshold {self.threshold}")
        if self.precision not in ("fp32", "fp16", "bf16", "int8"):
            problems.append(f"precision {self.precision!r}")
        if pre.resize_px is not None and not (isinstance(pre.resize_px, int) and pre.resize_px > 0):
            problems.append(f"resize_px {pre.resize_px!r}")
        if self.output not in ("mask", "prob"):
            problems.append(f"output {self.output!r}")
        if not 1 <= pre.channels <= 64 or len(pre.mean) != pre.channels or len(pre.std) != pre.channels:
            problems.append(f"{pre.channels} channels with {len(pre.mean)} means and {len(pre.std)} stds")
        if self.stride_px < 1 or self.halo_px < 0:
            problems.append(f"stride {self.stride_px} px, halo {self.halo_px} px")
        if problems:
            raise ArtifactError(f"{source}: the spec inside is damaged: {'; '.join(problems)}")


# What a spec must say: a default would be a guess about another model.
_NEEDED = (
    *("arch", "arch_args", "classes", "task", "threshold", "preprocess"),
    *("stride_px", "halo_px", "output", "precision"),
)
_KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("arch", "task", "output", "precision", "target"), str),
    **dict.fromkeys(("arch_args", "preprocess", "label_encoding", "training"), Mapping),
    **dict.fromkeys(("stride_px", "halo_px"), int),
    "classes": (list, tuple),
    "threshold": (int, float),
    "certificate": (Mapping, type(None)),
}


@dataclass(frozen=True)
class FileRef:
    """A picture: a file on disk or a member of a ``.zip`` read in place, one of many in it, or several files.

    Attributes
    ----------
    path : Path
        The file, or the archive.
    member : str or None
        The name inside the archive.
    index : int or None
        Which picture, where the file is an array of many.
    further : tuple of FileRef
        Files whose channels follow, where an image's bands are files of their own.
    """

    path: Path
    member: str | None = None
    index: int | None = None
    further: tuple[FileRef, ...] = ()

    def __str__(self) -> str:
        name = str(self.path) if self.member is None else f"{self.path}!{self.member}"
        return name if self.index is None else f"{name}[{self.index}]"

    @property
    def name(self) -> str:
        """The file's own name, without folders."""
        return (self.member or str(self.path)).replace("\\", "/").rpartition("/")[2]


@dataclass(frozen=True)
class Sample:
    """One image with its truth, as a layout found it on disk.

    Attributes
    ----------
    id : str
        Unique in the data set, and text (:func:`as_text`); used in tables and file names.
    image : FileRef
    masks : tuple of FileRef
        One mask, or the masks of single instances, which are merged; none: an image of background.
    split : str or None
        "train", "val" or "test" where the data says so.
    reader : str
        Which reader of ``unetfast.data`` understands the truth: "raster", "mat",
        "polygons", "classes".
    polygons : tuple
        For reader "polygons": (class name, outline) pairs, see ``unetfast.data.polygons.drawn``.
    layers : tuple
        For reader "classes": (class name, how the mask is read) of each of `masks`, what lies on top last.
    group : str or None
        Whom it shows, where a column of the data says so: "patient_id 17".
    """

    id: str
    image: FileRef
    masks: tuple[FileRef, ...] = ()
    split: str | None = None
    reader: str = "raster"
    polygons: tuple[Any, ...] = ()
    layers: tuple[Any, ...] = ()
    group: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", as_text(self.id))


def as_text(name: str) -> str:
    r"""Return a file's name with the bytes that are no text as ``\udcff``: fit to be printed and stored.

    Names need not be UTF-8; Python holds such bytes as lone surrogates, which nothing can encode.
    """
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
