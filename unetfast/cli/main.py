"""The command group, logging, and the one place where errors become text and exit codes."""

from __future__ import annotations

import importlib
import io
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from unetfast import __version__
from unetfast.cli.options import drop
from unetfast.errors import UnetfastError
from unetfast.registry import did_you_mean

__all__ = ["COMMANDS", "cli", "main"]

# name -> (module:attribute, one line). The line stands here, not in the module, so that
# `unetfast --help` imports none of them.
COMMANDS = {
    "run": ("unetfast.cli.run:run", "Segment photos; with --inpaint, remove what was found."),
    "inpaint": ("unetfast.cli.inpaint:inpaint", "Remove what a mask marks from a photo."),
    "train": ("unetfast.cli.train:train", "Train a U-Net on a folder of images and masks."),
    "eval": ("unetfast.cli.eval:eval_", "Measure a model against a folder of images and masks."),
    "check": ("unetfast.cli.check:check", "Inspect a data set before training on it."),
    "synth": ("unetfast.cli.synth:synth", "Draw synthetic photos of cracks with their masks."),
    "export": ("unetfast.cli.export:export", "Turn a checkpoint into ONNX, TensorRT or OpenVINO, certified."),
    "verify": ("unetfast.cli.verify:verify", "Compare an artifact with the checkpoint it came from."),
    "bench": ("unetfast.cli.bench:bench", "Time artifacts, backends and the kernel side by side."),
    "info": ("unetfast.cli.info:info", "Show what is inside an artifact or a model family."),
}

INTERRUPTED = 130


def _set_verbose(_: click.Context, __: click.Parameter, value: bool) -> None:
    if value:
        logging.getLogger("unetfast").setLevel(logging.DEBUG)


def _verbose_option() -> click.Option:
    return click.Option(
        ["-v", "--verbose"],
        is_flag=True,
        expose_value=False,
        callback=_set_verbose,
        help="Log more; show the traceback of an error.",
    )


def _unraw(text: str | None) -> str:
    r"""Turn the two characters ``\b`` of a raw docstring into click's mark for "do not rewrap"."""
    return (text or "").replace("\\b\n", "\b\n")


class LazyGroup(click.Group):
    """A group whose commands are imported only when one of them is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the table's order, which is the order of a newcomer's needs."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module; every command takes ``--verbose`` too."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        if not any(parameter.name == "verbose" for parameter in command.params):
            command.params.append(_verbose_option())
            command.help = _unraw(command.help)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the nearest command for a misspelt one."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"no such command {args[0]!r}{did_you_mean(args[0], list(COMMANDS))}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 all done; 1 error; 2 usage; 3 some inputs failed and the rest are done; "
    "4 an export does not compute what was trained; 130 interrupted (what was finished is kept).",
)
@click.version_option(__version__, prog_name="unetfast")
def cli() -> None:
    r"""Segment images with U-Nets and act on the result, fast.

    \b
    Examples:
      unetfast run photos/ --inpaint              clean photos in runs/run/
      unetfast train data/                        a model in runs/train/best.pt
      unetfast eval runs/train/best.pt data/test
      unetfast export runs/train/best.pt          runs/train/best.onnx, certified
    """


cli.params.append(_verbose_option())
cli.help = _unraw(cli.help)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; default ``sys.argv[1:]``.
    """
    _open_what_is_closed()
    _take_any_name()
    sys.exit(_run(list(sys.argv[1:] if arguments is None else arguments)))


def _open_what_is_closed() -> None:
    """Put the null device in place of standard files that are closed, as under daemons and ``2>&-``.

    The next file opened would get the closed one's number, and what a library writes to standard error.
    ``sys.__stdout__`` and the like stay None.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - open as long as the process


def _take_any_name() -> None:
    """Let standard output escape what it cannot encode, as standard error does: file names hold anything."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _run(arguments: list[str]) -> int:
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    verbose = any(word in ("-v", "--verbose") for word in arguments)
    try:
        # Outside standalone mode click hands back ctx.exit()'s code and lets errors through.
        code = cli.main(arguments, prog_name="unetfast", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("unetfast: interrupted; what was finished is kept", err=True)
        return INTERRUPTED
    except UnetfastError as exc:
        _explain(str(exc), verbose)
        return exc.exit_code
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        drop(1)
        drop(2)
        return 1
    except Exception as exc:
        _explain(_reason(exc), verbose)
        return 1


def _reason(exc: Exception) -> str:
    """Say what an error means that unetfast did not raise on purpose."""
    if isinstance(exc, MemoryError):
        return "out of memory; try a smaller --batch, --tile or --workers"
    if isinstance(exc, FileNotFoundError) and _nowhere():
        return "the current folder no longer exists; cd into one that does"
    if isinstance(exc, OSError) and _is_unwritten():
        return f"standard output cannot be written: {exc.strerror}"
    return f"internal error: {type(exc).__name__}: {exc} (--verbose shows where)"


def _is_unwritten() -> bool:
    """Tell whether standard output takes nothing, as on a full disk; then it gets no more."""
    try:
        print(flush=True)  # noqa: T201 - an empty line is the only question that it answers
    except OSError:
        drop(1)
        return True
    return False


def _nowhere() -> bool:
    """Tell whether the current folder was deleted."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _explain(message: str, verbose: bool) -> None:
    if verbose:
        traceback.print_exc()
    click.echo(f"unetfast: {message}", err=True)
