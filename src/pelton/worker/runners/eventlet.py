"""The worker kind "eventlet", for applications that cannot leave it yet: each request runs on a greenlet.

Owns the patching, and eventlet's part of `Hub`. Beside `eventlet_socket` the only module that imports
eventlet. Legacy: eventlet's own authors advise against new use, and gunicorn has dropped it. Nothing is added
here that gevent has not.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable

from pelton.config.settings import Settings
from pelton.exceptions import ConfigError
from pelton.process import native_threads as _before_patching  # noqa: F401  (it keeps the originals)
from pelton.worker.runners.base import Runner
from pelton.worker.runners.eventlet_locks import Waiting, share
from pelton.worker.runners.green import GreenRunner, GreenWorker
from pelton.worker.runners.hub import Greenlet, Turn
from pelton.worker.wsgi.client_socket import build_on

if importlib.util.find_spec("eventlet") is None:
    raise ConfigError(
        "The worker kind eventlet needs the package eventlet, which is not installed.",
        "Install it with: pip install 'pelton[eventlet]'",
    )

with warnings.catch_warnings():
    # It warns of itself, in more lines and without an alternative; the runner says it once.
    warnings.simplefilter("ignore")
    from eventlet import hubs, monkey_patch, patcher, sleep

import greenlet

LOGGER = logging.getLogger("pelton")


def prepare(settings: Settings) -> None:
    """Patch the standard library: the first act of a process that will load the application.

    In development Flask is there already, and eventlet, which looks for locks in every object, prints a
    traceback for each proxy of Flask's that belongs to no request. They hold no locks.
    """
    standard, collected = logging.lastResort, _Collected()
    logging.lastResort = collected
    try:
        monkey_patch()
    finally:
        logging.lastResort = standard
    _share_locks()
    for record in collected.records:
        LOGGER.log(
            logging.DEBUG if _is_harmless(record) else logging.WARNING, "eventlet: %s", record.getMessage()
        )


def _is_harmless(record: logging.LogRecord) -> bool:
    # A proxy of Flask's; or the count of locks that it leaves alone, which are those of `NativeRLock` and of
    # importlib: its advice, to patch earlier, nobody can follow.
    is_proxy = record.exc_info is not None and isinstance(record.exc_info[1], RuntimeError)
    return is_proxy or "were not greened" in record.getMessage()


def _share_locks() -> None:
    # A thread has a hub once it has asked for one, and asking would make one.
    share(Waiting(lambda: getattr(hubs._threadlocal, "hub", None), sleep))


class _Collected(logging.StreamHandler):  # type: ignore[type-arg]
    """What eventlet logs while it patches. It uses a logger of its own that nobody can configure."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.records.append(record)


def eventlet(worker: GreenWorker, settings: Settings) -> Runner:
    """Greenlets for the application. Raises ConfigError when the standard library is not patched."""
    if not patcher.is_monkey_patched("socket") or not patcher.is_monkey_patched("thread"):
        raise ConfigError(
            'worker_kind "eventlet": the standard library is not patched, so every wait would stop all '
            "requests.",
            "Begin the program, before all other imports, with: import eventlet; eventlet.monkey_patch()",
        )
    # Where the application has patched for itself, before pelton was there.
    _share_locks()
    # Only now: it is built on what the patching has put in place.
    from pelton.worker.runners.eventlet_socket import EventletClientSocket

    build_on(EventletClientSocket)
    LOGGER.warning(
        "The worker kind eventlet is there for applications that cannot leave it yet: eventlet is no longer "
        "developed, and gunicorn has dropped it. Use --worker-class gevent, or threads."
    )
    return GreenRunner(
        worker,
        EventletHub,
        "eventlet",
        connections=settings.worker_connections,
        block_seconds=settings.hub_block_seconds,
    )


class EventletHub:
    """That of the calling thread; see `Hub`."""

    def __init__(self) -> None:
        self._hub = hubs.get_hub()
        self.park: Callable[[], None] = self._hub.switch

    def watch(self, descriptor: int, function: Callable[[], None]) -> Callable[[], None]:
        """See `Hub`."""
        listener = self._hub.add(
            self._hub.READ, descriptor, lambda _: function(), lambda *_: None, lambda: None
        )
        return lambda: self._hub.remove(listener)

    def turn(self, function: Callable[[], None]) -> Turn:
        """See `Hub`."""
        return _EventletTurn(self._hub, function)

    def greenlet(self, function: Callable[[], None]) -> Greenlet:
        """See `Hub`."""
        made: Greenlet = greenlet.greenlet(function, parent=self._hub.greenlet)
        return made

    def current(self) -> Greenlet:
        """See `Hub`."""
        found: Greenlet = greenlet.getcurrent()
        return found


class _EventletTurn:
    """A timer of no time; each start needs a new one."""

    def __init__(self, hub: hubs.hub.BaseHub, function: Callable[[], None]) -> None:
        self._hub = hub
        self._function = function
        self._timer: hubs.timer.Timer | None = None

    def start(self) -> None:
        """See `Turn`."""
        if self._timer is None:
            self._timer = self._hub.schedule_call_global(0, self._fire)

    def stop(self) -> None:
        """See `Turn`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        self._function()
