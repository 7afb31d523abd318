"""A setting is declared once.

One dataclass field made by :func:`setting` becomes the command-line option
(``unetfast.cli.options.settings_options``) and the key of a configuration file
(:func:`from_toml`).
Precedence: command line > configuration file > default.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import operator
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from unetfast.errors import ConfigError
from unetfast.registry import did_you_mean

__all__ = [
    "Settings",
    "check_threads",
    "check_whole",
    "from_mapping",
    "from_toml",
    "parse_bytes",
    "setting",
    "to_toml",
]

T = TypeVar("T", bound="Settings")


def setting(
    default: Any,
    help: str,
    *,
    choices: Sequence[str] | None = None,
    low: float | None = None,
    high: float | None = None,
    flag: str | None = None,
    type: Any = None,
) -> Any:
    """Declare one setting as a dataclass field.

    Parameters
    ----------
    default : object
        Its value when nobody says otherwise. The option's type follows from it unless
        `type` is given; a bool makes an on/off flag; a tuple makes an option that may be
        given several times.
    help : str
        A line or two for ``--help``, units included.
    choices : sequence of str, optional
        The allowed words.
    low, high : float, optional
        The closed range of a number.
    flag : str, optional
        The option's name on the command line when it is not ``--<field-name>``; may hold a
        short form too: ``"-o/--output"``.
    type : type, optional
        Needed where the default does not tell, such as ``None``: ``int``, ``float``, ``str``
        or ``Path``.
    """
    kind = type if type is not None else (str if default is None else default.__class__)
    metadata = {"help": help, "choices": choices, "low": low, "high": high, "flag": flag, "type": kind}
    if isinstance(default, (list, dict)):
        raise TypeError("a setting's default must be immutable; use a tuple")
    return dataclasses.field(default=default, metadata=metadata)


class Settings:
    """What settings dataclasses inherit: each value is checked, whoever makes one.

    Raises
    ------
    ConfigError
        For a value of another type, out of its range or not among its choices; texts become paths.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            object.__setattr__(self, field.name, _converted(getattr(self, field.name), field))
        _check(self)


def _check(settings: Any) -> None:
    """Raise ConfigError for the first setting that is out of its range or not among its choices."""
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        allowed = field.metadata.get("choices")
        if allowed and value is not None:
            for word in value if isinstance(value, tuple) else (value,):
                if word not in allowed:
                    near = did_you_mean(str(word), list(allowed))
                    raise ConfigError(f"{field.name} must be one of {', '.join(allowed)}; got {word!r}{near}")
        low, high = field.metadata.get("low"), field.metadata.get("high")
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            continue
        # Negated, so that NaN lies outside: a command line takes it for a number.
        if not (-math.inf if low is None else low) <= value <= (math.inf if high is None else high):
            bounds = f"{'-inf' if low is None else low} .. {'inf' if high is None else high}"
            raise ConfigError(f"{field.name} must be in {bounds}; got {value}")


def check_threads(threads: int, name: str = "threads") -> None:
    """Raise ConfigError for a negative number of threads, or one that would stall this machine."""
    most = max(64, 4 * (os.cpu_count() or 1))
    check_whole(threads, name)
    if not 0 <= threads <= most:
        raise ConfigError(f"{name} must be in 0 .. {most}; got {threads}")


def check_whole(value: Any, name: str, least: int | None = None) -> None:
    """Raise ConfigError for what is no whole number, such as 15.0 or "15", or below `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ConfigError(f"{name} must be a whole number; got {value!r}") from None
    if least is not None and number < least:
        raise ConfigError(f"{name} must be at least {least}; got {value}")


_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_bytes(text: str, name: str = "a size") -> int:
    """Read a size such as ``2GB``, ``500M``, ``1e9`` or ``4GiB`` (2**30 bytes a GiB, 10**9 a GB).

    Parameters
    ----------
    text : str
    name : str
        Of the setting, for the message.

    Raises
    ------
    ConfigError
        When it is none, or less than a kilobyte: then the unit was forgotten.
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?(?:e[0-9]{1,2})?)\s*([kmgt]?)(i?)b?\s*", text.lower())
    number, unit, binary = match.groups() if match else ("0", "", "")
    size = int(float(number) * (1024 if binary else 1000) ** _POWERS[unit])
    if size < 1000:
        raise ConfigError(f"{name} must be a number with a unit, such as 2GB; got {text!r}")
    return size


def from_mapping(cls: type[T], values: Mapping[str, Any], source: str) -> T:
    """Build a settings dataclass from plain values, checked.

    Parameters
    ----------
    cls : type
        A dataclass whose fields were made by :func:`setting`.
    values : mapping of str to object
        Field name to value; hyphens in names are taken as underscores.
    source : str
        Where the values come from; messages start with it.

    Raises
    ------
    ConfigError
        For an unknown name, a wrong type or a value out of range.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    known: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in fields:
            near = did_you_mean(name, list(fields))
            if isinstance(value, Mapping):
                near = "; settings belong at the top of the file, not in a [table]"
            raise ConfigError(f"{source}: unknown setting {key!r}{near}")
        known[name] = value
    try:
        return cls(**known)
    except ConfigError as exc:
        raise ConfigError(f"{source}: {exc}") from exc


_NUMBERS: dict[Any, type] = {int: numbers.Integral, float: numbers.Real}  # NumPy's, too


def _converted(value: Any, field: dataclasses.Field[Any]) -> Any:
    kind = field.metadata.get("type", str)
    if value is None and field.default is None:
        return None
    if kind is tuple:
        words = tuple(value) if isinstance(value, (list, tuple)) else (value,)
        if not all(isinstance(word, str) for word in words):
            raise ConfigError(f"{field.name} must be a list of strings; got {value!r}")
        return words
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is str and isinstance(value, os.PathLike):
        return os.fspath(value)
    # bool is an int to Python, but `epochs = true` is a slip, not a one.
    if not isinstance(value, _NUMBERS.get(kind, kind)) or (kind is not bool and isinstance(value, bool)):
        raise ConfigError(f"{field.name} must be {kind.__name__}; got {value!r}")
    return kind(value) if kind in _NUMBERS else value


def from_toml(path: Path) -> dict[str, Any]:
    """Read a flat TOML file of settings.

    Raises
    ------
    ConfigError
        When the file is missing or is not TOML; the message starts with the path.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError as exc:
        raise ConfigError(f"{path}: cannot read the configuration file: {exc.strerror}") from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{path}: not a TOML file: {exc}") from exc


def to_toml(settings: Any) -> str:
    """Write a settings dataclass as TOML; None is left out.

    :func:`from_toml` reads it back, encoded with "surrogateescape": file names need not be text.
    """
    lines = []
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if value is None:
            continue
        lines.append(f"{field.name} = {_toml_value(value)}")
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    # TOML's basic strings forbid raw control characters; file names may hold them.
    return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04X}" for c in escaped) + '"'
