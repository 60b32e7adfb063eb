"""Responds to what is asked on the admin listeners, beside health checks.

Owns which path gives what. The front has checked who may ask. Each question has a thread of its own, for a
profile takes as long as its reader wants; the front's bound on connections of admin listeners bounds them.
Must not know HTTP's framing, nor how a front is asked.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol
from urllib.parse import parse_qs

from pelton.observe import metrics
from pelton.observe.state import state_of
from pelton.process.native_threads import NativeThread

LOGGER = logging.getLogger("pelton")

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Question:
    """What somebody wants to know. ``state``: what the front knew then, as JSON."""

    method: str
    path: str
    query: str
    accept: str
    state: str

    def value(self, name: str, default: str = "") -> str:
        """A value of the query."""
        return parse_qs(self.query).get(name, [default])[-1]


@dataclass(frozen=True)
class Reply:
    """What it gets."""

    status: int
    media_type: str
    body: bytes
    fields: tuple[tuple[str, str], ...] = field(default=())

    @classmethod
    def of_json(cls, value: Any, status: int = 200) -> Reply:
        """As JSON."""
        return cls(status, JSON, json.dumps(value, separators=(",", ":")).encode() + b"\n")

    @classmethod
    def of_text(cls, text: str, status: int = 200) -> Reply:
        """As plain text."""
        return cls(status, TEXT, f"{text}\n".encode())


class Responder(Protocol):
    """The part of the native front that is used here."""

    def respond(self, number: int, status: int, fields: list[tuple[str, str]], body: bytes) -> None:
        """Respond to the question of this number."""


Asked = tuple[int, str, str, str, str, str]


class Admin:
    """Answers for one front."""

    def __init__(self, front: Responder) -> None:
        self._front = front
        self._pages: dict[tuple[str, str], Callable[[Question], Reply]] = {
            ("GET", "/metrics"): _metrics,
            ("GET", "/state"): lambda question: Reply.of_json(state_of(question.state)),
        }

    def ask(self, asked: Asked) -> None:
        """Take a notice's question; returns at once, and the front gets its response later."""
        number, *rest = asked
        question = Question(*rest)
        try:
            NativeThread(partial(self._respond, number, question), name="pelton-admin").start()
        except RuntimeError:
            self._send(number, Reply.of_text("There is no thread left to find that out.", 503))

    def _respond(self, number: int, question: Question) -> None:
        try:
            reply = self._reply(question)
        except Exception:
            LOGGER.exception("What was asked on the admin listener could not be told: %s", question.path)
            reply = Reply.of_text("That failed by a fault of pelton; the log says more.", 500)
        self._send(number, reply)

    def _reply(self, question: Question) -> Reply:
        method = "GET" if question.method == "HEAD" else question.method
        page = self._pages.get((method, question.path))
        if page is not None:
            return page(question)
        others = sorted(path for _, path in self._pages)
        return Reply.of_text(f"Here are /livez, /readyz, /sizing, {', '.join(others)}.", 404)

    def _send(self, number: int, reply: Reply) -> None:
        fields = [("Content-Type", reply.media_type), ("Cache-Control", "no-store"), *reply.fields]
        try:
            self._front.respond(number, reply.status, fields, reply.body)
        except RuntimeError:
            # The front has ended meanwhile.
            LOGGER.debug("Nobody waits for a response of the admin listener any more.")


def _metrics(question: Question) -> Reply:
    openmetrics = metrics.wants_openmetrics(question.accept)
    text = metrics.render(metrics.families_of(state_of(question.state)), openmetrics=openmetrics)
    return Reply(200, metrics.OPENMETRICS if openmetrics else metrics.PROMETHEUS, text.encode())
