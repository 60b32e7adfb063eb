"""Puts a worker together: application, environ templates, native worker, runner, watch.

Owns nothing after that. Runs on the thread that starts penstock, or a worker process' main thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from penstock import _engine
from penstock.config.settings import Settings
from penstock.listeners import Listener
from penstock.worker.runners.base import Runner, Straggler
from penstock.worker.watch import Greenlets, Watch
from penstock.worker_kinds import kind_of
from penstock.wsgi.environ import template
from penstock.wsgi.file_wrapper import FileWrapper
from penstock.wsgi.observer import LogObserver

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class WatchedRunner:
    """A runner and the watch over its requests, which begin and end together."""

    def __init__(self, runner: Runner, watch: Watch) -> None:
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
        """Wait for the requests; the watch's thread holds nothing and is not waited for."""
        return self._runner.join(timeout)


def build_runner(
    application: Application,
    link: _engine.Link,
    listeners: Sequence[Listener],
    settings: Settings,
    *,
    name: str = "this process",
    is_one_of_many: bool = False,
) -> Runner:
    """The runner, not started yet, that serves ``application`` to the requests of ``link``.

    ``listeners``: in the same order as the front got them, for a request names its listener by number; their
    sockets are not needed. ``name``: how the log calls this process. ``is_one_of_many``: other processes
    serve the same application.
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
    worker = _engine.Worker(link, application, environs, FileWrapper, LogObserver())
    runner = kind.build(worker, settings)
    if not settings.request_timeout and not settings.worker_timeout:
        return runner
    greenlets = runner if isinstance(runner, Greenlets) else None
    return WatchedRunner(runner, Watch(worker, name=name, greenlets=greenlets))
