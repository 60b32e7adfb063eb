"""Werkzeug's interactive debugger around an application.

Owns how the user's own Werkzeug is asked for it. Runs where the application is loaded: in this process, or in
each worker.
"""

from __future__ import annotations

import uuid
from typing import Any


def prepare() -> None:
    """Before workers are forked: the PIN is made of the machine's address, which is the same for all then."""
    uuid.getnode()


def wrap(application: Any, evalex: bool, worker_number: int | None) -> Any:
    """``application`` with the debugger around it.

    ``evalex``: whether code can be run in a frame. ``worker_number``: of this process, None if it is the only
    one. Raises ImportError without Werkzeug.
    """
    from werkzeug.debug import DebuggedApplication

    return DebuggedApplication(application, evalex, pin_logging=worker_number in (None, 1))
