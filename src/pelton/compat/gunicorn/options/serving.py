"""gunicorn's options about addresses, workers and their lifetime."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pelton.compat.gunicorn.options.option import Fate, Option, Takes, Translation, count, switch, texts, to
from pelton.compat.gunicorn.worker_class import GREEN, SYNC, is_path, kind_for, name_of


def _bind(value: Any, given: Mapping[str, Any]) -> Translation:
    found = Translation()
    bind = []
    for one in texts(value):
        address = re.sub(r"^(tcp|http)://", "", one, flags=re.IGNORECASE)
        # gunicorn's port is 8000 where none is written.
        if not address.startswith(("unix:", "fd:")):
            if address.isdigit():
                address = f"0.0.0.0:{address}"
            elif address.endswith("]") or (":" not in address and "/" not in address):
                address += ":8000"
        bind.append(address)
    if bind:
        found.values["bind"] = tuple(bind)
    return found


def _workers(value: Any, given: Mapping[str, Any]) -> Translation:
    number = count(value)
    if number == 0:
        return Translation(
            {"workers": 1}, ["workers = 0: pelton starts one; more and fewer with SIGTTIN and SIGTTOU."]
        )
    return Translation({"workers": number})


def _worker_class(value: Any, given: Mapping[str, Any]) -> Translation:
    if value is None:
        return Translation()
    kind = kind_for(value)
    name = name_of(value)
    if kind is None:
        if isinstance(value, str) and not is_path(value):
            # One that another package brings, perhaps (`pelton.config.worker_kinds`).
            return Translation({"worker_kind": value})
        return Translation(
            notes=[f"worker_class {name}: pelton does not know what it does; requests run on threads."]
        )
    if kind == SYNC:
        if _threads_given(given) > 1:
            return Translation({"worker_kind": "threads"})
        return Translation(
            {"worker_kind": SYNC, "threads": 1},
            [
                "worker_class sync: one request at a time in each worker, as with gunicorn. If the "
                "application is safe for threads, raise threads."
            ],
        )
    return Translation({"worker_kind": kind})


def _threads_given(given: Mapping[str, Any]) -> int:
    return count(given.get("threads") or 1)


def _threads(value: Any, given: Mapping[str, Any]) -> Translation:
    return Translation({"threads": max(1, count(value))})


def _worker_connections(value: Any, given: Mapping[str, Any]) -> Translation:
    number = count(value)
    if kind_for(given.get("worker_class")) in GREEN:
        return Translation({"worker_connections": max(1, number)})
    if number == 1000:
        return Translation()
    return Translation(
        notes=[
            f"worker_connections = {number}: the front accepts connections for all workers, as many as there "
            "are descriptors; max_connections limits them."
        ]
    )


def _timeout(value: Any, given: Mapping[str, Any]) -> Translation:
    seconds = count(value)
    values = {"worker_timeout": float(seconds)}
    # A sync worker is killed when one request takes longer; the others only when they show no life.
    if kind_for(given.get("worker_class")) == SYNC and _threads_given(given) <= 1:
        values["request_timeout"] = float(seconds)
    # A worker shows life for the first time when it has loaded the application. Preloading has no limit.
    if not given.get("preload_app"):
        values["start_timeout"] = float(seconds)
    return Translation(values)


def _keepalive(value: Any, given: Mapping[str, Any]) -> Translation:
    seconds = count(value)
    if seconds == 0:
        return Translation({"requests_per_connection": 1})
    found = Translation({"keep_alive_seconds": float(seconds)})
    if seconds < 60:
        found.notes.append(
            f"keepalive = {seconds}: idle connections cost pelton next to nothing. Behind a load balancer, "
            "its own idle time (often 60 s) should end first; without this line it is 75 s."
        )
    return found


def _max_requests(value: Any, given: Mapping[str, Any]) -> Translation:
    return Translation({"max_requests": count(value)})


SERVING = (
    Option(
        name="config",
        flags=("-c", "--config"),
        fate=Fate.MAPPED,
        target="--config",
        about="The same option. The forms file:PATH and python:MODULE are understood.",
        convert=lambda value, given: Translation(),
    ),
    Option(
        name="wsgi_app",
        fate=Fate.MAPPED,
        target="MODULE[:APP]",
        about="Serves where the command names no application.",
        convert=lambda value, given: Translation(),
    ),
    Option(
        name="bind",
        flags=("-b", "--bind"),
        takes=Takes.VALUES,
        fate=Fate.MAPPED,
        target="bind",
        about="The variable PORT counts as with gunicorn where a config file has no bind. A port alone means "
        "every interface there, and only this machine in pelton's own configuration.",
        convert=_bind,
    ),
    Option(
        name="backlog",
        flags=("--backlog",),
        fate=Fate.NEEDLESS,
        harmless=(2048, "2048"),
        about="pelton asks for the longest queue that the system grants and empties it in microseconds, "
        "whatever the workers do.",
    ),
    Option(
        name="workers",
        flags=("-w", "--workers"),
        fate=Fate.MAPPED,
        target="workers",
        about="A config file without it means one worker, as with gunicorn (pelton's own default is "
        "everything in one process).",
        convert=_workers,
    ),
    Option(
        name="worker_class",
        flags=("-k", "--worker-class"),
        fate=Fate.MAPPED,
        target="worker_kind",
        about="The same names: sync (with threads > 1 it is gthread, as with gunicorn), gthread, gevent, "
        "eventlet, tornado; the paths of gunicorn's classes, too. docs/worker-kinds.md says what each is. "
        "Workers for ASGI are refused.",
        convert=_worker_class,
    ),
    Option(
        name="threads",
        flags=("--threads",),
        fate=Fate.MAPPED,
        target="threads",
        about="Also without worker_class = gthread.",
        convert=_threads,
    ),
    Option(
        name="worker_connections",
        flags=("--worker-connections",),
        fate=Fate.MAPPED,
        target="worker_connections",
        about="With gevent and eventlet: how many requests run at the same time in each worker. The others "
        "have threads for that. Connections belong to the front (max_connections limits them).",
        convert=_worker_connections,
    ),
    Option(
        name="max_requests",
        flags=("--max-requests",),
        fate=Fate.MAPPED,
        target="max_requests",
        about="The successor is ready before the old worker ends.",
        convert=_max_requests,
    ),
    Option(
        name="max_requests_jitter",
        flags=("--max-requests-jitter",),
        fate=Fate.MAPPED,
        target="max_requests_jitter",
        about="The same.",
        convert=to("max_requests_jitter", count),
    ),
    Option(
        name="timeout",
        flags=("-t", "--timeout"),
        fate=Fate.MAPPED,
        target="worker_timeout, request_timeout, start_timeout",
        about="As worker_timeout a worker is replaced that gives no sign of life for so long. With sync "
        "workers also as request_timeout: the request is answered 504 instead of losing its connection. "
        "Without preload_app also as start_timeout, for loading the application.",
        convert=_timeout,
    ),
    Option(
        name="graceful_timeout",
        flags=("--graceful-timeout",),
        fate=Fate.MAPPED,
        target="graceful_timeout",
        about="The same.",
        convert=to("graceful_timeout", lambda value: float(count(value))),
    ),
    Option(
        name="keepalive",
        flags=("--keep-alive",),
        fate=Fate.MAPPED,
        target="keep_alive_seconds",
        about="With every kind of worker. 0 closes after each response (requests_per_connection = 1).",
        convert=_keepalive,
    ),
    Option(
        name="preload_app",
        flags=("--preload",),
        takes=Takes.SWITCH,
        fate=Fate.MAPPED,
        target="preload",
        about="The application is loaded by a process of its own and not by the supervisor, so SIGHUP loads "
        "new code here, too.",
        convert=to("preload", switch),
    ),
    Option(
        name="reuse_port",
        flags=("--reuse-port",),
        takes=Takes.SWITCH,
        fate=Fate.NEEDLESS,
        harmless=(False,),
        about="One front accepts for all workers, and requests go to the worker with free threads; nothing "
        "is left to spread.",
    ),
    Option(
        name="reload",
        flags=("--reload",),
        takes=Takes.SWITCH,
        fate=Fate.MAPPED,
        target="reload",
        about="With one process; kill -HUP loads the code again without losing a request.",
        convert=to("reload", switch),
    ),
    Option(
        name="reload_engine",
        flags=("--reload-engine",),
        fate=Fate.MISSING,
        harmless=("auto",),
        about="watchfiles tells of changes where it is installed; else files are looked at.",
    ),
    Option(
        name="reload_extra_files",
        flags=("--reload-extra-file",),
        takes=Takes.VALUES,
        fate=Fate.MISSING,
        harmless=([], (), ""),
        about="Only Python's files are watched.",
    ),
    Option(
        name="spew",
        flags=("--spew",),
        takes=Takes.SWITCH,
        fate=Fate.REFUSED,
        harmless=(False,),
        about="it prints every line that is executed. Use python -m trace, or a debugger.",
    ),
    Option(
        name="check_config",
        flags=("--check-config",),
        takes=Takes.SWITCH,
        fate=Fate.REFUSED,
        harmless=(False,),
        about="it is a command of its own here: pelton check MODULE:APP.",
    ),
    Option(
        name="print_config",
        flags=("--print-config",),
        takes=Takes.SWITCH,
        fate=Fate.REFUSED,
        harmless=(False,),
        about="it is a command of its own here: pelton config.",
    ),
)
