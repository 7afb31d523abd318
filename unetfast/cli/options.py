"""Options shared by commands, each declared once."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from unetfast.errors import ConfigError
from unetfast.settings import from_mapping, from_toml

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

__all__ = [
    "config_option",
    "drop",
    "from_command_line",
    "progress_bar",
    "refuse_unwritable",
    "say",
    "settings_options",
]

F = TypeVar("F", bound=Callable[..., Any])

config_option = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="TOML file of settings; what the command line says wins over it.",
)


def settings_options(
    settings: type[Any], *, only: Sequence[str] = (), leave_out: Sequence[str] = ()
) -> Callable[[F], F]:
    """Turn every field of a settings dataclass into an option of the command.

    The options have no defaults of their own: what the user did not say stays out, so that
    :func:`from_command_line` can let the configuration file speak first.

    Parameters
    ----------
    settings : type
        A dataclass whose fields were made by ``unetfast.settings.setting``.
    only, leave_out : sequence of str
        Fields that this command offers, where not all, and fields that it does not.
    """

    def decorate(function: F) -> F:
        for field in reversed(dataclasses.fields(settings)):
            if field.name not in leave_out and (not only or field.name in only):
                function = _option(field)(function)
        return function

    return decorate


def _option(field: dataclasses.Field[Any]) -> Callable[[F], F]:
    metadata = field.metadata
    kind: Any = metadata["type"]
    names = (metadata["flag"] or "--" + field.name.replace("_", "-")).split("/")
    shown = f"{metadata['help']}{_default_text(field)}"
    common: dict[str, Any] = {"default": None, "help": shown}
    if kind is bool:
        long = next(name for name in names if name.startswith("--"))
        switch = f"{long}/--no-{long[2:]}" if field.default else long
        short = [name for name in names if name != long]
        return click.option(*short, switch, field.name, is_flag=True, **common)
    if kind is tuple:
        common["multiple"] = True
        kind = str
    option_type: Any = {Path: click.Path(path_type=Path)}.get(kind, kind)
    if metadata["choices"]:
        option_type = click.Choice(list(metadata["choices"]))
    elif kind in (int, float) and (metadata["low"] is not None or metadata["high"] is not None):
        range_type = click.IntRange if kind is int else click.FloatRange
        option_type = range_type(metadata["low"], metadata["high"])
    return click.option(*names, field.name, type=option_type, **common)


def _default_text(field: dataclasses.Field[Any]) -> str:
    if field.default in (None, "", ()) or field.metadata["type"] is bool:
        return ""
    shown = ", ".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
    return f"  [default: {shown}]"


def from_command_line(settings: type[Any], said: dict[str, Any], config: Path | None = None) -> Any:
    """Return settings, checked: command line over configuration file over defaults.

    Parameters
    ----------
    settings : type
        The settings dataclass.
    said : dict
        What click collected; None and empty tuples mean "not said".
    config : Path, optional
        A TOML file; keys are field names.

    Raises
    ------
    ConfigError
        For an unknown key, a wrong type or a value out of range, naming its source.
    """
    values = {} if config is None else dict(from_toml(config))
    if config is not None:
        from_mapping(settings, values, str(config))  # so that a bad file is blamed by its own name
    # click gives () for a repeatable option nobody used, which is "not said", unlike a () from a file
    given = {key: value for key, value in said.items() if value is not None and value != ()}
    return from_mapping(
        settings, {**{key.replace("-", "_"): v for key, v in values.items()}, **given}, "command line"
    )


def say(line: str) -> None:
    """Tell a person a line, on standard error."""
    click.echo(line, err=True)


def progress_bar(console: Console, *, visible: bool = True) -> Progress:
    """Return a bar that is gone when it is done; none where standard error is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not (visible and sys.stderr.isatty()),
        transient=True,
    )


def drop(descriptor: int) -> None:
    """Let what is written to standard output (1) or error (2) go nowhere, once it takes nothing any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)  # or Python would try again at its end


def refuse_unwritable(*targets: Path | None) -> None:
    """Raise ConfigError for a file that cannot be written, before the minutes of work that it is to hold."""
    for path in targets:
        if path is None:
            continue
        if path.is_dir():
            raise ConfigError(f"{path}: is a folder; give the name of a file")
        if not path.parent.is_dir():
            raise ConfigError(f"{path}: there is no folder {path.parent}")
        if not os.access(path.parent, os.W_OK):
            raise ConfigError(f"{path}: the folder {path.parent} cannot be written to")
