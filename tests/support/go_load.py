"""Go's net/http as a load of HTTP/2: eight requests under way at any time, on one connection."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.waiting import DEADLINE, eventually

GO = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
PROGRAM = Path(__file__).parent / "load.go"
# It is compiled first.
START_SECONDS = 240


class GoLoad:
    """As a context manager: asks from its begin to its end. `found` is there afterwards."""

    def __init__(self, address: str, authority: Path) -> None:
        self.found: dict[str, Any] = {}
        self._command = [GO or "go", "run", os.fspath(PROGRAM), address, os.fspath(authority)]
        self._count = 0
        self._first = threading.Event()

    def wait_for(self, count: int) -> None:
        """Wait until ``count`` more requests have been answered."""
        wanted = self._count + count
        eventually(lambda: self._count >= wanted, lambda: f"{wanted} responses: {self._count}, {self.found}")

    def _collect(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                self.found = json.loads(line)
            else:
                self._count = int(line)
            self._first.set()
        self._first.set()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()
        assert self._first.wait(START_SECONDS), "it does not begin"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        try:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._thread.join(DEADLINE)
            code = self._process.wait(DEADLINE)
        finally:
            self._process.kill()
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._process.stdout.close()
        with self._process.stderr as stderr:
            complaint = stderr.read()
        if kind is None:
            assert code == 0, complaint
            assert self.found["failures"] is None, self.found
