"""Werkzeug's interactive debugger around an application, also where several processes serve it.

Owns the secret that names a worker. A frame of a traceback lives in the process in which the error happened,
and only there can a console run in it. The debugger's page sends its secret with each request; so each
worker's secret ends in ``-wN``, and the front (`crates/front/src/scheduling/affinity.rs`, the setting
``debugger_affinity``) sends the request to worker N. What protects the debugger is Werkzeug's, and stays as
it is: the secret, the PIN, the trusted hosts.

Must not know who serves. Runs where the application is loaded: in this process, or in each worker.
"""

from __future__ import annotations

import uuid
from typing import Any

# A number of a worker is never used twice, so this one is the first of them.
_FIRST = 1


def prepare() -> None:
    """To be called once before workers are forked, so that all of them have the same PIN.

    The PIN is made of the machine's network address, among other things. Where there is none, each process
    would draw one of its own.
    """
    uuid.getnode()


def wrap(application: Any, evalex: bool, worker_number: int | None) -> Any:
    """``application`` with the debugger of the user's own Werkzeug around it.

    ``evalex``: whether code can be run in a frame. ``worker_number``: the number that the front knows this
    process by, None if it is the only one. Several processes say the PIN once. Raises ImportError without
    Werkzeug.
    """
    from werkzeug.debug import DebuggedApplication

    speaks = worker_number is None or worker_number == _FIRST
    wrapped = DebuggedApplication(application, evalex, pin_logging=speaks)
    # Whoever opens a console asks for the PIN, and that is said by whichever worker is asked.
    wrapped.pin_logging = True
    if worker_number is not None:
        wrapped.secret = f"{wrapped.secret}-w{worker_number}"
    return wrapped
