"""The load of the scenes: 64 clients, each with a keep-alive connection and a short pause between its
requests.

The pauses bound the load, and give the server moments in which a connection is idle and may be closed without
harm. What each request came to is counted in a `Tally`; nothing is tried again but connecting.
"""

import asyncio
import contextlib
import itertools
import random
import time
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.lifecycle.wire import Connection, CutError, LostError

CLIENTS = 64
# Every so many-th request stays inside the application for a while, so that there is something to lose at
# any moment.
LONGER_EVERY = 20
LONGER_SECONDS = 0.1
RESPONSE_SECONDS = 6.0
# What lies between a client and a server that is another machine of the same region: after a client has
# seen its connection open, its request takes this long to arrive, and the server may close in between.
WIRE_SECONDS = 0.001
CONNECT_AGAIN_SECONDS = 0.05


@dataclass
class Tally:
    requests: int = 0
    ok: int = 0
    # Answered 200 with another request's body.
    wrong: int = 0
    # Sent, and the connection ended without any byte of a response.
    lost: int = 0
    cut: int = 0
    # Not answered within ANSWER_SECONDS.
    silent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    # Attempts to connect that failed; clients try again every 50 ms.
    refused: int = 0
    # Closed by the server between requests: announced by the response before, or just found closed before
    # sending.
    announced: int = 0
    found_closed: int = 0
    # From the wish to send until a good response, over failed attempts; without the time that the application
    # was asked to take.
    longest_wait: float = 0.0
    # When each worker process answered last, by pid.
    workers: dict[int, float] = field(default_factory=dict)

    def waited(self, seconds: float) -> None:
        self.longest_wait = max(self.longest_wait, seconds)

    def answering(self, within: float = 1.0) -> list[int]:
        """The pids that have answered in the last `within` seconds."""
        since = time.monotonic() - within
        return [pid for pid, last in self.workers.items() if last > since]


class Clients:
    """As an asynchronous context manager: they ask from its begin to its end, and then finish what they
    have sent."""

    def __init__(self, port: int, pause_seconds: float) -> None:
        self.tally = Tally()
        self._port = port
        self._pause = pause_seconds
        self._numbers = itertools.count(1)
        self._over = False
        self._running: list[asyncio.Task[None]] = []
        # The same pauses in each run.
        self._random = random.Random(1)

    async def __aenter__(self) -> "Clients":
        self._running = [asyncio.create_task(self._one_client()) for _ in range(CLIENTS)]
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._over = True
        results = await asyncio.gather(*self._running, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _one_client(self) -> None:
        connection: Connection | None = None
        wished = 0.0
        try:
            while not self._over:
                # Between half the pause and one and a half.
                if not wished:
                    await asyncio.sleep(self._pause * (0.5 + self._random.random()))
                    wished = time.monotonic()
                if connection is not None and connection.ended():
                    self.tally.found_closed += 1
                    connection.close()
                    connection = None
                if connection is None:
                    connection = await self._connected()
                    continue
                await asyncio.sleep(WIRE_SECONDS)
                number = next(self._numbers)
                seconds = LONGER_SECONDS if number % LONGER_EVERY == 0 else 0.0
                good, keeps = await self._one_request(connection, number, seconds)
                if good:
                    self.tally.waited(time.monotonic() - wished - seconds)
                    wished = 0.0
                if not keeps:
                    connection.close()
                    connection = None
        finally:
            if wished:
                # Never answered, or not to the end.
                self.tally.waited(time.monotonic() - wished)
            if connection is not None:
                connection.close()

    async def _connected(self) -> Connection | None:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(RESPONSE_SECONDS):
                return await Connection.open(self._port)
        self.tally.refused += 1
        await asyncio.sleep(CONNECT_AGAIN_SECONDS)
        return None

    async def _one_request(self, connection: Connection, number: int, seconds: float) -> tuple[bool, bool]:
        """Whether it was answered as it should, and whether the connection can be used again."""
        tally = self.tally
        tally.requests += 1
        path = f"/number/{number}" + (f"?seconds={seconds}" if seconds else "")
        try:
            async with asyncio.timeout(RESPONSE_SECONDS):
                response = await connection.ask(path)
        except TimeoutError:
            tally.silent += 1
            return False, False
        except LostError:
            tally.lost += 1
            return False, False
        except CutError:
            tally.cut += 1
            return False, False
        if response.worker:
            tally.workers[response.worker] = time.monotonic()
        good = response.status == 200 and response.body == b"%d\n" % number
        if good:
            tally.ok += 1
        elif response.status == 200:
            tally.wrong += 1
        else:
            tally.statuses[response.status] += 1
        if response.announces_close:
            tally.announced += 1
        return good, not response.announces_close
