"""Which line of the application a request leads to. Main thread.

Flask says it by its rules. Elsewhere the request is sent once more under a trace: the first function of the
application that it comes to; and of one that fails, the line that raised.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from pelton.audit.calling import Application, call
from pelton.audit.modules import is_own, place_of, where
from pelton.requests.request import Request


def where_of(application: Application, request: Request) -> str:
    """The place that responds, as file:line; empty where it cannot be found out."""
    return of_rule(application, request) or _traced(application, request).first


def where_raised(application: Application, request: Request) -> str:
    """The line that raised what made the request fail; else the place that responds."""
    return _traced(application, request).raised or where_of(application, request)


def of_rule(application: Any, request: Request) -> str:
    """The view that Flask's rules name, without sending anything; empty where there is none."""
    try:
        rules = application.url_map.bind("localhost")
        endpoint, _ = rules.match(request.path.partition("?")[0], request.method)
        view = application.view_functions[endpoint]
        # A class's view function knows its class.
        return place_of(getattr(getattr(view, "view_class", None), "dispatch_request", view)) or place_of(
            view
        )
    except Exception:
        # Not Flask's, or a path that no rule matches: a redirect is an exception, too.
        return ""


class _Trace:
    """Sees which functions of the application are called, and where one raises."""

    def __init__(self) -> None:
        self.first = ""
        self.raised = ""
        self._last: object = None

    def enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        """A function begins."""
        if not is_own(frame.f_code.co_filename):
            return None
        self.first = self.first or where(frame)
        return self._step

    def _step(self, frame: FrameType, event: str, argument: Any) -> Any:
        # It comes again for each frame that an exception passes: the innermost one is the first.
        if event == "exception" and argument[1] is not self._last:
            self._last, self.raised = argument[1], where(frame)
        return self._step


def _traced(application: Application, request: Request) -> _Trace:
    trace = _Trace()
    sys.settrace(trace.enter)
    try:
        call(application, request)
    finally:
        sys.settrace(None)
    return trace
