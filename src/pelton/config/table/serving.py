"""Where to listen, how much at once, and how the end goes.

Rows of the table of settings; see `pelton.config.setting` for what each part means.
"""

from __future__ import annotations

from dataclasses import dataclass

from pelton.config.address import DEFAULT_HOST, DEFAULT_PORT
from pelton.config.bounds import AUTOMATIC, Bounds
from pelton.config.setting import Group, Part, Unit, setting


@dataclass(frozen=True, kw_only=True)
class Serving:
    bind: tuple[str, ...] = setting(
        (f"{DEFAULT_HOST}:{DEFAULT_PORT}",),
        Unit.ADDRESS, Group.SERVING, Part.SUPERVISOR, "--bind -b",
        help="Where to listen: host:port, :port, port, [::1]:port, unix:/path or fd://3. May be repeated.",
        reason="Only this machine: serving to a network should be a decision.",
        first=True,
        more="A host name stands for all of its addresses, localhost usually for two. Sockets that systemd "
        "passes are used where this setting is not given.",
    )  # fmt: skip
    mount: tuple[str, ...] = setting(
        (),
        Unit.TEXT, Group.SERVING, Part.WORKER, "--mount",
        help="One more application, and where it is: admin:app=/admin or admin:app=admin.example.com. May be "
        "repeated.",
        reason="A server has one application.",
        more="The same as another word of the command: pelton shop admin=/admin. A path moves from PATH_INFO "
        "to SCRIPT_NAME. The application without a place gets what is left. site.md has the rules.",
    )  # fmt: skip
    threads: int | Bounds = setting(  # noqa: RUF009  (as all others; what it returns is a field)
        AUTOMATIC,
        Unit.BOUNDS, Group.SERVING, Part.WORKER, "--threads",
        help="How many requests run at the same time, in each worker process; auto: as many as wait for "
        "something, within what the machine allows.",
        reason="Nobody can know the number: it is what requests wait for that decides. Threads that nobody "
        "needs end.",
        minimum=1,
        first=True,
        more="A number is exact, MIN:MAX (or MIN: or :MAX) are bounds. sizing.md says how they are used. An "
        "SQLAlchemy pool gives 15 connections at most by default; `pelton check` compares.",
        reloadable=True,
    )  # fmt: skip
    worker_kind: str = setting(
        "threads",
        Unit.TEXT, Group.SERVING, Part.WORKER, "--worker-class -k",
        help="The way to run requests: threads (gthread), sync, gevent, eventlet, tornado or asyncio.",
        reason="Threads suit every application, and cost nothing while they wait.",
        first=True,
        more="What each is for, and what it cannot do, is in worker-kinds.md. sync runs one request at a "
        "time; together with more than one thread it is gthread, as with gunicorn. The paths of gunicorn's "
        "worker classes are understood.",
        reloadable=True,
    )  # fmt: skip
    worker_connections: int = setting(
        1000,
        Unit.COUNT, Group.SERVING, Part.WORKER, "--worker-connections",
        help="How many requests run at the same time in each worker of a kind that has no threads for them.",
        reason="gunicorn's default. Idle connections do not count: only requests that run.",
        minimum=1,
        reloadable=True,
    )  # fmt: skip
    graceful_timeout: float = setting(
        30.0,
        Unit.SECONDS, Group.SERVING, Part.SUPERVISOR, "--graceful-timeout",
        help="How long running requests may take to finish after a request to stop.",
        reason="What Kubernetes and Docker users know; it should be shorter than the platform's own kill"
        " delay.",
        first=True,
        more="Together with drain_delay it has to be shorter than terminationGracePeriodSeconds (Kubernetes) "
        "or TimeoutStopSec (systemd).",
        reloadable=True,
    )  # fmt: skip
    drain_delay: float = setting(
        0.0,
        Unit.SECONDS, Group.SERVING, Part.SUPERVISOR, "--drain-delay",
        help="After SIGTERM, how long connections are still accepted while the readiness check fails.",
        reason="Load balancers that look at the readiness check need some seconds to look elsewhere; "
        "without one the end should come at once.",
        reloadable=True,
    )  # fmt: skip
