"""Worker processes, and when they are replaced.

Rows of the table of settings; see `pelton.config.setting` for what each part means.
"""

from __future__ import annotations

from dataclasses import dataclass

from pelton.config.bounds import Bounds
from pelton.config.setting import Group, Part, Unit, setting


@dataclass(frozen=True, kw_only=True)
class Processes:
    workers: int | Bounds = setting(  # noqa: RUF009  (a field, as all others)
        0,
        Unit.BOUNDS, Group.PROCESSES, Part.SUPERVISOR, "--workers -w",
        help="How many worker processes; auto: from one on, as many as are busy, if processors "
        "and memory allow, also in a container.",
        reason="One process is what embedding and development need, and what a debugger understands.",
        zero="everything in one process",
        first=True,
        more="Each worker is a process of its own, with its own interpreter and its own copy of the "
        "application; the front gives each request to the one with the most free threads. "
        "A number is exact, MIN:MAX are bounds; sizing.md says when there are more or fewer. "
        "WEB_CONCURRENCY is taken too, and is exact.",
        while_running="TTIN starts one more, TTOU ends one",
        reloadable=True,
    )  # fmt: skip
    preload: bool = setting(
        False,
        Unit.FLAG, Group.PROCESSES, Part.SUPERVISOR, "--preload",
        help="Load the application once, in a process from which the workers are forked.",
        reason="It saves memory and time, but threads and connections that an application opens while "
        "it is imported do not survive the fork.",
        first=True,
    )  # fmt: skip
    max_requests: int = setting(
        0,
        Unit.COUNT, Group.PROCESSES, Part.SUPERVISOR, "--max-requests",
        help="Replace a worker after so many requests.",
        reason="Only applications that leak need it.",
        zero="never",
        first=True,
        reloadable=True,
    )  # fmt: skip
    max_requests_jitter: int = setting(
        0,
        Unit.COUNT, Group.PROCESSES, Part.SUPERVISOR, "--max-requests-jitter",
        help="Up to so many requests more, drawn for each worker.",
        reason="Workers are replaced one after the other anyway; it only spreads that over time.",
        reloadable=True,
    )  # fmt: skip
    max_rss_bytes: int = setting(
        0,
        Unit.BYTES, Group.PROCESSES, Part.SUPERVISOR, "--max-rss",
        help="Replace a worker when it uses more resident memory than this.",
        reason="Only applications that leak need it; what is too much, only their owner knows.",
        zero="never",
        first=True,
        reloadable=True,
    )  # fmt: skip
    worker_lifetime: float = setting(
        0.0,
        Unit.SECONDS, Group.PROCESSES, Part.SUPERVISOR, "--worker-lifetime",
        help="Replace a worker after this time (and up to a tenth more, drawn for each worker).",
        reason="A healthy process needs no end.",
        zero="never",
        reloadable=True,
    )  # fmt: skip
    debugger_affinity: bool = setting(
        False,
        Unit.FLAG, Group.PROCESSES, Part.FRONT, "--debugger-affinity",
        help="Requests of Werkzeug's debugger go to the worker in which the error happened.",
        reason="Only development has a debugger, and switches it on itself; elsewhere a client could choose "
        "the worker for its requests by it.",
    )  # fmt: skip
    affinity: str = setting(
        "off",
        Unit.TEXT, Group.PROCESSES, Part.FRONT, "--affinity",
        help="Which requests come back to the worker that has answered before: with session those of "
        "Socket.IO's sessions, whose long polling needs it.",
        reason="A request is best run by the worker that has room; and a client that names a worker can keep "
        "that one busy.",
        choices=("off", "session"),
        more="A session's name (sid in the query) ends in the number of the worker that has made it; see "
        "websockets.md. If that worker has gone, another one answers that it does not know the session, and "
        "the client begins a new one.",
    )  # fmt: skip
