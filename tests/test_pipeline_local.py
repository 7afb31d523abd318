"""How many pictures a run holds at once, and which has the network to itself."""

from __future__ import annotations

import threading
import time

from unetfast.pipeline.local import Budget, Room

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


# -- room


def test_a_large_picture_has_the_network_to_itself_and_is_not_kept_waiting() -> None:
    room, order, begun = Room(2), [], threading.Event()

    def large() -> None:
        begun.set()
        with room.taken(whole=True):
            order.append("large")

    def small() -> None:
        with room.taken(whole=False):
            order.append("small")

    threads = [threading.Thread(target=large), threading.Thread(target=small)]
    with room.taken(whole=False), room.taken(whole=False):
        threads[0].start()
        begun.wait(5)
        time.sleep(0.2)  # until it waits
        threads[1].start()
        time.sleep(0.2)
        assert order == []
    for thread in threads:
        thread.join(5)
    assert order == ["large", "small"]
    late = threading.Thread(target=small)
    with room.taken(whole=True):
        late.start()
        time.sleep(0.2)
        assert order == ["large", "small"]
    late.join(5)
    assert order == ["large", "small", "small"]
