"""The worker kinds with greenlets: many requests at the same time on one thread, which the hub shares out.

Owns the greenlets and their turns. Which library they are of is the hub's business (`gevent`, `eventlet`);
what happens to a request, the native module's. The hub's thread is the one that calls `start`: the main
thread of a worker process, which loads the application, so that what it spawns lives in the same hub.

How the turns go. One greenlet at a time *pulls*: it runs ready requests back to back. Before it begins, a
turn is started, which the hub comes to when the greenlet blocks or comes to rest: then the next idle greenlet
pulls. Where nothing is ready the link's bell is set instead, and the turn is stopped. So at each moment that
the hub sleeps, the bell is set or a turn is started: no ready request is left lying.

Greenlets are made when they are needed, and used again, the last idle one first. There are never more than
``worker_connections``, apart from those that have taken their clients' sockets: the front hands a few
requests out in advance, and those wait in the link. Idle connections have no greenlet.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from pelton._engine import Overdue
from pelton.diagnostics.stacks import report, stack_from
from pelton.logs.relay import Relay
from pelton.observe.routes import route_of_frame
from pelton.observe.stacks import Stack, frames_of
from pelton.process.native_threads import NativeEvent, get_ident
from pelton.worker.runners.base import Straggler
from pelton.worker.runners.blocking import BlockingWatch
from pelton.worker.runners.hub import Calls, Greenlet, Hub
from pelton.worker.runners.parking import Parking

LOGGER = logging.getLogger("pelton")

# How long the watch waits for a stack from the hub. A hub that answers later does not switch: then the
# thread's own stack shows what it is at.
_PATIENCE = 0.5


class GreenWorker(Protocol):
    """The part of the native worker that is used here; see `_engine.Worker`."""

    def listen(self, pause: Callable[[int], None], resume: Callable[[int], None]) -> int:
        """Serve on greenlets of this thread; gives the descriptor to sleep on."""

    def serve_greenlet(
        self, seat: int, rest: Callable[[bool], bool], on_departure: Callable[[], object]
    ) -> None:
        """Run requests on the calling greenlet until ``rest`` says False."""

    def sockets_held(self) -> int:
        """How many clients' sockets the application has taken and still has."""

    def prepare_sleep(self, takes_requests: bool) -> bool:
        """Set the bell; False when there is something to do."""

    def answer_bell(self) -> bool:
        """Silence it; False when the front has gone."""

    def take_roused(self) -> list[int]:
        """Slots with news for parked greenlets."""

    def claim(self, overdue: Overdue) -> int | None:
        """The seat of the greenlet to interrupt."""

    def stop(self) -> None:
        """Take no further request."""


class GreenRunner:
    """Serves on greenlets of the hub that ``find_hub`` gives, on the thread that calls `start`.

    ``connections``: how many requests run at the same time. ``block_seconds``: how long one greenlet may keep
    the hub before that is reported; 0: as long as it likes.
    """

    def __init__(
        self,
        worker: GreenWorker,
        find_hub: Callable[[], Hub],
        kind: str,
        *,
        connections: int,
        block_seconds: float,
    ) -> None:
        self._connections = connections
        self._worker = worker
        self._find_hub = find_hub
        self._kind = kind
        self._block_seconds = block_seconds
        self._stopped = False
        self._thread = 0
        self._native_id: int | None = None
        self._routes: dict[int, str | None] = {}
        self._seats = itertools.count()
        self._greenlets: dict[int, Greenlet] = {}
        self._idle: list[Greenlet] = []
        # Who waits until there are no more than so many greenlets.
        self._ends: list[tuple[int, NativeEvent]] = []
        self._calls: Calls | None = None
        self._blocking: BlockingWatch | None = None

    @property
    def kind(self) -> str:
        """As it was made."""
        return self._kind

    def start(self) -> None:
        """Begin to serve whenever this thread lets its hub run. Raises OSError without descriptors."""
        self._thread = get_ident()
        # A function of C's, which nobody patches.
        self._native_id = threading.get_native_id()
        self._hub = self._find_hub()
        self._calls = Calls(self._hub)
        self._parking = Parking(self._hub, self._calls)
        self._relay = Relay(self._calls.post)
        self._relay.begin()
        self._turn = self._hub.turn(self._take_turn)
        bell = self._worker.listen(self._parking.pause, self._parking.resume)
        self._end_bell = self._hub.watch(bell, self._hear_bell)
        if self._block_seconds:
            self._blocking = BlockingWatch(self._calls.post, self._thread, self._block_seconds)
            self._blocking.start()
        self._turn.start()

    def stop(self) -> None:
        """Let each greenlet end after the request that it runs."""
        self._stopped = True
        if self._blocking is not None:
            self._blocking.stop()
        self._worker.stop()
        if (calls := self._calls) is not None:
            # The hub may not come to run any more; what is logged must not wait for it.
            self._relay.end()
            calls.post(self._wind_up)

    def join(self, timeout: float) -> list[Straggler]:
        """Wait at most ``timeout`` seconds for all greenlets; returns those that still run."""
        if (calls := self._calls) is None:
            return []
        # A request may itself stop pelton: its greenlet cannot wait for its own end.
        is_here = get_ident() == self._thread
        own = self._hub.current() if is_here else None
        ended = NativeEvent()
        self._ends.append((sum(one is own for one in self._greenlets.values()), ended))
        calls.post(self._tell_ends)
        if self._calls is None:
            # Everything ended meanwhile, and the call is not made any more.
            ended.set()
        if is_here:
            ended.wait_with_hub(timeout)
        else:
            ended.wait(timeout)
        return [
            _GreenStraggler(self, seat, self._thread)
            for seat, greenlet in list(self._greenlets.items())
            if greenlet is not own
        ]

    # For the watch, on its thread.

    def report(self, overdue: Overdue) -> str:
        """Where the greenlet of a request is; or its thread, if the hub does not come to say."""
        return self.stack(overdue.seat) or report(overdue.thread)

    def stack(self, seat: int | None) -> str | None:
        """Where a greenlet is; None if the hub does not come to say. From any thread but the hub's."""
        found: list[str] = []
        known = NativeEvent()

        def look() -> None:
            # Here no greenlet runs, so that its frames hold still.
            found.append(self.stack_in_hub(seat))
            known.set()

        if (calls := self._calls) is None:
            return None
        calls.post(look)
        known.wait(_PATIENCE)
        return found[0] if found else None

    def native_id(self) -> int | None:
        """The system's number of the hub's thread, which `threading` does not know once it is patched."""
        return self._native_id

    def stacks(self, seats: Sequence[int], patience: float) -> dict[int, Stack] | None:
        """Where these greenlets are parked; None if the hub does not come to say so in time.

        From any thread but the hub's.
        """
        found: list[dict[int, Stack]] = []
        known = NativeEvent()

        def look() -> None:
            # Here no greenlet runs, so that its frames hold still.
            frames = {seat: one.gr_frame for seat in seats if (one := self._greenlets.get(seat)) is not None}
            self._routes = {seat: route_of_frame(frame) for seat, frame in frames.items()}
            found.append({seat: frames_of(frame) for seat, frame in frames.items()})
            known.set()

        if (calls := self._calls) is None:
            return None
        calls.post(look)
        known.wait(patience)
        return found[0] if found else None

    def route(self, seat: int) -> str | None:
        """The route of its request, as the last look at the stacks has found it."""
        return self._routes.get(seat)

    def stack_in_hub(self, seat: int | None) -> str:
        """The same on the hub's thread."""
        greenlet = self._greenlets.get(-1 if seat is None else seat)
        return stack_from(None if greenlet is None else greenlet.gr_frame)

    def interrupt(self, overdue: Overdue, exception: type[BaseException]) -> None:
        """Raise ``exception`` in the greenlet of a request as soon as that is not the one that runs."""

        def throw() -> None:
            # Nothing runs between the two, so that it is still the same request.
            seat = self._worker.claim(overdue)
            greenlet = None if seat is None else self._greenlets.get(seat)
            if greenlet is not None:
                greenlet.throw(exception)

        if (calls := self._calls) is not None:
            calls.post(throw)

    def next_round(self) -> NativeEvent:
        """Happens when the hub next comes to run."""
        comes = NativeEvent()
        if (calls := self._calls) is None:
            comes.set()
        else:
            calls.post(comes.set)
        return comes

    # In the hub.

    def _hear_bell(self) -> None:
        if not self._worker.answer_bell():
            # The front has ended, and the descriptor would stay readable. The supervisor stops this runner.
            self._end_bell()
            self._end_bell = _nothing
            self._parking.wake_all()
        self._take_turn()

    def _take_turn(self) -> None:
        try:
            # The front may have news again by the time that all of them were woken.
            while not self._worker.prepare_sleep(self._has_room()):
                slots = self._worker.take_roused()
                if not slots:
                    return self._pull()
                self._parking.wake(slots)
        except BaseException:
            LOGGER.critical("A fault of pelton in the hub; please report it.", exc_info=True)
            self._turn.start()

    def _has_room(self) -> bool:
        # A greenlet that has taken its client's socket runs no request any more.
        running = len(self._greenlets) - len(self._idle) - self._worker.sockets_held()
        return running < self._connections

    def _pull(self) -> None:
        self._turn.start()
        greenlet = self._idle.pop() if self._idle else self._new_greenlet()
        greenlet.switch()

    def _new_greenlet(self) -> Greenlet:
        seat = next(self._seats)
        greenlet = self._hub.greenlet(lambda: self._serve(seat))
        self._greenlets[seat] = greenlet
        return greenlet

    def _wind_up(self) -> None:
        while self._idle:
            self._idle.pop().switch()
        # Whoever waits for a front that has ended finds that out.
        self._parking.wake_all()
        self._tell_ends()

    def _tell_ends(self) -> None:
        for most, ended in self._ends:
            if len(self._greenlets) <= most:
                ended.set()
        if self._stopped and not self._greenlets and self._calls is not None:
            self._turn.stop()
            # It refers to this object: the circle would keep the link's memory until the collector comes.
            del self._turn
            self._end_bell()
            self._end_bell = _nothing
            self._calls.close()
            self._calls = None
            for _, ended in self._ends:
                ended.set()

    # On the serving greenlets.

    def _serve(self, seat: int) -> None:
        try:
            self._worker.serve_greenlet(seat, self._rest, self._make_room)
        except BaseException:
            # Faults of the application end in the observer, so this one is ours (or somebody kills whatever
            # greenlet there is). The others go on.
            LOGGER.critical("A serving greenlet ended by a fault of pelton.", exc_info=True)
        finally:
            del self._greenlets[seat]
            if self._stopped and self._calls is not None:
                self._calls.post(self._tell_ends)
            elif not self._stopped:
                # It may have been the one that pulled.
                self._turn.start()

    def _make_room(self) -> None:
        # From any thread: the application may use the socket on one of its own.
        if (calls := self._calls) is not None:
            calls.post(self._turn.start)

    def _rest(self, asleep: bool) -> bool:
        if self._stopped:
            return False
        if asleep:
            self._turn.stop()
        else:
            self._turn.start()
        current = self._hub.current()
        self._idle.append(current)
        try:
            self._hub.park()
        except BaseException:
            if current in self._idle:
                self._idle.remove(current)
            raise
        return not self._stopped


class _GreenStraggler:
    """A greenlet that is still in the application's code."""

    def __init__(self, runner: GreenRunner, seat: int, thread: int) -> None:
        self.name = f"greenlet {seat}"
        self._runner = runner
        self._seat = seat
        self._thread = thread

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._seat in self._runner._greenlets

    def stack(self) -> str:
        """Where it is."""
        if get_ident() == self._thread:
            return self._runner.stack_in_hub(self._seat)
        return self._runner.stack(self._seat) or stack_from(None)


def _nothing() -> None:
    pass
