"""The supervisor's decisions, event by event, on a clock that the test sets."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from pelton.supervisor.plan import Rules, State, decide, next_deadline
from pelton.supervisor.plan import actions as do
from pelton.supervisor.plan import events as ev
from pelton.supervisor.plan.state import Stage

_Action = TypeVar("_Action", bound=do.Action)

KILLED = ev.Exit(signal=signal.SIGKILL)
CLEAN = ev.Exit(code=0)


class Story:
    """A plan whose world does what it is asked unless the test says otherwise: processes exist at once, and
    the front answers, if not ``front_hangs``. It is only asked with a ``front_timeout``.

    ``actions`` are those of the last `tell`.
    """

    def __init__(self, **rules: Any) -> None:
        self.now = 1000.0
        self.state = State(Rules(**{"workers": 2, "front_timeout": 0.0, **rules}))
        self.actions: list[do.Action] = []
        self.front_hangs = False
        self.begin()

    def begin(self) -> None:
        self.tell(ev.Begin())

    def tell(self, *events: ev.Event) -> list[do.Action]:
        self.actions = []
        waiting = list(events)
        while waiting:
            made = decide(self.state, waiting.pop(0), self.now)
            self.actions += made
            news = follow(made)
            if self.front_hangs:
                news = [one for one in news if not isinstance(one, ev.FrontAnswered)]
            waiting = [*news, *waiting]
        return self.actions

    def after(self, seconds: float) -> list[do.Action]:
        """As `tell` after so much time; stops at every deadline on the way, as the supervisor does."""
        end, actions = self.now + seconds, []
        while (due := next_deadline(self.state)) is not None and due <= end:
            self.now = max(self.now, due)
            actions += self.tell(ev.Elapsed())
        self.now = end
        actions += self.tell(ev.Elapsed())
        self.actions = actions
        return actions

    def all(self, kind: type[_Action]) -> list[_Action]:
        return [one for one in self.actions if isinstance(one, kind)]

    def one(self, kind: type[_Action]) -> _Action:
        found = self.all(kind)
        assert len(found) == 1, self.actions
        return found[0]

    def log(self, text: str) -> bool:
        return any(text in one.message for one in self.all(do.Log))

    def serve(self) -> list[int]:
        """All first workers are ready."""
        numbers = sorted(self.state.workers)
        self.tell(*(ev.WorkerReady(number) for number in numbers))
        return numbers

    def leave(self, *numbers: int) -> None:
        """Retired workers become quiet and end."""
        self.tell(*(ev.WorkerQuiet(number) for number in numbers))
        assert [one.worker for one in self.all(do.StopWorker)] == list(numbers)
        self.tell(*(ev.WorkerExited(number, CLEAN) for number in numbers))


def follow(actions: Iterable[do.Action]) -> list[ev.Event]:
    found: list[ev.Event] = []
    for action in actions:
        match action:
            case do.StartFront(incarnation):
                found.append(ev.FrontForked(100 + incarnation))
            case do.StartWorker(number):
                found.append(ev.WorkerForked(number, 4000 + number, 0.5))
            case do.StartTemplate(number):
                found.append(ev.TemplateForked(number, 3000 + number))
            case do.AddWorker(number):
                found.append(ev.WorkerAdded(number))
            case do.AskFront():
                found.append(ev.FrontAnswered())
    return found


def started(story: Story) -> list[int]:
    return [one.worker for one in story.all(do.StartWorker)]


class TestStart:
    def test_the_front_comes_first_and_accepts_with_the_first_ready_worker(self) -> None:
        story = Story(workers=2)
        assert [type(one) for one in story.actions] == [do.StartFront, do.StartWorker, do.StartWorker]
        story.tell(ev.WorkerReady(2))
        kinds = [type(one) for one in story.actions]
        # The log says so when requests may come.
        assert kinds == [do.AddWorker, do.Accept, do.Announce, do.Log]
        assert story.log("worker 2 (pid 4002) is ready")
        story.tell(ev.WorkerReady(1))
        assert [type(one) for one in story.actions] == [do.AddWorker, do.Log]

    def test_an_application_that_cannot_be_loaded_ends_it(self) -> None:
        story = Story(workers=2)
        story.tell(ev.WorkerFailed(1, "It is not there.", "Traceback"))
        assert not story.all(do.StartWorker)
        story.one(do.StopFront)
        story.tell(
            ev.WorkerExited(1, ev.Exit(code=3)), ev.WorkerExited(2, ev.Exit(signal=15)), ev.FrontExited(CLEAN)
        )
        assert story.one(do.End) == do.End(3, "It is not there.", "Traceback")

    def test_five_silent_deaths_end_it(self) -> None:
        story = Story(workers=2)
        delays = []
        for _ in range(4):
            story.tell(*(ev.WorkerExited(one, KILLED) for one in list(story.state.workers)))
            assert not story.all(do.StartWorker)
            due = next_deadline(story.state)
            assert due is not None
            delays.append(due - story.now)
            story.after(delays[-1])
            # One finds out, for all.
            assert len(started(story)) == 1
        assert delays == [0.5, 1, 2, 4]
        story.tell(*(ev.WorkerExited(one, KILLED) for one in list(story.state.workers)))
        assert story.log("gives up: 5 starts in a row failed; the last process was killed by SIGKILL")
        story.tell(ev.FrontExited(CLEAN))
        assert story.one(do.End) == do.End(1)

    def test_one_that_becomes_ready_lets_the_others_start(self) -> None:
        story = Story(workers=3)
        story.tell(*(ev.WorkerExited(one, KILLED) for one in (1, 2, 3)))
        story.after(0.5)
        assert started(story) == [4]
        story.tell(ev.WorkerReady(4))
        assert started(story) == [5, 6]

    def test_wrong_settings_of_the_front(self) -> None:
        story = Story()
        story.tell(ev.FrontFailed("out of range"), ev.FrontExited(ev.Exit(code=2)))
        story.tell(*(ev.WorkerExited(one, KILLED) for one in (1, 2)))
        assert story.one(do.End) == do.End(2, "out of range")

    def test_sigterm_before_anything_is_ready(self) -> None:
        story = Story()
        story.tell(ev.Drain("SIGTERM"))
        assert [one.number for one in story.all(do.SignalWorker)] == [signal.SIGTERM] * 2
        story.one(do.StopFront)
        story.tell(ev.FrontExited(CLEAN), *(ev.WorkerExited(one, ev.Exit(signal=15)) for one in (1, 2)))
        assert story.one(do.End).code == 0

    def test_one_that_does_not_become_ready_in_time(self) -> None:
        story = Story(workers=2, start_timeout=60.0)
        story.tell(ev.WorkerReady(1))
        story.after(59)
        assert not story.all(do.SignalWorker)
        story.after(1)
        assert story.one(do.SignalWorker) == do.SignalWorker(2, signal.SIGABRT)
        assert story.log("worker 2 (pid 4002) had not loaded the application after 60s (--start-timeout)")
        # As with any start that failed, the next one has to wait; also while this one writes its stacks.
        assert not story.all(do.StartWorker)
        story.tell(ev.WorkerExited(2, ev.Exit(signal=signal.SIGABRT)))
        assert not story.all(do.StartWorker)
        story.after(0.5)
        assert started(story) == [3]
        story.after(60)
        assert story.one(do.SignalWorker).worker == 3
        assert not story.all(do.StartWorker)

    def test_one_that_does_not_even_end_then(self) -> None:
        story = Story(workers=1, start_timeout=60.0)
        story.after(60)
        story.after(3)
        assert [one for one in story.all(do.SignalWorker) if one.worker == 1] == [
            do.SignalWorker(1, signal.SIGKILL)
        ]

    def test_five_that_do_not_become_ready_end_it(self) -> None:
        story = Story(workers=2, start_timeout=60.0)
        tries = 0
        while not story.all(do.StopFront):
            due = next_deadline(story.state)
            assert due is not None
            story.after(due - story.now)
            tries += bool(story.log("(--start-timeout) and is killed"))
            ended = [one.worker for one in story.all(do.SignalWorker)]
            gave_up = story.all(do.StopFront)
            actions = story.actions
            story.tell(*(ev.WorkerExited(one, KILLED) for one in ended))
            story.actions = [*actions, *story.actions] if gave_up else story.actions
        assert tries == 5
        assert story.log("gives up: 5 starts in a row failed; the last process had not loaded")

    def test_a_ready_one_may_take_its_time(self) -> None:
        story = Story(workers=1, start_timeout=60.0)
        story.serve()
        story.after(600)
        assert not story.all(do.SignalWorker)

    def test_one_that_has_failed_is_not_late(self) -> None:
        story = Story(workers=2, start_timeout=1.0)
        story.tell(ev.WorkerReady(1))
        story.tell(ev.WorkerFailed(2, "broken", ""))
        story.after(1)
        assert not story.all(do.SignalWorker)
        story.after(1)
        assert story.one(do.SignalWorker) == do.SignalWorker(2, signal.SIGKILL)


class TestDeath:
    def test_it_is_replaced_at_once(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.WorkerExited(1, ev.Exit(signal=signal.SIGSEGV)))
        assert story.one(do.BuryWorker) == do.BuryWorker(1, "was killed by SIGSEGV")
        assert do.Log("error", "worker 1 (pid 4001) was killed by SIGSEGV") in story.actions
        assert started(story) == [3]

    def test_it_was_given_up_before_it_had_a_pid(self) -> None:
        state = State(Rules(workers=1, preload=True))
        for event in (ev.Begin(), ev.TemplateReady(1), ev.StopNow("SIGINT")):
            decide(state, event, 0.0)
        made = decide(state, ev.WorkerForked(1, 4001, 0.0), 0.1)
        assert do.SignalWorker(1, signal.SIGKILL) in made

    def test_any_code_is_unexpected(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.WorkerExited(1, ev.Exit(code=7)), ev.WorkerExited(2, CLEAN))
        assert do.Log("error", "worker 1 (pid 4001) exited with code 7") in story.actions
        assert do.Log("error", "worker 2 (pid 4002) exited with code 0") in story.actions

    def test_workers_that_die_once_they_are_ready_are_started_more_and_more_rarely(self) -> None:
        story = Story(workers=1)
        story.serve()
        starts = 0
        until = story.now + 60
        while story.now < until:
            (number,) = [number for number, one in story.state.workers.items()]
            story.tell(ev.WorkerReady(number))
            story.tell(ev.WorkerExited(number, KILLED))
            # The first one may have been an accident.
            assert len(started(story)) == (1 if starts == 0 else 0), starts
            while not story.state.workers:
                story.now = next_deadline(story.state) or 0.0
                story.tell(ev.Elapsed())
            starts += 1
        assert starts <= 35
        assert story.state.stage is Stage.SERVING
        # One that lives makes good for all of them.
        story.tell(ev.WorkerReady(max(story.state.workers)))
        story.after(5)
        story.tell(ev.WorkerExited(max(story.state.workers), KILLED))
        assert len(started(story)) == 1

    def test_a_canary_or_a_sibling_that_dies_early_counts_once(self) -> None:
        story = Story(workers=4)
        numbers = story.serve()
        story.now += 1
        story.tell(*(ev.WorkerExited(number, KILLED) for number in numbers))
        # All of one cause, and the first time.
        assert len(story.state.workers) == 4
        assert story.state.early_deaths.count == 1
        assert not story.log("in a row")

    def test_later_failures_do_not_end_it_while_one_serves(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.WorkerExited(1, KILLED))
        for _ in range(20):
            (number,) = started(story)
            story.tell(ev.WorkerFailed(number, "broken", ""), ev.WorkerExited(number, ev.Exit(code=3)))
            assert not story.all(do.End)
            story.after(30)
        assert story.state.stage is Stage.SERVING

    def test_later_failures_end_it_when_none_serves(self) -> None:
        story = Story(workers=1)
        story.serve()
        story.tell(ev.WorkerExited(1, KILLED))
        for _ in range(5):
            (number,) = started(story)
            story.tell(ev.WorkerFailed(number, "broken", ""), ev.WorkerExited(number, ev.Exit(code=3)))
            if not story.log("gives up"):
                story.after(30)
        story.tell(ev.FrontExited(CLEAN))
        assert story.one(do.End) == do.End(3)

    def test_a_closed_line_without_an_end(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.WorkerLost(1))
        assert not story.all(do.SignalWorker)
        story.after(2)
        assert story.one(do.SignalWorker) == do.SignalWorker(1, signal.SIGKILL)
        assert started(story) == [3]


class TestReplacement:
    @pytest.mark.parametrize("event", [ev.WorkerSpent, ev.WorkerLeaving, ev.WorkerStuck])
    def test_the_successor_is_ready_first(self, event: Any) -> None:
        story = Story()
        story.serve()
        story.tell(event(1))
        assert started(story) == [3]
        assert not story.all(do.RetireWorker)
        story.tell(ev.WorkerReady(3))
        kinds = [type(one) for one in story.actions if not isinstance(one, do.Log)]
        assert kinds == [do.AddWorker, do.RetireWorker]
        story.leave(1)
        assert story.log("worker 1 (pid 4001) ended")
        assert started(story) == []

    def test_a_successor_that_fails_changes_nothing(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.WorkerSpent(1))
        story.tell(ev.WorkerExited(3, KILLED))
        assert not story.all(do.RetireWorker)
        story.after(0.5)
        assert started(story) == [4]

    def test_one_that_dies_meanwhile_is_not_replaced_twice(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.WorkerSpent(1))
        story.tell(ev.WorkerExited(1, KILLED))
        assert started(story) == []
        story.tell(ev.WorkerReady(3))
        assert not story.all(do.RetireWorker)

    def test_the_other_dies_meanwhile(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.WorkerSpent(1))
        story.tell(ev.WorkerExited(2, KILLED))
        # The one that starts makes two again, with the spent one, which so has to stay a little longer.
        assert not started(story)
        story.tell(ev.WorkerReady(3))
        assert not story.all(do.RetireWorker)
        assert started(story) == [4]
        story.tell(ev.WorkerReady(4))
        assert story.one(do.RetireWorker) == do.RetireWorker(1)

    def test_one_after_the_other(self) -> None:
        story = Story(workers=4)
        story.serve()
        story.tell(*(ev.WorkerSpent(one) for one in (1, 2, 3, 4)))
        assert started(story) == [5]
        story.tell(ev.WorkerReady(5))
        assert story.one(do.RetireWorker) == do.RetireWorker(1)
        assert started(story) == [6]

    def test_not_more_than_twice_as_many_processes(self) -> None:
        story = Story(workers=1, graceful_timeout=30.0)
        story.serve()
        story.tell(ev.WorkerSpent(1))
        story.tell(ev.WorkerReady(2), ev.WorkerSpent(2))
        # Worker 1 still finishes a request.
        assert started(story) == []
        story.leave(1)
        assert started(story) == [3]

    def test_not_quiet_in_time(self) -> None:
        story = Story(graceful_timeout=30.0)
        story.serve()
        story.tell(ev.WorkerSpent(1))
        story.tell(ev.WorkerReady(3))
        story.after(29.9)
        assert not story.all(do.SignalWorker)
        story.after(0.2)
        assert story.one(do.SignalWorker) == do.SignalWorker(1, signal.SIGKILL)
        story.tell(ev.WorkerExited(1, KILLED))
        assert story.one(do.BuryWorker) == do.BuryWorker(1, "was killed by SIGKILL")
        assert started(story) == []

    def test_one_that_does_not_stop_is_killed(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.WorkerStuck(1))
        story.tell(ev.WorkerReady(3), ev.WorkerQuiet(1))
        story.after(10)
        assert story.one(do.SignalWorker) == do.SignalWorker(1, signal.SIGABRT)
        story.after(3)
        assert story.one(do.SignalWorker) == do.SignalWorker(1, signal.SIGKILL)

    def test_one_that_freezes_while_it_should_stop(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.WorkerStuck(1))
        story.tell(ev.WorkerReady(3), ev.WorkerQuiet(1), ev.WorkerFrozen(1))
        assert story.one(do.SignalWorker) == do.SignalWorker(1, signal.SIGABRT)

    def test_the_stuck_one_goes_before_the_spent_one(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.WorkerSpent(1), ev.WorkerStuck(2))
        story.tell(ev.WorkerReady(3))
        assert story.one(do.RetireWorker) == do.RetireWorker(2)

    def test_limits(self) -> None:
        story = Story(workers=1, max_requests=100, max_requests_jitter=10)
        story.tell(ev.WorkerReady(1))
        assert story.one(do.AddWorker) == do.AddWorker(1, 105)

    def test_memory(self) -> None:
        story = Story(workers=1, max_rss_bytes=2**20)
        story.serve()
        story.tell(ev.MemoryMeasured(1, 2**20))
        assert not story.actions
        story.tell(ev.MemoryMeasured(1, 2**21))
        assert started(story) == [2]
        story.tell(ev.MemoryMeasured(1, 2**22))
        assert not story.actions

    def test_lifetime(self) -> None:
        story = Story(workers=1, worker_lifetime=60.0)
        story.serve()
        story.after(62)
        assert not story.actions
        story.after(2)
        assert started(story) == [2]

    def test_frozen(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.WorkerFrozen(1))
        assert story.one(do.SignalWorker) == do.SignalWorker(1, signal.SIGABRT)
        assert story.one(do.RetireWorker) == do.RetireWorker(1)
        assert started(story) == [3]
        story.after(3)
        assert story.one(do.SignalWorker) == do.SignalWorker(1, signal.SIGKILL)

    def test_refused(self) -> None:
        story = Story(workers=1)
        story.serve()
        story.tell(ev.WorkerRefused(1))
        assert not started(story)
        story.after(1)
        assert started(story) == [2]


class TestNumber:
    def test_more_and_less(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.MoreWorkers())
        assert started(story) == [3]
        story.tell(ev.WorkerReady(3))
        assert not story.all(do.RetireWorker)
        story.tell(ev.FewerWorkers())
        assert story.one(do.RetireWorker) == do.RetireWorker(1)
        story.leave(1)
        assert not started(story)

    def test_less_and_more_while_requests_finish(self) -> None:
        story = Story(workers=2)
        story.serve()
        for _ in range(9):
            story.tell(ev.FewerWorkers())
            story.tell(ev.MoreWorkers())
            story.serve()
        assert len(story.state.workers) == 4

    def test_the_only_one_dies_beside_many_that_finish(self) -> None:
        story = Story(workers=4)
        story.serve()
        story.tell(*[ev.FewerWorkers()] * 3)
        story.tell(ev.WorkerExited(4, KILLED))
        assert started(story) == [5]

    def test_never_below_one(self) -> None:
        story = Story(workers=1)
        story.serve()
        story.tell(ev.FewerWorkers())
        assert not story.all(do.RetireWorker)
        assert story.state.wanted == 1

    def test_one_that_only_starts_goes_first(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.MoreWorkers())
        story.tell(ev.FewerWorkers())
        assert story.one(do.SignalWorker) == do.SignalWorker(3, signal.SIGTERM)
        assert not story.all(do.RetireWorker)

    def test_withdrawn_until_the_reload(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.Withdraw())
        assert [one.worker for one in story.all(do.RetireWorker)] == [1, 2]
        story.leave(1, 2)
        assert not started(story)
        story.tell(ev.Reload())
        assert started(story) == [3]
        story.tell(ev.WorkerReady(3))
        assert started(story) == [4]

    def test_another_number_of_workers_holds_when_the_new_code_does(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.Reload(replace(story.state.rules, workers=3, preload=True, graceful_timeout=7.0)))
        # The canary, and not a third worker with the old code.
        assert started(story) == [3]
        assert story.state.rules.graceful_timeout == 7.0
        assert not story.state.rules.preload
        story.tell(ev.WorkerFailed(3, "broken", ""), ev.WorkerExited(3, ev.Exit(code=3)))
        assert story.state.wanted == 2
        # What was asked for then is not forgotten.
        story.tell(ev.Reload(story.state.rules))
        story.tell(ev.WorkerReady(4))
        assert story.state.wanted == 3

    def test_withdrawn_and_a_reload_that_fails(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.Withdraw())
        story.leave(1, 2)
        story.tell(ev.Reload())
        story.tell(ev.WorkerFailed(3, "broken", ""), ev.WorkerExited(3, ev.Exit(code=3)))
        assert len(started(story)) == 2

    def test_withdrawn_and_the_new_code_fails_beside_requests_that_finish(self) -> None:
        story = Story(workers=1)
        story.serve()
        story.tell(ev.Reload(), ev.WorkerReady(2))
        story.tell(ev.Withdraw(), ev.Reload())
        # Two still finish their requests: there is no room for a third.
        assert not story.all(do.StartWorker)
        story.tell(ev.WorkerExited(1, CLEAN))
        assert started(story) == [3]
        # Nobody serves, so the old code comes back before the broken one has ended.
        story.tell(ev.WorkerFailed(3, "broken", ""))
        assert started(story) == [4]


class TestReload:
    def test_one_proves_it_for_all(self) -> None:
        story = Story(workers=3)
        story.serve()
        story.tell(ev.Reload())
        assert started(story) == [4]
        assert do.Tell("reloading") in story.actions
        story.tell(ev.WorkerReady(4))
        assert story.one(do.RetireWorker) == do.RetireWorker(1)
        assert started(story) == [5]
        story.tell(ev.WorkerReady(5))
        assert story.one(do.RetireWorker) == do.RetireWorker(2)
        assert started(story) == [6]
        story.tell(ev.WorkerReady(6))
        assert story.one(do.RetireWorker) == do.RetireWorker(3)
        assert story.log("reload: done")
        assert do.Tell("ready") in story.actions
        story.leave(1, 2, 3)
        assert not started(story)

    def test_new_code_that_cannot_be_loaded(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.Reload())
        story.tell(ev.WorkerFailed(3, "It is broken.", "Traceback"))
        assert story.log(
            "reload: failed, the old workers stay: the application cannot be loaded. It is broken."
        )
        assert do.Tell("ready") in story.actions
        story.tell(ev.WorkerExited(3, ev.Exit(code=3)))
        assert not story.all(do.RetireWorker)
        assert not started(story)
        assert next_deadline(story.state) is None

    def test_a_canary_that_dies(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.Reload())
        story.tell(ev.WorkerExited(3, ev.Exit(signal=signal.SIGSEGV)))
        assert story.log("reload: failed, the old workers stay: the new worker was killed by SIGSEGV")
        assert not started(story)

    def test_a_canary_that_does_not_become_ready_in_time(self) -> None:
        story = Story(start_timeout=60.0)
        story.serve()
        story.tell(ev.Reload())
        canary = story.one(do.StartWorker).worker
        story.after(60)
        assert story.one(do.SignalWorker) == do.SignalWorker(canary, signal.SIGABRT)
        assert story.log(
            "reload: failed, the old workers stay: the new worker had not loaded the application"
        )
        story.tell(ev.WorkerExited(canary, ev.Exit(signal=signal.SIGABRT)))
        story.after(60)
        assert not story.actions
        # Another try is not refused.
        story.tell(ev.Reload())
        story.one(do.StartWorker)

    def test_again_while_one_is_under_way(self) -> None:
        story = Story(workers=1)
        story.serve()
        story.tell(ev.Reload())
        story.tell(ev.Reload(), ev.Reload())
        assert not started(story)
        story.tell(ev.WorkerReady(2))
        # The first one still finishes: there is no room for a third process yet.
        assert not started(story)
        story.leave(1)
        assert started(story) == [3]
        story.tell(ev.WorkerReady(3))
        assert story.one(do.RetireWorker) == do.RetireWorker(2)

    def test_a_death_during_a_reload(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.Reload())
        story.tell(ev.WorkerExited(1, KILLED))
        assert started(story) == [4]
        story.tell(ev.WorkerReady(3))
        # Worker 4 has read the code before it was proved.
        assert story.one(do.SignalWorker) == do.SignalWorker(4, signal.SIGTERM)
        assert not story.all(do.RetireWorker)
        assert started(story) == [5]
        story.tell(ev.WorkerReady(5))
        assert story.one(do.RetireWorker) == do.RetireWorker(2)

    def test_it_does_not_wait_for_a_backoff(self) -> None:
        story = Story(workers=1)
        story.serve()
        story.tell(ev.WorkerExited(1, KILLED))
        story.tell(ev.WorkerFailed(2, "broken", ""), ev.WorkerExited(2, ev.Exit(code=3)))
        assert not started(story)
        story.tell(ev.Reload())
        assert started(story)


class TestPreload:
    def ready(self, **rules: Any) -> Story:
        story = Story(preload=True, **rules)
        story.tell(ev.TemplateReady(1))
        story.serve()
        return story

    def test_workers_are_forked_when_it_is_loaded(self) -> None:
        story = Story(preload=True)
        assert [type(one) for one in story.actions] == [do.StartFront, do.StartTemplate]
        story.tell(ev.TemplateReady(1))
        assert story.all(do.StartWorker) == [do.StartWorker(1, 1), do.StartWorker(2, 1)]

    def test_not_loadable(self) -> None:
        story = Story(preload=True)
        story.tell(ev.TemplateFailed(1, "It is broken.", "Traceback"))
        story.tell(ev.TemplateExited(1, ev.Exit(code=3)), ev.FrontExited(CLEAN))
        assert story.one(do.End) == do.End(3, "It is broken.", "Traceback")

    def test_reload(self) -> None:
        story = self.ready()
        story.tell(ev.Reload())
        assert story.one(do.StartTemplate) == do.StartTemplate(2)
        assert not started(story)
        story.tell(ev.TemplateReady(2))
        assert story.one(do.StartWorker) == do.StartWorker(3, 2)
        story.tell(ev.WorkerReady(3))
        assert story.one(do.StopTemplate) == do.StopTemplate(1)
        assert story.one(do.RetireWorker) == do.RetireWorker(1)
        assert story.one(do.StartWorker) == do.StartWorker(4, 2)

    def test_reload_with_broken_code(self) -> None:
        story = self.ready()
        story.tell(ev.Reload())
        story.tell(ev.TemplateFailed(2, "It is broken.", ""), ev.TemplateExited(2, ev.Exit(code=3)))
        assert story.log("reload: failed, the old workers stay")
        story.tell(ev.WorkerExited(1, KILLED))
        assert story.one(do.StartWorker) == do.StartWorker(3, 1)

    def test_a_canary_that_dies_takes_its_template_along(self) -> None:
        story = self.ready()
        story.tell(ev.Reload())
        story.tell(ev.TemplateReady(2))
        story.tell(ev.WorkerExited(3, KILLED))
        assert story.one(do.StopTemplate) == do.StopTemplate(2)
        assert story.state.template == 1

    def test_it_dies(self) -> None:
        story = self.ready()
        story.tell(ev.TemplateExited(1, KILLED))
        assert story.one(do.StartTemplate) == do.StartTemplate(2)
        assert not story.all(do.RetireWorker)
        story.tell(ev.WorkerExited(1, KILLED))
        assert not started(story)
        story.tell(ev.TemplateReady(2))
        assert story.one(do.StartWorker) == do.StartWorker(3, 2)

    def test_a_template_that_does_not_become_ready_in_time(self) -> None:
        story = Story(workers=2, preload=True, start_timeout=60.0)
        story.after(60)
        assert story.one(do.KillTemplate) == do.KillTemplate(1, signal.SIGABRT)
        assert story.log("the preloading process (pid 3001) had not loaded the application after 60s")
        assert not story.all(do.StartTemplate)
        story.tell(ev.TemplateExited(1, ev.Exit(signal=signal.SIGABRT)))
        story.after(0.5)
        story.one(do.StartTemplate)

    def test_a_reload_whose_template_does_not_become_ready_in_time(self) -> None:
        story = Story(workers=2, preload=True, start_timeout=60.0)
        story.tell(ev.TemplateReady(1))
        story.serve()
        story.tell(ev.Reload())
        story.after(60)
        assert story.one(do.KillTemplate) == do.KillTemplate(2, signal.SIGABRT)
        assert story.log("reload: failed, the old workers stay: the preloading process (pid 3002) had not")
        story.tell(ev.TemplateExited(2, ev.Exit(signal=signal.SIGABRT)))
        # The old one forks what is needed.
        story.tell(ev.WorkerExited(1, KILLED))
        assert story.one(do.StartWorker).template == 1


class TestPulse:
    def test_a_front_that_answers(self) -> None:
        story = Story(front_timeout=30.0)
        story.serve()
        story.after(600)
        assert 20 <= len(story.all(do.AskFront)) <= 60
        assert not story.all(do.KillFront)

    def test_one_that_does_not_is_replaced(self) -> None:
        story = Story(front_timeout=30.0)
        story.serve()
        story.front_hangs = True
        # A question, and half a minute.
        story.after(39)
        assert not story.all(do.KillFront)
        story.after(2)
        kinds = [type(one) for one in story.actions]
        assert kinds == [do.Log, do.DescribeFront, do.KillFront]
        assert story.log("front (pid 101) has given no sign of life for 30s")
        story.after(30)
        assert not story.actions
        story.tell(ev.FrontExited(KILLED))
        story.one(do.StartFront)
        assert [one.worker for one in story.all(do.AttachWorker)] == [1, 2]

    def test_it_is_asked_once_and_may_answer_late(self) -> None:
        story = Story(front_timeout=30.0)
        story.serve()
        story.front_hangs = True
        story.after(35)
        # What it has not taken yet would only lie before it once more.
        story.one(do.AskFront)
        story.tell(ev.FrontAnswered())
        story.front_hangs = False
        story.after(60)
        assert not story.all(do.KillFront)

    def test_a_supervisor_that_was_stopped_too_draws_no_conclusions(self) -> None:
        story = Story(front_timeout=30.0)
        story.serve()
        story.front_hangs = True
        story.after(15)
        # Everything stands still: Ctrl-Z, a container that is paused, a laptop that sleeps.
        story.now += 3600
        story.tell(ev.Elapsed())
        assert not story.all(do.KillFront)
        story.after(15)
        assert not story.all(do.KillFront)
        story.after(20)
        story.one(do.KillFront)

    def test_told_to_end_it_has_another_limit(self) -> None:
        story = Story(graceful_timeout=600.0, front_timeout=30.0)
        story.serve()
        story.tell(ev.Drain("SIGTERM"))
        story.front_hangs = True
        story.after(300)
        assert not story.all(do.AskFront)
        assert not story.all(do.KillFront)

    def test_what_a_former_front_owed_is_forgotten(self) -> None:
        story = Story(front_timeout=30.0)
        story.serve()
        story.front_hangs = True
        story.after(30)
        story.tell(ev.FrontExited(KILLED))
        story.one(do.StartFront)
        story.front_hangs = False
        story.after(60)
        assert not story.all(do.KillFront)


class TestFront:
    def test_another_one_takes_over(self) -> None:
        story = Story()
        story.serve()
        story.now += 10
        story.tell(ev.FrontExited(ev.Exit(signal=signal.SIGSEGV)))
        assert story.log("front (pid 101) was killed by SIGSEGV")
        assert story.one(do.StartFront) == do.StartFront(2)
        assert [one.worker for one in story.all(do.AttachWorker)] == [1, 2]
        story.tell(ev.WorkerAttached(2))
        assert [type(one) for one in story.actions] == [do.AddWorker, do.Accept, do.Log]
        story.tell(ev.WorkerAttached(1))
        assert [type(one) for one in story.actions] == [do.AddWorker]
        assert next_deadline(story.state) is None

    def test_workers_on_their_way_out_have_nobody_to_wait_for(self) -> None:
        story = Story()
        story.serve()
        story.now += 10
        story.tell(ev.WorkerSpent(1))
        story.tell(ev.WorkerReady(3))
        story.tell(ev.FrontExited(KILLED))
        assert story.one(do.StopWorker) == do.StopWorker(1)
        assert [one.worker for one in story.all(do.AttachWorker)] == [2, 3]

    def test_a_worker_that_only_starts_gets_the_new_link_too(self) -> None:
        story = Story(workers=1)
        story.now += 10
        story.tell(ev.FrontExited(KILLED))
        assert story.one(do.AttachWorker) == do.AttachWorker(1)
        story.tell(ev.WorkerReady(1))
        assert not story.all(do.AddWorker)
        story.tell(ev.WorkerAttached(1))
        story.one(do.AddWorker)
        story.one(do.Announce)

    def test_only_the_last_attach_counts(self) -> None:
        story = Story(workers=1)
        story.serve()
        for _ in range(2):
            story.now += 10
            story.tell(ev.FrontExited(KILLED))
        story.tell(ev.WorkerAttached(1))
        assert not story.all(do.AddWorker)
        story.tell(ev.WorkerAttached(1))
        story.one(do.AddWorker)

    def test_one_that_does_not_attach_is_killed(self) -> None:
        story = Story(workers=1)
        story.serve()
        story.now += 10
        story.tell(ev.FrontExited(KILLED))
        story.after(10)
        assert story.one(do.SignalWorker) == do.SignalWorker(1, signal.SIGKILL)

    def test_fronts_that_die_at_once(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.FrontExited(KILLED))
        for _ in range(4):
            due = story.state.front.restart_at
            if due is not None:
                story.after(due - story.now)
            story.tell(ev.FrontExited(KILLED))
        assert story.log("gives up: 5 fronts in a row died at once")
        story.tell(*(ev.WorkerExited(one, CLEAN) for one in list(story.state.workers)))
        assert story.one(do.End).code == 1

    def test_its_line_closes_without_its_end(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.FrontLost())
        story.after(2)
        story.one(do.KillFront)


class TestEnd:
    def test_in_order(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.Drain("SIGTERM"))
        kinds = [type(one) for one in story.actions if not isinstance(one, do.Log)]
        assert kinds == [do.Unready, do.Tell, do.CloseListeners, do.DrainFront]
        story.tell(ev.FrontExited(CLEAN))
        assert [one.worker for one in story.all(do.StopWorker)] == [1, 2]
        story.tell(ev.WorkerExited(1, CLEAN))
        assert not story.all(do.End)
        story.tell(ev.WorkerExited(2, CLEAN))
        assert story.one(do.End) == do.End(0)
        assert decide(story.state, ev.Elapsed(), story.now) == []

    def test_nothing_is_due_after_it(self) -> None:
        story = Story(workers=1, preload=True)
        # The next start has to wait, and never comes.
        story.tell(ev.TemplateExited(1, CLEAN))
        story.tell(ev.Drain("SIGTERM"), ev.FrontExited(CLEAN))
        story.one(do.End)
        assert next_deadline(story.state) is None

    def test_the_delay(self) -> None:
        story = Story(drain_delay=5.0)
        story.serve()
        story.tell(ev.Drain("SIGTERM"))
        story.one(do.Unready)
        assert not story.all(do.CloseListeners)
        story.tell(ev.WorkerExited(1, KILLED))
        assert started(story) == [3]
        story.after(5)
        story.one(do.CloseListeners)
        story.one(do.DrainFront)

    def test_a_front_that_dies_in_the_delay(self) -> None:
        story = Story(drain_delay=5.0)
        story.serve()
        story.now += 10
        story.tell(ev.Drain("SIGTERM"))
        story.tell(ev.FrontExited(KILLED))
        story.one(do.StartFront)
        story.one(do.Unready)

    def test_too_slow(self) -> None:
        story = Story(graceful_timeout=30.0)
        story.serve()
        story.tell(ev.Drain("SIGTERM"))
        story.after(30)
        story.one(do.StopFront)
        assert len(story.all(do.StopWorker)) == 2
        assert story.log("the 30s are over")
        story.after(3)
        story.one(do.KillFront)
        assert len(story.all(do.SignalWorker)) == 2

    def test_the_queue_still_needs_workers(self) -> None:
        story = Story(workers=1)
        story.serve()
        story.tell(ev.Drain("SIGTERM"))
        story.tell(ev.WorkerExited(1, KILLED))
        assert started(story) == [2]
        story.tell(ev.WorkerReady(2))
        story.one(do.AddWorker)

    def test_at_once(self) -> None:
        story = Story(preload=True)
        story.tell(ev.TemplateReady(1))
        story.serve()
        story.tell(ev.StopNow("SIGINT"))
        story.one(do.StopFront)
        story.one(do.CloseListeners)
        story.one(do.StopTemplate)
        assert len(story.all(do.StopWorker)) == 2
        story.tell(ev.StopNow("SIGINT"))
        story.one(do.KillFront)
        story.one(do.KillTemplate)
        assert [one.number for one in story.all(do.SignalWorker)] == [signal.SIGKILL] * 2

    def test_at_once_in_the_middle_of_an_orderly_one(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.Drain("SIGTERM"))
        story.tell(ev.StopNow("SIGINT"))
        story.one(do.StopFront)
        assert len(story.all(do.StopWorker)) == 2

    def test_a_reload_under_way_is_given_up(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.Reload())
        story.tell(ev.Drain("SIGTERM"))
        assert story.one(do.SignalWorker) == do.SignalWorker(3, signal.SIGTERM)


class TestUpgrade:
    def test_the_old_one_leaves_when_the_new_one_serves(self) -> None:
        story = Story(drain_delay=5.0)
        story.serve()
        story.tell(ev.Upgrade())
        story.one(do.StartSuccessor)
        story.tell(ev.Upgrade())
        assert not story.all(do.StartSuccessor)
        story.tell(ev.SuccessorReady(99))
        kinds = [type(one) for one in story.actions if not isinstance(one, do.Log)]
        # To the service manager it is not the end, and clients do not need time to look elsewhere.
        assert kinds == [do.HandOver, do.CloseListeners, do.DrainFront]

    def test_a_new_one_that_fails(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.Upgrade())
        story.tell(ev.SuccessorFailed("exited with code 3"))
        assert story.log("upgrade: failed, this one stays: the successor exited with code 3")
        story.tell(ev.Upgrade())
        story.one(do.StartSuccessor)

    def test_the_end_takes_it_along(self) -> None:
        story = Story()
        story.serve()
        story.tell(ev.Upgrade())
        story.tell(ev.Drain("SIGTERM"))
        story.one(do.StopSuccessor)
        story.tell(ev.SuccessorReady(99))
        assert not story.all(do.HandOver)

    def test_in_a_container(self) -> None:
        story = Story(is_init=True)
        story.serve()
        story.tell(ev.Upgrade())
        assert not story.all(do.StartSuccessor)
        assert story.log("upgrade: refused")


def test_logs() -> None:
    story = Story()
    story.tell(ev.ReopenLogs())
    story.one(do.ReopenFiles)


def test_news_of_the_dead_is_ignored() -> None:
    story = Story()
    assert story.tell(ev.WorkerQuiet(77), ev.TemplateReady(5), ev.SuccessorFailed("x")) == []


@pytest.mark.parametrize(
    ("how", "text"),
    [
        (ev.Exit(code=7), "exited with code 7"),
        (ev.Exit(signal=signal.SIGSEGV), "was killed by SIGSEGV"),
        (ev.Exit(signal=40), "was killed by signal 40"),
        (ev.Exit(note="could not be started"), "could not be started"),
    ],
)
def test_how_a_process_ended(how: ev.Exit, text: str) -> None:
    assert how.how == text
