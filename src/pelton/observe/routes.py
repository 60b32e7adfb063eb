"""Which of the application's routes a request has met, for what is Python here.

The front's metrics ask the same in `crates/py/src/route.rs`, and in the same order. Any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def route_of(environ: Mapping[str, Any]) -> str | None:
    """The pattern; to be asked in ``start_response``, for Flask forgets it at the end of a request."""
    route = environ.get("pelton.route")
    if route is None and (request := environ.get("werkzeug.request")) is not None:
        route = getattr(getattr(request, "url_rule", None), "rule", None)
    if route is None:
        route = getattr(environ.get("bottle.route"), "rule", None)
    return route if isinstance(route, str) else None
