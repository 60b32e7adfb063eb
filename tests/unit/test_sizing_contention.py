"""What most threads wait for: found by its name, and only where it is one thing."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from pelton.sizing.contention import common_wait
from support.waiting import eventually

Threads = Callable[[int, Callable[[], object]], list[int]]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What ends the threads."""
    with ExitStack() as stack:
        yield stack


def begin(stack: ExitStack, count: int, target: Callable[[], object]) -> list[int]:
    """So many threads; ends when the stack's other entries have let them."""
    threads = [threading.Thread(target=target, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
        stack.callback(ended, thread)
    return [thread.ident or 0 for thread in threads]


def ended(thread: threading.Thread) -> None:
    thread.join(30)
    assert not thread.is_alive(), "nothing has let it go"


def functions_of(threads: list[int]) -> list[str]:
    """Where each of them is."""
    frames = sys._current_frames()
    return [frames[thread].f_code.co_name for thread in threads if thread in frames]


def test_a_lock_is_named_with_its_holder(stack: ExitStack) -> None:
    lock, held, free = threading.Lock(), threading.Event(), threading.Event()

    def holder() -> None:
        with lock:
            held.set()
            free.wait()

    def waiter() -> None:
        with lock:
            pass

    threads = begin(stack, 1, holder)
    held.wait()
    threads += begin(stack, 4, waiter)
    stack.callback(free.set)
    eventually(lambda: common_wait(threads) is not None, "they wait for it")
    found = common_wait(threads)
    assert found is not None
    assert found.threads == 4
    assert "test_sizing_contention.py" in found.where
    assert "waiter" in found.where
    assert "with lock" in found.where
    assert "holder" in found.held


def test_a_queue_is_named_where_the_code_asks_for_more(stack: ExitStack) -> None:
    pool: queue.Queue[int] = queue.Queue()

    def checkout() -> None:
        pool.get(timeout=60)

    others = begin(stack, 5, checkout)
    for _ in others:
        stack.callback(pool.put, 1)
    eventually(lambda: common_wait(others) is not None, "they wait for it")
    found = common_wait(others)
    assert found is not None
    assert "checkout" in found.where
    assert "pool.get" in found.where


def test_threads_that_wait_for_different_things_at_one_place(stack: ExitStack) -> None:
    locks = [threading.Lock() for _ in range(4)]
    for lock in locks:
        lock.acquire()

    def waiter(lock: threading.Lock) -> None:
        with lock:
            pass

    threads = []
    for lock in locks:
        threads += begin(stack, 1, partial(waiter, lock))
        stack.callback(lock.release)
    eventually(lambda: all(name == "waiter" for name in functions_of(threads)), "they wait")
    for _ in range(100):
        assert common_wait(threads) is None


def test_threads_that_sleep_wait_for_nothing(stack: ExitStack) -> None:
    gates = [threading.Event() for _ in range(4)]
    threads = []
    for gate in gates:
        threads += begin(stack, 1, gate.wait)
        stack.callback(gate.set)
    for _ in range(100):
        assert common_wait(threads) is None


def test_threads_that_have_gone() -> None:
    assert common_wait([1, 2, 3]) is None
    assert common_wait([]) is None
