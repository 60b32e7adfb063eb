"""What must hold whatever happens: a machine that plays a world of processes against the plan.

The world knows only actions and events. It keeps its own account of which processes live and which of them
the front has been told to use, and compares that, not the plan's state, with the promises.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pelton.supervisor.plan import Rules, State, decide, next_deadline
from pelton.supervisor.plan import actions as do
from pelton.supervisor.plan import events as ev

EXITS = st.sampled_from(
    [
        ev.Exit(code=0),
        ev.Exit(code=3),
        ev.Exit(code=7),
        ev.Exit(signal=signal.SIGSEGV),
        ev.Exit(note="no memory"),
    ]
)
NEWS = st.sampled_from(
    [ev.WorkerSpent, ev.WorkerStuck, ev.WorkerLeaving, ev.WorkerLost, ev.WorkerRefused, ev.WorkerQuiet]
)


@dataclass
class Process:
    """A worker or template as the system sees it."""

    number: int
    template: int | None = None
    is_ready: bool = False
    attaches: int = 0
    signalled: int = 0
    has_failed: bool = False
    is_stopped: bool = False


def one_of(data: st.DataObject, numbers: Iterable[int]) -> int:
    number: int = data.draw(st.sampled_from(sorted(numbers)))
    return number


class World(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.front: int | None = None
        self.front_is_told_to_end = False
        self.front_hangs = self.owes_answer = False
        self.workers: dict[int, Process] = {}
        self.templates: dict[int, Process] = {}
        # Workers that the present front may use.
        self.used: set[int] = set()
        self.retired: set[int] = set()
        self.accepts = False
        self.ended: do.End | None = None
        self.was_asked_to_end = False
        self.successor = False
        self.frozen = 0
        self.most_wanted = 0
        self.wanted = 0
        self.kinds: Counter[str] = Counter()

    @initialize(
        workers=st.integers(1, 4),
        preload=st.booleans(),
        lifetime=st.sampled_from([0.0, 20.0]),
        delay=st.sampled_from([0.0, 5.0]),
        limit=st.sampled_from([0.0, 15.0]),
        peace=st.sampled_from([0.0, 30.0, 300.0]),
    )
    def begin(
        self, workers: int, preload: bool, lifetime: float, delay: float, limit: float, peace: float
    ) -> None:
        self.law = Rules(
            workers=workers,
            preload=preload,
            max_requests=10,
            max_requests_jitter=5,
            max_rss_bytes=100,
            worker_lifetime=lifetime,
            graceful_timeout=10.0,
            drain_delay=delay,
            start_timeout=limit,
        )
        self.wanted = self.most_wanted = workers
        # Until then nobody asks for the end: a history in which it comes early has nothing more to tell.
        self.peace = self.now + peace
        self.state = State(self.law)
        self.tell(ev.Begin())

    def tell(self, *events: ev.Event) -> None:
        waiting = list(events)
        while waiting:
            event = waiting.pop(0)
            for action in decide(self.state, event, self.now):
                waiting += self.perform(action)

    def perform(self, action: do.Action) -> list[ev.Event]:
        assert self.ended is None, f"{action} after the end"
        self.kinds[type(action).__name__] += 1
        match action:
            case do.StartFront():
                assert self.front is None, "two fronts"
                self.front = action.incarnation
                self.front_is_told_to_end = False
                self.front_hangs = self.owes_answer = False
                self.used.clear()
                self.retired.clear()
                self.accepts = False
                return [ev.FrontForked(100)]
            case do.StartWorker(number, template):
                assert self.front is not None, "a worker without a front"
                assert number not in self.workers
                assert (template in self.templates) if self.law.preload else template is None
                self.workers[number] = Process(number, template)
                self.check_number()
                return [ev.WorkerForked(number, 4000 + number, 0.5)]
            case do.StartTemplate(number):
                self.templates[number] = Process(number)
                return [ev.TemplateForked(number, 3000 + number)]
            case do.AttachWorker(number):
                self.workers[number].attaches += 1
            case do.AddWorker(number):
                worker = self.workers[number]
                assert worker.is_ready, "used before it was ready"
                assert worker.attaches == 0, "used over a link that it does not have yet"
                self.used.add(number)
                return [ev.WorkerAdded(number)]
            case do.RetireWorker(number):
                worker = self.workers[number]
                assert number in self.used
                self.used.discard(number)
                self.retired.add(number)
                target = 0 if self.state.is_withdrawn else self.state.wanted
                # A frozen worker is retired in the moment in which it is ended, which nobody can prevent.
                assert len(self.used) >= target or number == self.frozen, "retired before its successor"
            case do.BuryWorker(number):
                assert number not in self.workers
            case do.Accept():
                assert self.used, "accepts without a worker"
                self.accepts = True
            case do.StopWorker(number):
                self.workers[number].is_stopped = True
                self.used.discard(number)
            case do.SignalWorker(number, sent):
                self.workers[number].signalled = sent
                self.used.discard(number)
            case do.StopTemplate(number) | do.KillTemplate(number):
                self.templates[number].is_stopped = True
            case do.AskFront():
                assert self.front is not None
                assert not self.owes_answer, "asked again without an answer"
                self.owes_answer = True
                return [] if self.front_hangs else self.answer()
            case do.DescribeFront():
                assert self.owes_answer, "suspected without a question"
            case do.DrainFront() | do.StopFront() | do.KillFront():
                self.front_is_told_to_end = True
            case do.StartSuccessor():
                self.successor = True
            case do.StopSuccessor():
                self.successor = False
            case do.End():
                assert not self.workers, "ends with living workers"
                assert not self.templates, "ends with a living template"
                assert self.front is None, "ends with a living front"
                self.ended = action
        return []

    def answer(self) -> list[ev.Event]:
        self.owes_answer = False
        return [ev.FrontAnswered()]

    def check_number(self) -> None:
        # Who was killed, or has said that it cannot load the application, is only not gone yet: nobody has to
        # wait for it.
        alive = sum(not one.signalled and not one.has_failed for one in self.workers.values())
        # After one worker less was asked for, those that were wanted before may still finish.
        assert alive <= 2 * self.most_wanted, "too many processes"

    @property
    def loading(self) -> list[int]:
        return [n for n, one in self.workers.items() if not one.is_ready and not one.signalled]

    @property
    def attaching(self) -> list[int]:
        return [n for n, one in self.workers.items() if one.is_ready and one.attaches]

    @property
    def leaving(self) -> list[int]:
        return [n for n, one in self.workers.items() if one.is_stopped or one.signalled]

    @property
    def quieting(self) -> list[int]:
        return sorted(self.retired & set(self.workers))

    @property
    def preloading(self) -> list[int]:
        return [n for n, one in self.templates.items() if not one.is_ready]

    # What processes do. Only what can happen is tried (`precondition`): an assumption in the middle of a rule
    # would throw the whole history away, and hardly any would be long.

    @precondition(lambda self: self.loading)
    @rule(data=st.data())
    def ready(self, data: st.DataObject) -> None:
        number = one_of(data, self.loading)
        self.workers[number].is_ready = True
        self.tell(ev.WorkerReady(number))

    @rule()
    def all_are_ready(self) -> None:
        for number, one in list(self.workers.items()):
            if not one.is_ready and not one.signalled:
                one.is_ready = True
                self.tell(ev.WorkerReady(number))

    @rule(kind=NEWS)
    def all_are_replaced(self, kind: Any) -> None:
        for number in sorted(self.used):
            self.tell(kind(number))
        for _ in range(4):
            self.all_are_ready()

    @precondition(lambda self: self.attaching)
    @rule(data=st.data())
    def attached(self, data: st.DataObject) -> None:
        number = one_of(data, self.attaching)
        self.workers[number].attaches -= 1
        self.tell(ev.WorkerAttached(number))

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), how=EXITS)
    def worker_dies(self, data: st.DataObject, how: ev.Exit) -> None:
        number = one_of(data, self.workers)
        if how.code == 3 and not self.workers[number].is_ready:
            self.workers[number].has_failed = True
            self.tell(ev.WorkerFailed(number, "broken", ""))
        self.exit_worker(number, how)

    def exit_worker(self, number: int, how: ev.Exit) -> None:
        if number in self.workers:
            del self.workers[number]
            self.used.discard(number)
            self.tell(ev.WorkerExited(number, how))

    @precondition(lambda self: self.leaving)
    @rule(data=st.data())
    def worker_obeys(self, data: st.DataObject) -> None:
        number = one_of(data, self.leaving)
        one = self.workers[number]
        self.exit_worker(number, ev.Exit(signal=one.signalled) if one.signalled else ev.Exit(code=0))

    @precondition(lambda self: self.quieting)
    @rule(data=st.data())
    def quiet(self, data: st.DataObject) -> None:
        number = one_of(data, self.quieting)
        self.retired.discard(number)
        self.tell(ev.WorkerQuiet(number))

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), kind=NEWS)
    def news(self, data: st.DataObject, kind: Any) -> None:
        self.tell(kind(one_of(data, self.workers)))

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), size=st.integers(0, 200))
    def measured(self, data: st.DataObject, size: int) -> None:
        self.tell(ev.MemoryMeasured(one_of(data, self.workers), size))

    @precondition(lambda self: self.used)
    @rule(data=st.data())
    def freezes(self, data: st.DataObject) -> None:
        number = one_of(data, self.used)
        self.frozen = number
        self.tell(ev.WorkerFrozen(number))
        self.frozen = 0

    @precondition(lambda self: self.preloading)
    @rule(data=st.data(), works=st.booleans())
    def template_loads(self, data: st.DataObject, works: bool) -> None:
        number = one_of(data, self.preloading)
        self.templates[number].is_ready = True
        if works:
            self.tell(ev.TemplateReady(number))
        else:
            self.tell(ev.TemplateFailed(number, "broken", ""))
            self.exit_template(number, ev.Exit(code=3))

    def exit_template(self, number: int, how: ev.Exit) -> None:
        if number in self.templates:
            del self.templates[number]
            self.tell(ev.TemplateExited(number, how))

    @precondition(lambda self: self.templates)
    @rule(data=st.data(), how=EXITS)
    def template_dies(self, data: st.DataObject, how: ev.Exit) -> None:
        self.exit_template(one_of(data, self.templates), how)

    @precondition(lambda self: self.front is not None)
    @rule(how=EXITS)
    def front_dies(self, how: ev.Exit) -> None:
        self.front = None
        self.used.clear()
        self.retired.clear()
        self.tell(ev.FrontExited(how))

    @precondition(lambda self: self.front is not None)
    @rule(hangs=st.booleans())
    def front_hangs_or_wakes_up(self, hangs: bool) -> None:
        self.front_hangs = hangs
        if self.owes_answer and not hangs:
            self.tell(*self.answer())

    # What people do.

    @rule()
    def reload(self) -> None:
        self.tell(ev.Reload())

    @precondition(lambda self: self.wanted < 5)
    @rule()
    def more(self) -> None:
        self.most_wanted = max(self.most_wanted, self.wanted + 1)
        self.tell(ev.MoreWorkers())
        self.wanted = self.state.wanted

    @rule()
    def fewer(self) -> None:
        self.tell(ev.FewerWorkers())
        self.wanted = self.state.wanted

    @rule()
    def withdraw(self) -> None:
        self.tell(ev.Withdraw())

    @rule(works=st.booleans())
    def upgrade(self, works: bool) -> None:
        self.tell(ev.Upgrade())
        if self.successor:
            self.successor = False
            self.was_asked_to_end = self.was_asked_to_end or works
            self.tell(ev.SuccessorReady(99) if works else ev.SuccessorFailed("died"))

    @precondition(lambda self: self.now >= self.peace)
    @rule(now=st.booleans())
    def end(self, now: bool) -> None:
        self.was_asked_to_end = True
        self.tell(ev.StopNow("SIGINT") if now else ev.Drain("SIGTERM"))

    @rule(seconds=st.sampled_from([0.01, 0.5, 3.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        end = self.now + seconds
        turns = 0
        while (due := next_deadline(self.state)) is not None and due <= end:
            self.now = max(self.now, due)
            self.tell(ev.Elapsed())
            turns += 1
            assert turns < 100, "the same deadline again and again"
        self.now = end
        self.tell(ev.Elapsed())

    # What always holds.

    @invariant()
    def the_end_comes_only_when_asked_or_hopeless(self) -> None:
        if self.ended is not None and not self.was_asked_to_end:
            assert self.ended.code != 0

    @invariant()
    def somebody_takes_care(self) -> None:
        """Whenever less workers serve than wanted, something is under way or has a time."""
        if self.ended is not None or not hasattr(self, "state"):
            return
        target = 0 if self.state.is_withdrawn else self.state.wanted
        if len(self.used) >= target:
            return
        under_way = [one for one in self.workers.values() if not one.is_ready or one.attaches]
        loading = [one for one in self.templates.values() if not one.is_ready]
        everybody = [*self.workers.values(), *self.templates.values()]
        leaving = [one for one in everybody if one.is_stopped or one.signalled]
        assert (
            under_way
            or loading
            or leaving
            or self.front_is_told_to_end
            or self.owes_answer
            or next_deadline(self.state) is not None
        ), "nobody does anything about it"

    def teardown(self) -> None:
        """However it went, being asked to end it ends, within bounded time."""
        if not hasattr(self, "state") or self.ended is not None:
            return
        self.tell(ev.Drain("SIGTERM"))
        for _ in range(100):
            if self.is_over:
                return
            for number, one in list(self.workers.items()):
                if one.signalled == signal.SIGKILL:
                    self.exit_worker(number, ev.Exit(signal=signal.SIGKILL))
            for number, one in list(self.templates.items()):
                if one.is_stopped:
                    self.exit_template(number, ev.Exit(signal=signal.SIGKILL))
            if not self.is_over and self.front is not None and self.kinds["KillFront"]:
                self.front = None
                self.tell(ev.FrontExited(ev.Exit(signal=signal.SIGKILL)))
            if not self.is_over:
                self.time_passes(1.0)
        raise AssertionError("it never ends")

    @property
    def is_over(self) -> bool:
        return self.ended is not None


World.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
TestWorld = World.TestCase


def test_a_respawn_loop_is_bounded() -> None:
    """For an hour all but one die before they are ready: in the end a start every thirty seconds."""
    state = State(Rules(workers=4))
    now, starts = 0.0, 0

    def tell(event: ev.Event) -> list[int]:
        nonlocal starts
        started = [one.worker for one in decide(state, event, now) if isinstance(one, do.StartWorker)]
        starts += len(started)
        for number in started:
            decide(state, ev.WorkerForked(number, number, 0.0), now)
        return started

    living = tell(ev.Begin())
    tell(ev.WorkerReady(1))
    living.remove(1)
    while now < 3600:
        for number in living:
            living = [*living[1:], *tell(ev.WorkerExited(number, ev.Exit(code=1)))]
        due = next_deadline(state)
        assert due is not None
        now = max(due, now + 0.001)
        living += tell(ev.Elapsed())
    assert starts < 4 + 3600 / 30 + 10
