"""The turns of greenlets, in a hub whose rounds the test makes itself; so each order of events is certain."""

from __future__ import annotations

import logging
import os
import select
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import greenlet
import pytest

from pelton.process.native_threads import NativeEvent, NativeThread
from pelton.worker.runners.green import GreenRunner
from pelton.worker.runners.hub import Calls
from pelton.worker.runners.parking import Parking


class Turn:
    def __init__(self, function: Callable[[], None]) -> None:
        self.function = function
        self.is_started = False

    def start(self) -> None:
        self.is_started = True

    def stop(self) -> None:
        self.is_started = False


class HandHub:
    """The test's own greenlet is the hub."""

    def __init__(self) -> None:
        self.own = greenlet.getcurrent()
        self.turns: list[Turn] = []
        self.watched: dict[int, Callable[[], None]] = {}

    def watch(self, descriptor: int, function: Callable[[], None]) -> Callable[[], None]:
        self.watched[descriptor] = function
        return lambda: self.watched.pop(descriptor, None) and None

    def turn(self, function: Callable[[], None]) -> Turn:
        self.turns.append(Turn(function))
        return self.turns[-1]

    def greenlet(self, function: Callable[[], None]) -> Any:
        return greenlet.greenlet(function, parent=self.own)

    def current(self) -> Any:
        return greenlet.getcurrent()

    def park(self) -> None:
        self.own.switch()

    def round(self) -> None:
        """Descriptors, then the turns that were started before."""
        due = [turn for turn in self.turns if turn.is_started]
        for descriptor in select.select(list(self.watched), [], [], 0)[0]:
            self.watched.get(descriptor, lambda: None)()
        for turn in due:
            if turn.is_started:
                turn.stop()
                turn.function()

    def rounds(self, count: int = 10) -> None:
        for _ in range(count):
            self.round()


class Worker:
    """As the native one serves greenlets, with functions for requests."""

    def __init__(self, hub: HandHub) -> None:
        self.hub = hub
        self.bell = os.eventfd(0, os.EFD_NONBLOCK)
        self.is_asleep = False
        self.is_stopping = False
        self.front_lives = True
        self.requests: deque[Callable[[], None]] = deque()
        self.roused: list[int] = []
        self.claims: dict[object, int] = {}
        self.ran: list[Any] = []
        self.held = 0

    def listen(self, pause: Callable[[int], None], resume: Callable[[int], None]) -> int:
        self.pause, self.resume = pause, resume
        return self.bell

    def sockets_held(self) -> int:
        return self.held

    def serve_greenlet(
        self, seat: int, rest: Callable[[bool], bool], on_departure: Callable[[], object]
    ) -> None:
        self.on_departure = on_departure
        while True:
            while self.requests and not self.is_stopping:
                self.ran.append(seat)
                self.requests.popleft()()
            if not rest(self.prepare_sleep(True)):
                return

    def prepare_sleep(self, takes_requests: bool) -> bool:
        is_work = takes_requests and not self.is_stopping and bool(self.requests)
        self.is_asleep = not is_work and not self.roused
        return self.is_asleep

    def answer_bell(self) -> bool:
        self.is_asleep = False
        if not self.front_lives:
            return False
        os.eventfd_read(self.bell)
        return True

    def take_roused(self) -> list[int]:
        roused, self.roused = self.roused, []
        return roused

    def claim(self, overdue: Any) -> int | None:
        return self.claims.pop(overdue, None)

    def stop(self) -> None:
        self.is_stopping = True

    # The front's part.

    def push(self, *requests: Callable[[], None]) -> None:
        self.requests.extend(requests)
        self.ring()

    def ring(self) -> None:
        if self.is_asleep:
            self.is_asleep = False
            os.eventfd_write(self.bell, 1)


@pytest.fixture
def hub() -> HandHub:
    return HandHub()


@pytest.fixture
def worker(hub: HandHub) -> Worker:
    return Worker(hub)


@pytest.fixture
def runner(worker: Worker, hub: HandHub) -> Iterator[GreenRunner]:
    made = GreenRunner(worker, lambda: hub, "green", connections=3, block_seconds=0)
    made.start()
    hub.rounds()
    assert worker.is_asleep
    yield made
    made.stop()


def quick() -> None:
    """A request that does not wait."""


@pytest.mark.usefixtures("runner")
def test_quick_requests_share_one_greenlet_and_end_asleep(worker: Worker, hub: HandHub) -> None:
    for _ in range(3):
        worker.push(quick, quick, quick)
        hub.rounds()
        assert worker.is_asleep
    assert worker.ran == [0] * 9
    assert not any(turn.is_started for turn in hub.turns)


@pytest.mark.usefixtures("runner")
def test_when_one_blocks_the_next_pulls(worker: Worker, hub: HandHub) -> None:
    parked: list[Any] = []

    def blocks() -> None:
        parked.append(hub.current())
        hub.park()

    worker.push(blocks, quick, quick)
    hub.round()
    assert worker.ran == [0]
    hub.rounds()
    assert worker.ran == [0, 1, 1]
    assert worker.is_asleep
    parked.pop().switch()
    # The one that is idle last is used first.
    worker.push(quick)
    hub.rounds()
    assert worker.ran == [0, 1, 1, 0]


@pytest.mark.usefixtures("runner")
def test_never_more_than_the_setting(worker: Worker, hub: HandHub) -> None:
    parked: list[Any] = []

    def blocks() -> None:
        parked.append(hub.current())
        hub.park()

    worker.push(*[blocks] * 5)
    hub.rounds()
    assert len(parked) == 3
    # More that come change nothing, and the bell is set for other news.
    worker.push(blocks)
    hub.rounds()
    assert len(parked) == 3
    assert worker.is_asleep
    parked.pop(0).switch()
    hub.rounds()
    assert len(parked) == 3
    assert len(worker.requests) == 2


@pytest.mark.usefixtures("runner")
def test_news_for_a_slot_reach_who_waits_for_it(worker: Worker, hub: HandHub) -> None:
    seen: list[str] = []

    def waits(slot: int) -> None:
        worker.pause(slot)
        seen.append(f"slot {slot}")

    worker.push(lambda: waits(7), lambda: waits(8))
    hub.rounds()
    worker.roused = [7, 9]
    worker.ring()
    hub.rounds()
    assert seen == ["slot 7"]
    worker.resume(8)
    assert seen == ["slot 7"], "not from within the greenlet that says it"
    hub.rounds()
    assert seen == ["slot 7", "slot 8"]


def test_the_end(worker: Worker, hub: HandHub, runner: GreenRunner) -> None:
    parked: list[Any] = []

    def blocks() -> None:
        parked.append(hub.current())
        hub.park()

    worker.push(blocks, quick)
    hub.rounds()
    runner.stop()
    runner.stop()
    worker.push(quick)
    hub.rounds()
    assert len(worker.ran) == 2
    (straggler,) = runner.join(0)
    assert straggler.is_alive()
    assert straggler.name == "greenlet 0"
    parked.pop().switch()
    hub.rounds()
    assert not straggler.is_alive()
    assert hub.watched == {}
    assert list(runner.join(0)) == []


def test_a_greenlet_that_waits_for_the_end_does_not_wait_for_itself(
    worker: Worker, hub: HandHub, runner: GreenRunner
) -> None:
    ended: list[object] = []

    def stops() -> None:
        runner.stop()
        ended.append(list(runner.join(0)))

    worker.push(stops)
    hub.rounds()
    assert ended == [[]]
    assert hub.watched == {}


def test_an_exception_goes_to_its_request_only(worker: Worker, hub: HandHub, runner: GreenRunner) -> None:
    met: list[str] = []

    def waits(name: str) -> None:
        try:
            hub.park()
        except TimeoutError:
            met.append(name)

    worker.push(lambda: waits("first"), lambda: waits("second"))
    hub.rounds()
    overdue: Any = object()
    runner.interrupt(overdue, TimeoutError)
    hub.rounds()
    assert met == [], "it was over"
    worker.claims[overdue] = 1
    runner.interrupt(overdue, TimeoutError)
    assert met == [], "not before the hub comes to run"
    hub.rounds()
    assert met == ["second"]
    assert worker.is_asleep


def test_the_stack_of_a_greenlet_is_read_in_the_hub(
    worker: Worker, hub: HandHub, runner: GreenRunner
) -> None:
    def lingers() -> None:
        hub.park()

    worker.push(lingers)
    hub.rounds()
    found: list[str | None] = []
    asks = NativeThread(lambda: found.append(runner.stack(0)), name="asks")
    asks.start()
    while asks.is_alive():
        hub.round()
    assert "in lingers" in (found[0] or "")
    # A hub that does not come to run does not say.
    asks = NativeThread(lambda: found.append(runner.stack(0)), name="asks")
    asks.start()
    asks.join()
    assert found[1] is None


def test_a_front_that_is_gone_is_not_listened_to(worker: Worker, hub: HandHub, runner: GreenRunner) -> None:
    woken: list[int] = []

    def waits() -> None:
        worker.pause(1)
        woken.append(1)

    worker.push(waits)
    hub.rounds()
    worker.front_lives = False
    worker.ring()
    hub.rounds()
    assert woken == [1]
    assert worker.bell not in hub.watched
    runner.stop()
    hub.rounds()
    assert list(runner.join(0)) == []


def test_a_hub_that_ends_while_it_is_being_stopped(
    worker: Worker, hub: HandHub, runner: GreenRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.push(quick)
    hub.rounds()

    def meanwhile() -> None:
        # Another thread stops it, too, and the hub comes to its end before this one has gone on.
        monkeypatch.undo()
        runner.stop()
        hub.rounds()

    monkeypatch.setattr(runner._relay, "end", meanwhile)
    runner.stop()
    assert list(runner.join(0)) == []


def test_before_the_start(worker: Worker, hub: HandHub) -> None:
    made = GreenRunner(worker, lambda: hub, "green", connections=3, block_seconds=0)
    made.stop()
    assert list(made.join(0)) == []


def test_what_is_thrown_into_a_parked_greenlet_unparks_it(hub: HandHub) -> None:
    parking = Parking(hub, Calls(hub))
    met: list[object] = []

    def waits() -> None:
        try:
            parking.pause(3)
        except TimeoutError as error:
            met.append(error)

    one = hub.greenlet(waits)
    one.switch()
    one.throw(TimeoutError)
    assert len(met) == 1
    parking.wake_all()
    assert one.dead


def test_other_threads_hand_over_what_is_to_be_done(hub: HandHub) -> None:
    calls = Calls(hub)
    done: list[int] = []
    thread = threading.Thread(target=lambda: calls.post(lambda: done.append(threading.get_ident())))
    thread.start()
    thread.join()
    assert done == []
    hub.round()
    assert done == [threading.get_ident()]
    calls.close()
    calls.post(lambda: done.append(0))
    hub.round()
    assert len(done) == 1


def test_an_event_happens_once() -> None:
    event = NativeEvent()
    assert not event.wait(0)
    assert not event.is_set()
    waiting = [threading.Thread(target=event.wait) for _ in range(3)]
    for thread in waiting:
        thread.start()
    event.set()
    event.set()
    for thread in waiting:
        thread.join()
    assert event.is_set()
    assert event.wait(0)
    assert event.wait_with_hub(0)


def test_records_of_real_threads_come_to_foreign_handlers_by_the_hub(
    hub: HandHub, runner: GreenRunner, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("pelton.request")

    def tell(text: str) -> None:
        thread = threading.Thread(target=lambda: logger.error(text))
        thread.start()
        thread.join()

    logger.error("at once")
    tell("later")
    assert caplog.messages == ["at once"]
    hub.round()
    assert caplog.messages == ["at once", "later"]
    runner.stop()
    tell("nobody waits for the hub any more")
    assert len(caplog.messages) == 3
