"""The stages in threads of one process, overlapping.

find -> read (n threads) -> network (1 to 4) -> clean (1, native threads inside) -> write (n) -> journal

Every library below releases the GIL while it works, so threads overlap as processes would,
without copying pictures between them. What bounds memory is not the queues but `Budget`: how
many pictures are between being decoded and being written.
"""

from __future__ import annotations

import contextlib
import errno
import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from unetfast.errors import UnetfastError
from unetfast.imaging import header
from unetfast.pipeline import banded, stages
from unetfast.pipeline.earlier import CollisionError, origin, refuse_another, settle
from unetfast.pipeline.journal import Journal, is_done
from unetfast.pipeline.remote import AnyOutput
from unetfast.pipeline.sources import Item, Skipped
from unetfast.pipeline.stages import Context, Job
from unetfast.segment import Segmenter

__all__ = ["Engine", "Stage"]

# Pictures up to this many px together may be in flight beyond the count: small ones are batched.
SMALL_PX = 32_000_000
SIGNALS_S = 0.5
_END: Any = None
_FATAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}  # only who writes meets them


class Budget:
    """How many pictures may be in memory at once.

    Parameters
    ----------
    photos : int
        This many of any size, or
    pixels : int
        any number of them that together have no more pixels than this.
    """

    def __init__(self, photos: int, pixels: int) -> None:
        self._photos, self._pixels = photos, pixels
        self._count = self._total = 0
        self._change = threading.Condition()

    def acquire(self, pixels: int, stop: threading.Event) -> None:
        """Wait for room, or for the end of the run."""
        with self._change:
            while not (self._count < self._photos or self._total + pixels <= self._pixels or stop.is_set()):
                self._change.wait(0.2)
            self._count += 1
            self._total += pixels

    def release(self, pixels: int) -> None:
        """Give the room of one picture back."""
        with self._change:
            self._count -= 1
            self._total -= pixels
            self._change.notify_all()


class Room:
    """What several photos share, or one that is larger than memory has to itself.

    Parameters
    ----------
    places : int
        How many share it.
    """

    def __init__(self, places: int) -> None:
        self._places, self._free = places, threading.Semaphore(places)
        self._turn = threading.Lock()  # or small photos could keep a large one waiting for ever

    @contextlib.contextmanager
    def taken(self, *, whole: bool) -> Iterator[None]:
        """Hold one place, or all of them."""
        wanted = self._places if whole else 1
        with self._turn:
            for _ in range(wanted):
                self._free.acquire()
        try:
            yield
        finally:
            self._free.release(wanted)


@dataclass
class Stage:
    """One stage: its threads, its queue, and how its time went.

    Attributes
    ----------
    name : str
    work : callable
        Takes a list of jobs, of one unless `gather` says how many.
    threads : int
    gather : int
        Take up to this many waiting jobs of one size together.
    busy_s, waiting_s : float
        Summed over the threads.
    """

    name: str
    work: Callable[[list[Job]], None]
    threads: int = 1
    gather: int = 1
    inbox: queue.Queue[Any] = field(default_factory=queue.Queue)
    busy_s: float = 0.0
    waiting_s: float = 0.0
    photos: int = 0
    alive: int = 0


class Engine:
    """One run of the stages; see the module. So many `workers` read, and as many write."""

    def __init__(
        self,
        context: Context,
        segmenter: Segmenter,
        output: AnyOutput,
        journal: Journal,
        workers: int,
    ) -> None:
        self.context, self.segmenter, self.output, self.journal = context, segmenter, output, journal
        self.stop = threading.Event()
        self.fatal: BaseException | None = None
        self._done: queue.Queue[Any] = queue.Queue()  # lines to be written
        self._kept: queue.Queue[Any] = queue.Queue()  # lines in the journal
        self._room = Room(segmenter.streams)
        self._budget = Budget(2 * workers + 1 + segmenter.streams, SMALL_PX)
        self._lock = threading.Lock()
        self.stages = [
            Stage("read", self._read, workers, inbox=queue.Queue(4 * workers + 64)),
            Stage("network", self._network, segmenter.streams, gather=context.settings.batch),
            Stage("clean", self._clean),
            Stage("write", self._write, workers),
        ]
        self._threads: list[threading.Thread] = []

    def run(self, items: Iterable[Item | Skipped]) -> Iterator[dict[str, Any]]:
        """Process the items; yield each one's line once it is in the journal.

        Raises
        ------
        UnetfastError
            When the run as a whole cannot go on, such as on a full disk.
        """
        self._start(items)
        while (entry := self._next()) is not _END:
            yield entry
        if self.fatal is not None:
            raise self.fatal

    def _next(self) -> Any:
        # Not one long wait: a signal that another thread takes, or that comes just before the wait, does not
        # end it, and Python handles signals in this thread alone. A large photo can take many minutes.
        while True:
            with contextlib.suppress(queue.Empty):
                return self._kept.get(timeout=SIGNALS_S)

    def rest(self) -> Iterator[dict[str, Any]]:
        """Yield what was finished while the run was being stopped."""
        return (entry for entry in _waiting(self._kept) if entry is not _END)

    def _keep(self) -> None:
        """Write finished lines into the journal; in a thread, for signals break off the main one."""
        finished = False
        while not finished:
            entries = [self._done.get(), *_waiting(self._done)]
            finished = _END in entries
            try:
                recorded = self.journal.record([entry for entry in entries if entry is not _END])
            except BaseException as exc:
                self._abort(exc)
                return
            for entry in recorded:
                self._kept.put(entry)
        self._kept.put(_END)

    def _start(self, items: Iterable[Item | Skipped]) -> None:
        self._spawn(self._keep)
        self._spawn(self._feed, items)
        for number, stage in enumerate(self.stages):
            stage.alive = stage.threads
            following = self.stages[number + 1].inbox if number + 1 < len(self.stages) else self._done
            for _ in range(stage.threads):
                self._spawn(self._loop, stage, following)

    def _spawn(self, target: Callable[..., None], *arguments: Any) -> None:
        # Daemons: a network call of minutes must not keep an interrupted run alive.
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _feed(self, items: Iterable[Item | Skipped]) -> None:
        try:
            for item in items:
                if self.stop.is_set():
                    break
                if isinstance(item, Skipped):
                    entry: dict[str, Any] = dict(item.line)
                    settle(entry, self.journal.find(item.relative), self.output)
                    self._done.put(entry)
                else:
                    entry = {"input": item.relative, "path": origin(item.path)}
                    self.stages[0].inbox.put(Job(item, entry))
        except BaseException as exc:
            self._abort(exc)
        self.stages[0].inbox.put(_END)

    def _abort(self, exc: BaseException) -> None:
        with self._lock:
            self.fatal = self.fatal or exc
        self.stop.set()
        self._kept.put(_END)

    def _loop(self, stage: Stage, following: queue.Queue[Any]) -> None:
        while True:
            begun = time.perf_counter()
            job = stage.inbox.get()
            jobs = [] if job is _END else self._gathered(stage, job)
            waited = time.perf_counter()
            if jobs and not self.stop.is_set():
                passed = self._attempt(stage, jobs)
                with self._lock:
                    stage.busy_s += time.perf_counter() - waited
                    stage.waiting_s += waited - begun
                    stage.photos += len(jobs)
                for each in passed:
                    following.put(each if following is not self._done else each.entry)
            if job is _END:
                break
        stage.inbox.put(_END)  # for the other threads of this stage
        with self._lock:
            stage.alive -= 1
            last = stage.alive == 0
        if last:
            following.put(_END)

    def _gathered(self, stage: Stage, first: Job) -> list[Job]:
        """Return the job, with others of its size that wait already."""
        jobs = [first]
        while (
            len(jobs) < stage.gather
            and first.picture is not None
            and _size(first) <= SMALL_PX // stage.gather
        ):
            try:
                job = stage.inbox.get_nowait()
            except queue.Empty:
                break
            if job is _END or _shape(job) != _shape(first):
                # At the front: what goes back cannot come behind the end.
                with stage.inbox.mutex:
                    stage.inbox.queue.appendleft(job)
                    stage.inbox.not_empty.notify()
                break
            jobs.append(job)
        return jobs

    def _attempt(self, stage: Stage, jobs: list[Job]) -> list[Job]:
        """Run a stage on jobs; return those that go on. The others' lines say why not."""
        try:
            stage.work(jobs)
        except Exception as exc:  # whatever a foreign file provokes must not end the others' run
            if len(jobs) > 1:
                return [job for each in jobs for job in self._attempt(stage, [each])]
            self._failed(stage, jobs[0], exc)
        return [job for job in jobs if "status" not in job.entry or job.entry["status"] == "done"]

    def _failed(self, stage: Stage, job: Job, exc: Exception) -> None:
        if isinstance(exc, CollisionError) or self._cannot_write(stage, exc.__cause__):
            job.entry["status"] = "aborted"  # goes nowhere: the photo is as good as not begun
            self._abort(exc)
            return
        stages.failed(job, exc)
        if not isinstance(exc, UnetfastError):
            job.entry["traceback"] = traceback.format_exc()
        settle(job.entry, job.before, self.output)
        self._release(job)
        self._done.put(job.entry)

    def _cannot_write(self, stage: Stage, cause: BaseException | None) -> bool:
        if not isinstance(cause, OSError):
            return False
        # A photo on a failing disk is that photo's failure, an output on one is everybody's.
        broken = cause.errno == errno.EIO and stage.name == "write"
        return broken or cause.errno in _FATAL or not self.output.temp.is_dir()

    def _release(self, job: Job) -> None:
        if job.held_px is not None:
            self._budget.release(job.held_px)
            job.held_px = None

    def _read(self, jobs: list[Job]) -> None:
        (job,) = jobs
        job.before = self.journal.find(job.item.relative)
        banded.load(job, self.context)
        if self._is_done(job):
            job.entry["status"] = "unchanged"
            self._done.put(job.entry)
            return
        refuse_another(job.entry, job.before, self.output.size)
        pixels = SMALL_PX
        if job.data is not None:
            head = header(job.data, str(job.item.path))
            pixels = head.width * head.height or SMALL_PX
        begun = time.perf_counter()
        self._budget.acquire(pixels, self.stop)
        job.held_px = pixels
        with self._lock:
            held = time.perf_counter() - begun
            self.stages[0].busy_s -= held
            self.stages[0].waiting_s += held
        if not job.banded:
            stages.decode(job, self.context)

    def _is_done(self, job: Job) -> bool:
        before = job.before
        return (
            before is not None and before.get("key") == job.entry["key"] and is_done(before, self.output.size)
        )

    def _network(self, jobs: list[Job]) -> None:
        with self._room.taken(whole=jobs[0].alone):
            if jobs[0].banded:  # never gathered with others: all its stages run here, band by band
                banded.process(jobs[0], self.context, self.segmenter, self.output)
            else:
                stages.segment(jobs, self.segmenter, self.context.settings.scale)

    def _clean(self, jobs: list[Job]) -> None:
        if not jobs[0].banded:
            stages.clean(jobs[0], self.context)

    def _write(self, jobs: list[Job]) -> None:
        (job,) = jobs
        if not job.banded:
            stages.store(job, self.context, len(self.segmenter.spec.classes), self.output.put)
        settle(job.entry, job.before, self.output)
        self._release(job)

    def finish(self, timeout_s: float) -> bool:
        """Stop taking new photos and wait for the threads; return whether all of them ended."""
        self.stop.set()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)


def _waiting(lines: queue.Queue[Any]) -> list[Any]:
    """Take all that is in a queue."""
    taken = []
    with contextlib.suppress(queue.Empty):
        while True:
            taken.append(lines.get_nowait())
    return taken


def _shape(job: Job) -> tuple[int, ...]:
    return () if job.picture is None else job.picture.pixels.shape


def _size(job: Job) -> int:
    return 0 if job.picture is None else job.picture.pixels.shape[0] * job.picture.pixels.shape[1]
