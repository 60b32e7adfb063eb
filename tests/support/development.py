"""A development server as people start it: a script or a ``flask`` command, in a process of its own.

The same for Werkzeug's own server and for pelton: both say "Running on", so that one test can look at both.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import requests

from support.started import Started
from support.waiting import DEADLINE

SIMPLE_SCRIPT = Path(__file__).parent / "simple_script.py"
FLASK_SCRIPT = Path(__file__).parent / "flask_script.py"

PELTON = (sys.executable, "-m", "pelton")
FLASK = (sys.executable, "-m", "flask")
# How the same script is run by either.
SERVERS = {"werkzeug": (sys.executable,), "pelton": (*PELTON, "run")}


class Development(Started):
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
        outside = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
        super().__init__(
            command,
            directory=directory,
            outside=outside,
            environment={"RUN_ARGUMENTS": json.dumps(arguments or {}), **(environment or {})},
        )

    @property
    def url(self) -> str:
        """Where it listens; waits until it does."""
        return self.log.wait_for(r"Running on (http://\S+)")[1]

    def get(self, path: str, **others: Any) -> requests.Response:
        """The response to one request."""
        return requests.get(self.url + path, timeout=DEADLINE, **others)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal and wait for the end, which leaves nobody behind; the exit code."""
        self.send_signal(number)
        code = self.exit_code()
        self.wait_until_gone()
        return code


_OTHERS = ("FLASK_", "WERKZEUG_", "PELTON_")


def in_threads(count: int, ask: Any) -> list[threading.Thread]:
    """``ask(number)`` in as many threads, which are started."""
    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(count)]
    for one in threads:
        one.start()
    return threads
