"""The same stages on a Ray cluster: read (tasks) -> network (actors) -> clean and write (tasks).

Ray Data gives back-pressure between the stages, repeats the work of workers that die, and spreads
everything over the machines. Every stage is a function of stages.py, so the bytes are the same;
the one journal is written here, by the driver. Inputs and outputs must be reachable from every
machine under the same path (a shared folder, or URLs).
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from unetfast.errors import require
from unetfast.pipeline import stages
from unetfast.pipeline.earlier import CollisionError, origin, refuse_another, settle
from unetfast.pipeline.journal import Journal, is_done
from unetfast.pipeline.model import open_model
from unetfast.pipeline.remote import AnyOutput, is_url, open_output
from unetfast.pipeline.sources import Item, Skipped
from unetfast.pipeline.stages import Context, Job

__all__ = ["RayEngine"]

Row = dict[str, Any]
_outputs: dict[str, AnyOutput] = {}


class RayEngine:
    """One run on a cluster; the interface of ``local.Engine``.

    Parameters
    ----------
    context : Context
    model : Path
        The artifact; read on every machine that runs the network.
    output : str
        The output folder or URL.
    opened : Output or RemoteOutput
        The driver's own handle on it.
    journal : Journal
    workers : int
        How many actors hold the model.

    Raises
    ------
    MissingDependencyError
        Without ray.
    """

    def __init__(
        self,
        context: Context,
        model: Path,
        output: str,
        opened: AnyOutput,
        journal: Journal,
        workers: int,
    ) -> None:
        # Workers on other machines have a working folder of their own.
        self.context, self.model = context, model.absolute()
        self.output = output if is_url(output) else os.path.abspath(output)
        self.opened, self.journal, self.workers = opened, journal, workers
        self._ray = require("ray", "ray")
        require("ray.data", "ray")
        self.stages: list[Any] = []

    def run(self, items: Iterable[Item | Skipped]) -> Iterator[dict[str, Any]]:
        """Process the items; yield each one's line once it is in the journal."""
        ray, settings = self._ray, self.context.settings
        rows, skipped = self._rows(items)
        yield from self.journal.record(skipped)
        if not rows:
            return
        ray.init(address=settings.address or None, ignore_reinit_error=True, log_to_driver=False)
        ray.data.DataContext.get_current().enable_progress_bars = False
        photos = (
            ray.data.from_items(rows, override_num_blocks=min(len(rows), 200))
            .map(_read, fn_kwargs={"context": self.context, "output": self.output})
            .map(
                _Network,
                fn_constructor_kwargs={"model": str(self.model), "context": self.context},
                compute=ray.data.ActorPoolStrategy(size=self.workers),
                num_gpus=settings.gpus or None,
            )
            .map(_finish, fn_kwargs={"context": self.context, "output": self.output})
        )
        for row in photos.iter_rows():
            entry = json.loads(row["entry"])
            if entry["status"] == "collision":
                raise CollisionError(entry["reason"])
            yield from self.journal.record([entry])

    def _rows(self, items: Iterable[Item | Skipped]) -> tuple[list[Row], list[dict[str, Any]]]:
        """Return one row per photo, with the key under which it is done already, and what is skipped."""
        rows, skipped = [], []
        for item in items:
            if isinstance(item, Skipped):
                entry: dict[str, Any] = dict(item.line)
                settle(entry, self.journal.find(item.relative), self.opened)
                skipped.append(entry)
                continue
            before = self.journal.find(item.relative)
            known = before.get("key", "") if before is not None and is_done(before, self.opened.size) else ""
            job = Job(item, {"input": item.relative, "path": origin(item.path)}, before=before)
            rows.append({"job": pickle.dumps(job), "known": known})
        return rows, skipped

    def rest(self) -> Iterator[dict[str, Any]]:
        """Yield nothing: what a stopped cluster finished is found by the next run."""
        return iter(())

    def finish(self, timeout_s: float) -> bool:
        """Leave the cluster."""
        del timeout_s
        if self._ray.is_initialized():
            self._ray.shutdown()
        return True


def _attempt(job: Job, work: Any) -> bytes:
    """Run one stage; what fails is written into the job's line and goes through the others."""
    if "status" not in job.entry:
        try:
            work()
        except CollisionError as exc:
            job.entry.update(status="collision", reason=str(exc))
            job = Job(job.item, job.entry)
        except Exception as exc:  # whatever a foreign file provokes must not end the others' run
            stages.failed(job, exc)
            job = Job(job.item, job.entry, before=job.before)
    return pickle.dumps(job)


def _read(row: Row, context: Context, output: str) -> Row:
    job: Job = pickle.loads(row["job"])

    def work() -> None:
        stages.load(job, context)
        if job.entry["key"] == row["known"]:
            job.entry["status"] = "unchanged"
            job.data = None
        else:
            refuse_another(job.entry, job.before, _opened(output).size)
            stages.decode(job, context)

    return {"job": _attempt(job, work)}


class _Network:
    """An actor that holds the model."""

    def __init__(self, model: str, context: Context) -> None:
        self._scale = context.settings.scale
        self._segmenter = open_model(model, context.settings, streams=1)  # a photo at a time

    def __call__(self, row: Row) -> Row:
        job: Job = pickle.loads(row["job"])
        done = _attempt(job, lambda: stages.segment([job], self._segmenter, self._scale))
        return {"job": done, "classes": len(self._segmenter.spec.classes)}


def _finish(row: Row, context: Context, output: str) -> Row:
    job: Job = pickle.loads(row["job"])

    def work() -> None:
        stages.clean(job, context)
        stages.store(job, context, row["classes"], _opened(output).put)

    done: Job = pickle.loads(_attempt(job, work))
    settle(done.entry, done.before, _opened(output))
    return {"entry": json.dumps(done.entry)}


def _opened(output: str) -> AnyOutput:
    """Return this worker's handle on the output; it lives as long as the process."""
    if output not in _outputs:
        _outputs[output] = open_output(output)
    return _outputs[output]
