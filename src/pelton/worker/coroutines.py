"""Runs a coroutine on the event loop for a thread that waits for its result.

Owns the hand-over in both directions: context variables there and back, result or exception, and the end of
the task when the waiting thread is interrupted. Called on serving threads, and on the application's own.

What may happen at the same time: the task ends, the thread is interrupted (RequestTimeout,
ClientDisconnected), the loop ends. Whichever comes first, the thread does not go on before the task has
ended, or has had a moment to do so: what the request has opened must not be used after it was closed.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import traceback
from collections.abc import Coroutine
from types import FrameType
from typing import Any, Final, TypeVar

from pelton.diagnostics.stacks import continues, stack_of
from pelton.worker.event_loop import EventLoop

LOGGER = logging.getLogger("pelton.request")

# An exception for this thread is raised when it next runs Python code, so it has to, now and then.
_SLICE: Final = 0.2
# For a cancelled task to clean up.
_CLEAN_UP: Final = 1.0

_MISSING: Final = object()
_Result = TypeVar("_Result")


def run(on: EventLoop, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
    """What ``coroutine`` returns or raises, run as a task on the loop with this thread's context variables.

    Those that it sets are set here afterwards. Raises RuntimeError on the loop's own thread, which would wait
    for itself, and when the loop has ended.
    """
    if on.is_here:
        coroutine.close()
        raise RuntimeError(
            f"{name_of(coroutine)} is called without await from code that runs on the event loop, which "
            "would wait for itself. Write await there, or call it on another thread (asyncio.to_thread)."
        )
    call = _Call(on, coroutine)
    try:
        call.begin()
        call.wait()
    except BaseException:
        call.abandon()
        raise
    return call.result()  # type: ignore[no-any-return]


def name_of(coroutine: Coroutine[Any, Any, Any]) -> str:
    """How messages name it."""
    return str(getattr(coroutine, "__qualname__", coroutine))


class _Call:
    """One coroutine; the waiting thread makes it, its task lives on the loop's thread."""

    def __init__(self, on: EventLoop, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._on = on
        self._coroutine = coroutine
        self._context = contextvars.copy_context()
        # Set by the loop's thread, before the lock is released.
        self._task: asyncio.Task[Any] | None = None
        # Taken until the task has ended: cheaper than an Event, which is made of a lock like this one.
        self._ended = threading.Lock()
        self._ended.acquire()

    def begin(self) -> None:
        self._on.loop.call_soon_threadsafe(self._start, context=self._context)

    def wait(self) -> None:
        while not self._ended.acquire(timeout=_SLICE):
            if not self._on.thread.is_alive():
                raise RuntimeError("The event loop has ended while a coroutine was running on it.")

    def result(self) -> Any:
        self._bring_back()
        task = self._task
        assert task is not None
        try:
            return task.result()
        finally:
            # Its exception has this frame in the traceback, so it would hold itself.
            del task, self._task

    def abandon(self) -> None:
        """Cancel the task, and give it a moment."""
        try:
            # Begun before that, if at all: the loop calls in order.
            self._on.loop.call_soon_threadsafe(self._cancel)
        except RuntimeError:
            # The loop is closed. Nothing will run any more, and nobody shall wonder why it was never awaited.
            if self._task is None:
                self._coroutine.close()
            return
        if not self._ended.acquire(timeout=_CLEAN_UP) and self._on.thread.is_alive():
            LOGGER.warning(
                "%s goes on although its request was ended: it does not react to being cancelled.",
                name_of(self._coroutine),
            )

    def _start(self) -> None:
        """On the loop's thread, in the caller's context."""
        self._task = self._on.loop.create_task(self._coroutine, context=self._context)
        self._task.add_done_callback(self._has_ended)

    def _cancel(self) -> None:
        """On the loop's thread."""
        if self._task is None:
            self._coroutine.close()
            self._ended.release()
        else:
            self._task.cancel()

    def _has_ended(self, task: asyncio.Task[Any]) -> None:
        """On the loop's thread. Looks at the exception, or asyncio would say that nobody did."""
        if not task.cancelled():
            task.exception()
        self._ended.release()

    def _bring_back(self) -> None:
        for variable, value in self._context.items():
            if variable.get(_MISSING) is not value:
                variable.set(value)


def _where_it_is(frame: FrameType) -> list[str]:
    """For the report about a thread in `_Call.wait`: where its coroutine is. Any thread."""
    call = frame.f_locals["self"]
    awaited: Any = call._coroutine
    if getattr(awaited, "cr_running", False):
        return [
            f"{name_of(awaited)} runs on the event loop, whose thread is here:",
            *stack_of(call._on.thread.ident or 0).splitlines(),
        ]
    lines = [f"{name_of(awaited)} waits on the event loop, here:"]
    # From what the thread has called to what that awaits, and so on; other awaitables have no frame.
    while isinstance(at := getattr(awaited, "cr_frame", None), FrameType):
        lines += "".join(traceback.format_stack(at, 1)).splitlines()
        awaited = awaited.cr_await
    return lines


continues(_Call.wait.__code__, _where_it_is)
