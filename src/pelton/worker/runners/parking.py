"""Where greenlets wait for the front: for bytes of a body, or for room for their response.

Owns the greenlets that wait, by the slots of their requests. Must not know requests, nor the native worker,
which knows this (and would otherwise never be freed). `wake` says, in the hub, what has come for a slot.
"""

from __future__ import annotations

from collections.abc import Iterable

from pelton.process.native_threads import get_ident
from pelton.worker.runners.hub import Calls, Greenlet, Hub


class Parking:
    """On the thread of ``hub``, except `resume`."""

    def __init__(self, hub: Hub, calls: Calls) -> None:
        self._hub = hub
        self._calls = calls
        self._thread = get_ident()
        self._parked: dict[int, list[Greenlet]] = {}
        self._due: list[int] = []
        self._turn = hub.turn(self._wake_due)

    def pause(self, slot: int) -> None:
        """Park the calling greenlet until there may be news for ``slot``. Raises what is thrown into it."""
        current = self._hub.current()
        self._parked.setdefault(slot, []).append(current)
        try:
            self._hub.park()
        finally:
            # Still there where something else has resumed it.
            self._forget(slot, current)

    def resume(self, slot: int) -> None:
        """Something has changed for ``slot`` within this process; from any thread, also from a greenlet."""
        if slot not in self._parked:
            return
        if get_ident() == self._thread:
            self._due.append(slot)
            self._turn.start()
        else:
            self._calls.post(lambda: self.wake([slot]))

    def wake(self, slots: Iterable[int]) -> None:
        """Let all that wait for these slots look again; in the hub."""
        for slot in slots:
            for greenlet in list(self._parked.get(slot, ())):
                # The one before it may have resumed or ended it.
                if self._forget(slot, greenlet):
                    greenlet.switch()

    def wake_all(self) -> None:
        """Let all look again; in the hub."""
        self.wake(list(self._parked))

    def _wake_due(self) -> None:
        due, self._due = self._due, []
        self.wake(due)

    def _forget(self, slot: int, greenlet: Greenlet) -> bool:
        waiting = self._parked.get(slot, [])
        if greenlet not in waiting:
            return False
        waiting.remove(greenlet)
        if not waiting:
            del self._parked[slot]
        return True
