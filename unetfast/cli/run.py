"""``unetfast run``: segment photos; with --inpaint, remove what was found."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import click

from unetfast.cli.options import config_option, drop, from_command_line, progress_bar, settings_options
from unetfast.errors import ConfigError, ImageError
from unetfast.pipeline.settings import RunSettings

if TYPE_CHECKING:
    from rich.console import Console

    from unetfast.pipeline.run import Summary

__all__ = ["run"]

OUTPUT = "runs/run"
TELL_EVERY_S = 60.0


@click.command(no_args_is_help=True)
@click.argument("inputs", nargs=-1, required=True)
@click.option("-m", "--model", default="crack", show_default=True, help="A model's file, or a bundled model.")
@click.option(
    "-o",
    "--output",
    show_default=f"{OUTPUT}; - with input -",
    help="Folder for the results; with input - a file, or - for standard output.",
)
@click.option("--dry-run", is_flag=True, help="List what is new, done, or will be done again; write nothing.")
@click.option("--profile", is_flag=True, help="Show how long each stage worked and waited.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
@config_option
@settings_options(RunSettings)
def run(
    inputs: tuple[str, ...],
    model: str,
    output: str | None,
    dry_run: bool,
    profile: bool,
    quiet: bool,
    config: Path | None,
    **said: Any,
) -> int:
    r"""Segment photos, and with --inpaint remove what was found.

    INPUTS is a folder, files, globs, or a URL (s3://, gs://, https://, zip://); - reads one
    photo from standard input. Cleaned photos go to OUTPUT/<path>, masks to OUTPUT/masks/,
    overlays to OUTPUT/overlays/. The journal OUTPUT/results.jsonl says what became of each
    photo; run the same command again and only what is missing, failed or changed is done.
    Inputs are never touched. Results of another photo are never replaced: a photo of the same
    name with another content in another folder stops the run; give it another --output.

    \b
    Examples:
      unetfast run photos/ --inpaint
      unetfast run photos/ -r --inpaint --save-masks --overlay -o cleaned/
      unetfast run asphalt/ --inpaint --grain
      unetfast run photos/ --model best.onnx --shard 1/8
      unetfast run s3://bucket/photos -r --inpaint -o s3://bucket/cleaned
      unetfast run - --inpaint < wall.jpg > wall_clean.jpg

    \b
    Exit codes: 0 all done; 1 cannot go on (full disk, unreadable model); 2 usage;
    3 some photos failed, the rest are done; 130 interrupted.
    """
    settings: RunSettings = from_command_line(RunSettings, said, config)
    from unetfast.pipeline.remote import local_path
    from unetfast.pipeline.run import check_run

    check_run(settings)
    if output == "":
        raise ConfigError("--output is empty; name a folder")
    inputs, output = tuple(map(local_path, inputs)), output and local_path(output)
    if "-" in inputs:
        if len(inputs) > 1:
            raise ConfigError("- (standard input) must be the only input")
        if dry_run:
            raise ConfigError("--dry-run needs files, not - (standard input)")
        return _one_from_stdin(model, output or "-", settings)
    output = output or OUTPUT
    if output == "-":
        raise ConfigError("--output - needs the input - (standard input)")
    if dry_run:
        return _dry_run(inputs, output, settings, model)
    return _run(inputs, model, output, settings, profile=profile, quiet=quiet)


def _run(
    inputs: tuple[str, ...], model: str, output: str, settings: RunSettings, *, profile: bool, quiet: bool
) -> int:
    from rich.console import Console

    from unetfast.pipeline.run import run as run_pipeline

    console = Console(file=cast("IO[str]", _Lasting(sys.stderr)), highlight=False, soft_wrap=True)
    tell = _teller(console) if not quiet and not sys.stderr.isatty() else None
    with _stopped_by_signals(), progress_bar(console, visible=not quiet) as progress:
        task = progress.add_task("photos", total=_count(inputs, settings) if sys.stderr.isatty() else None)

        def show(entry: dict[str, Any]) -> None:
            progress.advance(task)
            if tell is not None:
                tell(entry)
            if entry["status"] in ("failed", "skipped"):
                reason = entry["reason"]
                if entry["status"] == "skipped":
                    reason = f"{entry['input']}: skipped: {reason}"
                console.print(_printable(reason), markup=False)

        summary = run_pipeline(
            inputs,
            output,
            settings,
            model=model,
            on_entry=show,
            on_start=lambda line: console.print(f"model {_printable(line)}", markup=False),
        )
    if profile:
        _show_profile(summary)
    _say(_closing_line(summary, output))
    if not summary.ended:  # a thread is inside a long native call; everything finished is on the disk
        sys.stdout.flush()
        os._exit(summary.exit_code)
    return summary.exit_code


class _Lasting:
    """Standard error that may go away (a closed pipe, a terminal that hung up) without ending the run."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, text: str) -> int:
        try:
            self._file.write(text)
        except OSError:
            drop(self._file.fileno())
        return len(text)

    def flush(self) -> None:
        try:
            self._file.flush()
        except OSError:
            drop(self._file.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _say(line: str) -> bool:
    """Write a line to standard output; return False where nobody reads it any more, as after ``| head``."""
    try:
        click.echo(line)
    except OSError:
        drop(1)
        return False
    return True


def _teller(console: Console) -> Callable[[dict[str, Any]], None]:
    """Return what says a line every minute where no progress bar can be: logs, notebooks, pipes."""
    counts: Counter[str] = Counter()
    said = begun = time.monotonic()

    def tell(entry: dict[str, Any]) -> None:
        nonlocal said
        counts[entry["status"]] += 1
        now = time.monotonic()
        if now - said >= TELL_EVERY_S:
            said = now
            words = ", ".join(f"{count} {status}" for status, count in counts.items())
            console.print(f"{now - begun:.0f} s: {words}", markup=False)

    return tell


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Make SIGTERM and SIGHUP stop a run as Ctrl-C does, and a second signal end it at once."""
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True
        for number in before:
            signal.signal(number, lambda *_: os._exit(130))
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    hangup = getattr(signal, "SIGHUP", None)  # of a terminal that is closed; not on Windows
    if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:  # ignored: under nohup
        before[hangup] = signal.getsignal(hangup)
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    except ImportError as exc:
        if stopped:  # what libraries make of a signal that comes while they are loaded
            raise KeyboardInterrupt from exc
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _count(inputs: tuple[str, ...], settings: RunSettings) -> int:
    from unetfast.pipeline.run import listing
    from unetfast.pipeline.sources import Found

    return sum(1 for _ in listing(inputs, settings, Found()))


def _dry_run(inputs: tuple[str, ...], output: str, settings: RunSettings, model: str) -> int:
    from unetfast.pipeline.plan import plan
    from unetfast.pipeline.sources import Found

    found, counts = Found(), Counter[str]()
    for step in plan(inputs, output, settings, found, model=model):
        counts[step.what] += 1
        results = ", ".join(f"{output.rstrip('/')}/{path}" for path in step.results)
        why = f" ({step.why})" if step.why else ""
        if not _say(_printable(f"{step.what:<8}{step.path}{why}" + (f" -> {results}" if results else ""))):
            return 0
    words = ", ".join(f"{counts[what]} {words}" for what, words in _PLANNED.items() if counts[what])
    click.echo(f"{f'photos: {words}' if words else 'no photos'}{found}; nothing was written", err=True)
    return 3 if counts["failed"] else 0


_PLANNED = {
    "new": "to process",
    "again": "to process again",
    "done": "done already",
    "skipped": "skipped",
    "failed": "failed",
}


def _closing_line(summary: Summary, output: str) -> str:
    words = [f"{_photos(summary.done)} done"]
    if summary.unchanged:
        words.append(f"{summary.unchanged} unchanged since the last run")
    if summary.skipped:
        words.append(f"{summary.skipped} skipped")
    words.append(f"{summary.failed} failed")
    rate = summary.megapixels / summary.seconds if summary.seconds else 0.0
    line = f"{', '.join(words)}; {summary.megapixels:.0f} megapixels in {summary.seconds:.1f} s "
    line += f"({rate:.1f} MP/s){summary.found}; results in {output}"
    if summary.outdated:
        line += (
            f"; beside {summary.outdated} of them lie results of an earlier run with other settings "
            "(`outdated` in the journal)"
        )
    if summary.noted:
        line += f"; {_photos(summary.noted)} with notes (`notes` in the journal)"
    return ("interrupted; what was finished is kept: " if summary.interrupted else "") + line


def _photos(count: int) -> str:
    return f"{count} {'photo' if count == 1 else 'photos'}"


def _show_profile(summary: Summary) -> None:
    _say(f"{'stage':<10}{'threads':>8}{'photos':>8}{'busy s':>10}{'waiting s':>11}{'busy':>7}")
    for stage in summary.stages:
        share = stage.busy_s / (stage.threads * summary.seconds) if summary.seconds else 0.0
        _say(
            f"{stage.name:<10}{stage.threads:>8}{stage.photos:>8}"
            f"{stage.busy_s:>10.2f}{stage.waiting_s:>11.2f}{share:>7.0%}"
        )


def _printable(text: str) -> str:
    # File names may hold newlines, control characters and bytes that are not UTF-8.
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _one_from_stdin(model: str, output: str, settings: RunSettings) -> int:
    from unetfast.imaging import atomic_write, header
    from unetfast.pipeline.run import one

    if settings.overlay or (settings.inpaint and settings.save_masks):
        more = "--overlay" if settings.overlay else "--save-masks"
        raise ConfigError(f"{more}: a photo from standard input has one result; leave it out")
    if output == "-" and sys.stdout.isatty():
        raise ConfigError("the result is a picture: redirect standard output, or name a file with --output")
    if output == "-" and sys.__stdout__ is None:
        raise ConfigError("the result is a picture, and standard output is closed; name a file with --output")
    photo = sys.stdin.buffer.read()
    _check_ending(output, header(photo, "<stdin>").format if settings.inpaint else "png")
    data = one(photo, settings, model=model)
    if output != "-":
        atomic_write(output, data)
        return 0
    try:
        # Not sys.stdout.buffer: under PYTHONUNBUFFERED that may write a part, and says so only in its result.
        with open(sys.stdout.fileno(), "wb", closefd=False) as file:
            file.write(data)
    except OSError as exc:
        drop(1)
        raise ImageError(f"<stdout>: cannot be written: {exc.strerror}") from exc
    return 0


def _check_ending(output: str, format: str) -> None:
    """Raise ConfigError where a file's name would lie about the picture in it."""
    from unetfast.imaging import ENDINGS, EXTENSIONS

    ending = Path(output).suffix.lower()
    if format in EXTENSIONS and ending in ENDINGS and ending not in EXTENSIONS[format]:
        right = Path(output).with_suffix(EXTENSIONS[format][0])
        raise ConfigError(f"{output}: the result is a {format.upper()} picture; call it {right}")
