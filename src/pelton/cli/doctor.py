"""``pelton doctor``: what a server on this machine lives with, and what to do about it.

Owns the examinations that are not about settings alone: those are `pelton check`'s, and are taken from there.
Nothing is started or changed. Main thread.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import resource
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pelton.cli import checks
from pelton.cli.application_check import check_application
from pelton.cli.certificates_check import check_certificates
from pelton.cli.configuration import read_configuration
from pelton.cli.ending import working_directory
from pelton.cli.findings import Finding, Verdict, doubtful, fault, good
from pelton.config.settings import TABLE, Settings
from pelton.config.units import format_seconds
from pelton.exceptions import PeltonError
from pelton.loader import parse_target
from pelton.observe.client import ask_json, find_server
from pelton.process.resources import throttled
from pelton.sizing.limits import thread_bounds, worker_bounds
from pelton.version import VERSION

MARKS: Final = {Verdict.GOOD: ("✓", "green"), Verdict.DOUBTFUL: ("!", "yellow"), Verdict.FAULT: ("✗", "red")}

_SETTINGS: Final = frozenset(row.name for row in TABLE)
_LEAST_DESCRIPTORS = 4096
_LEAST_BACKLOG = 1024
# Drivers that wait in C, where gevent and eventlet cannot go on with other requests; and what does not.
_BLOCKING: Final = {
    "psycopg2-binary": "psycogreen, or psycopg 3",
    "psycopg2": "psycogreen, or psycopg 3",
    "mysqlclient": "PyMySQL",
    "oracledb": "threads",
    "pyodbc": "threads",
}
# A load balancer that keeps a connection longer than the server finds it closed under a request.
_BALANCERS: Final = {"AWS ALB": 60.0, "Google's load balancers": 600.0, "nginx (keepalive_timeout)": 60.0}


def examine(
    admin: str | None, pid: int | None, config: str | None, target: str | None = None
) -> list[Finding]:
    """All findings, faults last but in their order otherwise. ``target``: an application to be imported.

    Raises ConfigError.
    """
    found = read_configuration({}, (), config, dict(os.environ), Path.cwd())
    settings = found.settings
    looks: dict[str, Iterable[Finding]] = {
        "versions": _versions(),
        "machine": _machine(),
        "sizes": _sizes(settings),
        "kernel": _kernel(),
        "time-outs": _time_outs(settings),
        "drivers": _drivers(settings),
        "proxies": _proxies(settings),
        "settings": checks.check_settings(settings, found.resolved.sources),
        "descriptors": checks.check_descriptors(settings),
        "certificates": check_certificates(settings),
        "application": () if target is None else _application(target, settings),
        "server": _running(admin, pid, settings),
    }
    findings = [replace(one, about=about) for about, look in looks.items() for one in look]
    return sorted(findings, key=lambda one: one.verdict is Verdict.FAULT)


def is_wrong(findings: Sequence[Finding]) -> bool:
    """Whether one of them is a fault."""
    return any(one.verdict is Verdict.FAULT for one in findings)


def as_json_of(findings: Sequence[Finding]) -> dict[str, Any]:
    """The documented shape."""
    return {
        "findings": [
            {
                "verdict": one.verdict.value,
                "what": one.what,
                "todo": list(one.lines),
                "kind": one.about,
                "name": _setting_in(one.what),
                "where": "",
                "request": "",
                "reason": one.what,
            }
            for one in findings
        ]
    }


def _setting_in(text: str) -> str:
    """The first setting that a sentence names; empty where it names none."""
    words = re.findall(r"[a-z]+(?:_[a-z]+)+|threads|workers", text)
    return next((word for word in words if word in _SETTINGS), "")


def _versions() -> Iterator[Finding]:
    yield good(f"pelton {VERSION}, Python {platform.python_version()}, Linux {platform.release()}.")
    if sys.flags.dev_mode:
        yield doubtful("Python's development mode is on: everything is slower.", "Leave -X dev out.")
    if os.environ.get("PYTHONMALLOC") == "debug" or os.environ.get("FLASK_DEBUG") == "1":
        yield doubtful("FLASK_DEBUG or PYTHONMALLOC=debug is set.", "Not in production.")


def _machine() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _LEAST_DESCRIPTORS:
        yield doubtful(
            f"The hard limit of open files is {hard}.",
            "LimitNOFILE=65536 of systemd, or ulimits of the container.",
        )
    else:
        yield good(
            f"Open files: {soft} (soft), {hard if hard != resource.RLIM_INFINITY else 'unlimited'} (hard)."
        )
    pressure = _pressure("memory")
    if pressure is not None and pressure > 10:
        yield doubtful(
            f"Processes wait for memory {pressure:.0f} % of the time.", "Fewer workers, or more memory."
        )
    quota = throttled()
    if quota is not None:
        periods, held = quota
        if periods and held / periods > 0.05:
            yield doubtful(
                f"The cgroup's processor quota stopped it in {held / periods:.0%} of its periods.",
                "Raise the limit (resources.limits.cpu), or have no more workers than it has processors.",
            )
        else:
            yield good("The cgroup's processor quota has not been met.")


def _pressure(what: str) -> float | None:
    try:
        first = Path(f"/proc/pressure/{what}").read_text().split()
        return float(next(one for one in first if one.startswith("avg60=")).removeprefix("avg60="))
    except (OSError, StopIteration, ValueError):
        return None


def _sizes(settings: Settings) -> Iterator[Finding]:
    threads, workers = thread_bounds(settings), worker_bounds(settings)
    yield good(
        f"Threads: {threads.least} to {threads.most} in each of {workers.least} to {workers.most} workers "
        f"({threads.why})."
    )
    processors = len(os.sched_getaffinity(0))
    if isinstance(settings.workers, int) and settings.workers > 4 * processors:
        yield doubtful(
            f"{settings.workers} workers share {processors} processors.", "As many as processors is enough."
        )


def _kernel() -> Iterator[Finding]:
    try:
        most = int(Path("/proc/sys/net/core/somaxconn").read_text())
    except (OSError, ValueError):
        return
    if most < _LEAST_BACKLOG:
        yield doubtful(
            f"net.core.somaxconn is {most}: bursts of connections are refused.",
            "sysctl net.core.somaxconn=4096",
        )
    else:
        yield good(f"The kernel lets {most} connections wait to be accepted.")


def _time_outs(settings: Settings) -> Iterator[Finding]:
    short = [
        f"{name} ({seconds:.0f} s)"
        for name, seconds in _BALANCERS.items()
        if settings.keep_alive_seconds <= seconds
    ]
    if short:
        longest = max(_BALANCERS.values())
        yield doubtful(
            f"keep_alive_seconds is {format_seconds(settings.keep_alive_seconds)}: behind a balancer that "
            "keeps idle connections longer, now and then a request meets a closed one (502). Longer are: "
            f"{', '.join(short)}.",
            f"Behind one of them set it higher than the balancer's: --keep-alive {longest + 20:.0f}.",
        )
    if not settings.request_timeout:
        yield doubtful(
            "No request_timeout: a request that hangs keeps its thread for ever, and is not reported.",
            "--request-timeout 30",
        )


def _stop_time(pid: int, settings: Settings) -> Iterator[Finding]:
    """Of a server that systemd has started: whether it may take as long to stop as it wants."""
    unit = _unit_of(pid)
    seconds = None if unit is None else _stop_seconds(unit)
    if seconds is None:
        return
    needed = settings.drain_delay + settings.graceful_timeout
    if seconds <= needed:
        yield doubtful(
            f"systemd kills {unit} {format_seconds(seconds)} after SIGTERM, and pelton may need "
            f"{format_seconds(needed)} (drain_delay and graceful_timeout).",
            f"TimeoutStopSec={needed + 5:.0f} in the unit, or a shorter --graceful-timeout.",
        )
    else:
        yield good(f"systemd gives {unit} {format_seconds(seconds)} to stop.")


def _unit_of(pid: int) -> str | None:
    try:
        last = Path(f"/proc/{pid}/cgroup").read_text().strip().rpartition("/")[2]
    except OSError:
        return None
    return last if last.endswith(".service") else None


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


def _application(text: str, settings: Settings) -> Iterator[Finding]:
    """What importing it shows: its pools against the threads."""
    yield from check_application(parse_target(text), working_directory(), settings)


def _drivers(settings: Settings) -> Iterator[Finding]:
    if settings.worker_kind not in ("gevent", "eventlet"):
        return
    for package, instead in _BLOCKING.items():
        if not _is_installed(package):
            continue
        if "psycogreen" in instead and _is_installed("psycogreen"):
            yield good(f"{package} waits in C, and psycogreen is there to keep it from that.")
            continue
        yield doubtful(
            f"{package} waits in C: with {settings.worker_kind} one query stops all requests of its worker.",
            f"Use {instead}, or the worker kind threads.",
        )


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _proxies(settings: Settings) -> Iterator[Finding]:
    public = [one for one in settings.bind if one.startswith(("0.0.0.0", "[::]", ":"))]
    if settings.trusted_proxies.strip() == "*" and public:
        yield fault(
            f"Every client of {', '.join(public)} is believed who it says it is (trusted_proxies is *).",
            "Name the proxies' addresses.",
        )
    if settings.admin_token is not None and len(settings.admin_token) < 16:
        yield doubtful("admin_token is short.", "python -c 'import secrets; print(secrets.token_urlsafe())'")


def _running(admin: str | None, pid: int | None, settings: Settings) -> Iterator[Finding]:
    try:
        address = find_server(admin, pid)
    except PeltonError as error:
        if admin is not None or pid is not None:
            yield fault(error.what, *error.lines)
        else:
            yield good(f"{error.what} So nothing is said of one.")
        return
    try:
        state = ask_json(address, "/state", expects="workers")
    except PeltonError as error:
        yield fault(error.what, *error.lines)
        return
    yield good(
        f"The server on {address} answers; it has run for {format_seconds(round(state['uptime_seconds']))}."
    )
    yield from _stop_time(state["front"]["pid"], settings)
    counters = state["counters"]
    for name, what, todo in (
        (
            "requests_shed",
            "requests were refused because the queue was full",
            "More threads or workers, or a longer queue.",
        ),
        (
            "requests_expired",
            "requests waited too long for a thread",
            "See pelton top: what do the threads wait for?",
        ),
        ("requests_timed_out", "requests ran too long", "The log has the place where each of them hung."),
        ("requests_lost", "requests were lost with their worker", "The log says how the workers ended."),
        ("accept_failures", "connections could not be accepted", "Raise the limit of open files."),
        ("access_lines_dropped", "lines of the access log were lost", "The log is slower than the server."),
    ):
        if counters[name]:
            yield doubtful(f"{counters[name]} {what}.", todo)
    if state["queue"]["oldest_seconds"] > 1:
        yield doubtful(
            f"A request has waited for {state['queue']['oldest_seconds']:.1f} s.", "See pelton top."
        )
    memory = sum(one["process"]["memory_bytes"] for one in state["workers"])
    workers = state["workers"]
    which = "The worker has" if len(workers) == 1 else f"{len(workers)} workers have"
    yield good(f"{which} {memory / 2**20:.0f} MiB of memory{'' if len(workers) == 1 else ' together'}.")
