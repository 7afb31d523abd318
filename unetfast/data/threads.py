"""Work on many files at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from unetfast.machine import available_cores

__all__ = ["Progress", "in_threads"]

T = TypeVar("T")
R = TypeVar("R")

Progress = Callable[[int, int], None]  # called with the number of items done and their total


def in_threads(work: Callable[[T], R], items: Sequence[T], progress: Progress | None = None) -> Iterator[R]:
    """Apply `work` to every item in threads; yield the results in order, a bounded number ahead."""
    threads = min(16, 2 * available_cores())
    ahead = 4 * threads
    with ThreadPoolExecutor(threads) as pool:
        pending = deque(pool.submit(work, item) for item in items[:ahead])
        for done in range(1, len(items) + 1):
            result = pending.popleft().result()
            pending.extend(pool.submit(work, item) for item in items[ahead + done - 1 : ahead + done])
            if progress is not None:
                progress(done, len(items))
            yield result
