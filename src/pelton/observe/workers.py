"""Asks all workers the same question at once.

Owns who is asked how: a worker of this process by a call, another process over its channel. Must not know
what is asked. Any thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Protocol

from pelton.observe import channel
from pelton.process.native_threads import NativeThread

Reply = dict[str, Any]


class Tells(Protocol):
    """What can be asked within this process."""

    def tell(self, question: dict[str, Any]) -> Reply:
        """What it knows."""


class Workers:
    """``local``: the worker of this process, where front and worker are one."""

    def __init__(self, local: Tells | None = None) -> None:
        self._local = local

    def ask(
        self, workers: Iterable[Mapping[str, Any]], question: dict[str, Any], seconds: float
    ) -> list[tuple[Mapping[str, Any], Reply]]:
        """What each worker of a state tells; one that does not, in time, has ``error`` in its place."""
        asked = list(workers)
        replies: list[Reply] = [{"error": f"did not tell within {seconds:.0f} s"} for _ in asked]
        threads = []
        for place, worker in enumerate(asked):
            thread = NativeThread(
                partial(self._ask, replies, place, worker, question, seconds), name="pelton-ask"
            )
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join(seconds + 1.0)
        return list(zip(asked, replies, strict=True))

    def _ask(
        self,
        replies: list[Reply],
        place: int,
        worker: Mapping[str, Any],
        question: dict[str, Any],
        seconds: float,
    ) -> None:
        try:
            if self._local is not None:
                replies[place] = self._local.tell(question)
            else:
                replies[place] = channel.ask(worker["number"], worker["pid"], question, seconds)
        except Exception as error:
            replies[place] = {"error": f"{type(error).__name__}: {error}"}
