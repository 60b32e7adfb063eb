"""Reports about threads that hang, made while real threads do."""

import functools
import linecache
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from pelton.diagnostics import stacks
from pelton.diagnostics.reading import MISSING, attribute, described
from pelton.diagnostics.stacks import report, stack_of
from support.waiting import DEADLINE, eventually

GLOBAL = threading.Lock()


@contextmanager
def running(*functions: Callable[[], object]) -> Iterator[list[int]]:
    """A thread for each function, named after it. The test lets them end before it leaves the block."""

    def quietly(function: Callable[[], object]) -> None:
        # To end a deadlock the test lets go of locks that are not its own.
        with suppress(RuntimeError):
            function()

    threads = [
        threading.Thread(target=functools.partial(quietly, one), name=one.__name__.strip("_"), daemon=True)
        for one in functions
    ]
    for thread in threads:
        thread.start()
    yield [thread.ident or 0 for thread in threads]
    for thread in threads:
        thread.join(DEADLINE)
    assert not any(thread.is_alive() for thread in threads)


def reported(ident: int, *parts: str) -> str:
    """The report, as soon as it has all of ``parts``: a thread needs a moment to arrive where it hangs."""
    last = ""

    def is_there() -> bool:
        nonlocal last
        last = report(ident)
        return all(part in last for part in parts)

    eventually(is_there, lambda: f"{parts} in\n{last}")
    return last


@contextmanager
def held(lock: Any) -> Iterator[Callable[[], None]]:
    """Thread "keeper" holds ``lock`` by a ``with subject``, until what this gives is called."""
    is_held, let_go = threading.Event(), threading.Event()

    def keeper() -> None:
        subject = lock
        with subject:
            is_held.set()
            let_go.wait(DEADLINE)

    with running(keeper):
        assert is_held.wait(DEADLINE)
        try:
            yield let_go.set
        finally:
            let_go.set()


def test_a_deadlocked_pair() -> None:
    first, second = threading.Lock(), threading.Lock()
    both = threading.Barrier(2)

    def one_way() -> None:
        with first:
            both.wait(DEADLINE)
            with second:
                pass

    def other_way() -> None:
        with second:
            both.wait(DEADLINE)
            with first:
                pass

    with running(one_way, other_way) as (ident, _):
        text = reported(ident, "deadlock: ")
        first.release()
    assert (
        f"waits in `with second` for the lock `second`, <locked _thread.lock object at {id(second):#x}>"
        in text
    )
    assert "(`with second` in test_a_deadlocked_pair.<locals>.other_way, " in text
    assert 'thread "other_way" is here:\n  File ' in text
    verdict = text.splitlines()[-1]
    assert verdict.startswith('deadlock: thread "one_way" waits for `second`, <locked ')
    assert ', held by thread "other_way"; thread "other_way" waits for `first`, <locked ' in verdict
    assert verdict.endswith(', held by thread "one_way".')


def test_a_deadlocked_pair_of_reentrant_locks() -> None:
    first, second = threading.RLock(), threading.RLock()
    both = threading.Barrier(2)
    give_up = threading.Event()

    def one_way() -> None:
        with first:
            both.wait(DEADLINE)
            while not give_up.is_set() and not second.acquire(timeout=0.2):
                pass

    def other_way() -> None:
        with second:
            both.wait(DEADLINE)
            while not give_up.is_set() and not first.acquire(timeout=0.2):
                pass

    with running(one_way, other_way) as (ident, _):
        text = reported(ident, "deadlock: ")
        give_up.set()
    assert "waits in `second.acquire()` for the lock `second`, <locked _thread.RLock object owner=" in text


def test_who_waits_for_a_deadlock_is_told_of_it() -> None:
    first = threading.Lock()

    def inner() -> None:
        with first:
            pass

    def outer() -> None:
        with first:
            inner()

    def third() -> None:
        with first:
            pass

    with running(outer) as (other,):
        reported(other, "deadlock: ", "held by itself")
        with running(third) as (ident,):
            text = reported(ident, "deadlock: ")
            assert text.count('thread "third"') == 1
            first.release()


def test_a_lock_taken_twice_by_one_thread() -> None:
    lock = threading.Lock()

    def inner() -> None:
        with lock:
            pass

    def twice() -> None:
        lock.acquire()
        inner()

    with running(twice) as (ident,):
        text = reported(ident, "deadlock: ")
        lock.release()
    assert ", held by itself." in text
    assert "(`lock.acquire()` in test_a_lock_taken_twice_by_one_thread.<locals>.twice, " in text


def test_a_chain_that_does_not_close() -> None:
    first, second = threading.Lock(), threading.Lock()

    def middle() -> None:
        with first, second:
            pass

    def outer() -> None:
        with first:
            pass

    with held(second) as let_go, running(middle) as (ident,):
        reported(ident, "`with second`")
        with running(outer) as (other,):
            text = reported(other, "`with second`", 'thread "keeper" is here:')
            let_go()
    assert 'thread "outer" waits in `with first` for the lock `first`' in text
    assert 'held by thread "middle" (`with first` in test_a_chain' in text
    assert 'thread "middle" waits in `with second` for the lock `second`' in text
    assert "deadlock:" not in text


@pytest.mark.parametrize("make", [threading.Lock, threading.RLock, threading.Condition])
def test_each_kind_of_lock(make: Callable[[], Any]) -> None:
    thing = make()

    def waiter() -> None:
        with thing:
            pass

    with held(thing) as let_go, running(waiter) as (ident,):
        text = reported(ident, "It is held by")
        let_go()
    assert "waits in `with thing` for the lock `thing`" in text
    assert 'It is held by thread "keeper" (`with subject` in held.<locals>.keeper, ' in text
    assert "let_go.wait(DEADLINE)" in text


def test_a_condition_around_a_plain_lock() -> None:
    lock = threading.Lock()
    condition = threading.Condition(lock)

    def waiter() -> None:
        with condition:
            pass

    with held(lock) as let_go, running(waiter) as (ident,):
        text = reported(ident, 'It is held by thread "keeper"')
        let_go()
    assert f"whose lock is <locked _thread.lock object at {id(lock):#x}>" in text


def test_attributes_and_private_names() -> None:
    class Store:
        def __init__(self) -> None:
            self._lock = threading.Lock()
            self.__hidden = threading.Lock()

        def plain(self) -> None:
            with self._lock:
                pass

        def private(self) -> None:
            with self.__hidden:
                pass

        @property
        def locks(self) -> list[Any]:
            return [self._lock, self.__hidden]

    store = Store()
    for lock, function, name in zip(
        store.locks, [store.plain, store.private], ["self._lock", "self.__hidden"], strict=True
    ):
        with held(lock) as let_go, running(function) as (ident,):
            text = reported(ident, 'It is held by thread "keeper"')
            let_go()
        assert f"the lock `{name}`, <locked _thread.lock object at {id(lock):#x}>" in text


def test_slots_globals_classes_modules_and_subscripts() -> None:
    class Slotted:
        __slots__ = ("lock",)
        shared = threading.Lock()

        def __init__(self) -> None:
            self.lock = threading.Lock()

    slotted = Slotted()
    many = {"a": [threading.Lock()]}
    key = "a"

    def by_slot() -> None:
        with slotted.lock:
            pass

    def by_class() -> None:
        with slotted.shared:
            pass

    def by_global() -> None:
        with GLOBAL:
            pass

    def by_subscript() -> None:
        with many[key][0]:
            pass

    for lock, function in [
        (slotted.lock, by_slot),
        (Slotted.shared, by_class),
        (GLOBAL, by_global),
        (many["a"][0], by_subscript),
    ]:
        with held(lock) as let_go, running(function) as (ident,):
            reported(ident, f"{id(lock):#x}", 'It is held by thread "keeper"')
            let_go()


def test_acquire_and_release_by_hand() -> None:
    lock = threading.Lock()
    is_held, let_go = threading.Event(), threading.Event()

    def by_hand() -> None:
        lock.acquire()
        lock.release()
        if not lock.acquire(
            timeout=DEADLINE,
        ):
            lock.release()
            return
        try:
            is_held.set()
            let_go.wait(DEADLINE)
        finally:
            lock.release()

    def done_with_it() -> None:
        lock.acquire()
        lock.release()
        is_held.set()
        let_go.wait(DEADLINE)

    def waiter() -> None:
        if lock.acquire():
            lock.release()

    with running(done_with_it):
        assert is_held.wait(DEADLINE)
        is_held.clear()
        with running(by_hand):
            assert is_held.wait(DEADLINE)
            with running(waiter) as (ident,):
                text = reported(ident, "It is held by")
                let_go.set()
    assert "waits in `lock.acquire()` for the lock `lock`" in text
    assert 'held by thread "by_hand" (`lock.acquire()` in test_acquire_and' in text
    assert "done_with_it" not in text


def test_a_lock_that_nobody_seems_to_hold() -> None:
    lock = threading.Lock()
    take = lock.acquire
    take()

    def waiter() -> None:
        with lock:
            pass

    with running(waiter) as (ident,):
        text = reported(ident, "Who holds it could not be found.")
        lock.release()
    assert "is here" not in text


def test_waiting_to_be_told() -> None:
    condition, event, lines = threading.Condition(), threading.Event(), queue.Queue[int]()
    native, result, permits = queue.SimpleQueue[int](), Future[int](), threading.Semaphore(0)
    thread = threading.Thread(target=event.wait, daemon=True)
    thread.start()

    def notified() -> None:
        with condition:
            condition.wait()

    def event_set() -> None:
        event.wait()

    def got() -> None:
        lines.get()

    def got_native() -> None:
        native.get()

    def told() -> None:
        result.result()

    def permitted() -> None:
        with permits:
            pass

    def joined() -> None:
        thread.join()

    everybody = [notified, event_set, got, got_native, told, permitted, joined]
    with running(*everybody) as idents:
        for ident, what in zip(
            idents,
            [
                "`condition.wait()` for another thread: `condition`, <threading.Condition object at",
                "`event.wait()` for another thread: `event`, <threading.Event object at",
                "`lines.get()` for another thread: `lines`, <queue.Queue object at",
                "`native.get()` for another thread: `native`, <_queue.SimpleQueue object at",
                "`result.result()` for another thread: `result`, <concurrent.futures._base.Future object at",
                "`with permits` for another thread: `permits`, <threading.Semaphore object at",
                "`thread.join()` for another thread: `thread`, <threading.Thread object at",
            ],
            strict=True,
        ):
            text = reported(ident, f"waits in {what}")
            assert "deadlock:" not in text
        with condition:
            condition.notify()
        event.set()
        lines.put(1)
        native.put(1)
        result.set_result(1)
        permits.release()


def test_who_has_a_semaphore_s_permits() -> None:
    permits = threading.Semaphore(1)

    def waiter() -> None:
        with permits:
            pass

    with held(permits) as let_go, running(waiter) as (ident,):
        text = reported(ident, 'held by thread "keeper" (`with subject` in held.')
        let_go()
    assert "waits in `with permits` for another thread" in text


def test_after_the_notification_a_condition_waits_for_its_lock() -> None:
    condition = threading.Condition()

    def notified() -> None:
        with condition:
            condition.wait()

    with running(notified) as (ident,):
        reported(ident, "for another thread")
        with condition:
            condition.notify()
            text = reported(ident, "for the lock `condition`")
    assert f'It is held by thread "{threading.current_thread().name}"' in text


def test_computing_and_system_calls_are_no_waits() -> None:
    ended = threading.Event()
    gate, other = socket.socketpair()

    def loops() -> None:
        while True:
            if ended.is_set():
                break

    def reads() -> None:
        gate.recv(1)

    with gate, other, running(loops, reads) as (looping, reading):
        text = reported(looping, "in loops")
        assert "waits" not in text
        text = reported(reading, "gate.recv(1)")
        assert "waits" not in text
        ended.set()
        other.send(b"x")


def test_code_without_a_source() -> None:
    lock = threading.Lock()
    namespace: dict[str, Any] = {"lock": lock}
    exec(compile("def unknown():\n    with lock:\n        pass\n", "<made>", "exec"), namespace)
    with held(lock) as let_go, running(namespace["unknown"]) as (ident,):
        text = reported(ident, 'File "<made>", line 2, in unknown')
        let_go()
    assert "waits" not in text


def test_code_of_a_module_and_of_a_lambda() -> None:
    lock = threading.Lock()
    source = "waiting = lambda: lock.acquire()\nif waiting():\n    lock.release()\n"
    linecache.cache["<generated>"] = (len(source), None, source.splitlines(keepends=True), "<generated>")
    code = compile(source, "<generated>", "exec")

    def module() -> None:
        exec(code, {"lock": lock})

    with held(lock) as let_go, running(module) as (ident,):
        text = reported(ident, 'It is held by thread "keeper"')
        let_go()
    del linecache.cache["<generated>"]
    assert "`lock.acquire()`" in text


def test_source_that_has_changed_since(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = threading.Lock()
    lines = ["\n", "def another():\n", "    pass\n"] * 2000
    monkeypatch.setattr(linecache, "getlines", lambda *_: lines)

    def waiter() -> None:
        with lock:
            pass

    with held(lock) as let_go, running(waiter) as (ident,):
        text = reported(ident, "in waiter")
        let_go()
    assert "waits" not in text


def test_no_code_of_the_application_runs() -> None:
    ran: list[str] = []

    class Meta(type):
        @property
        def __module__(cls) -> str:  # type: ignore[override]
            ran.append("module")
            return "?"

    class Nosy(metaclass=Meta):
        def __init__(self) -> None:
            self.event = threading.Event()

        def __repr__(self) -> str:
            ran.append("repr")
            return "?"

        def __getattr__(self, name: str) -> Any:
            ran.append(f"getattr {name}")
            raise AttributeError(name)

        def __getattribute__(self, name: str) -> Any:
            ran.append(f"getattribute {name}")
            return super().__getattribute__(name)

        @property
        def lock(self) -> Any:
            ran.append("property")
            return lock

        def __eq__(self, other: object) -> bool:
            ran.append("eq")
            return True

        def __hash__(self) -> int:
            ran.append("hash")
            return 1

    lock = threading.Lock()
    nosy = Nosy()
    entered = threading.Event()

    def waiter() -> None:
        with nosy.lock:
            entered.set()

    def waits_for_event() -> None:
        nosy.event.wait()

    with held(lock) as let_go, running(waiter, waits_for_event) as (ident, other):
        reported(ident, "with nosy.lock")
        reported(other, "`nosy.event`, <threading.Event")
        seen = len(ran)
        report(ident)
        report(other)
        described(nosy)
        assert attribute(nosy, "nothing") is MISSING
        assert len(ran) == seen
        let_go()
        nosy.event.set()
    assert entered.is_set()


def test_long_stacks_are_cut() -> None:
    event = threading.Event()

    def deep(levels: int) -> None:
        if levels:
            deeper(levels - 1)
        else:
            event.wait()

    def deeper(levels: int) -> None:
        deep(levels)

    with running(lambda: deep(100)) as (ident,):
        text = reported(ident, "event.wait()", "outer")
        event.set()
    first, *rest = text.splitlines()
    assert first.startswith("  (the outer ")
    assert sum(line.startswith("  File ") for line in rest) <= 100


def test_our_frames_at_the_bottom_are_left_out() -> None:
    event = threading.Event()

    def application() -> None:
        event.wait()

    with running(application) as (ident,):
        text = reported(ident, "in application")
        event.set()
    assert "_bootstrap" not in text
    assert "in wait\n" in text


def test_a_thread_that_has_ended() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    assert stack_of(thread.ident or 0) == "  (it has just ended)"
    assert report(thread.ident or 0) == "  (it has just ended)"
    assert report(-1) == "  (it has just ended)"


def test_a_fault_in_the_search_costs_only_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RecursionError

    lock = threading.Lock()

    def waiter() -> None:
        with lock:
            pass

    with held(lock) as let_go, running(waiter) as (ident,):
        reported(ident, "with lock")
        monkeypatch.setattr(stacks, "wait_of", fails)
        text = report(ident)
        assert "in waiter" in text
        assert "waits" not in text
        monkeypatch.setattr(stacks, "_stack", fails)
        assert report(ident) == "  (its stack cannot be read)"
        let_go()


def test_names_cannot_forge_lines() -> None:
    lock = threading.Lock()
    names: list[str] = []

    def waiter() -> None:
        threading.current_thread().name = "x\nERROR forged"
        names.append("set")
        with lock:
            pass

    with held(lock) as let_go, running(waiter) as (ident,):
        text = reported(ident, 'thread "x?ERROR forged" waits')
        let_go()
    assert not any(line.startswith("ERROR") for line in text.splitlines())
