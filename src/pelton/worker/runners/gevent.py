"""The worker kind "gevent": each request runs on a greenlet of gevent's hub.

Owns the patching, and gevent's part of `Hub`. The only module of pelton that imports gevent; so it is
imported in the process that serves with it, and there before the application.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from pelton.config.settings import Settings
from pelton.exceptions import ConfigError
from pelton.process import native_threads as _before_patching  # noqa: F401  (it keeps the originals)
from pelton.worker.runners.base import Runner
from pelton.worker.runners.green import GreenRunner, GreenWorker
from pelton.worker.runners.hub import Greenlet, Turn

if importlib.util.find_spec("gevent") is None:
    raise ConfigError(
        "The worker kind gevent needs the package gevent, which is not installed.",
        "Install it with: pip install 'pelton[gevent]'",
    )

from gevent import Greenlet as GeventGreenlet
from gevent import get_hub, getcurrent, monkey

_READABLE = 1


def prepare(settings: Settings) -> None:
    """Patch the standard library: the first act of a process that will load the application."""
    monkey.patch_all()


def gevent(worker: GreenWorker, settings: Settings) -> Runner:
    """Greenlets for the application. Raises ConfigError when the standard library is not patched."""
    if not monkey.is_module_patched("socket") or not monkey.is_module_patched("threading"):
        raise ConfigError(
            'worker_kind "gevent": the standard library is not patched, so every wait would stop all '
            "requests.",
            "Begin the program, before all other imports, with: from gevent import monkey; "
            "monkey.patch_all()",
        )
    return GreenRunner(
        worker,
        GeventHub,
        "gevent",
        connections=settings.worker_connections,
        block_seconds=settings.hub_block_seconds,
    )


class GeventHub:
    """That of the calling thread; see `Hub`."""

    def __init__(self) -> None:
        self._hub = get_hub()
        self.park: Callable[[], None] = self._hub.switch

    def watch(self, descriptor: int, function: Callable[[], None]) -> Callable[[], None]:
        """See `Hub`."""
        watcher = self._hub.loop.io(descriptor, _READABLE)
        watcher.start(function)

        def end() -> None:
            watcher.stop()
            watcher.close()

        return end

    def turn(self, function: Callable[[], None]) -> Turn:
        """See `Hub`."""
        return _GeventTurn(self._hub.loop, function)

    def greenlet(self, function: Callable[[], None]) -> Greenlet:
        """See `Hub`; one of gevent's own class, as applications expect it."""
        made: Greenlet = GeventGreenlet(function)
        return made

    def current(self) -> Greenlet:
        """See `Hub`."""
        found: Greenlet = getcurrent()
        return found


class _GeventTurn:
    """A timer of no time. A callback of the loop would come before sockets, again and again."""

    def __init__(self, loop: object, function: Callable[[], None]) -> None:
        self._timer = loop.timer(0.0)  # type: ignore[attr-defined]  # (gevent's loop has no public type)
        self._function = function

    def start(self) -> None:
        """See `Turn`."""
        if not self._timer.active:
            self._timer.start(self._function)

    def stop(self) -> None:
        """See `Turn`."""
        self._timer.stop()
