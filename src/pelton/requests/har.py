"""Requests of a HAR file, as a browser saves it. Pure.

A page asks other hosts, too (fonts, analytics): only those of the first entry's host are this application's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from pelton.exceptions import ConfigError
from pelton.requests.request import Request, sendable


def read_har(text: str) -> list[Request]:
    """In the order of the file. Raises ConfigError."""
    try:
        return list(_requests(json.loads(text)["log"]["entries"]))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(f"This is no HAR file: {type(error).__name__}: {error}.") from None


def _requests(entries: list[Any]) -> Iterator[Request]:
    host = None
    for entry in entries:
        asked = entry["request"]
        url = urlsplit(asked["url"])
        host = url.netloc if host is None else host
        if url.netloc != host:
            continue
        path = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
        sent = asked.get("postData") or {}
        body = str(sent.get("text") or "")
        yield Request(asked["method"], sendable(path), body, str(sent.get("mimeType") or "") if body else "")
