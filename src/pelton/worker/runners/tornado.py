"""The worker kind "tornado": a WSGI application beside tornado's IOLoop.

Owns the IOLoop. tornado's clients, callbacks and timers run on it; the application is called on the serving
threads. tornado's own handlers are not served: they speak HTTP by themselves, with another server's limits.
See `pelton.worker.runners.on_loop`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from pelton.config.settings import Settings
from pelton.config.worker_kinds import missing
from pelton.exceptions import ConfigError
from pelton.loader.candidates import NO_TORNADO, is_tornado
from pelton.worker.event_loop import EventLoop, begin
from pelton.worker.runners.base import Runner
from pelton.worker.runners.on_loop import LoopRunner, wrapped
from pelton.worker.runners.threads import ServingWorker


def prepare(settings: Settings) -> None:
    """Begin the IOLoop, so that the application can use it while it is imported; not with ``preload``.

    As for the kind asyncio. Raises ConfigError without tornado.
    """
    if not settings.preload:
        asyncio.set_event_loop(_loop(settings).loop)


def wrap(application: Callable[..., Iterable[bytes]], settings: Settings) -> Callable[..., Iterable[bytes]]:
    """The application for requests that know the IOLoop. Raises ConfigError for tornado's own."""
    if is_tornado(application):
        raise ConfigError("The application is a tornado.web.Application; pelton serves WSGI.", *NO_TORNADO)
    return wrapped(application, _loop(settings))


def runner(worker: ServingWorker, settings: Settings) -> Runner:
    """Threads, and the IOLoop."""
    return LoopRunner(worker, settings, _loop(settings))


def _loop(settings: Settings) -> EventLoop:
    try:
        from tornado.ioloop import IOLoop
    except ImportError as error:
        raise missing("tornado", "tornado") from error
    # tornado is built on asyncio. It makes its own object for a thread's loop when it is first asked there.
    return begin(
        "tornado", asyncio.new_event_loop, show=IOLoop.current, block_seconds=settings.hub_block_seconds
    )
