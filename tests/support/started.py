"""A process that a test starts: in a group of its own, with its output line by line, and gone at the end.

Owns the process and its output, which threads collect; a test waits for a line instead of for time. At the
end, whatever happened, nobody of the group is left, and the output is printed, which pytest shows for tests
that failed. Must not know what the process is.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from support.processes import group_of
from support.waiting import DEADLINE, eventually

# Processes import a lot before they say something, which takes its time on a slow machine. Still below the
# time-outs of the server that could make good what went wrong.
LONGEST_SILENCE = 25.0


class Lines:
    """Everything that came out of one stream so far."""

    def __init__(self, stream: IO[str], changed: threading.Condition) -> None:
        self._lines: list[str] = []
        self._ended = False
        self._changed = changed
        self._stream = stream
        self._thread = threading.Thread(target=self._collect, name="live-output", daemon=True)
        self._thread.start()

    def _collect(self) -> None:
        for line in self._stream:
            with self._changed:
                self._lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def text(self) -> str:
        """All of it."""
        with self._changed:
            return "\n".join(self._lines)

    def wait_for(self, expression: str, count: int = 1, seconds: float = LONGEST_SILENCE) -> re.Match[str]:
        """Wait, at most ``seconds``, for the ``count``th line in which ``expression`` is found."""
        pattern = re.compile(expression)
        found: list[re.Match[str]] = []
        seen = 0

        def look() -> bool:
            nonlocal seen
            for line in self._lines[seen:]:
                seen += 1
                match = pattern.search(line)
                if match is not None:
                    found.append(match)
            return len(found) >= count or self._ended

        with self._changed:
            in_time = self._changed.wait_for(look, seconds)
        if len(found) < count:
            why = "the output ended" if in_time else "the time was over"
            raise AssertionError(f"{len(found)} lines have {expression!r}, and {why}:\n{self.text}")
        return found[count - 1]

    def all(self, expression: str) -> list[re.Match[str]]:
        """The lines so far in which ``expression`` is found."""
        pattern = re.compile(expression)
        with self._changed:
            matches = [pattern.search(line) for line in self._lines]
        return [match for match in matches if match is not None]

    def join(self) -> None:
        """Wait for the stream's end, which is that of the process and of all that inherited it."""
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "somebody still holds the output of an ended process"
        self._stream.close()


class Started:
    """One process. Use as a context manager.

    Of its environment ``outside`` is there anyhow (this process' own, unless told otherwise), and
    ``environment`` counts most; ``descriptors`` are inherited by their numbers. With ``one_stream``, `log` is
    `output`.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        outside: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        descriptors: Sequence[int] = (),
        one_stream: bool = False,
    ) -> None:
        heed_interrupts()
        self.process = subprocess.Popen(
            [str(one) for one in command],
            cwd=directory,
            env={
                **(os.environ if outside is None else outside),
                "PYTHONUNBUFFERED": "1",
                "NO_COLOR": "1",
                **(environment or {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if one_stream else subprocess.PIPE,
            text=True,
            pass_fds=descriptors,
            # Its own group: a Ctrl-C at the test run is not for it.
            process_group=0,
        )
        self._command = " ".join(map(str, command))
        assert self.process.stdout is not None
        changed = threading.Condition()
        self.output = Lines(self.process.stdout, changed)
        self.log = Lines(self.process.stderr, changed) if self.process.stderr is not None else self.output

    def processes(self) -> list[int]:
        """The processes of its group that still run."""
        return group_of(self.process.pid)

    def wait_until_gone(self) -> None:
        """Wait until no process of its group runs."""
        eventually(lambda: not self.processes(), lambda: f"nothing is left: {self.processes()}")

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self.process.send_signal(number)

    def exit_code(self) -> int:
        """Wait for its end, and for all of its output."""
        code = self.process.wait(LONGEST_SILENCE)
        self.output.join()
        self.log.join()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        # Whatever the test was about: what it started goes with it, also when the first process has ended.
        if self.process.poll() is None:
            self.process.kill()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.exit_code()
        print(f"--- {self._command}\n--- standard output\n{self.output.text}")
        if self.log is not self.output:
            print(f"--- standard error\n{self.log.text}")


def heed_interrupts() -> None:
    """Make processes that are started from now on take SIGINT."""
    # A test run in the background of a shell without job control ignores SIGINT, and processes inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
