"""Responds to what is asked on the admin listeners, beside health checks.

Owns which path gives what. The front has checked who may ask. Each question has a thread of its own, for a
profile takes as long as its reader wants; the front's bound on connections of admin listeners bounds them.
Must not know HTTP's framing, nor how a front is asked.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol
from urllib.parse import parse_qs

from pelton.config.settings import Settings
from pelton.observe import metrics, page
from pelton.observe.effective import facts_of, joined
from pelton.observe.profiling import MOST_SECONDS, Profile, collapsed, speedscope, svg
from pelton.observe.state import history_of, merged_samples, place_requests, state_of
from pelton.observe.workers import Tells, Workers
from pelton.process.native_threads import NativeThread

LOGGER = logging.getLogger("pelton")

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
# Seconds in which a worker has to tell what it knows at once.
_QUICK = 5.0
# What a scrape does without.
_SOON = 1.0


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

    def __init__(
        self,
        front: Responder,
        local: Tells | None = None,
        extra: Callable[[], dict[str, Any]] | None = None,
        *,
        settings: Callable[[], Settings] = Settings,
    ) -> None:
        self._settings = settings
        self._front = front
        self._workers = Workers(local)
        self._extra = extra

    def _pages(self) -> dict[tuple[str, str], Callable[[Question], Reply]]:
        # Made anew for each question: kept, it would make a circle, and the front's descriptors
        # would stay open until the garbage collector comes by.
        return {
            ("GET", "/metrics"): self._metrics,
            ("GET", "/state"): self._state,
            ("GET", "/history"): self._history,
            ("GET", "/settings"): self._effective,
            ("GET", "/dump"): self._dump,
            ("GET", "/profile"): self._profile,
            ("GET", "/samples"): self._samples,
            **{("GET", path): partial(_file, path) for path in page.FILES},
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
            LOGGER.exception("What was asked on the admin listener could not be found out: %s", question.path)
            reply = Reply.of_text("That failed by a fault of pelton; the log says more.", 500)
        self._send(number, reply)

    def _reply(self, question: Question) -> Reply:
        method = "GET" if question.method == "HEAD" else question.method
        pages = self._pages()
        found = pages.get((method, question.path))
        if found is not None:
            return found(question)
        if ("GET", question.path) in pages:
            refused = Reply.of_text("This is there to be read.", 405)
            return replace(refused, fields=(("Allow", "GET, HEAD"),))
        others = sorted(path for _, path in pages)
        return Reply.of_text(f"Here are /livez, /readyz, /saturation, /sizing, {', '.join(others)}.", 404)

    def _known(self, question: Question) -> dict[str, Any]:
        state = state_of(question.state)
        if self._extra is not None:
            state.update(self._extra())
        return state

    def _metrics(self, question: Question) -> Reply:
        openmetrics = metrics.wants_openmetrics(question.accept)
        state = self._known(question)
        if openmetrics and self._settings().traces:
            replies = self._workers.ask(state["workers"], {"do": "exemplars"}, _SOON)
            state["exemplars"] = [one for _, one in replies]
        text = metrics.render(metrics.families_of(state), openmetrics=openmetrics)
        return Reply(200, metrics.OPENMETRICS if openmetrics else metrics.PROMETHEUS, text.encode())

    def _state(self, question: Question) -> Reply:
        state = self._known(question)
        busy = [one for one in state["workers"] if one["running"]]
        for worker, replies in self._workers.ask(busy, {"do": "where"}, _QUICK):
            place_requests(worker["requests"], replies.get("requests", ()))
        return Reply.of_json(state)

    def _history(self, question: Question) -> Reply:
        return Reply.of_json(history_of(state_of(question.state)))

    def _effective(self, question: Question) -> Reply:
        # The newest comes last; the others are about to go.
        workers = self._known(question)["workers"]
        replies = self._workers.ask(workers, {"do": "settings"}, _QUICK)
        return Reply.of_json(joined(facts_of(self._settings()), [one for _, one in replies]))

    def _dump(self, question: Question) -> Reply:
        state = self._known(question)
        workers = [
            {"number": worker["number"], "pid": worker["pid"], **replies}
            for worker, replies in self._workers.ask(state["workers"], {"do": "dump"}, _QUICK)
        ]
        return Reply.of_json({"version": state["version"], "time": state["time"], "workers": workers})

    def _samples(self, question: Question) -> Reply:
        state = self._known(question)
        replies = self._workers.ask(state["workers"], {"do": "samples"}, _QUICK)
        return Reply.of_json(merged_samples([one for _, one in replies]))

    def _profile(self, question: Question) -> Reply:
        seconds = min(max(_number(question.value("seconds", "10"), 10.0), 0.1), MOST_SECONDS)
        rate = int(_number(question.value("rate", "50"), 50))
        state = self._known(question)
        asked = {"do": "profile", "seconds": seconds, "rate": rate}
        whole = Profile()
        for _, replies in self._workers.ask(state["workers"], asked, seconds + _QUICK):
            if "stacks" in replies:
                whole.merge(Profile.from_json(replies))
        match question.value("format", "json"):
            case "collapsed":
                return Reply(200, TEXT, collapsed(whole).encode())
            case "speedscope":
                return Reply.of_json(speedscope(whole, "pelton"))
            case "svg":
                return Reply(200, "image/svg+xml", svg(whole, "pelton").encode())
            case "json":
                return Reply.of_json(whole.as_json())
            case _:
                return Reply.of_text("A profile is json, collapsed, speedscope or svg.", 400)

    def _send(self, number: int, reply: Reply) -> None:
        fields = [("Content-Type", reply.media_type), ("Cache-Control", "no-store"), *reply.fields]
        try:
            self._front.respond(number, reply.status, fields, reply.body)
        except RuntimeError:
            # The front has ended meanwhile.
            LOGGER.debug("Nobody waits for a response of the admin listener any more.")


def _file(path: str, _question: Question) -> Reply:
    media_type, body = page.read(path)
    return Reply(200, media_type, body, page.FIELDS)


def _number(text: str, otherwise: float) -> float:
    try:
        return float(text)
    except ValueError:
        return otherwise
