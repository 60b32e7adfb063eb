"""Serves the application of a script with the reloader, as ``app.run()`` does: ``serve(app)`` is its last
line.

A script of a test imports it; the rest of what such a script would use is not this suite's business. Says
"serves" in the log when a child does.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
from typing import Any

from pelton import start
from pelton.config.address import parse_address
from pelton.logs.setup import set_up_logging
from pelton.net.listeners import open_listeners
from pelton.process.signals import STOP, Signals
from pelton.reloader import (
    ReloaderOptions,
    inherited_descriptors,
    is_child,
    make_way,
    supervise,
    watch,
)

LOGGER = logging.getLogger("pelton")


def serve(application: Any, *, kind: str = "auto", interval: float = 0.05, **others: Any) -> None:
    """Be the parent, or the child, to the end. ``others``: options of the reloader."""
    set_up_logging("info")
    options = ReloaderOptions(interval=interval, kind=kind, **others)
    if not is_child():
        with contextlib.ExitStack() as stack:
            listeners = open_listeners([parse_address("127.0.0.1:0")])
            for one in listeners:
                stack.callback(one.close)
            LOGGER.info("parent listens on %s", listeners[0])
            sys.exit(supervise(listeners, options))
    with Signals(STOP) as signals:
        bind = [f"fd://{one}" for one in inherited_descriptors()]
        running = start(application, bind=bind, graceful_timeout=1)

        def changed(path: str) -> None:
            LOGGER.info("%s has changed", path)
            make_way(running)

        watch(options, changed)
        LOGGER.info("serves")
        received = signals.wait()
        LOGGER.info("child got %s", signal.Signals(received).name if received else None)
        running.close()
