"""Work on many files at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from unetfast.machine import available_cores

__all__ = ["Progress", "counted", "in_threads"]

T = TypeVar("T")
R = TypeVar("R")

Progress = Callable[[int, int], None]  # called with the number of items done and their total


def in_threads(work: Callable[[T], R], items: Iterable[T], threads: int = 0) -> Iterator[R]:
    """Apply `work` to every item in threads; yield the results in order, a bounded number ahead."""
    threads = threads or min(16, 2 * available_cores())
    todo = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        pending = deque(pool.submit(work, item) for item in islice(todo, 2 * threads))
        while pending:
            result = pending.popleft().result()
            pending.extend(pool.submit(work, item) for item in islice(todo, 1))
            yield result


def counted(results: Iterable[R], total: int, progress: Progress | None) -> Iterator[R]:
    """Yield results as they come, and say how many of all came."""
    for done, result in enumerate(results, 1):
        if progress is not None:
            progress(done, total)
        yield result
