"""An application that says its routes itself, in each way that a dict allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Environ = dict[str, Any]
Start = Callable[..., Any]


def app(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Answers with the path; ``/none`` says no route."""
    path = environ["PATH_INFO"]
    if path == "/in-its-stead":
        # As many keys as before.
        del environ["HTTP_HOST"]
    if path == "/crowded":
        # A dict that grows closes its gaps.
        for number in range(200):
            environ[f"x.{number}"] = number
    if path != "/none":
        environ["pelton.route"] = f"{path}/<it>"
    if path == "/crowded":
        for number in range(200):
            del environ[f"x.{number}"]
    if path == "/fails":
        raise RuntimeError("planted")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [path.encode()]
