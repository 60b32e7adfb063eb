"""``pelton --reload``: the application's process is started again whenever its code has changed.

Owns how the reloader's two processes serve in production's way: the same settings, the same log. What they do
to each other is `pelton.reloader`. Main thread.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace
from pathlib import Path

from pelton import reloader
from pelton.api import run_with
from pelton.config.settings import Settings
from pelton.config.worker_kinds import kind_of
from pelton.diagnostics.load_watch import LoadWatch
from pelton.exceptions import ConfigError
from pelton.front.running import Running
from pelton.loader import Mounts, Target, load_application
from pelton.net.opened import open_all

LOGGER = logging.getLogger("pelton")


def serve_reloading(target: Target | Mounts, directory: Path, settings: Settings) -> int:
    """Serve until the end; returns the exit code. Raises PeltonError."""
    if settings.workers:
        raise ConfigError("reload: it serves in one process.", "Leave --workers or --reload out.")
    options = reloader.ReloaderOptions()
    if not reloader.is_child():
        with contextlib.closing(open_all(settings)) as opened:
            LOGGER.info(
                "pelton starts the application again whenever its code changes (--reload, %s).", options.name
            )
            return reloader.supervise(opened.listeners, options)
    inherited = tuple(f"fd://{one}" for one in reloader.inherited_descriptors())
    settings = replace(settings, bind=inherited or settings.bind)
    kind_of(settings).prepare(settings)
    with LoadWatch("This process"):
        application = load_application(target, directory)

    def watch(running: Running) -> None:
        def changed(path: str) -> None:
            LOGGER.info("%s has changed.", path)
            reloader.make_way(running)

        reloader.watch(options, changed)

    run_with(application, settings, watch)
    return 0
