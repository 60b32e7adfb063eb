"""Refuses applications that bring Werkzeug's debugger with them.

Owns the search for it. The debugger lets whoever meets an error run code on this machine, protected by a
number that is printed into the log; it is for development, where `pelton.development` puts it around an
application itself and does not come by here. Imports nothing: without Werkzeug there is nothing to find.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from pelton.exceptions import ConfigError

# Where Flask (wsgi_app) and middleware, Werkzeug's and most others, keep what they wrap.
_INNER: Final = ("wsgi_app", "app", "application", "_app", "wrapped")
# Nobody nests deeper; and a proxy that answers every name would never end.
_DEEPEST: Final = 20


def refuse_debugger(application: Any) -> None:
    """Raise ConfigError if the debugger is anywhere around or inside ``application``."""
    debugged = getattr(sys.modules.get("werkzeug.debug"), "DebuggedApplication", None)
    if debugged is None:
        return
    if _is_inside(debugged, application):
        raise ConfigError(
            "The application is wrapped in Werkzeug's debugger (DebuggedApplication), which lets visitors "
            "run code on this machine.",
            "Remove it here; a server for production does not start with it.",
            "For development: app.run(use_debugger=True) with `pelton run`, or `flask serve --debugger`.",
        )


def _is_inside(debugged: type, application: Any) -> bool:
    seen: set[int] = set()
    layers = [application]
    while layers and len(seen) < _DEEPEST:
        layer = layers.pop()
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        if isinstance(layer, debugged):
            return True
        # Not getattr: properties and __getattr__ of the application are its own code.
        layers += [vars(layer)[name] for name in _INNER if name in getattr(layer, "__dict__", ())]
    return False
