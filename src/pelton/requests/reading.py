"""Files of requests, by their form; and what an application's own rules say.

Owns which form a file has where nobody says it. Pure but for reading the file.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from pelton.exceptions import ConfigError
from pelton.requests.access_log import read_line
from pelton.requests.har import read_har
from pelton.requests.openapi import read_openapi
from pelton.requests.request import Request, parse

# More different ones would take long, and find little that the first ones do not.
MOST_DIFFERENT: Final = 200


class Form(enum.Enum):
    """What a file of requests can be."""

    LINES = "list of requests"
    LOG = "access log"
    HAR = "HAR file"
    OPENAPI = "OpenAPI document"


def read(file: Path, form: Form | None = None) -> list[Request]:
    """All requests of a file, in its order, as often as they stand there. Raises ConfigError.

    Without ``form`` it is found out.
    """
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.") from None
    found = _READERS[form or form_of(text)](text)
    if not found:
        raise ConfigError(
            f"{file} names no request.", "Lines are: METHOD PATH [BODY], or those of an access log."
        )
    return found


def form_of(text: str) -> Form:
    """By its beginning."""
    start = text.lstrip()
    if start.startswith("openapi:"):
        return Form.OPENAPI
    if not start.startswith("{") or read_line(start.splitlines()[0]):
        return Form.LINES
    try:
        whole = json.loads(text)
    except ValueError:
        return Form.HAR
    return Form.OPENAPI if "openapi" in whole else Form.HAR


def different(requests: Iterable[Request]) -> list[Request]:
    """Each once, and not too many."""
    return list(dict.fromkeys(requests))[:MOST_DIFFERENT]


def _read_lines(text: str) -> list[Request]:
    """Written requests; lines of a log may stand among them."""

    def found() -> Iterator[Request]:
        for line in text.splitlines():
            if logged := read_line(line):
                # The log has no bodies: what changes something cannot be sent as it was.
                if logged.is_safe:
                    yield logged
            elif line.strip() and not line.lstrip().startswith("#"):
                yield parse(line)

    return list(found())


def _read_log(text: str) -> list[Request]:
    """A log may have other lines; they are left out."""
    return [found for line in text.splitlines() if (found := read_line(line))]


_READERS: Final[dict[Form, Callable[[str], list[Request]]]] = {
    Form.LINES: _read_lines,
    Form.LOG: _read_log,
    Form.HAR: read_har,
    Form.OPENAPI: read_openapi,
}


def of_rules(application: Any) -> list[Request]:
    """GET of each rule of a Flask application that needs no values; else only the first page."""
    found = []
    rules: Iterable[Any] = getattr(getattr(application, "url_map", None), "iter_rules", list)()
    for rule in rules:
        if "GET" in (rule.methods or ()) and not rule.arguments and rule.rule.startswith("/"):
            found.append(Request("GET", rule.rule))
    return different(found) or [Request("GET", "/")]
