"""A statsd of the test's own: receives datagrams, takes them apart, and adds up what they say.

Whoever sends a line that no statsd would understand fails the test.
"""

from __future__ import annotations

import re
import socket
from collections import Counter
from pathlib import Path
from typing import Self

_LINE = re.compile(
    r"(?P<name>[\w.]+):(?P<value>\d+(?:\.\d+)?)\|(?P<kind>c|g|ms)(?:\|@(?P<rate>[01]\.\d+))?(?:\|#(?P<tags>[^|]+))?"
)
_LONGEST = 1432


class Statsd:
    """Listens on a free port, or at a path. Use as a context manager.

    ``counts``: sums, as a statsd would make them. ``gauges``: the last value. ``timings``: all of a name in
    milliseconds; ``times``: how many there were, those included that were not sent.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self.gauges: dict[str, float] = {}
        self.timings: dict[str, list[float]] = {}
        self.times: dict[str, float] = {}
        self.tags: set[str | None] = set()
        self.datagrams = 0
        self._socket = socket.socket(socket.AF_UNIX if path else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(path) if path else ("127.0.0.1", 0))
        self.address = f"unix:{path}" if path else "127.0.0.1:{1}".format(*self._socket.getsockname())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def look(self) -> Self:
        """Take in what has come."""
        while True:
            try:
                datagram = self._socket.recv(65536)
            except BlockingIOError:
                return self
            assert 0 < len(datagram) <= _LONGEST
            self.datagrams += 1
            for line in datagram.decode("ascii").split("\n"):
                self._take(line)

    def _take(self, line: str) -> None:
        found = _LINE.fullmatch(line)
        assert found is not None, line
        name, value = found["name"], float(found["value"])
        self.tags.add(found["tags"])
        match found["kind"]:
            case "c":
                assert value == int(value)
                assert found["rate"] is None
                self.counts[name] += int(value)
            case "g":
                self.gauges[name] = value
            case _:
                self.timings.setdefault(name, []).append(value)
                self.times[name] = self.times.get(name, 0) + 1 / float(found["rate"] or 1)
