"""Threads that wait for a word are roused, so that an exception reaches them; all others are left alone."""

import concurrent.futures
import ctypes
import queue
import threading
from collections.abc import Callable

import pytest

from pelton.worker.rouse import rouse
from support.waiting import DEADLINE, eventually


class GoneError(BaseException):
    pass


class Waiting:
    """A thread in ``wait``, and how it came out of it."""

    def __init__(self, wait: Callable[[], object]) -> None:
        self.came_out: BaseException | str | None = None
        self._wait = wait
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._wait()
        except BaseException as error:
            self.came_out = error
        else:
            self.came_out = "returned"

    @property
    def ident(self) -> int:
        assert self.thread.ident is not None
        return self.thread.ident

    def raise_in_it(self) -> None:
        raised = ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self.ident), ctypes.py_object(GoneError)
        )
        assert raised == 1

    def interrupt(self) -> None:
        """Raise in it, and rouse it as soon as it waits."""
        self.raise_in_it()
        eventually(lambda: rouse(self.ident) or not self.thread.is_alive(), "it waits")
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive()


BOTH = threading.Barrier(2)
WAITS: dict[str, Callable[[], object]] = {
    "queue": queue.Queue[int]().get,
    "queue with a timeout": lambda: queue.Queue[int]().get(timeout=600),
    "event": threading.Event().wait,
    "condition": lambda: _wait_on(threading.Condition()),
    "condition over a plain lock": lambda: _wait_on(threading.Condition(threading.Lock())),
    "semaphore": threading.Semaphore(0).acquire,
    "barrier": BOTH.wait,
    "future": concurrent.futures.Future[int]().result,
}


def _wait_on(condition: threading.Condition) -> None:
    with condition:
        condition.wait()


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_an_exception_reaches_whoever_waits_for_a_word(wait: Callable[[], object]) -> None:
    one = Waiting(wait)
    one.interrupt()
    assert isinstance(one.came_out, GoneError)


def test_the_condition_is_as_good_as_before() -> None:
    condition = threading.Condition()
    served: list[str] = []

    def serve(name: str) -> None:
        with condition:
            condition.wait()
            served.append(name)

    for _ in range(20):
        gone = Waiting(lambda: serve("gone"))
        other = Waiting(lambda: serve("other"))
        gone.interrupt()
        assert isinstance(gone.came_out, GoneError)
        # One notification, and it is not lost on the one that is no more.
        eventually(lambda: len(condition._waiters) == 1, "the other waits")  # type: ignore[attr-defined]
        with condition:
            condition.notify()
        other.thread.join(DEADLINE)
        assert other.came_out == "returned"
    assert served == ["other"] * 20


def test_a_queue_is_as_good_as_before() -> None:
    items = queue.Queue[int]()
    for number in range(20):
        one = Waiting(items.get)
        one.interrupt()
        assert isinstance(one.came_out, GoneError)
        items.put(number)
        assert items.get(timeout=DEADLINE) == number
    assert items.unfinished_tasks == 20


def test_whoever_waits_for_a_lock_is_left_alone() -> None:
    lock = threading.Lock()
    with lock:
        one = Waiting(lock.acquire)
        assert not rouse(one.ident)
        assert one.came_out is None
    one.thread.join(DEADLINE)
    assert one.came_out == "returned"


def test_no_such_thread() -> None:
    ended = threading.Thread(target=lambda: None)
    ended.start()
    ended.join()
    assert not rouse(ended.ident or 0)
    assert not rouse(-1)
    assert not rouse(threading.get_ident())


def test_one_that_waits_in_turns_only_waits_again() -> None:
    event = threading.Event()

    def wait() -> None:
        while not event.is_set():
            event.wait()

    one = Waiting(wait)
    for _ in range(10):
        eventually(lambda: rouse(one.ident), "it waits")
    event.set()
    one.thread.join(DEADLINE)
    assert one.came_out == "returned"
