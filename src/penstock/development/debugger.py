"""Werkzeug's interactive debugger around an application.

Owns how the user's own Werkzeug is asked for it. Runs where the application is loaded: in this process, or in
each worker.
"""

from __future__ import annotations

import os
from typing import Any

from penstock.development.messages import LOGGER


def wrap(application: Any, evalex: bool, worker_number: int | None) -> Any:
    """``application`` with the debugger around it.

    ``evalex``: whether code can be run in a frame. ``worker_number``: of this process, None if it is the only
    one. Raises ImportError without Werkzeug.
    """
    from werkzeug.debug import DebuggedApplication

    tells = worker_number in (None, 1)
    debugged = DebuggedApplication(application, evalex, pin_logging=tells)
    # Werkzeug tells the number only in a reloader's child; without it nobody can open a console.
    if tells and os.environ.get("WERKZEUG_RUN_MAIN") != "true":
        LOGGER.info(" * Debugger PIN: %s", debugged.pin or "none is asked for")
    return debugged
