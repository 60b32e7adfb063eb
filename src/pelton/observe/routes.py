"""Which of the application's routes a request has met, for what is Python here.

The front's metrics ask the same in `crates/py/src/route.rs`, and in the same order. Any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import FrameType
from typing import Any


def route_of(environ: Mapping[str, Any]) -> str | None:
    """The pattern; to be asked in ``start_response``, for Flask forgets it at the end of a request."""
    route = environ.get("pelton.route")
    if route is None and (request := environ.get("werkzeug.request")) is not None:
        route = getattr(getattr(request, "url_rule", None), "rule", None)
    if route is None:
        route = getattr(environ.get("bottle.route"), "rule", None)
    return route if isinstance(route, str) else None


def route_of_frame(frame: FrameType | None) -> str | None:
    """That of a request which is running: its outermost functions have the environ as an argument."""
    outermost = None
    while frame is not None:
        code = frame.f_code
        if "environ" in code.co_varnames[: code.co_argcount]:
            outermost = frame
        frame = frame.f_back
    environ = None if outermost is None else outermost.f_locals.get("environ")
    try:
        return route_of(environ) if isinstance(environ, dict) else None
    except Exception:
        # A request of the application's own class may answer as it likes.
        return None
