"""Puts a worker together: application, environ templates, native worker, runner, watch.

Owns nothing after that. Runs on the thread that starts pelton, or a worker process' main thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pelton import _engine
from pelton.config.settings import Settings
from pelton.config.worker_kinds import kind_of, self_call_of
from pelton.net.listeners import Listener
from pelton.observe.inspector import Inspector
from pelton.sizing.keeper import Keeper
from pelton.worker.client_sockets import ClientSockets, make_room
from pelton.worker.runners.base import Runner, Straggler
from pelton.worker.runners.threads import ThreadsRunner
from pelton.worker.self_calls import SelfCallLog
from pelton.worker.spare_threads import SpareThreads
from pelton.worker.watch import Greenlets, Watch
from pelton.worker.wsgi.environ import template
from pelton.worker.wsgi.file_wrapper import FileWrapper
from pelton.worker.wsgi.observer import LogObserver

# It is woken by `stop`; it may be writing a report.
_WATCH_ENDS_WITHIN = 0.5

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class SocketsRunner:
    """A runner and the sockets that its requests have taken, which end with it."""

    def __init__(self, runner: Runner, sockets: ClientSockets) -> None:
        self._runner = runner
        self._sockets = sockets

    @property
    def kind(self) -> str:
        """The runner's."""
        return self._runner.kind

    def start(self) -> None:
        """Start the runner."""
        self._runner.start()

    def stop(self) -> None:
        """Stop it, and have whoever reads from a client's socket see its end."""
        self._runner.stop()
        self._sockets.shut_down()

    def join(self, timeout: float) -> Sequence[Straggler]:
        """Wait for the requests, those that have taken their sockets among them."""
        return self._runner.join(timeout)


class WatchedRunner:
    """A runner and a thread that looks after its requests or threads, which begin and end together."""

    def __init__(self, runner: Runner, watch: Watch | Keeper) -> None:
        self._runner = runner
        self._watch = watch

    @property
    def kind(self) -> str:
        """The runner's."""
        return self._runner.kind

    def start(self) -> None:
        """Start both."""
        self._runner.start()
        self._watch.start()

    def stop(self) -> None:
        """Stop both."""
        self._watch.stop()
        self._runner.stop()

    def join(self, timeout: float) -> Sequence[Straggler]:
        """Wait for the requests, and a moment for the watch, which holds nothing.

        One that were still there at the exit would cost the process its exit code (`process.left_behind`).
        """
        left = self._runner.join(timeout)
        self._watch.join(_WATCH_ENDS_WITHIN)
        return left


class TracedRunner:
    """A runner whose last spans are sent before it has ended."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    @property
    def kind(self) -> str:
        """The runner's."""
        return self._runner.kind

    def start(self) -> None:
        """Start the runner."""
        self._runner.start()

    def stop(self) -> None:
        """Stop it."""
        self._runner.stop()

    def join(self, timeout: float) -> Sequence[Straggler]:
        """Wait for the requests, then for what is reported of them."""
        from pelton.traces.provider import flush

        left = self._runner.join(timeout)
        flush()
        return left


def build_runner(
    application: Application,
    link: _engine.Link,
    listeners: Sequence[Listener],
    settings: Settings,
    *,
    name: str = "this process",
    is_one_of_many: bool = False,
    inspector: Inspector | None = None,
) -> Runner:
    """The runner, not started yet, that serves ``application`` to the requests of ``link``.

    ``listeners``: in the same order as the front got them, for a request names its listener by number; their
    sockets are not needed. ``name``: how the log calls this process. ``is_one_of_many``: other processes
    serve the same application. ``inspector``: who tells of this worker where anybody may ask.
    """
    kind = kind_of(settings)
    environs = [
        template(
            one.server_name,
            one.server_port,
            multithread=kind.permits(settings) > 1,
            multiprocess=is_one_of_many,
            scheme=scheme,
        )
        # Each a second time, for clients of whom a trusted proxy says that they came by https.
        for scheme in ("http", "https")
        for one in listeners
    ]
    make_room(settings.websocket_threads)
    sockets = ClientSockets(settings.websocket_threads, name)
    called = kind.wrap(application, settings)
    if settings.traces:
        called = _traced(called)
    self_calls = SelfCallLog(listeners, name=name, permits=kind.permits(settings))
    worker = _engine.Worker(link, called, environs, FileWrapper, LogObserver(self_calls), sockets)
    serving = kind.build(worker, settings)
    if inspector is not None:
        worker.tell_routes()
        inspector.attach(worker, serving)
    spares = None
    if self_call_of(settings) != "off" and isinstance(serving, ThreadsRunner):
        spares = SpareThreads(worker, serving)
    runner: Runner = SocketsRunner(serving, sockets)
    if settings.traces:
        runner = TracedRunner(runner)
    if isinstance(serving, ThreadsRunner) and serving.bounds[0] != serving.bounds[1]:
        runner = WatchedRunner(runner, Keeper(worker, serving, name=name, bound=settings.threads_bound))
    if not settings.request_timeout and not settings.worker_timeout and spares is None:
        return runner
    greenlets = serving if isinstance(serving, Greenlets) else None
    return WatchedRunner(runner, Watch(worker, name=name, spares=spares, greenlets=greenlets))


def _traced(application: Application) -> Application:
    from pelton.traces.provider import provider
    from pelton.traces.traced import Traced

    found = provider()
    return application if found is None else Traced(application, found)
