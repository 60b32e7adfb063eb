"""One server that is looked at: started with a setting, asked what it has cost, ended.

Owns its process, the folder of its counts, and the generator's runs against it. Main thread.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from pelton.config.worker_kinds import Concurrency, kind_named
from pelton.exceptions import ApplicationError, PeltonError, StartError
from pelton.observe.client import ask, ask_json
from pelton.system import exact_processor_time_of
from pelton.tune.counts import Counted, read
from pelton.tune.load import Load
from pelton.tune.subject import FAILURE_FILE, FOLDER_VARIABLE, ROUTES_FILE, ROWS_VARIABLE, TARGET_VARIABLE

_START_SECONDS: Final = 120.0
_NO_APPLICATION: Final = 3


@dataclass(frozen=True)
class Setting:
    """How the application is served. ``threads``: requests at once in each worker, whatever runs them."""

    threads: int
    workers: int
    kind: str = "threads"

    def __str__(self) -> str:
        return f"{self.workers} x {self.threads} {self.kind}"

    @property
    def permits(self) -> int:
        """Requests at once in each worker."""
        return 1 if kind_named(self.kind).concurrency is Concurrency.ONE else self.threads

    def as_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"workers": self.workers, "threads": self.permits, "worker_kind": self.kind}

    def arguments(self) -> list[str]:
        """Of the command."""
        at_once = {
            Concurrency.ONE: [],
            Concurrency.THREADS: ["--threads", str(self.threads)],
            Concurrency.CONNECTIONS: ["--worker-connections", str(self.threads)],
        }[kind_named(self.kind).concurrency]
        return ["--workers", str(self.workers), "-k", self.kind, *at_once]


@dataclass(frozen=True)
class Cost:
    """Of one run of the generator: seconds of processors, and what the workers have counted."""

    front_seconds: float
    counted: Counted
    memory_bytes: int


class Server:
    """Use as a context manager. ``directory``: where the application is imported."""

    def __init__(self, target: str, setting: Setting, load: Load, directory: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="pelton-tune-")
        self._path = Path(self._folder.name)
        self._load = load
        self._target, self._setting, self._directory = target, setting, directory
        self._process: subprocess.Popen[bytes] | None = None
        self._address = ("127.0.0.1", 0)
        self._admin = f"unix:{self._path}/admin"
        self._log = self._path / "log"

    def __enter__(self) -> Server:
        try:
            self._start()
            self._wait()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._folder.cleanup()

    def _start(self) -> None:
        environment = {
            **os.environ,
            TARGET_VARIABLE: self._target,
            FOLDER_VARIABLE: str(self._path),
            ROWS_VARIABLE: str(len(self._load.requests)),
        }
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener, self._log.open("wb") as log:
            self._address = listener.getsockname()
            # Sampling is off: what is measured is the application.
            command = [
                *(sys.executable, "-m", "pelton", "pelton.tune.subject:make()"),
                *("--bind", f"fd://{listener.fileno()}", "--admin-bind", self._admin),
                *("--no-admin-socket", "--no-sampling", "--graceful-timeout", "5"),
                *self._setting.arguments(),
            ]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self._directory,
                pass_fds=[listener.fileno()],
            )

    def _wait(self) -> None:
        assert self._process is not None
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            if (code := self._process.poll()) is not None:
                self._raise_failure()
                log = self._log.read_text(errors="replace").rstrip()
                kind = ApplicationError if code == _NO_APPLICATION else StartError
                raise kind("The server that was to be measured has ended.", *log.splitlines()[-40:])
            with contextlib.suppress(PeltonError):
                ask(self._admin, "/readyz", seconds=5)
                return
            time.sleep(0.05)
        raise StartError(f"The server with {self._setting} is not ready after {_START_SECONDS:.0f} s.")

    def _raise_failure(self) -> None:
        """Why there is no application, if that is why it has ended. Raises ApplicationError."""
        with contextlib.suppress(OSError):
            failure = json.loads((self._path / FAILURE_FILE).read_text(encoding="utf-8"))
            raise ApplicationError(failure["what"], *failure["lines"], traceback=failure["traceback"])

    def run(self, *, connections: int, seconds: float, memory: bool = False, **more: Any) -> dict[str, Any]:
        """The generator's report."""
        job = {
            "host": self._address[0],
            "port": self._address[1],
            "requests": self._load.encoded(memory=memory),
            "order": self._load.order(),
            "connections": connections,
            "seconds": seconds,
            "warm_seconds": 0.2 * seconds,
            **more,
        }
        done = subprocess.run(
            [sys.executable, "-m", "pelton.tune.generator"],
            input=json.dumps(job).encode(),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            lines = done.stderr.decode(errors="replace").splitlines()
            raise PeltonError("The load could not be sent.", *lines[-1:])
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def counted(self) -> Counted:
        """What the workers have counted until now."""
        return read(self._path, len(self._load.requests))

    def cost(self) -> Cost:
        """What everything has cost until now."""
        state = ask_json(self._admin, "/state")
        memory = sum(one["process"]["memory_bytes"] for one in state["workers"])
        return Cost(exact_processor_time_of(state["front"]["pid"]), self.counted(), memory)

    def routes(self) -> dict[int, dict[str, str]]:
        """Route and place of each request that was traced."""
        path = self._path / ROUTES_FILE
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return {one["at"]: one for one in map(json.loads, lines)}
