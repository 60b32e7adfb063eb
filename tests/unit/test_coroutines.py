"""Coroutines that a thread waits for: what comes back, and how both ends end when one is interrupted."""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import inspect
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pelton.diagnostics.stacks import report
from pelton.worker.coroutines import run
from pelton.worker.event_loop import EventLoop, begin, current
from support.waiting import eventually

DEADLINE = 10


class Interruption(BaseException):
    """As pelton's own: no Exception."""


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    made = begin("test", asyncio.new_event_loop)
    user = User()
    made.enter(user)
    yield made
    made.leave(user)
    assert made.join(DEADLINE)


class User:
    """Of a loop, which refers to it weakly."""


def interrupt(thread: threading.Thread) -> None:
    assert thread.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Interruption))


def in_a_thread(function: object) -> tuple[threading.Thread, list[BaseException]]:
    """Runs it, and collects what it raises."""
    raised: list[BaseException] = []

    def body() -> None:
        try:
            function()  # type: ignore[operator]
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    return thread, raised


def test_results_and_exceptions(loop: EventLoop) -> None:
    async def add(one: int, two: int) -> int:
        await asyncio.sleep(0)
        return one + two

    async def fail() -> None:
        raise LookupError("x")

    assert run(loop, add(1, 2)) == 3
    with pytest.raises(LookupError) as raised:
        run(loop, fail())
    # The frames of the coroutine come last, where people look.
    assert raised.traceback[-1].name == "fail"


def test_context_variables_go_there_and_come_back(loop: EventLoop) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    variable.set(1)

    async def increase(by: int) -> int:
        before = variable.get()
        variable.set(before + by)
        await asyncio.sleep(0)
        return before

    assert run(loop, increase(5)) == 1
    assert variable.get() == 6

    async def fail() -> None:
        variable.set(100)
        raise LookupError

    with pytest.raises(LookupError):
        run(loop, fail())
    assert variable.get() == 100


def test_many_threads_at_once(loop: EventLoop) -> None:
    # None goes on before all are there: they are on the loop together.
    here = asyncio.Barrier(20)

    async def meet(number: int) -> int:
        await here.wait()
        return number

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(lambda number: run(loop, meet(number)), range(20))) == list(range(20))


def test_an_interrupted_thread_takes_its_task_with_it(loop: EventLoop) -> None:
    began, cancelled = threading.Event(), threading.Event()

    async def forever() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            # The thread does not go on before this is done.
            await asyncio.sleep(0.05)
            cancelled.set()

    thread, raised = in_a_thread(lambda: run(loop, forever()))
    assert began.wait(DEADLINE)
    interrupt(thread)
    thread.join(DEADLINE)
    assert [type(one) for one in raised] == [Interruption]
    assert cancelled.is_set()


def test_an_interruption_before_the_task_has_begun(loop: EventLoop) -> None:
    # The loop is held, so that the order is certain: handed over, interrupted, and only then begun.
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        let_go.wait(DEADLINE)

    loop.loop.call_soon_threadsafe(hold)
    assert held.wait(DEADLINE)
    ran = []

    async def never() -> None:
        ran.append(True)

    coroutine = never()
    thread, raised = in_a_thread(lambda: run(loop, coroutine))
    eventually(lambda: "wait" in report(thread.ident or 0), "it waits")
    interrupt(thread)
    let_go.set()
    thread.join(DEADLINE)
    assert [type(one) for one in raised] == [Interruption]
    # Whether it has begun in that moment or not, it has ended.
    assert run(loop, of_the_loop()) is loop.loop
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


async def of_the_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_who_swallows_the_cancellation_is_named(loop: EventLoop, caplog: pytest.LogCaptureFixture) -> None:
    began = threading.Event()
    end = asyncio.Event()

    async def stubborn() -> None:
        while not end.is_set():
            try:
                began.set()
                await end.wait()
            except asyncio.CancelledError:
                continue

    thread, raised = in_a_thread(lambda: run(loop, stubborn()))
    assert began.wait(DEADLINE)
    with caplog.at_level(logging.WARNING, "pelton.request"):
        interrupt(thread)
        thread.join(DEADLINE)
    assert [type(one) for one in raised] == [Interruption]
    assert "stubborn goes on although its request was ended" in caplog.text
    loop.loop.call_soon_threadsafe(end.set)


def test_on_the_loops_own_thread_it_is_an_error(loop: EventLoop) -> None:
    async def outer() -> str:
        with pytest.raises(RuntimeError, match="of_the_loop is called without await"):
            run(loop, of_the_loop())
        return "went on"

    assert run(loop, outer()) == "went on"


def test_the_end_of_the_loop_ends_the_wait() -> None:
    loop = begin("test", asyncio.new_event_loop)
    began = threading.Event()

    async def forever() -> None:
        began.set()
        await asyncio.Event().wait()

    thread, raised = in_a_thread(lambda: run(loop, forever()))
    assert began.wait(DEADLINE)
    loop.leave(User())
    thread.join(DEADLINE)
    assert [type(one) for one in raised] == [asyncio.CancelledError]
    assert loop.join(DEADLINE)
    coroutine = of_the_loop()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        run(loop, coroutine)
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


def test_the_report_shows_where_the_coroutine_waits(loop: EventLoop) -> None:
    began = threading.Event()

    async def inner() -> None:
        began.set()
        await asyncio.Event().wait()

    async def outer() -> None:
        await inner()

    thread, _ = in_a_thread(lambda: run(loop, outer()))
    assert began.wait(DEADLINE)
    eventually(lambda: "await inner()" in report(thread.ident or 0), lambda: report(thread.ident or 0))
    told = report(thread.ident or 0)
    assert "outer waits on the event loop, here:" in told
    assert told.index("await inner()") < told.index("await asyncio.Event().wait()")
    interrupt(thread)
    thread.join(DEADLINE)


# The loop


def test_a_loop_is_shared_and_ends_with_its_last_user() -> None:
    one, two = User(), User()
    loop = begin("test", asyncio.new_event_loop)
    assert begin("test", asyncio.new_event_loop) is loop
    assert current() is loop
    loop.enter(one)
    loop.enter(two)
    loop.leave(one)
    assert current() is loop
    # Nobody has to leave who is no more.
    del two
    loop.leave(one)
    assert loop.join(DEADLINE)
    assert current() is None
    another = begin("test", asyncio.new_event_loop)
    assert another is not loop
    another.leave(User())
    assert another.join(DEADLINE)


def test_code_that_stops_the_loop_or_leaves_it(loop: EventLoop, caplog: pytest.LogCaptureFixture) -> None:
    def leave() -> None:
        raise SystemExit(3)

    loop.loop.call_soon_threadsafe(loop.loop.stop)
    assert run(loop, of_the_loop()) is loop.loop
    loop.loop.call_soon_threadsafe(leave)
    assert run(loop, of_the_loop()) is loop.loop
    assert "The application stops the event loop" in caplog.text
    assert "SystemExit on the event loop's thread is ignored" in caplog.text


def test_tasks_that_do_not_end_do_not_keep_the_loop() -> None:
    loop = begin("test", asyncio.new_event_loop)
    began = threading.Event()

    async def stubborn() -> None:
        while True:
            try:
                began.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    asyncio.run_coroutine_threadsafe(stubborn(), loop.loop)
    assert began.wait(DEADLINE)
    loop.leave(User())
    assert loop.join(DEADLINE)
