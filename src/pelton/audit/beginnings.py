"""What an application makes while it is imported that a forked worker must not share. Main thread.

Owns the looks for threads, open connections, and locks that are held, and the hook that notes where a
connection was made (PEP 578; it stays for the rest of the process).
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from typing import Any, Final

from pelton.audit.definitions import line_of_binding
from pelton.audit.finding import Finding, Kind
from pelton.audit.fingerprint import locks_within
from pelton.audit.modules import is_held, place_of, where
from pelton.audit.places import Places

_IMPORT: Final = "the import"
# What is connected when it exists, by the name of its class.
_CONNECTIONS: Final = {
    "sqlite3.Connection",
    "psycopg2.extensions.connection",
    "psycopg.Connection",
    "pymysql.connections.Connection",
    "MySQLdb.connections.Connection",
    "pika.adapters.blocking_connection.BlockingConnection",
}
# The events of Python that have a connection as their first argument.
_CONNECTED: Final = ("socket.connect", "sqlite3.connect/handle")


class Beginnings:
    """Begins before the import: what is there after it and was not before is the application's."""

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._is_on = True
        self._made: dict[int, str] = {}
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._is_on and event in _CONNECTED:
            self._made[id(arguments[0])] = where(sys._getframe(1))

    def look(self, application: Any) -> Iterator[Finding]:
        """Look after the import, before any request."""
        self._is_on = False
        for thread in threading.enumerate():
            if thread not in self._threads:
                target = getattr(thread, "_target", None)
                place = place_of(target if target is not None else thread.run)
                reason = "It was started while the application was imported."
                yield Finding(Kind.THREAD_BEFORE_FORK, thread.name, place, _IMPORT, reason)
        named = list(Places(application).named())
        names = {id(value): name for name, value in named}
        for one in gc.get_objects():
            if what := _connection(one):
                name = names.get(id(one), what)
                place = self._made.get(id(one)) or line_of_binding(name)
                reason = f"{what}: it is open before a worker could be forked."
                yield Finding(Kind.CONNECTION_BEFORE_FORK, name, place, _IMPORT, reason)
        for name, value in named:
            if any(is_held(lock) for lock in locks_within(value)):
                reason = "It is held after the import."
                yield Finding(Kind.LOCK_BEFORE_FORK, name, line_of_binding(name), _IMPORT, reason)


def _connection(one: Any) -> str:
    kind = type(one)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if name in _CONNECTIONS:
        return name
    if name == "socket.socket":
        try:
            peer = one.getpeername()
        except OSError:
            return ""
        return f"a socket to {peer[0]}:{peer[1]}" if isinstance(peer, tuple) else f"a socket to {peer!r}"
    return ""
