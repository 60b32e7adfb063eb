"""``pelton doctor``: what a server on this machine lives with, and what to do about it.

Owns the examinations that are not about settings alone: those are `pelton check`'s, and are taken from there.
Nothing is started or changed. Main thread.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import resource
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pelton.cli import checks
from pelton.cli.application_check import check_application
from pelton.cli.certificates_check import check_certificates
from pelton.cli.configuration import read_configuration
from pelton.cli.doctor_server import look_for_server
from pelton.cli.ending import working_directory
from pelton.cli.findings import Finding, Verdict, doubtful, fault, good
from pelton.config.secrets import HIDDEN
from pelton.config.settings import Settings
from pelton.config.units import format_seconds
from pelton.loader import parse_target
from pelton.sizing.limits import thread_bounds, worker_bounds
from pelton.system import longest_backlog, pressure, processors, throttled
from pelton.version import VERSION

MARKS: Final = {Verdict.GOOD: ("✓", "green"), Verdict.DOUBTFUL: ("!", "yellow"), Verdict.FAULT: ("✗", "red")}

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

    Settings are those of the server that runs, if one is found and no ``config`` is named; else those of
    files and variables. Raises ConfigError.
    """
    server = look_for_server(admin, pid)
    found = read_configuration({}, (), config, dict(os.environ), Path.cwd())
    settings, sources = found.settings, found.resolved.sources
    directory = Path.cwd()
    if server.settings is not None and config is None:
        settings, directory = server.settings, server.directory
        sources = dict.fromkeys(sources, "the server that runs")
    # What is relative is seen from where the server runs.
    with contextlib.chdir(directory):
        looks: dict[str, Iterable[Finding]] = {
            "versions": _versions(),
            "machine": _machine(),
            "sizes": _sizes(settings),
            "kernel": _kernel(),
            "time-outs": _time_outs(settings),
            "drivers": _drivers(settings),
            "proxies": _proxies(settings),
            "settings": checks.check_settings(settings, sources),
            "descriptors": checks.check_descriptors(settings),
            "certificates": check_certificates(settings),
        }
        findings = [replace(one, about=about) for about, look in looks.items() for one in look]
    if target is not None:
        application = check_application(parse_target(target), working_directory(), settings)
        findings += [replace(one, about="application") for one in application]
    findings += [replace(one, about="server") for one in server.findings(settings)]
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
                "name": one.name,
                "where": "",
                "request": "",
                "reason": one.what,
            }
            for one in findings
        ]
    }


def _versions() -> Iterator[Finding]:
    yield good("pelton", f"pelton {VERSION}, Python {platform.python_version()}, Linux {platform.release()}.")
    if sys.flags.dev_mode:
        yield doubtful(
            "development_mode", "Python's development mode is on: everything is slower.", "Leave -X dev out."
        )
    if os.environ.get("PYTHONMALLOC") == "debug" or os.environ.get("FLASK_DEBUG") == "1":
        yield doubtful("debug_variables", "FLASK_DEBUG or PYTHONMALLOC=debug is set.", "Not in production.")


def _machine() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _LEAST_DESCRIPTORS:
        yield doubtful(
            "open_files",
            f"The hard limit of open files is {hard}.",
            "LimitNOFILE=65536 of systemd, or ulimits of the container.",
        )
    else:
        yield good(
            "open_files",
            f"Open files: {soft} (soft), {hard if hard != resource.RLIM_INFINITY else 'unlimited'} (hard).",
        )
    stalled = pressure("memory")
    if stalled is not None and stalled > 10:
        yield doubtful(
            "memory_pressure",
            f"Processes wait for memory {stalled:.0f} % of the time.",
            "Fewer workers, or more memory.",
        )
    quota = throttled()
    if quota is not None:
        periods, held = quota
        if periods and held / periods > 0.05:
            yield doubtful(
                "processor_quota",
                f"The cgroup's processor quota stopped it in {held / periods:.0%} of its periods.",
                "Raise the limit (resources.limits.cpu), or have no more workers than it has processors.",
            )
        else:
            yield good("processor_quota", "The cgroup's processor quota has not been met.")


def _sizes(settings: Settings) -> Iterator[Finding]:
    threads, workers = thread_bounds(settings), worker_bounds(settings)
    yield good(
        "threads",
        f"Threads: {threads.least} to {threads.most} in each of {workers.least} to {workers.most} workers "
        f"({threads.why}).",
    )
    count = processors()
    if isinstance(settings.workers, int) and settings.workers > 4 * count:
        yield doubtful(
            "workers",
            f"{settings.workers} workers share {count:g} processors.",
            "As many as processors is enough.",
        )


def _kernel() -> Iterator[Finding]:
    most = longest_backlog()
    if most is None:
        return
    if most < _LEAST_BACKLOG:
        yield doubtful(
            "somaxconn",
            f"net.core.somaxconn is {most}: bursts of connections are refused.",
            "sysctl net.core.somaxconn=4096",
        )
    else:
        yield good("somaxconn", f"The kernel lets {most} connections wait to be accepted.")


def _time_outs(settings: Settings) -> Iterator[Finding]:
    short = [
        f"{name} ({seconds:.0f} s)"
        for name, seconds in _BALANCERS.items()
        if settings.keep_alive_seconds <= seconds
    ]
    if short:
        longest = max(_BALANCERS.values())
        yield doubtful(
            "keep_alive_seconds",
            f"keep_alive_seconds is {format_seconds(settings.keep_alive_seconds)}: behind a balancer that "
            "keeps idle connections longer, now and then a request meets a closed one (502). Longer are: "
            f"{', '.join(short)}.",
            f"Behind one of them set it higher than the balancer's: --keep-alive {longest + 20:.0f}.",
        )
    if not settings.request_timeout:
        yield doubtful(
            "request_timeout",
            "No request_timeout: a request that hangs keeps its thread for ever, and is not reported.",
            "--request-timeout 30",
        )


def _drivers(settings: Settings) -> Iterator[Finding]:
    if settings.worker_kind not in ("gevent", "eventlet"):
        return
    for package, instead in _BLOCKING.items():
        if not _is_installed(package):
            continue
        if "psycogreen" in instead and _is_installed("psycogreen"):
            yield good(
                "blocking_driver", f"{package} waits in C, and psycogreen is there to keep it from that."
            )
            continue
        yield doubtful(
            "blocking_driver",
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
            "trusted_proxies",
            f"Every client of {', '.join(public)} is believed who it says it is (trusted_proxies is *).",
            "Name the proxies' addresses.",
        )
    if settings.admin_token not in (None, HIDDEN) and len(settings.admin_token or "") < 16:
        yield doubtful(
            "admin_token",
            "admin_token is short.",
            "python -c 'import secrets; print(secrets.token_urlsafe())'",
        )
