"""One measurement: start a server, warm it up, load it for a window, account for the window, stop it.

A server that does not start, dies or stops answering is a result ("failed", "died", "stalled"), never an
exception: the run goes on with the next one.
"""

import contextlib
import http.client
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

from benchmarks import idle, load, measure
from benchmarks.peers import Peer, Running, ServerFailedError, running
from benchmarks.rows import Row

WARM_UP_SECONDS = 0.5
DRAIN_SECONDS = 5.0
# A server frees what a request needed when the connection goes idle, some a moment later: let it, then look.
SETTLE_SECONDS = 0.2


@dataclass(frozen=True)
class Sample:
    server: str
    row: str
    # ok, failed (did not start), died (ended under load), stalled (answered nothing in the whole window)
    state: str = "ok"
    # One line for the table, and the server's last words for the raw results.
    detail: str = ""
    log: str = ""
    rate: float = 0.0
    cpu_micros: float = 0.0
    p50_micros: float = 0.0
    p99_micros: float = 0.0
    pss: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    # Cores that neither the server nor wrk used but somebody did: how disturbed the window was.
    foreign_cores: float = 0.0
    idle_wanted: int = 0
    idle_before: int = 0
    idle_after: int = 0
    idle_bytes: float | None = None


def take(peer: Peer, row: Row, python: Path, seconds: int) -> Sample:
    empty = Sample(peer.name, row.name, idle_wanted=row.idle)
    try:
        with running(peer, row, python) as server:
            load.warm_up(row, server.port, WARM_UP_SECONDS)
            _drain(server, row)
            if not row.idle:
                return _window(server, row, seconds, empty)
            return _beside_idle(server, row, seconds, empty)
    except FileNotFoundError as error:
        return replace(empty, state="failed", detail=f"not installed: {error.filename}")
    except (ServerFailedError, load.LoadFailedError, subprocess.TimeoutExpired) as error:
        return replace(empty, state="failed", log=str(error))


def _drain(server: Running, row: Row) -> None:
    """Let the server finish with the warm-up, whose client has gone: a single-threaded one still has up to a
    request per connection before it (in the sleep row 0.64 s of the window), and waitress counts connections
    that it has not yet seen close towards its limit. A request of our own comes after them in every queue.
    """
    # When even that is not answered, the window will show it.
    with contextlib.suppress(OSError, http.client.HTTPException, ServerFailedError):
        server.get(row.path, row.upload, timeout=DRAIN_SECONDS)
    time.sleep(SETTLE_SECONDS)


def _window(server: Running, row: Row, seconds: int, empty: Sample) -> Sample:
    pids = measure.processes_of(server.pid)
    busy_before, own_before = measure.machine_busy_seconds(), _children_seconds()
    cpu_before, started = measure.cpu_seconds(server.pid), time.monotonic()
    result = load.run(row, server.port, seconds)
    elapsed = time.monotonic() - started
    cpu = measure.cpu_seconds(server.pid) - cpu_before
    foreign = measure.machine_busy_seconds() - busy_before - cpu - (_children_seconds() - own_before)
    remarks = []
    if row.close and "read" in result.errors and server.alive() and not server.announces_close(row.path):
        # wrk takes an end that it was not told of for an error, though the response was complete.
        remarks.append(f"closes unannounced ({result.errors.pop('read')} read errors of wrk left out)")
    if not set(pids) <= set(measure.processes_of(server.pid)):
        # A worker that its supervisor replaced: the server lives, the row is not what it seems.
        remarks.append("a process ended in the window")
    sample = replace(
        empty,
        errors=result.errors,
        foreign_cores=max(0.0, foreign / elapsed),
        detail="; ".join(remarks),
    )
    if not server.alive():
        return replace(sample, state="died", log=server.log_tail())
    if not result.requests:
        return replace(sample, state="stalled", log=server.log_tail())
    return replace(
        sample,
        rate=result.requests / result.seconds,
        cpu_micros=cpu * 1e6 / result.requests,
        p50_micros=result.p50_micros,
        p99_micros=result.p99_micros,
        pss=measure.pss_bytes(server.pid),
    )


def _beside_idle(server: Running, row: Row, seconds: int, empty: Sample) -> Sample:
    before = measure.pss_bytes(server.pid)
    with idle.crowd(server.port, row.idle) as crowd:
        opened = crowd.wait_opened()
        time.sleep(SETTLE_SECONDS)
        start = crowd.look()
        memory = measure.pss_bytes(server.pid) - before
        sample = _window(server, row, seconds, empty)
        end = crowd.look()
    problems = [sample.detail] if sample.detail else []
    if opened.answered < opened.wanted:
        how = opened.stopped or f"{opened.failed} refused or reset"
        problems.append(f"{opened.answered} of {opened.wanted} answered, {how}")
    return replace(
        sample,
        detail="; ".join(problems),
        idle_before=start.held,
        idle_after=end.held,
        # A difference over a handful of connections would be noise presented as a figure.
        idle_bytes=memory / start.held if start.held >= row.idle / 2 else None,
    )


def _children_seconds() -> float:
    """CPU time of children that have ended: wrk, and nothing else while a window is open."""
    usage = getrusage(RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
