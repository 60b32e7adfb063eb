"""Serving threads beside an event loop: what the worker kinds "asyncio" and "tornado" have in common.

Owns how a request meets the loop: it is the current one of the request's thread, and in its environ. The
application is called on the serving threads, so it never blocks the loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from pelton.config.settings import Settings
from pelton.worker.event_loop import EventLoop
from pelton.worker.flask_views import use_the_loop
from pelton.worker.runners.threads import ServingWorker, ThreadsRunner, bounds_of

# Where an application finds the loop, if not by asking for the current one.
ENVIRON_KEY: Final = "pelton.loop"

# Even if the threads took all of the time: it may need a moment to cancel what is left.
_LEAST: Final = 0.2


class LoopRunner(ThreadsRunner):
    """As many threads as the settings say, and a loop that ends after them."""

    def __init__(self, worker: ServingWorker, settings: Settings, loop: EventLoop) -> None:
        super().__init__(worker, bounds_of(settings), kind=loop.kind)
        self._loop = loop
        loop.enter(self)

    def join(self, timeout: float) -> list[threading.Thread]:
        """As for threads; then the loop ends, whose thread is returned if a callback does not come back."""
        deadline = time.monotonic() + timeout
        left = super().join(timeout)
        # Also beside threads that hang: a task that is cancelled may be what they wait for.
        self._loop.leave(self)
        if not self._loop.join(max(_LEAST, deadline - time.monotonic())):
            left.append(self._loop.thread)
        return [one for one in left if one.is_alive()]


class OnLoop:
    """The application for requests that know the loop."""

    def __init__(self, application: Callable[..., Iterable[bytes]], loop: EventLoop) -> None:
        self._application = application
        self._loop = loop.loop
        self._shown = loop.shown

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Called by the server."""
        # Each time: asyncio.run leaves a thread without a loop.
        asyncio.set_event_loop(self._loop)
        environ[ENVIRON_KEY] = self._shown
        return self._application(environ, start_response)


def wrapped(application: Callable[..., Iterable[bytes]], loop: EventLoop) -> OnLoop:
    """``application`` for such requests."""
    use_the_loop()
    return OnLoop(application, loop)
