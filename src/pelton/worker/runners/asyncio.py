"""The worker kind "asyncio": an event loop for ``async def`` views, and for the application's own tasks.

Owns which loop that is. uvloop's where it is installed. See `pelton.worker.runners.on_loop`.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterable

from pelton.config.settings import Settings
from pelton.worker.event_loop import EventLoop, begin
from pelton.worker.runners.base import Runner
from pelton.worker.runners.on_loop import LoopRunner, wrapped
from pelton.worker.runners.threads import ServingWorker


def prepare(settings: Settings) -> None:
    """Begin the loop, so that the application can use it while it is imported.

    Not with ``preload``: what forks must have no threads, and a loop does not survive a fork. There it begins
    in each worker.
    """
    if not settings.preload:
        asyncio.set_event_loop(_loop(settings).loop)


def wrap(application: Callable[..., Iterable[bytes]], settings: Settings) -> Callable[..., Iterable[bytes]]:
    """The application for requests that know the loop."""
    return wrapped(application, _loop(settings))


def runner(worker: ServingWorker, settings: Settings) -> Runner:
    """Threads, and the loop."""
    return LoopRunner(worker, settings, _loop(settings))


def _loop(settings: Settings) -> EventLoop:
    return begin("asyncio", _made, block_seconds=settings.hub_block_seconds)


def _made() -> asyncio.AbstractEventLoop:
    try:
        made: asyncio.AbstractEventLoop = importlib.import_module("uvloop").new_event_loop()
    except ImportError:
        return asyncio.new_event_loop()
    return made
