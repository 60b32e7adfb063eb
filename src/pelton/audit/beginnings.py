"""What an application makes while it is imported that a forked worker must not share. Main thread.

Owns the looks for threads, open connections, and locks that are held.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from typing import Any, Final

from pelton.audit.finding import Finding, Kind
from pelton.audit.modules import LOCKS, is_held, named, own_modules, shown

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


def threads_now() -> set[threading.Thread]:
    """Before the import; what is there after it and not here is the application's."""
    return set(threading.enumerate())


def look_for_beginnings(before: set[threading.Thread]) -> Iterator[Finding]:
    """Look after the import, before any request."""
    for thread in threading.enumerate():
        if thread not in before:
            code = getattr(getattr(thread, "_target", None) or thread.run, "__code__", None)
            where = f"{shown(code.co_filename)}:{code.co_firstlineno}" if code else ""
            reason = "It was started while the application was imported."
            yield Finding(Kind.THREAD_BEFORE_FORK, thread.name, where, _IMPORT, reason)
    names = {id(value): name for name, value, _ in named(own_modules())}
    for one in gc.get_objects():
        if what := _connection(one):
            reason = f"{what}: it is open before a worker could be forked."
            yield Finding(Kind.CONNECTION_BEFORE_FORK, names.get(id(one), what), "", _IMPORT, reason)
    for name, value, _ in named(own_modules()):
        if isinstance(value, LOCKS) and is_held(value):
            yield Finding(Kind.LOCK_BEFORE_FORK, name, "", _IMPORT, "It is held after the import.")


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
