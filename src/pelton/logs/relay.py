"""Records of real threads, where the application's threads are greenlets.

Owns the way of such a record to handlers that are not pelton's: through the hub. The locks of those
handlers are the patched library's, on which a thread and a greenlet that meet wait for each other for ever.
pelton's own handlers have real locks, and need no way round: what is reported while the hub is blocked must
not wait for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from pelton.logs.outputs import Output
from pelton.process.native_threads import get_ident

# Those on which pelton's own threads log.
_LOGGERS = ("pelton", "pelton.request")


class Relay(logging.Filter):
    """Hands records of other threads than the calling one to ``post``, which runs a function on this one."""

    def __init__(self, post: Callable[[Callable[[], object]], None]) -> None:
        super().__init__()
        self._post = post
        self._home = get_ident()

    def begin(self) -> None:
        """From now on."""
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self)

    def end(self) -> None:
        """No more; may be called again."""
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record may go to the handlers at once."""
        if get_ident() == self._home:
            return True
        logger = logging.getLogger(record.name)
        handlers = _handlers_of(logger)
        if handlers and all(isinstance(one, Output) for one in handlers):
            return True
        self._post(lambda: logger.handle(record))
        return False


def _handlers_of(logger: logging.Logger) -> list[logging.Handler]:
    found: list[logging.Handler] = []
    at: logging.Logger | None = logger
    while at is not None:
        found += at.handlers
        at = at.parent if at.propagate else None
    return found
