"""What happens to one worker: ready, spent, stuck, dead. How many there should be is in `balance`."""

from __future__ import annotations

import signal

from pelton.config.units import format_bytes, format_seconds
from pelton.supervisor.plan import ending, front, reload
from pelton.supervisor.plan.actions import BuryWorker, RetireWorker, SignalWorker, StartWorker
from pelton.supervisor.plan.events import Exit
from pelton.supervisor.plan.state import EarlyDeaths, Failures, Phase, Reason, Stage, Worker
from pelton.supervisor.plan.turn import LOST_TIME, Turn

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
# After workers that were ready and died at once. Shorter, because they may have served until somebody killed
# them, and every second without a worker is felt; long enough that a broken one costs next to nothing.
LONGEST_DELAY_AFTER_READY = 2.0
MOST_FAILURES = 5
# Who has lived for so long after it became ready has not died of that.
SETTLED_AFTER = 2.0
REFUSED_DELAY = 1.0
# The worker with the largest share of the jitter lives by so much longer than it should: workers that started
# together must not end together.
LIFETIME_SPREAD = 0.1
# Exit code of a process that cannot load the application, and of the command then.
NO_APPLICATION = 3


def start(turn: Turn, generation: int, template: int | None) -> Worker:
    """Start one."""
    state = turn.state
    state.last_worker += 1
    worker = Worker(state.last_worker, generation, turn.now, ready_by=turn.ready_by)
    state.workers[worker.number] = worker
    turn.do(StartWorker(worker.number, template, worker.generation))
    return worker


def forked(turn: Turn, worker: Worker, pid: int, jitter_share: float) -> None:
    """Its pid is known now."""
    worker.pid, worker.jitter_share = pid, jitter_share
    if worker.phase is Phase.DOOMED:
        # The signal found no process when it was decided.
        turn.do(SignalWorker(worker.number, signal.SIGKILL))


def ready(turn: Turn, worker: Worker) -> None:
    """It has loaded the application."""
    state = turn.state
    if worker.phase is not Phase.STARTING:
        return
    worker.phase = Phase.READY
    worker.was_ready = True
    worker.deadline = worker.ready_by = None
    worker.ready_at = turn.now
    state.failures = Failures()
    if state.rules.worker_lifetime:
        worker.expires = turn.now + state.rules.worker_lifetime * (1 + LIFETIME_SPREAD * worker.jitter_share)
    if state.stage is Stage.STARTING:
        state.stage = Stage.SERVING
    if worker.attaches:
        worker.deadline = turn.now + front.ATTACH_TIME
    elif state.front.phase is not None:
        front.add_worker(turn, worker)
    if worker.number == state.canary:
        reload.proved(turn, worker)


def added(turn: Turn, worker: Worker) -> None:
    """It gets requests: what people mean by ready, and those who wait for that line in the log."""
    if not worker.has_been_asked_to_end:
        worker.has_been_asked_to_end = True
        turn.log("info", f"{worker.name} is ready")


def attached(turn: Turn, worker: Worker) -> None:
    """It has taken one of the links that it was sent; only the last one counts."""
    worker.attaches = max(0, worker.attaches - 1)
    if worker.phase is Phase.READY and worker.attaches == 0 and not worker.is_added:
        worker.deadline = None
        if turn.state.front.phase is not None:
            front.add_worker(turn, worker)


def failed(turn: Turn, worker: Worker, what: str, traceback: str) -> None:
    """It cannot load the application."""
    worker.has_failed = True
    worker.deadline = turn.now + LOST_TIME
    report_failure(turn, worker.name, worker.generation, what, traceback)


def report_failure(turn: Turn, name: str, generation: int, what: str, traceback: str) -> None:
    """Say why the application cannot be loaded; that is the end if it never could be."""
    state = turn.state
    if state.stage is Stage.STARTING:
        ending.give_up(turn, NO_APPLICATION, what, traceback)
        return
    text = "\n".join(one for one in (what, traceback.rstrip()) if one)
    if state.reload is not None and state.reload.generation == generation:
        reload.failed(turn, f"the application cannot be loaded. {text}")
    elif state.stage < Stage.STOPPING:
        turn.log("error", f"{name} cannot load the application. {text}")


def lost(turn: Turn, worker: Worker) -> None:
    """Its control socket is closed, which its end does too. If that does not follow, it is out of control."""
    if worker.phase in (Phase.STARTING, Phase.READY, Phase.RETIRING):
        worker.deadline = turn.now + LOST_TIME


def frozen(turn: Turn, worker: Worker) -> None:
    """End it with a dump of its stacks; no orderly way can work any more."""
    if worker.phase not in (Phase.READY, Phase.RETIRING, Phase.STOPPING):
        return
    turn.log(
        "error",
        f"{worker.name} is frozen: its interpreter, or its hub, gives no sign of life; its stacks follow",
    )
    if worker.is_added and worker.phase is Phase.READY:
        turn.do(RetireWorker(worker.number))
    turn.doom(worker, signal.SIGABRT)


def refused(turn: Turn, worker: Worker) -> None:
    """Something is short, such as descriptors; the next one may do better, but not at once."""
    worker.is_added = False
    turn.state.failures.wait_until = turn.now + REFUSED_DELAY
    turn.log("error", f"{worker.name} cannot be used by the front and is replaced")
    turn.doom(worker)


def measured(turn: Turn, worker: Worker, size: int) -> None:
    """Compare with the limit."""
    limit = turn.state.rules.max_rss_bytes
    if limit and size > limit and worker.reason is None and worker.phase is Phase.READY:
        turn.log(
            "info", f"{worker.name} uses {size / 2**20:.0f} MiB of memory (--max-rss {format_bytes(limit)})"
        )
        turn.mark(worker, Reason.MEMORY)


def quiet(turn: Turn, worker: Worker) -> None:
    """Nothing of it runs any more."""
    if worker.phase is Phase.RETIRING:
        turn.stop(worker)


def exited(turn: Turn, worker: Worker, how: Exit) -> None:
    """Forget it; whether another one is needed is found afterwards."""
    state = turn.state
    del state.workers[worker.number]
    if worker.is_added and state.front.phase is not None:
        turn.do(BuryWorker(worker.number, how.how))
    if worker.phase is Phase.DOOMED:
        # One that was given up before it served concerns nobody.
        turn.log("info" if worker.was_ready else "debug", f"{worker.name} ended ({how.how})")
        _check_canary(turn, worker, how)
        return
    if worker.phase is Phase.STOPPING and how.is_orderly:
        turn.log("info", f"{worker.name} ended")
        return
    turn.log("error", f"{worker.name} {how.how}")
    if worker.phase is Phase.READY:
        _count_death(turn, worker)
    if worker.phase is Phase.STARTING and not _check_canary(turn, worker, how):
        count_failure(turn, worker.born, NO_APPLICATION if worker.has_failed else 1, how)


def _count_death(turn: Turn, worker: Worker) -> None:
    """One died by itself. After several that died just after becoming ready the next start has to wait.

    Nothing is given up: it may as well be a request that kills whoever takes it.
    """
    state, deaths = turn.state, turn.state.early_deaths
    others = (one for one in state.workers.values() if one.born >= deaths.counted_at)
    if any(_has_settled(turn, one) for one in (worker, *others)):
        deaths = state.early_deaths = EarlyDeaths()
    # Those that were started side by side die of one cause.
    is_counted = deaths.count > 0 and worker.born < deaths.counted_at
    if _has_settled(turn, worker) or is_counted or state.stage >= Stage.STOPPING:
        return
    deaths.count += 1
    deaths.counted_at = turn.now
    if deaths.count == 1:
        # It may have been an accident.
        return
    delay = min(FIRST_DELAY * 2 ** (deaths.count - 2), LONGEST_DELAY_AFTER_READY)
    deaths.wait_until = turn.now + delay
    turn.log(
        "warning",
        f"{deaths.count} times in a row a worker died within {format_seconds(SETTLED_AFTER)} of becoming "
        f"ready; the next one is started in {format_seconds(delay)}",
    )


def _has_settled(turn: Turn, worker: Worker) -> bool:
    return worker.ready_at is not None and turn.now - worker.ready_at >= SETTLED_AFTER


def count_failure(turn: Turn, born: float, code: int, how: Exit) -> None:
    """A start came to nothing: the next one has to wait."""
    state, failures = turn.state, turn.state.failures
    # Those that were started side by side fail for one reason.
    if failures.count and born <= failures.counted_at:
        return
    failures.count += 1
    failures.counted_at = turn.now
    failures.last_code, failures.last_how = code, how.how
    delay = min(FIRST_DELAY * 2 ** (failures.count - 1), LONGEST_DELAY)
    failures.wait_until = turn.now + delay
    serves = any(one.phase in (Phase.READY, Phase.RETIRING) for one in state.workers.values())
    if state.stage >= Stage.STOPPING:
        return
    if failures.count >= MOST_FAILURES and not serves:
        ending.give_up(
            turn, code, f"gives up: {MOST_FAILURES} starts in a row failed; the last process {how.how}"
        )
    else:
        turn.log("warning", f"the next worker is started in {format_seconds(delay)}")


def check(turn: Turn) -> None:
    """What is due by now."""
    for worker in list(turn.state.workers.values()):
        if worker.expires is not None and worker.expires <= turn.now:
            worker.expires = None
            turn.mark(worker, Reason.LIFETIME)
        if worker.ready_by is not None and worker.ready_by <= turn.now:
            worker.ready_by = None
            if worker.phase is Phase.STARTING and not worker.has_failed:
                _give_up_on(turn, worker)
                continue
        if worker.deadline is not None and worker.deadline <= turn.now:
            _insist(turn, worker)


def _give_up_on(turn: Turn, worker: Worker) -> None:
    how = too_late(turn, worker.name)
    turn.doom(worker, signal.SIGABRT)
    # Now, and not when it has ended: the next one has to wait already.
    if not _check_canary(turn, worker, how):
        count_failure(turn, worker.born, 1, how)


def too_late(turn: Turn, name: str) -> Exit:
    """Say so in the log, and how such an end is called from then on."""
    limit = format_seconds(turn.state.rules.start_timeout)
    what = f"had not loaded the application after {limit} (--start-timeout)"
    turn.log("error", f"{name} {what} and is killed; its stacks follow")
    return Exit(note=what)


def _insist(turn: Turn, worker: Worker) -> None:
    """The next harder step, which is the last one."""
    limit = format_seconds(turn.state.rules.graceful_timeout)
    match worker.phase:
        case Phase.RETIRING:
            turn.log("warning", f"{worker.name} still runs requests after {limit} and is killed")
        case Phase.STOPPING if turn.state.stage < Stage.STOPPING:
            turn.log("warning", f"{worker.name} does not end and is killed; its stacks follow")
            turn.doom(worker, signal.SIGABRT)
            return
        case Phase.STOPPING:
            turn.log("warning", f"{worker.name} does not end and is killed")
        case Phase.STARTING | Phase.READY:
            turn.log("error", f"{worker.name} does not react to the supervisor and is killed")
        case Phase.DOOMED:
            pass
    turn.doom(worker)


def _check_canary(turn: Turn, worker: Worker, how: Exit) -> bool:
    """Whether a reload depended on it."""
    if worker.number != turn.state.canary:
        return False
    reload.failed(turn, f"the new worker {how.how}")
    return True
