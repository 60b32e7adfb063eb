"""The policy under simulated loads of every kind: what it promises, and how soon."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from pelton.sizing import policy
from pelton.sizing.policy import Need, Observation, Why, decide
from support.simulated_worker import MS, Phase, Pool, Request, Worker, compute, wait

Arrivals = Callable[[float], Iterable[Request]]


def nothing(_: float) -> Iterable[Request]:
    """No requests."""
    return ()


def burst(count: int, at: float, *phases: Phase) -> Arrivals:
    """So many at once."""
    return lambda now: [Request(phases, now) for _ in range(count)] if abs(now - at) < MS / 2 else ()


def rate(per_second: float, *phases: Phase, label: str = "", seed: int = 1) -> Arrivals:
    """As they come from many clients that know nothing of each other."""
    chance = random.Random(seed)

    def arrivals(now: float) -> Iterable[Request]:
        count = 0
        while chance.random() < per_second * MS / (count + 1):
            count += 1
        return [Request(phases, now, label) for _ in range(count)]

    return arrivals


def clients(worker: Worker, count: int, *phases: Phase, label: str = "") -> Arrivals:
    """A closed loop: each sends its next request when the last has ended."""
    begin, seen = worker.now, len(worker.done)

    def arrivals(now: float) -> Iterable[Request]:
        nonlocal seen
        # Of this loop: what an earlier one has left behind ends, too.
        ended = sum(one.came >= begin for one in worker.done[seen:])
        seen = len(worker.done)
        return [Request(phases, now, label) for _ in range(count if now < begin + MS / 2 else ended)]

    return arrivals


def both(*several: Arrivals) -> Arrivals:
    """All of them together."""
    return lambda now: [request for one in several for request in one(now)]


def assert_bounded(worker: Worker) -> None:
    """In every scene: within the bounds, and never fewer than were needed within the last minute."""
    for at, decision in worker.history:
        assert worker.least <= decision.permits <= worker.most
        needed = max((busy for when, busy in worker.busy_history if at - policy.CALM < when <= at), default=0)
        assert decision.permits >= min(needed, worker.most)


def turns(worker: Worker, since: float) -> int:
    """How often the number of threads changed its direction."""
    permits = [decision.permits for at, decision in worker.history if at >= since]
    steps = [after - before for before, after in itertools.pairwise(permits) if after != before]
    return sum(one * other < 0 for one, other in itertools.pairwise(steps))


@pytest.fixture
def worker() -> Worker:
    """With what it has by default."""
    return Worker()


@pytest.mark.parametrize("count", [20, 200, 500])
def test_a_burst_is_served_as_by_a_fixed_number(worker: Worker, count: int) -> None:
    worker.run(3.0, burst(count, 1.0, wait(1.0)))
    assert len(worker.done) == count
    assert worker.latencies()[-1] < 1.05 + count * 0.1 * MS
    assert worker.threads <= count + policy.MOST_SPARE
    assert_bounded(worker)
    worker.run(policy.CALM + 10, nothing)
    assert worker.threads == worker.least


def test_quick_requests_do_not_wait_for_slow_ones(worker: Worker) -> None:
    load = both(rate(135, compute(1 * MS), label="quick"), rate(15, wait(1.0), seed=2))
    worker.run(20.0, load)
    quick = worker.latencies("quick", since=2.0)
    assert quick[int(len(quick) * 0.99)] < 15 * MS
    assert worker.threads <= 1.5 * 30
    assert turns(worker, since=2.0) == 0
    assert_bounded(worker)


def test_waiting_requests_get_as_many_threads_as_there_are_clients(worker: Worker) -> None:
    worker.run(5.0, clients(worker, 128, wait(50 * MS)))
    served = sum(one.came >= 1.0 for one in worker.done)
    assert served >= 0.95 * 128 / 0.051 * 4
    assert 128 <= worker.threads <= 128 + policy.MOST_SPARE
    assert worker.history[-1][1].permits == worker.threads
    assert_bounded(worker)


def test_computing_requests_get_no_more_than_to_pass_each_other(worker: Worker) -> None:
    worker.run(10.0, clients(worker, 64, compute(5 * MS)))
    assert worker.threads <= policy.PASSING
    assert worker.history[-1][1].why is Why.COMPUTING
    assert_bounded(worker)


def test_a_short_request_passes_long_ones_that_compute(worker: Worker) -> None:
    worker.run(1.0, burst(3, 0.5, compute(1.0)))
    worker.run(2.0, burst(1, 1.0, compute(MS)))
    assert min(one.latency for one in worker.done) < 0.1


def test_half_and_half_fills_the_interpreter(worker: Worker) -> None:
    worker.run(10.0, clients(worker, 64, compute(5 * MS), wait(5 * MS)))
    served = sum(one.came >= 1.0 for one in worker.done)
    assert served >= 0.95 * 200 * 9
    assert worker.threads <= 16
    assert_bounded(worker)


def test_one_lock_stops_the_growth(worker: Worker) -> None:
    lock = Pool(1)
    worker.run(5.0, clients(worker, 64, wait(2 * MS, lock)))
    assert worker.threads <= 2 * policy.LOOK_FROM
    assert worker.history[-1][1].why is Why.SAME
    assert_bounded(worker)


def test_a_pool_is_used_to_its_end_and_no_further(worker: Worker) -> None:
    pool = Pool(10)
    worker.run(10.0, clients(worker, 64, wait(20 * MS, pool)))
    served = sum(one.came >= 1.0 for one in worker.done)
    assert served >= 0.95 * 10 / 0.0205 * 9
    assert worker.threads <= policy.PASSING * policy.STEP
    assert_bounded(worker)


def test_a_service_that_stalls_and_recovers(worker: Worker) -> None:
    stalled = rate(10, wait(30.0), seed=3)
    normal = both(rate(20, wait(20 * MS), label="calls"), rate(50, wait(2 * MS), label="others", seed=4))
    worker.run(10.0, normal)
    calm = worker.threads
    worker.run(30.0, both(stalled, rate(50, wait(2 * MS), label="others", seed=5)))
    assert 250 < worker.threads < worker.most
    others = worker.latencies("others", since=12.0)
    assert others[int(len(others) * 0.99)] < 20 * MS
    worker.run(40.0, normal)
    worker.run(policy.CALM + 10, normal)
    assert worker.threads <= max(2 * calm, 12)
    assert_bounded(worker)


def test_a_load_that_changes_kind_every_ten_seconds(worker: Worker) -> None:
    for turn in range(6):
        if turn % 2:
            worker.run(10.0, clients(worker, 32, compute(5 * MS), label="computes"))
        else:
            worker.run(10.0, clients(worker, 32, wait(50 * MS), label="waits"))
    assert turns(worker, since=0.0) == 0, "what the one kind needs is kept while the other one runs"
    assert worker.threads <= 64
    assert_bounded(worker)


def test_a_leak_of_stuck_threads_ends_at_the_bound() -> None:
    worker = Worker(most=64)
    worker.run(60.0, both(rate(2, wait(1e6)), rate(20, wait(5 * MS), label="quick", seed=2)))
    assert worker.threads == worker.most
    assert worker.history[-1][1].why is Why.BOUND
    assert_bounded(worker)


def test_a_steady_load_settles_within_a_second_and_stays(worker: Worker) -> None:
    worker.run(150.0, rate(200, compute(1 * MS), wait(20 * MS)))
    # What is made while the load begins is a little much, and goes after a minute.
    assert max(decision.permits for _, decision in worker.history) <= 24
    settled = {decision.permits for at, decision in worker.history if at > 65.0}
    assert max(settled) - min(settled) <= 6
    assert turns(worker, since=1.0) <= 2
    assert_bounded(worker)


def test_memory_is_a_bound_like_any_other() -> None:
    worker = Worker(memory=64 << 20)
    worker.run(3.0, burst(200, 1.0, wait(1.0)))
    assert worker.threads <= (64 << 20) // policy.MEMORY_OF_A_THREAD
    assert any(decision.why is Why.MEMORY for _, decision in worker.history)
    assert_bounded(worker)


def test_the_same_observation_gives_the_same_decision() -> None:
    seen = Observation(threads=4, most_busy=4, waiting=9, head_age=0.01, lock_wait=0.0, computing=0.1)
    first = decide(seen, Need(), 2, 512, 10.0)
    assert first == decide(seen, Need(), 2, 512, 10.0)
    assert first[0] == policy.Decision(policy.PASSING, Why.NEEDED)


def test_a_thread_is_there_before_it_is_needed() -> None:
    seen = Observation(8, most_busy=8, waiting=0, head_age=0.0, lock_wait=0.0, computing=0.1, is_full=True)
    first, need = decide(seen, Need(), 2, 512, 10.0)
    assert first == policy.Decision(16, Why.AHEAD), "the load has just begun"
    assert decide(replace(seen, threads=16), need, 2, 512, 10.9)[0].permits == 24
    assert decide(replace(seen, threads=16), need, 2, 512, 11.0)[0].permits == 20, "it grows slowly"
    held = replace(seen, computing=0.9)
    assert decide(held, Need(), 2, 512, 10.0)[0] == policy.Decision(8, Why.STEADY)
    assert decide(seen, Need(), 2, 8, 10.0)[0] == policy.Decision(8, Why.STEADY)


def test_what_was_made_stays_for_a_minute() -> None:
    seen = Observation(8, most_busy=2, waiting=0, head_age=0.0, lock_wait=0.0, computing=0.1)
    need = Need(grew_at=10.0)
    assert decide(seen, need, 2, 512, 10.0 + policy.CALM - 0.01)[0] == policy.Decision(8, Why.STEADY)
    assert decide(seen, need, 2, 512, 10.0 + policy.CALM)[0] == policy.Decision(3, Why.CALM)


def test_a_machine_without_a_processor_to_spare_is_no_computing_interpreter() -> None:
    seen = Observation(threads=16, most_busy=16, waiting=9, head_age=0.1, lock_wait=0.05, computing=0.05)
    first, need = decide(seen, Need(), 2, 512, 10.0)
    assert first.why is Why.COMPUTING, "what they do now is not known yet"
    second, _ = decide(seen, need, 2, 512, 10.05)
    assert second == policy.Decision(25, Why.NEEDED)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_seen_the_decision_is_within_bounds(seed: int) -> None:
    chance = random.Random(seed)
    need, now = Need(), 0.0
    for _ in range(300):
        now += chance.choice([0.001, 0.05, 2.0, 30.0])
        threads = chance.randint(2, 64)
        seen = Observation(
            threads=threads,
            most_busy=chance.randint(0, threads),
            waiting=chance.randint(0, 100),
            head_age=chance.choice([0.0, 0.001, 0.01, 5.0]),
            lock_wait=chance.choice([0.0, 0.005]),
            computing=chance.uniform(0, 2),
            same=chance.randint(0, threads),
            memory_left=chance.choice([None, 0, 1 << 30]),
        )
        decision, need = decide(seen, need, 2, 64, now)
        assert 2 <= decision.permits <= 64
        assert decision.permits >= min(threads, need.most)
        assert decision.permits <= max(policy.PASSING, threads * policy.STEP)
        assert len(need.stretches) <= 14
