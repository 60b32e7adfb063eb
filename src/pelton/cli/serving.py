"""The command itself: ``pelton MODULE:APP`` serves.

Owns which way of serving the settings ask for: reloading, with workers, or in this process. Must not load
the native module before the arguments are known to be right. Main thread.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, NoReturn

from pelton.cli.configuration import Configuration
from pelton.cli.ending import FAILED, NO_APPLICATION, USAGE, exit_with, working_directory
from pelton.cli.invocation import configured, target_of
from pelton.config.settings import Settings, check_one_process
from pelton.config.sources import WORKERS_VARIABLE
from pelton.config.worker_kinds import kind_of
from pelton.diagnostics.load_watch import LoadWatch
from pelton.exceptions import ConfigError, PeltonError
from pelton.loader import ApplicationError, Mounts, Target, load_application
from pelton.process.daemon import begin
from pelton.process.first import leave_first_place
from pelton.traces.required import require_traces

LOGGER = logging.getLogger("pelton")


def serve(target: tuple[str, ...], config: str | None, **given: Any) -> None:
    """Serve a WSGI application.

    MODULE is a module name (shop, shop.wsgi) or a file (path/to/shop.py). APP is a variable in it (app), an
    attribute of one (site.wsgi), or a call that makes one (create_app(), create_app("test")). Without APP,
    pelton looks for app, application, the only application in the module, create_app() and make_app().

    Several applications have a PLACE each, a path or a host: pelton main shop=/shop admin=admin.example.com.
    """
    try:
        found, settings = configured(config, given)
        if settings.workers == 0:
            check_one_process(settings, found.resolved.sources)
        parsed = target_of(target, found)
    except ConfigError as error:
        exit_with_error(error, USAGE)
    try:
        _serve_checked(parsed, settings, found)
    except ApplicationError as error:
        exit_with_error(error, NO_APPLICATION)
    except ConfigError as error:
        exit_with_error(error, USAGE)
    except PeltonError as error:
        exit_with_error(error, FAILED)


def _serve_checked(target: Target | Mounts, settings: Settings, found: Configuration) -> None:
    if not settings.workers or settings.reload:
        # A supervisor is a good process 1 itself.
        leave_first_place()
    begin(settings)
    if not is_reloaded():
        for note in found.notes:
            LOGGER.info("%s", note)
        for warning in found.warnings:
            LOGGER.warning("%s", warning)
        if WORKERS_VARIABLE in found.resolved.sources["workers"]:
            LOGGER.info("%s says how many workers: exactly %s.", WORKERS_VARIABLE, settings.workers)
    directory = working_directory()
    # Here once, and not in each worker in turn.
    kind_of(settings).require()
    require_traces(settings)
    if settings.reload:
        from pelton.cli.reloading import serve_reloading

        sys.exit(serve_reloading(target, directory, settings))
    if settings.workers:
        from pelton.supervisor.entry import serve as serve_with_workers

        code = serve_with_workers(target, directory, settings)
        if code:
            sys.exit(code)
        return
    if settings.hooks is not None:
        settings.hooks.alone()
    kind_of(settings).prepare(settings)
    from pelton._engine import Origin
    from pelton.process.forks import leave_if_child

    origin = Origin()
    with LoadWatch("This process"):
        application = load_application(target, directory)
        leave_if_child(origin)

    from pelton.api import run_with
    from pelton.observe.runtime import with_own_socket

    run_with(application, with_own_socket(settings))


def is_reloaded() -> bool:
    """Whether this process is the reloader's child: its parent has said what there was to say."""
    return os.environ.get("WERKZEUG_RUN_MAIN") == "true"


def exit_with_error(error: PeltonError, code: int) -> NoReturn:
    if is_reloaded():
        # The reloader shows it, and goes on when a file is saved; 3 would mean that one has been.
        sys.last_value = error.__cause__ or error
        code = FAILED
    exit_with(error, code)
