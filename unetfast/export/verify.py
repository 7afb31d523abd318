"""Compare an artifact that is there already with the checkpoint it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unetfast import backends
from unetfast.backends.torch_ import TorchBackend
from unetfast.checkpoint import build_model
from unetfast.errors import ArtifactError, ConfigError
from unetfast.export import trained
from unetfast.export.parity import Limits, certify, limits_for
from unetfast.export.samples import collect
from unetfast.export.worst import show_worst

__all__ = ["checkpoint_of", "verify"]


def checkpoint_of(artifact: Path) -> Path:
    """Return the checkpoint that an artifact's certificate names: beside it, or a bundled model.

    Raises
    ------
    ConfigError
        When it is not there, or `artifact` is a checkpoint itself.
    """
    if artifact.suffix.lower() in backends.CHECKPOINTS and artifact.is_file():
        raise ConfigError(f"{artifact}: is a checkpoint itself; give an export of it, such as best.onnx")
    certificate = backends.read_spec(artifact).certificate or {}
    name = certificate.get("checkpoint")
    if isinstance(name, str) and backends.bundled(name):
        return Path(name)
    # Only a bare name: an artifact must not choose which other file is opened.
    found = artifact.parent / Path(name).name if isinstance(name, str) and name else None
    if found is None or not found.is_file():
        raise ConfigError(
            f"{artifact}: its checkpoint {name or ''} is not beside it; give it with --against FILE.pt"
        )
    return found


def verify(
    artifact: Path,
    against: Path,
    *,
    data: Path | None = None,
    backend: str = "auto",
    device: str = "auto",
    threads: int = 0,
    limits: Limits | None = None,
    shown: Path | None = None,
) -> dict[str, Any]:
    """Return a new certificate of an artifact.

    Parameters
    ----------
    artifact, against : Path
        The file to check, and the checkpoint (``.pt``), or what else :func:`unetfast.export.build.export`
        takes.
    data : Path, optional
        Images or a data set; default: the images kept in the checkpoint.
    backend, device, threads
        As :func:`unetfast.backends.load`.
    limits : Limits, optional
        Default: those of the artifact's precision.
    shown : Path, optional
        Where to draw the worst image when the certificate does not hold.

    Raises
    ------
    ArtifactError
        When the two are models of different things.
    ConfigError
        When they are the same file.
    """
    if against.exists() and artifact.exists() and against.samefile(artifact):
        raise ConfigError(f"{artifact}: --against names this very file; give the checkpoint it came from")
    checkpoint = trained.load(against)
    candidate = backends.load(artifact, backend=backend, device=device, threads=threads)
    own, theirs = checkpoint.spec, candidate.spec
    for name in ("classes", "task", "preprocess"):
        if getattr(own, name) != getattr(theirs, name):
            raise ArtifactError(
                f"{artifact}: not an export of {against}: {name} {getattr(theirs, name)} "
                f"against {getattr(own, name)}"
            )
    model = build_model(own, checkpoint.model_state, against, fused=checkpoint.fused)
    reference = TorchBackend(model, own.replace(output=theirs.output, threshold=theirs.threshold), "cpu")
    samples = collect(checkpoint, data, against)
    found = certify(
        reference, candidate, samples.images, samples.truths, limits=limits or limits_for(theirs.precision)
    )
    if shown is not None:
        show_worst(found, reference, candidate, samples.images, shown)
    return {**found, "images_from": samples.source, "checkpoint": against.name}
