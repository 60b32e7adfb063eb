"""Puts a worker together: application, environ templates, native worker, runner.

Owns nothing after that. Runs on the thread that starts penstock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from penstock import _engine
from penstock.config.settings import Settings
from penstock.listeners import Listener
from penstock.worker.runners.base import Runner
from penstock.worker.runners.threads import ThreadsRunner
from penstock.wsgi.environ import template
from penstock.wsgi.file_wrapper import FileWrapper
from penstock.wsgi.observer import LogObserver

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def build_runner(
    application: Application, link: _engine.Link, listeners: Sequence[Listener], settings: Settings
) -> Runner:
    """The runner, not started yet, that serves ``application`` to the requests of ``link``.

    ``listeners``: in the same order as the front got them, for a request names its listener by number.
    """
    environs = [
        template(one.server_name, one.server_port, multithread=settings.threads > 1) for one in listeners
    ]
    worker = _engine.Worker(link, application, environs, FileWrapper, LogObserver())
    return ThreadsRunner(worker, settings.threads)
