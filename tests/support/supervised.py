"""A supervisor with processes that only play their parts: ``python -m support.supervised PLAY``.

A process of its own, because a supervisor waits for every child there is and takes all signals. Prints what
came of it as JSON: the exit code, the messages that the front got, and whether children were left.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pelton.config.settings import Settings, settings_from
from pelton.net.opened import open_all
from pelton.process.control_socket import Line, LineClosedError
from pelton.process.signals import Signals
from pelton.process.systemd import Notifier
from pelton.supervisor import supervisor as supervisor_module
from pelton.supervisor.plan import Rules, workers
from pelton.supervisor.plan.events import Exit
from pelton.supervisor.supervisor import SIGNALS, Supervisor


class Parts:
    """Serves with every worker; the plays below differ in what a worker does, by its number."""

    def __init__(self, heard: Path) -> None:
        self.heard = heard

    def front(self, line: Line, bodies: int, doorbell: int, pulse: int) -> int:
        os.fstat(bodies), os.fstat(doorbell)
        while (message := line.receive()) is not None:
            message.close()
            if message.fields["do"] == "answer":
                os.eventfd_write(pulse, 1)
                continue
            with self.heard.open("a") as file:
                file.write(json.dumps(dict(message.fields)) + "\n")
            if message.fields["do"] == "add":
                line.send({"event": "added", "worker": message.fields["worker"]})
            if message.fields["do"] in ("drain", "stop"):
                return 0
        return 1

    def worker(self, number: int, line: Line, link: tuple[int, int, int, int], settings: Settings) -> int:
        line.send({"event": "hello", "pid": os.getpid()})
        return self.serve(line)

    def serve(self, line: Line) -> int:
        line.send({"event": "ready"})
        while (message := line.receive()) is not None:
            match message.fields["do"]:
                case "stop":
                    return 0
                case "attach":
                    line.send({"event": "attached"})
        return 1

    def template(self, line: Line, settings: Settings) -> int:
        raise NotImplementedError

    def link_memory(self, permits: int) -> int:
        return os.memfd_create("play")

    def body_memory(self) -> int:
        return os.memfd_create("play")


class Broken(Parts):
    """The application cannot be loaded: the last word and the end come together."""

    def worker(self, number: int, line: Line, link: tuple[int, int, int, int], settings: Settings) -> int:
        line.send({"event": "failed", "what": "It is broken.", "traceback": "Traceback"})
        return 3


class NoMemory(Parts):
    """There is no link for anybody."""

    def link_memory(self, permits: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


class Curious(Parts):
    """A worker looks at what it holds besides its own, and fails if there is more."""

    def worker(self, number: int, line: Line, link: tuple[int, int, int, int], settings: Settings) -> int:
        known = {0, 1, 2, line.fileno(), *link}
        kinds = []
        for one in Path("/proc/self/fd").iterdir():
            if int(one.name) not in known:
                # The directory itself is open while it is read.
                target = str(one.readlink()) if one.is_symlink() else ""
                kinds.append(target)
        kinds = [one for one in kinds if one and "/proc/" not in one and one not in OUTSIDE]
        if kinds:
            line.send({"event": "failed", "what": f"it holds {kinds}", "traceback": ""})
            return 3
        return self.serve(line)


class Deaf(Parts):
    """The first worker closes its line and lives on."""

    def worker(self, number: int, line: Line, link: tuple[int, int, int, int], settings: Settings) -> int:
        if number > 1:
            return self.serve(line)
        line.send({"event": "ready"})
        line.close()
        signal.pause()
        return 0


class TakesSignals(Parts):
    """The second worker takes SIGTERM for a request to end while the supervisor believes it still loads."""

    def __init__(self, heard: Path) -> None:
        super().__init__(heard)
        self._meeting = heard.with_name("meeting")
        os.mkfifo(self._meeting)

    def worker(self, number: int, line: Line, link: tuple[int, int, int, int], settings: Settings) -> int:
        if number == 1:
            # Not ready, and so no end, before the other one heeds no SIGTERM.
            self._meeting.read_bytes()
            return super().worker(number, line, link, settings)
        signal.signal(signal.SIGTERM, lambda *_: None)
        self._meeting.write_bytes(b"")
        while (message := line.receive()) is not None:
            if message.fields["do"] == "stop":
                with self.heard.open("a") as file:
                    file.write(json.dumps({"do": "stop", "heard by": number}) + "\n")
                return 0
        return 1


class Numb(Parts):
    """The first front stands still when it should accept; the next one answers."""

    def front(self, line: Line, bodies: int, doorbell: int, pulse: int) -> int:
        if not self.heard.with_name("numb").exists():
            self.heard.with_name("numb").touch()
            while (message := line.receive()) is not None and message.fields["do"] != "accept":
                message.close()
            os.kill(os.getpid(), signal.SIGSTOP)
        return super().front(line, bodies, doorbell, pulse)


class Babbling(Parts):
    """What a worker says makes no sense, before it does its part."""

    def worker(self, number: int, line: Line, link: tuple[int, int, int, int], settings: Settings) -> int:
        for nonsense in ({}, {"event": 7}, {"event": "failed"}, {"event": "quiet", "worker": 1}):
            line.send(nonsense)
        return self.serve(line)


def ask_for_the_end() -> None:
    signal.raise_signal(signal.SIGTERM)


def end_unseen() -> None:
    """Ask for the end, and let the front end just after the supervisor has looked for ended processes."""
    names = vars(supervisor_module)
    collect, wait = names["ended_processes"], Supervisor._wait
    waits = 0

    def wait_once(supervisor: Supervisor) -> None:
        # The first wait is for the signal. After that the front has been told to end, and the supervisor
        # looks around at once, as if something else had happened.
        nonlocal waits
        waits += 1
        if waits != 2:
            wait(supervisor)

    def look() -> list[tuple[int, Exit]]:
        found: list[tuple[int, Exit]] = collect()
        if waits == 2 and not found:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        return found

    names["ended_processes"] = look
    setattr(Supervisor, "_wait", wait_once)  # noqa: B010
    ask_for_the_end()


def fail() -> None:
    raise RuntimeError("a fault of the supervisor")


PLAYS: dict[str, tuple[type[Parts], Callable[[], None]]] = {
    "serves": (Parts, ask_for_the_end),
    "broken": (Broken, ask_for_the_end),
    "no-memory": (NoMemory, ask_for_the_end),
    "curious": (Curious, ask_for_the_end),
    "deaf": (Deaf, lambda: None),
    "takes-signals": (TakesSignals, ask_for_the_end),
    "numb": (Numb, lambda: None),
    "babbling": (Babbling, ask_for_the_end),
    "unseen": (Parts, end_unseen),
    "faulty": (Parts, fail),
}
# Descriptors of whoever started this.
OUTSIDE = {str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()}


def play(name: str) -> dict[str, Any]:
    """Returns the outcome."""
    parts, announced = PLAYS[name]
    workers.FIRST_DELAY = 0.001
    outcome: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as directory, Signals(SIGNALS) as signals:
        heard = Path(directory) / "heard"
        heard.touch()
        settings = settings_from({"bind": f"unix:{directory}/socket", "threads": 8})
        opened = open_all(settings)
        rules = Rules(workers=2, front_timeout=0.6 if name == "numb" else 30.0)
        supervisor = Supervisor(parts(heard), settings, rules, opened, signals, Notifier(None), announced)
        if name == "numb":
            answered = end_after(
                "another one takes over its listening sockets", "front .* accepts connections"
            )
            logging.getLogger("pelton").addFilter(answered)
        if name == "deaf":
            # It serves; when the deaf one is gone and replaced, that is enough.
            both = end_after("worker 3 .* is ready", "worker 1 .*was killed by SIGKILL")
            logging.getLogger("pelton").addFilter(both)
        try:
            end = supervisor.run()
            outcome |= {"code": end.code, "what": end.what, "traceback": end.traceback}
        except RuntimeError as error:
            outcome["error"] = str(error)
        outcome["heard"] = [json.loads(line) for line in heard.read_text().splitlines()]
        outcome["socket"] = Path(directory, "socket").exists()
    try:
        os.waitpid(-1, os.WNOHANG)
        outcome["children"] = True
    except ChildProcessError:
        outcome["children"] = False
    return outcome


def end_after(*texts: str) -> Callable[[logging.LogRecord], bool]:
    """A filter that asks for the end when all of these have been in the log, in whatever order."""
    missing = set(texts)

    def look(record: logging.LogRecord) -> bool:
        found = {one for one in missing if re.search(one, record.getMessage())}
        missing.difference_update(found)
        if found and not missing:
            ask_for_the_end()
        return True

    return look


if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(levelname)s %(message)s")
    try:
        print(json.dumps(play(sys.argv[1])))
    except LineClosedError as error:
        print(error)
