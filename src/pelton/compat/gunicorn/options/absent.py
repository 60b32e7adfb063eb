"""gunicorn's options about what pelton does not have: ASGI, dirty workers, its control socket."""

from __future__ import annotations

from typing import Any

from pelton.compat.gunicorn.options.option import Fate, Option, Takes

_ASGI = "Only for ASGI workers; pelton serves WSGI."
_DIRTY = (
    "pelton has no second kind of workers for long jobs. Use a queue (Celery, RQ), or threads of the "
    "application."
)
_DIRTY_DETAIL = "Counts only with dirty_apps, which are refused."
_CONTROL = "There is no control socket; signals do it (docs/processes.md)."


def _row(name: str, flags: str, fate: Fate, about: str, *harmless: Any, takes: Takes = Takes.VALUE) -> Option:
    return Option(
        name=name, flags=tuple(flags.split()), takes=takes, fate=fate, about=about, harmless=harmless
    )


ABSENT = (
    _row("asgi_loop", "--asgi-loop", Fate.NEEDLESS, _ASGI, "auto"),
    _row("asgi_lifespan", "--asgi-lifespan", Fate.NEEDLESS, _ASGI, "auto"),
    _row("asgi_disconnect_grace_period", "--asgi-disconnect-grace-period", Fate.NEEDLESS, _ASGI, 3, "3"),
    _row("websocket_max_message_size", "--websocket-max-message-size", Fate.NEEDLESS, _ASGI, 2**24),
    _row("dirty_apps", "--dirty-app", Fate.REFUSED, _DIRTY, [], (), takes=Takes.VALUES),
    _row("dirty_workers", "--dirty-workers", Fate.REFUSED, _DIRTY, 0, "0"),
    _row("dirty_timeout", "--dirty-timeout", Fate.NEEDLESS, _DIRTY_DETAIL, 300),
    _row("dirty_threads", "--dirty-threads", Fate.NEEDLESS, _DIRTY_DETAIL, 1),
    _row("dirty_graceful_timeout", "--dirty-graceful-timeout", Fate.NEEDLESS, _DIRTY_DETAIL, 30),
    _row("control_socket", "--control-socket", Fate.MISSING, _CONTROL),
    _row("control_socket_mode", "--control-socket-mode", Fate.MISSING, _CONTROL, 0o600),
    _row(
        "control_socket_disable",
        "--no-control-socket",
        Fate.NEEDLESS,
        _CONTROL,
        True,
        False,
        takes=Takes.SWITCH,
    ),
)
