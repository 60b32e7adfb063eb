"""The scenes: what happens to the server in the middle of the load. Each is bounded in time, whatever the
server does."""

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import measure
from benchmarks.lifecycle import subjects
from benchmarks.lifecycle.clients import Clients, Tally
from benchmarks.lifecycle.subjects import WORKERS, Kind, Subject
from benchmarks.lifecycle.wire import Connection, CutError, LostError
from benchmarks.peers import ServerFailedError

READY_SECONDS = 10.0
# Load before the first event and after the last.
BEFORE_SECONDS = 1.0
AFTER_SECONDS = 2.0
# No scene's events take longer, or they end there. Twenty reloads of four Flask workers are seconds of pure
# computing.
MOST_SECONDS = 16.0
MOST_SECONDS_FOR_RELOADS = 30.0
THREADS = 8

# About 1,600 requests per second while all goes well: two thirds of what the slowest server here can do on
# two cores.
PAUSE_SECONDS = 0.04


@dataclass
class Outcome:
    server: str
    scene: str
    # What was done, as counted while doing it.
    done: str
    tally: Tally
    note: str = ""
    # Requests inside the application of workers at the moment they were killed.
    running_in_killed: int = 0
    failed: str = ""


@dataclass
class Play:
    """What a scene works with."""

    subject: Subject
    clients: Clients
    until: float
    done: int = 0
    running_in_killed: int = 0
    # The same choices in each run.
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    @property
    def over(self) -> bool:
        return time.monotonic() > self.until


@dataclass(frozen=True)
class Scene:
    name: str
    title: str
    run: Callable[[Play], Awaitable[None]]
    pause_seconds: float = PAUSE_SECONDS
    most_seconds: float = MOST_SECONDS
    # What `Play.done` counts.
    unit: str = "times"


async def _hup(play: Play) -> None:
    # One after the other: asked again within a reload, granian gets stuck and gunicorn begins anew, so that
    # nobody could say how many reloads there were.
    for _ in range(20):
        old = [pid for pid in play.clients.tally.workers if _runs(pid)]
        play.subject.send(signal.SIGHUP)
        await asyncio.sleep(0.3)
        while any(_runs(pid) for pid in old):
            if play.over:
                return
            await asyncio.sleep(0.02)
        play.done += 1


async def _max_requests(play: Play) -> None:
    await asyncio.sleep(10)
    play.done = len(play.clients.tally.workers)


async def _kill(play: Play) -> None:
    for _ in range(20):
        while not (alive := [pid for pid in play.clients.tally.answering() if _runs(pid)]):
            if play.over:
                return
            await asyncio.sleep(0.02)
        play.running_in_killed += play.subject.kill_worker(play.chance.choice(alive))
        play.done += 1
        await asyncio.sleep(0.6)


async def _usr2(play: Play) -> None:
    for _ in range(3):
        old = play.subject.main
        play.subject.send(signal.SIGUSR2)
        # The new one is the child that has children itself. Whom new connections reach is no sign of it: the
        # clients have none to open.
        while not (
            found := [pid for pid in subjects.children(old) if len(subjects.children(pid)) >= WORKERS]
        ):
            if play.over:
                return
            await asyncio.sleep(0.05)
        if play.subject.kind.old_must_be_ended:
            # Its workers exist; give them time to load the application.
            await asyncio.sleep(1.5)
            play.subject.send(signal.SIGTERM)
        play.subject.main = found[0]
        while _runs(old):
            if play.over:
                return
            await asyncio.sleep(0.05)
        play.done += 1
        await asyncio.sleep(0.5)


async def _ttin(play: Play) -> None:
    for number in (signal.SIGTTIN, signal.SIGTTOU):
        for _ in range(5):
            play.subject.send(number)
            play.done += 1
            await asyncio.sleep(0.8)


SCENES = (
    Scene(
        "hup",
        "20 x SIGHUP (reload), each when the one before is done",
        _hup,
        most_seconds=MOST_SECONDS_FOR_RELOADS,
        unit="reloads",
    ),
    Scene("max-requests", "--max-requests 50, 10 s", _max_requests, pause_seconds=0.25, unit="processes"),
    Scene("kill", "20 x kill -9 of a random worker, every 0.6 s", _kill, unit="kills"),
    Scene("usr2", "3 x SIGUSR2 (a new version on the same sockets)", _usr2, unit="upgrades"),
    Scene(
        "ttin", "5 x SIGTTIN, 5 x SIGTTOU (a worker more, a worker less), every 0.8 s", _ttin, unit="signals"
    ),
)


def select(names: list[str] | None) -> list[Scene]:
    """The scenes of these names, in order; all when None."""
    if names is None:
        return list(SCENES)
    if unknown := sorted(set(names) - {scene.name for scene in SCENES}):
        raise ValueError(
            f"no scene called {', '.join(unknown)}; there are {', '.join(scene.name for scene in SCENES)}"
        )
    return [scene for scene in SCENES if scene.name in names]


def play(kind: Kind, scene: Scene, python: Path) -> Outcome:
    """Start the server, play the scene, stop the server. A server that fails is an outcome, not an error."""
    if scene.name not in kind.scenes:
        return Outcome(kind.name, scene.name, "cannot", Tally(), failed="cannot")
    options, note = kind.scenes[scene.name]
    with subjects.started(kind, python, THREADS, options) as subject:
        try:
            return asyncio.run(_play(subject, scene, note))
        except ServerFailedError as error:
            return Outcome(kind.name, scene.name, "", Tally(), note, failed=str(error))


async def _play(subject: Subject, scene: Scene, note: str) -> Outcome:
    await wait_ready(subject)
    async with Clients(subject.port, scene.pause_seconds) as clients:
        await asyncio.sleep(BEFORE_SECONDS)
        played = Play(subject, clients, time.monotonic() + scene.most_seconds)
        await scene.run(played)
        await asyncio.sleep(AFTER_SECONDS)
    done = f"{played.done} {scene.unit}"
    return Outcome(subject.kind.name, scene.name, done, clients.tally, note, played.running_in_killed)


async def wait_ready(subject: Subject) -> None:
    """Until a request is answered 200."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            async with asyncio.timeout(READY_SECONDS):
                connection = await Connection.open(subject.port)
                try:
                    response = await connection.ask("/number/0")
                finally:
                    connection.close()
            if response.status == 200:
                return
        except (OSError, LostError, CutError):
            pass
        if not subject.alive() or time.monotonic() > deadline:
            raise ServerFailedError(f"not ready\n{subject.log_tail()}")
        await asyncio.sleep(0.05)


def _runs(pid: int) -> bool:
    stat = measure.read_stat(pid)
    return stat is not None and stat.state not in "ZX"
