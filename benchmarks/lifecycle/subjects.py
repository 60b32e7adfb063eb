"""The servers of the lifecycle scenes: how each is started with several workers, and what it can do while
it runs.

A subject is one start in a session of its own. Its first process may be followed by another (USR2), so the
one that takes the signals is `main`, and every process of the session belongs to it.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import measure
from benchmarks.lifecycle import app
from benchmarks.peers import HOST, KILL_SECONDS, ROOT, ServerFailedError, free_port

WORKERS = 4
TARGET = "benchmarks.lifecycle.app:app"
STOP_SECONDS = 5.0


@dataclass(frozen=True)
class Start:
    python: Path
    port: int
    threads: int

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def script(self, name: str) -> str:
        return str(self.python.with_name(name))


@dataclass(frozen=True)
class Kind:
    """One server: its command, and for each scene the options that it needs there; a scene that is missing
    it cannot play."""

    name: str
    distribution: str
    command: Callable[[Start], list[str]]
    # By scene: options, and what the report should say about them.
    scenes: dict[str, tuple[tuple[str, ...], str]] = field(default_factory=dict)
    # USR2 starts a second one beside the first, and somebody has to end the first.
    old_must_be_ended: bool = False


def _pelton(start: Start) -> list[str]:
    command = [start.script("pelton"), TARGET, "--bind", start.address]
    return [*command, "--workers", str(WORKERS), "--threads", str(start.threads)]


def _gunicorn(worker_class: str) -> Callable[[Start], list[str]]:
    def command(start: Start) -> list[str]:
        fixed = [start.script("gunicorn"), "--bind", start.address, "--workers", str(WORKERS)]
        threads = ["--threads", str(start.threads)] if worker_class == "gthread" else []
        return [*fixed, "--no-control-socket", "--worker-class", worker_class, *threads, TARGET]

    return command


def _granian(start: Start) -> list[str]:
    command = [start.script("granian"), "--interface", "wsgi", "--host", HOST, "--port", str(start.port)]
    threads = ["--blocking-threads", str(start.threads)]
    return [*command, "--workers", str(WORKERS), *threads, TARGET]


_PLAIN: tuple[tuple[str, ...], str] = ((), "")
_LIKE_GUNICORN = {
    "hup": _PLAIN,
    "max-requests": (("--max-requests", "50"), ""),
    "kill": _PLAIN,
    "usr2": _PLAIN,
    "ttin": _PLAIN,
}

KINDS = (
    Kind("pelton", "pelton", _pelton, _LIKE_GUNICORN),
    Kind(
        "gunicorn-gthread",
        "gunicorn",
        _gunicorn("gthread"),
        _LIKE_GUNICORN | {"usr2": ((), "USR2, and TERM to the old one when the new one answers")},
        old_must_be_ended=True,
    ),
    Kind(
        "gunicorn-sync",
        "gunicorn",
        _gunicorn("sync"),
        _LIKE_GUNICORN | {"usr2": ((), "USR2, and TERM to the old one when the new one answers")},
        old_must_be_ended=True,
    ),
    Kind(
        "granian",
        "granian",
        _granian,
        {
            "hup": (("--respawn-interval", "0.1"), "3.5 s from worker to worker by default, 0.1 s here"),
            "max-requests": (
                ("--workers-max-rss", "1", "--rss-sample-interval", "1s", "--respawn-interval", "0.1"),
                "no such option; the nearest is a memory limit, here one that every worker is above",
            ),
            "kill": (
                ("--respawn-failed-workers", "--respawn-interval", "0.1"),
                "respawning is off by default: --respawn-failed-workers --respawn-interval 0.1",
            ),
        },
    ),
)


def select(names: list[str] | None) -> list[Kind]:
    """The servers of these names, in the table's order; those of the issue's question when None."""
    chosen = ["pelton", "gunicorn-gthread", "granian"] if names is None else names
    if unknown := sorted(set(chosen) - {kind.name for kind in KINDS}):
        raise ValueError(
            f"no server called {', '.join(unknown)}; there are {', '.join(kind.name for kind in KINDS)}"
        )
    return [kind for kind in KINDS if kind.name in chosen]


class Subject:
    """A started server."""

    def __init__(self, kind: Kind, process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
        self.kind = kind
        self.port = port
        # Where the application keeps its counts.
        self.folder = folder
        self.main = process.pid
        self._first = process

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.main, number)

    def kill_worker(self, pid: int) -> int:
        """Kill it at once; how many requests were inside the application then."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        while (stat := measure.read_stat(pid)) and stat.state not in "ZX":
            time.sleep(0.001)
        return app.running_in(self.folder, pid)

    def alive(self) -> bool:
        self._first.poll()
        return bool(measure.processes_of(self._first.pid))

    def log_tail(self, lines: int = 15) -> str:
        return "\n".join((self.folder / "output").read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        """TERM to the main process, KILL to what is left of the session after a while."""
        self.send(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        killed = False
        while self.alive():
            if time.monotonic() > deadline:
                if killed:
                    raise ServerFailedError(f"{measure.processes_of(self._first.pid)} survived SIGKILL")
                killed = True
                deadline += KILL_SECONDS
                for pid in measure.processes_of(self._first.pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)


def children(pid: int) -> list[int]:
    """Its children that run."""
    found = (measure.read_stat(int(entry.name)) for entry in measure.PROC.iterdir() if entry.name.isdigit())
    return [stat.pid for stat in found if stat and stat.parent == pid and stat.state not in "ZX"]


@contextlib.contextmanager
def started(kind: Kind, python: Path, threads: int, options: tuple[str, ...] = ()) -> Iterator[Subject]:
    """The server, from the start of its command; gone at the end, whatever happened. Whether it answers is
    for the clients to find out."""
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GRANIAN_"))
    }
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        port = free_port()
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(
                [*kind.command(Start(python, port, threads)), *options],
                cwd=ROOT,
                env={**variables, "PYTHONPATH": str(ROOT), app.STATE: name},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        subject = Subject(kind, process, port, folder)
        try:
            yield subject
        finally:
            subject.stop()
