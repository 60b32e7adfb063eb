"""What a worker tells of itself when it is asked: its requests, where its threads are, a profile.

Owns the questions and the shapes of the answers. Asked from within the same process, or over the worker's
channel (`pelton.observe.channel`). Any thread but the application's.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final, Protocol

from pelton.config.settings import Settings
from pelton.observe.effective import facts_of
from pelton.observe.exemplars import ALL as EXEMPLARS
from pelton.observe.green import (
    HasGreenlets,
    is_locked,
    is_sleeping,
    seat_of,
    waits_for_greenlet,
    waits_for_hub,
)
from pelton.observe.profiling import MOST_SECONDS, Profile, profiled
from pelton.observe.sampling import Sampler
from pelton.observe.stacks import Stack, application_frame, frames_of, thread_name, threads_now, wait_at

# A profile's looks per second: enough to see, few enough not to be felt.
_MOST_RATE: Final = 200
# So many are looked for at once: the hub does nothing else meanwhile.
_MOST_GREENLETS: Final = 200
# Seconds in which a hub that is free comes to say where its greenlets are.
_HUB_PATIENCE: Final = 0.3

# Ident of its thread, number of its greenlet, slot, method, path, client, seconds since it began.
RunningRequest = tuple[int, int | None, int, str, str, str, float]


class InspectedWorker(Protocol):
    """The part of the native worker that is used here."""

    def requests(self) -> list[RunningRequest]:
        """The requests that run now."""


class Inspector:
    """Of one process with a worker. ``name``: how the log calls the process."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self._settings = settings
        self._worker: InspectedWorker | None = None
        self._greenlets: HasGreenlets | None = None
        self._sampler = Sampler(self.requests) if settings.sampling else None

    def attach(self, worker: InspectedWorker, runner: object) -> None:
        """From now on this is the worker; a former one has gone."""
        self._worker = worker
        self._greenlets = runner if isinstance(runner, HasGreenlets) else None
        if self._sampler is not None:
            self._sampler.look_at_greenlets(self._greenlets)
            self._sampler.start()

    def close(self) -> None:
        """Look no more."""
        if self._sampler is not None:
            self._sampler.stop()

    def requests(self) -> list[RunningRequest]:
        """Those that run now."""
        return [] if self._worker is None else self._worker.requests()

    def tell(self, question: dict[str, Any]) -> dict[str, Any]:
        """What a question's ``do`` asks for. Raises ValueError for what it does not know."""
        match question.get("do"):
            case "dump":
                return self.dump()
            case "where":
                return {"requests": self.where()}
            case "profile":
                return self.profile(float(question.get("seconds", 10)), int(question.get("rate", 50)))
            case "samples":
                return {} if self._sampler is None else self._sampler.as_json()
            case "exemplars":
                return {"exemplars": EXEMPLARS.as_json()}
            case "settings":
                return facts_of(self._settings)
            case other:
                raise ValueError(f"unknown question {other!r}")

    def where(self) -> list[dict[str, Any]]:
        """Of each running request: its slot, its thread, where it is, and what it waits for."""
        frames = sys._current_frames()
        found = []
        requests = self.requests()
        for one in requests:
            if one[1] is None:
                stack = frames_of(frames.get(one[0]))
                frame = frames.get(one[0])
                wait = None if frame is None else wait_at(one[0], frame, frames)
                found.append(_placed(one, thread_name(one[0]), stack, wait))
        green = [one for one in requests if one[1] is not None]
        if green and self._greenlets is not None:
            found += self._where_greenlets(green, self._greenlets)
        return found

    def _where_greenlets(
        self, requests: list[RunningRequest], greenlets: HasGreenlets
    ) -> list[dict[str, Any]]:
        # Those that have run longest are looked for first.
        oldest = sorted(requests, key=lambda one: -one[6])[:_MOST_GREENLETS]
        parked = greenlets.stacks([one[1] for one in oldest if one[1] is not None], _HUB_PATIENCE)
        if parked is not None:
            return [_of_parked(one, parked.get(-1 if one[1] is None else one[1], [])) for one in oldest]
        # The hub does not come to run, because one of them keeps its thread.
        frames = sys._current_frames()
        busy = {one[0]: seat_of(frames.get(one[0])) for one in oldest}
        found = []
        for one in oldest:
            name, stack = f"greenlet {one[1]}", frames_of(frames.get(one[0]))
            if busy[one[0]] == one[1]:
                found.append(_placed(one, name, stack, None))
            else:
                found.append(_placed(one, name, [], waits_for_hub(busy[one[0]], stack)))
        return found

    def dump(self) -> dict[str, Any]:
        """All threads with their stacks and waits, and which request each of them runs."""
        requests = self.requests()
        by_thread = {one[0]: one for one in requests if one[1] is None}
        threads = threads_now()
        for thread in threads:
            if (one := by_thread.get(thread["ident"])) is not None:
                thread["request"] = _request(one)
        entry: dict[str, Any] = {"name": self.name, "pid": os.getpid(), "threads": threads}
        if self._greenlets is not None:
            entry["greenlets"] = [
                {"request": _request(one), "stack_text": self._greenlets.stack(one[1]) or ""}
                for one in requests
                if one[1] is not None
            ]
        return entry

    def profile(self, seconds: float, rate: int) -> dict[str, Any]:
        """Look on for so long; blocks the calling thread."""
        found: Profile = profiled(
            min(max(seconds, 0.1), MOST_SECONDS),
            min(max(rate, 1), _MOST_RATE),
            self.requests,
            self._greenlets,
        )
        return found.as_json()


def _placed(request: RunningRequest, name: str, stack: Stack, wait: dict[str, Any] | None) -> dict[str, Any]:
    found: dict[str, Any] = {"slot": request[2], "path": request[4], "thread": name}
    if (place := application_frame(stack)) is not None:
        found["at"] = f"{place[0]}:{place[1]}"
        found["function"] = place[2]
    if wait is not None:
        found["waits"] = wait
    return found


def _of_parked(request: RunningRequest, stack: Stack) -> dict[str, Any]:
    wait = waits_for_greenlet(stack) if is_locked(stack) and not is_sleeping(stack) else None
    return _placed(request, f"greenlet {request[1]}", stack, wait)


def _request(one: RunningRequest) -> dict[str, Any]:
    thread, greenlet, slot, method, path, client, age = one
    return {
        "thread": thread,
        "greenlet": greenlet,
        "slot": slot,
        "method": method,
        "path": path,
        "client": client,
        "age_seconds": round(age, 3),
    }
