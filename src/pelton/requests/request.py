"""One request, and the line of text that says it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pelton.exceptions import ConfigError

# RFC 9110, section 9.2.1: who sends them asks for nothing to be changed.
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_METHOD: Final = re.compile(r"[A-Z]+")
# What would end the request line, or a field of it.
_UNPRINTABLE: Final = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True)
class Request:
    """One request. ``media_type`` of the body; where it is not said, JSON if it begins so, else a form.

    ``fields`` are sent beside those that the request has by itself.
    """

    method: str
    path: str
    body: str = ""
    media_type: str = ""
    fields: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def content_type(self) -> str:
        """That of the body."""
        if self.media_type:
            return self.media_type
        return "application/json" if self.body[:1] in ("{", "[") else "application/x-www-form-urlencoded"

    @property
    def is_safe(self) -> bool:
        """Whether it may be sent again and again, and changes nothing."""
        return self.method in SAFE_METHODS


def parse(text: str) -> Request:
    """``[METHOD] PATH [BODY]``. Raises ConfigError."""
    first, _, rest = text.strip().partition(" ")
    if first.startswith("/"):
        return Request("GET", sendable(text.strip()))
    path, _, body = rest.strip().partition(" ")
    if not _METHOD.fullmatch(first) or not path.startswith("/"):
        raise ConfigError(f"{text!r} is no request.", "Write for example: 'GET /shop?page=2', or /shop.")
    return Request(first, sendable(path), body.strip())


def parse_field(text: str) -> tuple[str, str]:
    """``Name: value``. Raises ConfigError."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or any(letter in text for letter in "\r\n"):
        raise ConfigError(f"{text!r} is no header field.", "Write for example: 'Cookie: session=…'.")
    return name.strip(), value.strip()


def sendable(path: str) -> str:
    """The path as it can stand in a request line: what cannot, escaped."""
    escaped = _UNPRINTABLE.sub(lambda found: f"%{ord(found[0]):02X}", path)
    return "".join(
        letter if letter.isascii() else "".join(f"%{byte:02X}" for byte in letter.encode())
        for letter in escaped
    )
