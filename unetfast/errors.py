"""Every error that unetfast raises on purpose.

UnetfastError(Exception)
├─ ConfigError(ValueError)        a setting out of range; the message: name, allowed, got
├─ InputError(ValueError)         wrong shape or dtype at a public function
│  ├─ ImageError                  cannot decode or encode; the message starts with the path
│  └─ DatasetError                no pairs, unmatched pairs, ambiguous mask values
├─ ArtifactError                  unreadable, unsafe, wrong format version, no spec inside
├─ ParityError                    the export does not compute what the checkpoint computes
├─ MissingDependencyError(ImportError)   gives the exact pip line
└─ BackendError                   build or inference failed

Only ``unetfast.cli.main`` turns them into text and an exit code.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = [
    "ArtifactError",
    "BackendError",
    "ConfigError",
    "DatasetError",
    "ImageError",
    "InputError",
    "MissingDependencyError",
    "ParityError",
    "UnetfastError",
    "is_memory_error",
    "one_line",
    "require",
]


class UnetfastError(Exception):
    """Base of all errors that unetfast raises on purpose."""

    exit_code = 1


class ConfigError(UnetfastError, ValueError):
    """A setting is out of range or unknown."""

    exit_code = 2


class InputError(UnetfastError, ValueError):
    """An argument has the wrong shape, dtype or content."""


class ImageError(InputError):
    """An image cannot be decoded or encoded; the message starts with its path."""


class DatasetError(InputError):
    """A data set cannot be understood; the message shows what was found and what was looked for."""


class ArtifactError(UnetfastError):
    """A model file is unreadable, unsafe, of another format version, or carries no spec."""


class ParityError(UnetfastError):
    """An export does not compute what its checkpoint computes."""

    exit_code = 4


class MissingDependencyError(UnetfastError, ImportError):
    """An optional package is not installed; the message gives the exact pip line."""


class BackendError(UnetfastError):
    """Building an artifact or running it failed."""


# What onnxruntime, OpenVINO, TensorRT, torch, cuDNN and cuBLAS say for want of memory, in lower case.
_NO_MEMORY = (
    *("out of memory", "failed to allocate", "can't allocate memory", "bad_alloc", "bad allocation"),
    *("cudnn_status_alloc_failed", "cublas_status_alloc_failed"),
)


def is_memory_error(exc: BaseException) -> bool:
    """Whether something failed for want of memory, of the machine or of a device."""
    text = str(exc).lower()
    return isinstance(exc, MemoryError) or any(words in text for words in _NO_MEMORY)


def one_line(exc: BaseException) -> str:
    """Return an error's message without line breaks, or its type where it has none."""
    return " ".join(str(exc).split()) or type(exc).__name__


def require(module: str, extra: str) -> ModuleType:
    """Import an optional module, or say which extra brings it.

    Parameters
    ----------
    module : str
        Dotted module name, such as ``"torch"``.
    extra : str
        The extra of this package that installs it, such as ``"train"``.

    Returns
    -------
    ModuleType
        The imported module.

    Raises
    ------
    MissingDependencyError
        When the module's top-level package is not installed. An installed package that
        fails to import raises its own error, unchanged.
    """
    top_level = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] != top_level:
            raise
        raise MissingDependencyError(
            f"{top_level} is not installed; install it with: pip install 'unetfast[{extra}]'"
        ) from exc
