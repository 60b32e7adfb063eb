"""Makes Flask run its ``async def`` views on the worker's event loop.

Flask asks `Flask.async_to_sync` how to call a coroutine function, and its own way is a new event loop for
each call (asgiref). Owns what stands there instead. It is put into the class, so that what an application's
own subclass says still counts; and without an event loop in the process Flask's own way is taken.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

from pelton.worker.coroutines import run
from pelton.worker.event_loop import current

_MARK: Final = "__pelton__"


def use_the_loop() -> None:
    """Do so if Flask has been imported. Once the application is there; may be called again."""
    flask = sys.modules.get("flask")
    base = getattr(flask, "Flask", None)
    if base is None or hasattr(base.async_to_sync, _MARK):
        return
    base.async_to_sync = _in_place_of(base.async_to_sync)


def _in_place_of(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def async_to_sync(app: Any, function: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            # Asked now and not above: some make such a function once, while they are imported.
            loop = current()
            if loop is None:
                return original(app, function)(*arguments, **named)
            return run(loop, function(*arguments, **named))

        return call

    setattr(async_to_sync, _MARK, True)
    return async_to_sync
