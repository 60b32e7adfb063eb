"""Requests of an access log: Apache's and nginx' forms, and pelton's JSON. Pure.

Nobody knows the bodies, so only methods that have none are of use; the others are read, too, and whoever
sends them decides.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from pelton.requests.request import Request, sendable

# A request line within any form of a log.
_LOGGED: Final = re.compile(r'"([A-Z]+) (/[^\s"]*) HTTP/[\d.]+"')


def read_line(line: str) -> Request | None:
    """The request of one line; None where there is none in it."""
    if line.startswith("{"):
        return _read_json(line)
    found = _LOGGED.search(line)
    return Request(found[1], sendable(found[2])) if found else None


def _read_json(line: str) -> Request | None:
    try:
        record: Any = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict):
        return None
    method, path, query = (record.get(name) for name in ("http.request.method", "url.path", "url.query"))
    if not isinstance(method, str) or not isinstance(path, str) or not path.startswith("/"):
        return None
    return Request(method, sendable(f"{path}?{query}" if query else path))
