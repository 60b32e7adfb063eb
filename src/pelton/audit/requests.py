"""Which requests an application is tried with: written ones, those of a file, or what Flask's rules say.

Owns reading them: lines ``METHOD PATH [BODY]``, access logs, HAR files. Pure but for reading the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pelton.exceptions import ConfigError

_METHOD: Final = re.compile(r"[A-Z]+")
# A request line within an access log.
_LOGGED: Final = re.compile(r'"(GET|HEAD) (/\S*) HTTP/[\d.]+"')
# More would take long, and find little that the first ones do not.
_MOST: Final = 200


@dataclass(frozen=True)
class Request:
    """One request; ``body`` is JSON where it begins so, else a form."""

    method: str
    path: str
    body: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def content_type(self) -> str:
        """That of the body."""
        return "application/json" if self.body[:1] in ("{", "[") else "application/x-www-form-urlencoded"


def parse(text: str) -> Request:
    """``[METHOD] PATH [BODY]``. Raises ConfigError."""
    first, _, rest = text.strip().partition(" ")
    if first.startswith("/"):
        return Request("GET", text.strip())
    path, _, body = rest.strip().partition(" ")
    if not _METHOD.fullmatch(first) or not path.startswith("/"):
        raise ConfigError(f"{text!r} is no request.", "Write for example: 'GET /shop?page=2', or /shop.")
    return Request(first, path, body.strip())


def read(file: Path) -> list[Request]:
    """Those of a HAR file, an access log, or a list of lines; each once. Raises ConfigError."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}.") from None
    found = dict.fromkeys(_read_har(text) if text.lstrip()[:1] == "{" else _read_lines(text))
    if not found:
        raise ConfigError(
            f"{file} names no request.", "Lines are: METHOD PATH [BODY], or those of an access log."
        )
    return list(found)[:_MOST]


def _read_har(text: str) -> Iterator[Request]:
    try:
        entries = json.loads(text)["log"]["entries"]
        for entry in entries:
            asked = entry["request"]
            path = re.sub(r"^https?://[^/]+", "", asked["url"]).partition("#")[0] or "/"
            yield Request(asked["method"], path, asked.get("postData", {}).get("text", ""))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(f"This is no HAR file: {type(error).__name__}: {error}.") from None


def _read_lines(text: str) -> Iterator[Request]:
    for line in text.splitlines():
        if logged := _LOGGED.search(line):
            yield Request(logged[1], logged[2])
        elif line.strip() and not line.lstrip().startswith("#"):
            yield parse(line)


def of_rules(application: Any) -> list[Request]:
    """GET of each rule of a Flask application that needs no values; else only the first page."""
    found = []
    rules: Iterable[Any] = getattr(getattr(application, "url_map", None), "iter_rules", list)()
    for rule in rules:
        if "GET" in (rule.methods or ()) and not rule.arguments and rule.rule.startswith("/"):
            found.append(Request("GET", rule.rule))
    return list(dict.fromkeys(found))[:_MOST] or [Request("GET", "/")]
