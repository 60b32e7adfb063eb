"""The servers: how each is started with one worker and T threads, all else as it comes. How to stop one, too.

Two departures from "as it comes", the same for all: no access log (most have none by default), and the port.
A name with "+limits" is the same server with its connection limits lifted and its keep-alive prolonged; it
runs in the idle rows only, where the defaults of several servers end the comparison early.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import measure
from benchmarks.rows import Row

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"

# Starting: imports of Flask under load take a second; a server that needs fifteen has a fault worth a "died".
READY_SECONDS = 15.0
# Stopping: clients are gone by then, so whatever a graceful stop still waits for is nothing.
STOP_SECONDS = 3.0
KILL_SECONDS = 5.0
START_ATTEMPTS = 3


@dataclass(frozen=True)
class Start:
    """What a peer's command is made of."""

    python: Path
    app: str
    port: int
    threads: int

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def script(self, name: str) -> str:
        """A console script of the environment that `python` belongs to."""
        return str(self.python.with_name(name))


@dataclass(frozen=True)
class Peer:
    name: str
    distribution: str
    command: Callable[[Start], list[str]]
    note: str = ""
    idle_rows_only: bool = False

    def runs(self, row: Row) -> bool:
        return bool(row.idle) or not self.idle_rows_only


def _gunicorn(*options: str) -> Callable[[Start], list[str]]:
    # The control socket would be one path in the user's home for all runs; nobody asks it anything here.
    def command(start: Start) -> list[str]:
        fixed = [start.script("gunicorn"), "--bind", start.address, "--workers", "1", "--no-control-socket"]
        return [*fixed, *(option.format(threads=start.threads) for option in options), start.app]

    return command


def _granian(*options: str) -> Callable[[Start], list[str]]:
    def command(start: Start) -> list[str]:
        fixed = [start.script("granian"), "--interface", "wsgi", "--host", HOST, "--port", str(start.port)]
        return [*fixed, "--workers", "1", "--blocking-threads", str(start.threads), *options, start.app]

    return command


def _cheroot(start: Start) -> list[str]:
    return [start.script("cheroot"), "--bind", start.address, "--threads", str(start.threads), start.app]


def _uwsgi(*socket_options: str) -> Callable[[Start], list[str]]:
    def command(start: Start) -> list[str]:
        fixed = [start.script("uwsgi"), *(option.format(address=start.address) for option in socket_options)]
        worker = ["--master", "--processes", "1", "--threads", str(start.threads), "--enable-threads"]
        # need-app: fail instead of answering 500; die-on-term: TERM means stop, not reload.
        wishes = ["--disable-logging", "--need-app", "--die-on-term"]
        return [*fixed, *worker, *wishes, "--home", str(start.python.parent.parent), "--module", start.app]

    return command


def _launched(kind: str, *options: str) -> Callable[[Start], list[str]]:
    def command(start: Start) -> list[str]:
        fixed = [str(start.python), "-m", "benchmarks.launch", kind, start.app, str(start.port)]
        return [*fixed, str(start.threads), *options]

    return command


def _pelton(start: Start) -> list[str]:
    return [start.script("pelton"), start.app, "--bind", start.address, "--threads", str(start.threads)]


PELTON = "pelton"

PEERS = (
    Peer(PELTON, "pelton", _pelton),
    Peer("granian", "granian", _granian()),
    Peer("bjoern", "bjoern", _launched("bjoern"), "one thread whatever the row says"),
    Peer(
        "uwsgi",
        "uWSGI",
        _uwsgi("--http", "{address}", "--http-keepalive"),
        "with its HTTP router process (--http --http-keepalive); the plain --http-socket has no keep-alive",
    ),
    Peer(
        "uwsgi-http11",
        "uWSGI",
        _uwsgi("--http11-socket", "{address}"),
        "without a router: its threads read from the clients themselves",
    ),
    Peer("waitress", "waitress", _launched("waitress")),
    Peer("cheroot", "cheroot", _cheroot),
    Peer("gunicorn-gthread", "gunicorn", _gunicorn("--worker-class", "gthread", "--threads", "{threads}")),
    Peer(
        "gunicorn-gevent", "gunicorn", _gunicorn("--worker-class", "gevent"), "greenlets instead of threads"
    ),
    Peer("gunicorn-sync", "gunicorn", _gunicorn("--worker-class", "sync"), "one thread, no keep-alive"),
    Peer("werkzeug", "Werkzeug", _launched("werkzeug"), "a thread per connection, no keep-alive"),
    Peer("granian+limits", "granian", _granian("--backlog", "20000"), "backlog 20000", idle_rows_only=True),
    Peer(
        "waitress+limits",
        "waitress",
        _launched("waitress", "connection_limit=20000", "asyncore_use_poll=1"),
        "connection limit 20000, poll() instead of select()",
        idle_rows_only=True,
    ),
    Peer(
        "gthread+limits",
        "gunicorn",
        _gunicorn(
            "--worker-class",
            "gthread",
            "--threads",
            "{threads}",
            "--worker-connections",
            "20000",
            "--keep-alive",
            "75",
        ),
        "20000 connections, keep-alive of 75 s",
        idle_rows_only=True,
    ),
    Peer(
        "gevent+limits",
        "gunicorn",
        _gunicorn("--worker-class", "gevent", "--worker-connections", "20000", "--keep-alive", "75"),
        "20000 connections, keep-alive of 75 s",
        idle_rows_only=True,
    ),
)


def select(names: list[str] | None) -> list[Peer]:
    """The servers of these names, in the table's order; all when None. Unknown names are an error of the
    caller's."""
    if names is None:
        return list(PEERS)
    known = {peer.name for peer in PEERS}
    if unknown := sorted(set(names) - known):
        raise ValueError(
            f"no server called {', '.join(unknown)}; there are {', '.join(p.name for p in PEERS)}"
        )
    return [peer for peer in PEERS if peer.name in names]


def versions(python: Path, distributions: list[str]) -> dict[str, str]:
    """What this interpreter would run, asked of it: nothing is imported, a missing distribution is left
    out."""
    program = (
        "import importlib.metadata as m, json, platform, sys\n"
        "found = {'Python': platform.python_version()}\n"
        "for name in sys.argv[1:]:\n"
        "    try: found[name] = m.version(name)\n"
        "    except m.PackageNotFoundError: pass\n"
        "print(json.dumps(found))"
    )
    response = subprocess.run(
        [python, "-c", program, *distributions], check=True, capture_output=True, text=True, timeout=30
    )
    found: dict[str, str] = json.loads(response.stdout)
    return found


class ServerFailedError(Exception):
    """The server did not come up; the message holds the end of what it wrote."""


class Running:
    """A started server: its first process, which leads a session of its own, and the file that takes its
    output."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self._log = log
        # Known once it has been stopped.
        self.graceful = False

    @property
    def pid(self) -> int:
        return self.process.pid

    def alive(self) -> bool:
        return self.process.poll() is None

    def log_tail(self, lines: int = 15) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])

    def get(self, path: str, upload: int, timeout: float) -> bytes:
        """One request by a client of our own; any response but 200 is an error."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=timeout)
        try:
            if upload:
                connection.request("POST", path, body=b"u" * upload)
            else:
                connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise ServerFailedError(f"{path} answered {response.status}")
        return body

    def announces_close(self, path: str) -> bool:
        """Whether a client that asks for a close is told that it comes."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=2.0)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            return "close" in (connection.getresponse().getheader("Connection") or "").lower()
        except (OSError, http.client.HTTPException):
            return True
        finally:
            connection.close()

    def wait_ready(self, row: Row, seconds: float) -> None:
        """Until the row's own request is answered. Only a refused connection is asked again at once: a slow
        first one is waited for, so that a server sees one request however slow it starts (instructions.py
        counts on that)."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.get(row.path, row.upload, timeout=max(0.1, deadline - time.monotonic()))
                return
            except (OSError, http.client.HTTPException) as error:
                if not self.alive() or time.monotonic() > deadline:
                    raise ServerFailedError(f"not ready: {error!r}\n{self.log_tail()}") from error
            time.sleep(0.02)

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """TERM to the first process, KILL to all that is left after `seconds`; `graceful` when TERM was
        enough."""
        members = measure.processes_of(self.pid)
        with contextlib.suppress(ProcessLookupError):
            if self.alive():
                os.kill(self.pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        self.graceful = True
        while left := self._left(members):
            if time.monotonic() > deadline:
                if not self.graceful:
                    raise ServerFailedError(f"processes {left} survived SIGKILL")
                self.graceful = False
                deadline += KILL_SECONDS
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)

    def _left(self, members: list[int]) -> list[int]:
        """Which of the server's processes still run. Reaps the first one, whose zombie would otherwise
        stay."""
        self.process.poll()
        # A pid of `members` may in theory be another's by now; within seconds and on one machine it is not.
        known = [pid for pid in members if (stat := measure.read_stat(pid)) and stat.state not in "ZX"]
        return sorted({*known, *measure.processes_of(self.pid)})


def free_port() -> int:
    """A port that was free a moment ago. Somebody may take it before the server does: `running` then tries
    another."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def running(
    peer: Peer,
    row: Row,
    python: Path,
    *,
    prefix: tuple[str, ...] = (),
    environment: dict[str, str] | None = None,
    ready_seconds: float = READY_SECONDS,
    stop_seconds: float = STOP_SECONDS,
) -> Iterator[Running]:
    """The server, answering the row's request; stopped and verified gone at the end, whatever happened
    between.

    `prefix` is a program that the command runs under (valgrind).
    """
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GRANIAN_"))
    }
    variables |= {"PYTHONPATH": str(ROOT), **(environment or {})}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        log = Path(folder) / "output"
        for attempt in range(1, START_ATTEMPTS + 1):
            port = free_port()
            command = [*prefix, *peer.command(Start(python, row.app, port, row.threads))]
            with log.open("wb") as output:
                process = subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env=variables,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            server = Running(process, port, log)
            try:
                server.wait_ready(row, ready_seconds)
            except BaseException as error:
                server.stop()
                if (
                    isinstance(error, ServerFailedError)
                    and attempt < START_ATTEMPTS
                    and _port_was_taken(server)
                ):
                    continue
                raise
            break
        try:
            yield server
        finally:
            server.stop(stop_seconds)


def _port_was_taken(server: Running) -> bool:
    return "in use" in server.log_tail(100)
