"""How many pictures a run holds at once."""

from __future__ import annotations

import threading

from unetfast.pipeline.local import Budget

# -- budget


def test_large_pictures_are_limited_by_count_small_ones_by_pixels() -> None:
    stop, budget = threading.Event(), Budget(2, 100)
    for _ in range(2):
        budget.acquire(1000, stop)
    entered = threading.Event()

    def third() -> None:
        budget.acquire(1000, stop)
        entered.set()

    thread = threading.Thread(target=third)
    thread.start()
    assert not entered.wait(0.3)
    budget.release(1000)
    assert entered.wait(5)
    thread.join()
    small = Budget(1, 100)
    for _ in range(10):
        small.acquire(10, stop)
    stop.set()
    small.acquire(10, stop)  # a stopped run waits for nothing
