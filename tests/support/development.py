"""A development server as people start it: a script or a ``flask`` command, in a process of its own.

Owns the process, its output and its group. The same for Werkzeug's own server and for penstock: both say
"Running on", so that one test can look at both.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from support.live import Lines
from support.processes import group_of
from support.waiting import DEADLINE, eventually

SIMPLE_SCRIPT = Path(__file__).parent / "simple_script.py"
FLASK_SCRIPT = Path(__file__).parent / "flask_script.py"

PENSTOCK = (sys.executable, "-m", "penstock")
FLASK = (sys.executable, "-m", "flask")
# How the same script is run by either.
SERVERS = {"werkzeug": (sys.executable,), "penstock": (*PENSTOCK, "run")}


class Development:
    """One command; a context manager. ``arguments``: for ``run_simple``, read by the scripts of the suites.

    ``gates``: the environment of `support.gates.Gates`, if requests are to be held.
    """

    def __init__(
        self,
        *command: str | Path,
        arguments: dict[str, Any] | None = None,
        directory: Path | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # A test run in the background ignores it, and processes inherit that.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        outside = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
        self.process = subprocess.Popen(
            [str(one) for one in command],
            cwd=directory,
            env={
                **outside,
                "PYTHONUNBUFFERED": "1",
                "NO_COLOR": "1",
                "RUN_ARGUMENTS": json.dumps(arguments or {}),
                **(environment or {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        changed = threading.Condition()
        self.output = Lines(self.process.stdout, changed)
        self.log = Lines(self.process.stderr, changed)

    @property
    def url(self) -> str:
        """Where it listens; waits until it does."""
        return self.log.wait_for(r"Running on (http://\S+)")[1]

    def get(self, path: str, **others: Any) -> requests.Response:
        """The answer to one request."""
        return requests.get(self.url + path, timeout=DEADLINE, **others)

    def exit_code(self) -> int:
        """Wait for its end."""
        code = self.process.wait(DEADLINE)
        self.output.join()
        self.log.join()
        return code

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal and wait for the end, which leaves nobody behind; the exit code."""
        self.process.send_signal(number)
        code = self.exit_code()
        eventually(lambda: not group_of(self.process.pid), lambda: f"left: {group_of(self.process.pid)}")
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.exit_code()
        print(f"--- {_shown(self.process.args)}")
        print(f"--- standard output\n{self.output.text}\n--- standard error\n{self.log.text}")


_OTHERS = ("FLASK_", "WERKZEUG_", "PENSTOCK_")


def _shown(arguments: Any) -> str:
    return " ".join(map(str, arguments)) if isinstance(arguments, Sequence) else str(arguments)


def in_threads(count: int, ask: Any) -> list[threading.Thread]:
    """``ask(number)`` in as many threads, which are started."""
    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(count)]
    for one in threads:
        one.start()
    return threads
