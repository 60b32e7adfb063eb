"""Which worker kind each of gunicorn's worker classes is: by name, by path, or as the class itself.

Owns the names. Must not know what the kinds do: that is `pelton.config.worker_kinds`. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from pelton.exceptions import ConfigError

SYNC: Final = "sync"
GREEN: Final = ("gevent", "eventlet")

# In lower case, the last part of a path; the names of gunicorn's entry points and of its classes.
_KINDS: Final = {
    "sync": SYNC,
    "syncworker": SYNC,
    "gthread": "threads",
    "threads": "threads",
    "threadworker": "threads",
    "gevent": "gevent",
    "gevent_wsgi": "gevent",
    "gevent_pywsgi": "gevent",
    "ggevent": "gevent",
    "geventworker": "gevent",
    "geventpywsgiworker": "gevent",
    # Of gevent-websocket, which Flask-SocketIO's documentation names.
    "geventwebsocketworker": "gevent",
    "eventlet": "eventlet",
    "geventlet": "eventlet",
    "eventletworker": "eventlet",
    "tornado": "tornado",
    "gtornado": "tornado",
    "tornadoworker": "tornado",
    "asyncio": "asyncio",
}
_OTHER_PROTOCOL: Final = ("uvicorn", "asgi", "hypercorn", "daphne")


def kind_for(worker_class: Any) -> str | None:
    """The worker kind for a name, a path (``egg:`` may precede it) or a class; None for an unknown one.

    Raises ConfigError for what serves ASGI.
    """
    if worker_class is None:
        return SYNC
    names = list(_names(worker_class))
    if any(other in one.lower() for one in names for other in _OTHER_PROTOCOL):
        raise ConfigError(
            f"worker_class {name_of(worker_class)} serves ASGI applications; pelton serves WSGI.",
            "Serve that application with its own server, or wrap it (a2wsgi).",
        )
    for name in names:
        found = _KINDS.get(re.split(r"[.:#/]", name)[-1].lower())
        if found is not None:
            return found
    return None


def name_of(worker_class: Any) -> str:
    """How messages name it."""
    return (
        worker_class
        if isinstance(worker_class, str)
        else getattr(worker_class, "__name__", repr(worker_class))
    )


def is_path(worker_class: str) -> bool:
    """Whether it is a path to a class, and not a name."""
    return bool(re.search(r"[.:#/]", worker_class))


def _names(worker_class: Any) -> Iterable[str]:
    if isinstance(worker_class, str):
        return [worker_class]
    # The classes that somebody's own is made of say what it does; the nearest first.
    return [f"{one.__module__}.{one.__name__}" for one in getattr(worker_class, "__mro__", ())]
