"""Sessions of Socket.IO among several workers: they live in one of them, and its requests must come back.

Owns the number of the worker at the end of a session's name, where `--affinity session` asks for it (the
front reads it there: crates/front/src/scheduling/affinity.rs), and the word about long polling where it does
not. Imports nothing: an application without python-engineio has no such sessions. Main thread of a worker.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any, Final

from pelton.config.settings import Settings

LOGGER = logging.getLogger("pelton")

# Where python-engineio, which Flask-SocketIO uses, makes a session's name.
_MODULES: Final = ("engineio.base_server", "engineio.server")
_CLASSES: Final = ("BaseServer", "Server")
_MAKES: Final = "generate_id"
# A number of a worker is never used twice, so this one is the first of them.
_FIRST: Final = 1


def look_after_sessions(number: int, settings: Settings) -> None:
    """To be called when the application of worker ``number`` has been loaded."""
    found = _server_class()
    if found is None or settings.workers == 1:
        return
    if settings.affinity == "session":
        made: Callable[[Any], str] = getattr(found, _MAKES)

        def generate_id(server: Any) -> str:
            return f"{made(server)}-w{number}"

        setattr(found, _MAKES, generate_id)
    elif number == _FIRST:
        LOGGER.warning(
            "The application uses Socket.IO, whose long polling fails with several workers: a session lives "
            "in one of them. Start with --affinity session, or let clients use WebSockets only "
            "(transports: ['websocket'])."
        )


def _server_class() -> Any:
    for module, name in zip(_MODULES, _CLASSES, strict=True):
        found = getattr(sys.modules.get(module), name, None)
        if found is not None and _MAKES in vars(found):
            return found
    return None
