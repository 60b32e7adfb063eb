"""A long request beside short ones: four workers with one thread each, 200 short requests per second, and
one that takes 5 s.

The short ones come by the clock, not one after another's response, and their time counts from when they were
due. They go over keep-alive connections: each takes the one that has been free the longest, and one more is
opened when none is free, so a client is never held up by its own connections.
"""

import asyncio
import collections
import itertools
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.lifecycle import subjects
from benchmarks.lifecycle.scenes import wait_ready
from benchmarks.lifecycle.subjects import Kind, Subject
from benchmarks.lifecycle.wire import Connection, CutError, LostError
from benchmarks.peers import ServerFailedError

RATE = 200
SECONDS = 5.0
LONG_SECONDS = 5.0
CONNECTIONS = 64
RESPONSE_SECONDS = 8.0
WARM_UP_SECONDS = 1.0
# Where connections belong to workers, it is chance how many share one with the long request.
ROUNDS = 3


@dataclass
class Times:
    """Seconds of the short requests that were answered, sorted at the end; and how many were not."""

    answered: list[float]
    failed: int

    def quantile(self, share: float) -> float:
        if not self.answered:
            return float("nan")
        return self.answered[min(len(self.answered) - 1, int(share * len(self.answered)))]


@dataclass
class Comparison:
    server: str
    alone: Times
    beside: Times
    failed: str = ""


class _Pool:
    """Keep-alive connections that wait for their next request, the longest waiting first."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: collections.deque[Connection] = collections.deque()

    async def fill(self) -> None:
        for _ in range(CONNECTIONS):
            self._free.append(await Connection.open(self._port))

    async def take(self) -> Connection:
        while self._free:
            connection = self._free.popleft()
            if not connection.ended():
                return connection
            connection.close()
        return await Connection.open(self._port)

    def give_back(self, connection: Connection) -> None:
        self._free.append(connection)

    def close(self) -> None:
        for connection in self._free:
            connection.close()


def compare(kind: Kind, python: Path) -> Comparison:
    """Some starts of the server; in each the short ones alone, and then with the long one."""
    alone, beside = Times([], 0), Times([], 0)
    for _ in range(ROUNDS):
        with subjects.started(kind, python, threads=1) as subject:
            try:
                asyncio.run(_compare(subject, alone, beside))
            except (ServerFailedError, OSError) as error:
                return Comparison(kind.name, alone, beside, failed=str(error))
    alone.answered.sort()
    beside.answered.sort()
    return Comparison(kind.name, alone, beside)


async def _compare(subject: Subject, alone: Times, beside: Times) -> None:
    await wait_ready(subject)
    pool = _Pool(subject.port)
    await pool.fill()
    try:
        await _short_ones(pool, WARM_UP_SECONDS, Times([], 0))
        await _short_ones(pool, SECONDS, alone)
        long_one = await Connection.open(subject.port)
        asking = asyncio.create_task(long_one.ask(f"/number/0?seconds={LONG_SECONDS}"))
        # It is on its way before the first short one is due.
        await asyncio.sleep(0.1)
        await _short_ones(pool, SECONDS, beside)
        await asking
        long_one.close()
    except (LostError, CutError) as error:
        raise ServerFailedError(f"the long request failed: {error!r}") from error
    finally:
        pool.close()


async def _short_ones(pool: _Pool, seconds: float, times: Times) -> None:
    begin = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in itertools.count(1):
            due = begin + number / RATE
            if due > begin + seconds:
                break
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            group.create_task(_short_one(pool, number, due, times))


async def _short_one(pool: _Pool, number: int, due: float, times: Times) -> None:
    connection: Connection | None = None
    try:
        async with asyncio.timeout(RESPONSE_SECONDS):
            connection = await pool.take()
            response = await connection.ask(f"/number/{number}")
    except (OSError, LostError, CutError):
        # TimeoutError is an OSError.
        times.failed += 1
        if connection is not None:
            connection.close()
        return
    if response.status == 200 and response.body == b"%d\n" % number:
        times.answered.append(time.monotonic() - due)
    else:
        times.failed += 1
    if response.announces_close:
        connection.close()
    else:
        pool.give_back(connection)
