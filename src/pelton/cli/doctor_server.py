"""What ``pelton doctor`` looks at of a server that runs: its settings, how it is getting on, how it may stop.

Owns finding it and asking it. Nothing is started or changed. Main thread.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pelton.cli.findings import Finding, doubtful, fault, good
from pelton.config.settings import Settings
from pelton.config.units import format_seconds
from pelton.exceptions import PeltonError
from pelton.observe.client import ask_json, find_server
from pelton.observe.effective import settings_of
from pelton.system import unit_of

# Counters that should be 0, what they say when they are not, and what to do.
COUNTED: Final = {
    "requests_shed": (
        "requests were refused because the queue was full",
        "More threads or workers, or a longer queue.",
    ),
    "requests_expired": (
        "requests waited too long for a thread",
        "See pelton top: what do the threads wait for?",
    ),
    "requests_timed_out": ("requests ran too long", "The log has the place where each of them hung."),
    "requests_lost": ("requests were lost with their worker", "The log says how the workers ended."),
    "accept_failures": ("connections could not be accepted", "Raise the limit of open files."),
    "access_lines_dropped": ("lines of the access log were lost", "The log is slower than the server."),
}


@dataclass(frozen=True)
class Server:
    """One that was looked for. Without ``state`` there is only ``problem`` to report."""

    address: str = ""
    state: dict[str, Any] | None = None
    # None where it does not tell them, as a server of a former version.
    settings: Settings | None = None
    directory: Path = Path()
    problem: Finding | None = None

    def findings(self, settings: Settings) -> Iterator[Finding]:
        """What there is to say of it; ``settings``: those that are taken for its."""
        if self.problem is not None:
            yield self.problem
        if self.state is not None:
            yield from _of_state(self.address, self.state)
            yield from _stop_time(self.state["front"]["pid"], settings)


def look_for_server(admin: str | None, pid: int | None) -> Server:
    """The server of that address or pid, or the only one of this user."""
    try:
        address = find_server(admin, pid)
    except PeltonError as error:
        if admin is not None or pid is not None:
            return Server(problem=fault("found", error.what, *error.lines))
        return Server(problem=good("found", f"{error.what} So nothing is said of one."))
    try:
        state = ask_json(address, "/state", expects="workers")
    except PeltonError as error:
        return Server(problem=fault("answers", error.what, *error.lines))
    try:
        facts = ask_json(address, "/settings", expects="settings")
        settings, directory = settings_of(facts), Path(facts["directory"])
    except PeltonError as error:
        problem = doubtful("settings", f"{error.what} Its settings are taken from files and variables here.")
        return Server(address, state, problem=problem)
    if not directory.is_dir():
        # In a container of its own, perhaps.
        directory = Path.cwd()
    return Server(address, state, settings, directory)


def _of_state(address: str, state: dict[str, Any]) -> Iterator[Finding]:
    yield good(
        "answers",
        f"The server on {address} answers; it has run for {format_seconds(round(state['uptime_seconds']))}.",
    )
    counters = state["counters"]
    for name, (what, todo) in COUNTED.items():
        if counters[name]:
            yield doubtful(name, f"{counters[name]} {what}.", todo)
    if state["queue"]["oldest_seconds"] > 1:
        yield doubtful(
            "waiting",
            f"A request has waited for {state['queue']['oldest_seconds']:.1f} s.",
            "See pelton top.",
        )
    memory = sum(one["process"]["memory_bytes"] for one in state["workers"])
    workers = state["workers"]
    which = "The worker has" if len(workers) == 1 else f"{len(workers)} workers have"
    yield good(
        "memory", f"{which} {memory / 2**20:.0f} MiB of memory{'' if len(workers) == 1 else ' together'}."
    )


def _stop_time(pid: int, settings: Settings) -> Iterator[Finding]:
    """Of a server that systemd has started: whether it may take as long to stop as it wants."""
    unit = unit_of(pid)
    seconds = None if unit is None else _stop_seconds(unit)
    if seconds is None:
        return
    needed = settings.drain_delay + settings.graceful_timeout
    if seconds <= needed:
        yield doubtful(
            "stop_time",
            f"systemd kills {unit} {format_seconds(seconds)} after SIGTERM, and pelton may need "
            f"{format_seconds(needed)} (drain_delay and graceful_timeout).",
            f"TimeoutStopSec={needed + 5:.0f} in the unit, or a shorter --graceful-timeout.",
        )
    else:
        yield good("stop_time", f"systemd gives {unit} {format_seconds(seconds)} to stop.")


def _stop_seconds(unit: str) -> float | None:
    try:
        shown = subprocess.run(
            ["systemctl", "show", "-p", "TimeoutStopUSec", unit],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return seconds_of_span(shown.partition("=")[2])


def seconds_of_span(text: str) -> float | None:
    """A time as systemd writes it: `1min 30s`. None for `infinity`, and for what is none."""
    parts = re.findall(r"([\d.]+)\s*([a-z]+)", text)
    if not parts or any(unit not in _SPANS for _, unit in parts):
        return None
    return sum(float(number) * _SPANS[unit] for number, unit in parts)


_SPANS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
