"""What the settings of all sources together mean for the worker kind, as gunicorn's users know it.

Owns two customs of gunicorn's that no single source can know: the paths of its classes, and that sync with
more than one thread is gthread. Must not know what the kinds do. Main thread.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from pelton.compat.gunicorn.worker_class import SYNC, kind_for
from pelton.config.settings import Settings
from pelton.config.sources import Layer, Resolved
from pelton.exceptions import ConfigError

# Settings, and what gunicorn calls them.
_WORDS: Final = {"worker_kind": "worker_class", "threads": "threads", "preload": "preload_app"}


def said_beside(layers: Iterable[Layer], values: Mapping[str, Any]) -> dict[str, Any]:
    """What else options depend on, in gunicorn's words, as far as anybody has said it.

    ``layers``: the weakest first; ``values``: those of the command line, which count most.
    """
    said: dict[str, Any] = {}
    for layer in layers:
        said |= {_WORDS[name]: given.value for name, given in layer.items() if name in _WORDS}
    return said | {_WORDS[name]: value for name, value in values.items() if name in _WORDS}


def settle_kind(resolved: Resolved) -> tuple[Resolved, list[str]]:
    """The same with the kind's own name, and remarks. Raises ConfigError for a class that serves ASGI."""
    settings, source = resolved.settings, resolved.sources["worker_kind"]
    try:
        kind = kind_for(settings.worker_kind) or settings.worker_kind
    except ConfigError as error:
        raise ConfigError(f"{source}: {error.what}", *error.lines) from None
    notes = []
    if kind == SYNC and resolved.given("threads") and settings.threads != 1:
        kind = "threads"
        notes.append(
            f"{source}: sync with {settings.threads} threads ({resolved.sources['threads']}) is gthread, as "
            "with gunicorn. For one request at a time leave threads out."
        )
    return replace(resolved, settings=replace(settings, worker_kind=kind)), notes


def warnings_about(settings: Settings) -> list[str]:
    """What will not work with the kind, as far as can be seen from outside."""
    if settings.worker_kind == "gevent" and importlib.util.find_spec("geventwebsocket") is not None:
        return [
            "The package gevent-websocket is installed, which serves WebSockets only below gevent's own "
            "server: Flask-SocketIO and Flask-Sockets choose it, and answer 500 here. Uninstall it and "
            "install simple-websocket, which works below pelton (docs/websockets.md)."
        ]
    return []
