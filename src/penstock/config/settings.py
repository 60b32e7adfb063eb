"""The table of settings: each one written once, with its default and the reason for it.

Owns names, defaults and explanations. The command's options, the dataclass and the checks follow from it;
so does what the front is given, which reads its attributes by the names used here. Must not know who uses a
setting.
"""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.config.address import DEFAULT_HOST, DEFAULT_PORT
from penstock.config.errors import ConfigError
from penstock.config.setting import Group, Part, Setting, Unit, setting, table_of

# Below this a timeout is not a limit but a fault: no network answers within it.
_SHORTEST_TIMEOUT = 0.1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of one start. Made by `settings_from`, which checks; the plain constructor does not."""

    bind: tuple[str, ...] = setting(
        (f"{DEFAULT_HOST}:{DEFAULT_PORT}",),
        Unit.ADDRESS, Group.SERVING, Part.SUPERVISOR, "--bind -b",
        help="Where to listen: host:port, :port, port, [::1]:port, unix:/path or fd://3. May be repeated.",
        reason="Only this machine: serving to a network should be a decision.",
    )  # fmt: skip
    threads: int = setting(
        8,
        Unit.COUNT, Group.SERVING, Part.WORKER, "--threads",
        help="How many requests run at the same time.",
        reason="Enough for requests that wait for a database, while an application that computes runs "
        "one after another anyway; each thread costs little when idle.",
        minimum=1,
    )  # fmt: skip
    graceful_timeout: float = setting(
        30.0,
        Unit.SECONDS, Group.SERVING, Part.SUPERVISOR, "--graceful-timeout",
        help="How long running requests may take to finish after a request to stop.",
        reason="What Kubernetes and Docker users know; it should be shorter than the platform's own kill"
        " delay.",
    )  # fmt: skip

    max_head_bytes: int = setting(
        64 * 2**10,
        Unit.BYTES, Group.REQUESTS, Part.FRONT, "--max-head",
        help="Largest request line and header fields together; more is answered 431 (or 414).",
        reason="Browsers send up to about 8 KiB of cookies for one site, single sign-on tokens some "
        "more; 64 KiB is beyond what any of them makes and small enough to hold for every "
        "connection.",
        minimum=1024,
    )  # fmt: skip
    max_fields: int = setting(
        100,
        Unit.COUNT, Group.REQUESTS, Part.FRONT, "--max-fields",
        help="Most header fields in one request; more is answered 431.",
        reason="The limit of Apache and gunicorn; each field costs work in every later layer.",
        minimum=1,
    )  # fmt: skip
    max_body_bytes: int = setting(
        2**30,
        Unit.BYTES, Group.REQUESTS, Part.FRONT, "--max-body",
        help="Largest request body; more is answered 413.",
        reason="Bodies are kept in files, so memory is no reason for a low limit; the application has "
        "its own.",
    )  # fmt: skip
    body_memory_bytes: int = setting(
        2**20,
        Unit.BYTES, Group.REQUESTS, Part.FRONT, "--body-memory",
        help="How much of a request body is kept in memory; a larger one goes to a file.",
        reason="Holds nearly every form and API call; a thousand of them at once still fit into a small "
        "machine.",
    )  # fmt: skip
    spool_directory: str = setting(
        tempfile.gettempdir(),
        Unit.PATH, Group.REQUESTS, Part.FRONT, "--spool-directory",
        help="Where the files for large bodies are made; they have no name there and vanish by themselves.",
        reason="The directory that the system means for it. Choose another where /tmp is kept in memory.",
    )  # fmt: skip

    response_buffer_bytes: int = setting(
        2**20,
        Unit.BYTES, Group.RESPONSES, Part.FRONT, "--response-buffer",
        help="How much of a response is held for a slow reader before the application has to wait.",
        reason="Nearly every page fits, so that its thread is free at once, however slow the reader.",
        minimum=4096,
    )  # fmt: skip

    max_connections: int = setting(
        0,
        Unit.COUNT, Group.LOAD, Part.FRONT, "--max-connections",
        help="Most connections at once; beyond it, new ones wait in the system's own queue.",
        reason="An idle connection costs only a descriptor, so the limit on descriptors is the honest limit.",
        zero="as many as the limit on descriptors allows",
    )  # fmt: skip
    queue_length: int = setting(
        1024,
        Unit.COUNT, Group.LOAD, Part.FRONT, "--queue-length",
        help="Most complete requests that wait for a thread; more are answered 503.",
        reason="At a few milliseconds each, a thousand requests are seconds of work; who comes later "
        "than that is served better by an answer than by waiting.",
        minimum=1,
    )  # fmt: skip
    queue_seconds: float = setting(
        30.0,
        Unit.SECONDS, Group.LOAD, Part.FRONT, "--queue-timeout",
        help="How long a complete request waits for a thread before it is answered 503.",
        reason="After half a minute people have reloaded or left; working for them delays the others.",
        minimum=_SHORTEST_TIMEOUT,
    )  # fmt: skip
    retry_after_seconds: int = setting(
        1,
        Unit.SECONDS, Group.LOAD, Part.FRONT, "--retry-after",
        help="What such a 503 tells the client to wait before it tries again (whole seconds).",
        reason="The queue empties quickly; the smallest value that the header can say.",
    )  # fmt: skip

    head_seconds: float = setting(
        15.0,
        Unit.SECONDS, Group.TIMEOUTS, Part.FRONT, "--head-timeout",
        help="How long a client may take to send a request head, from its first byte (or from connecting).",
        reason="A head is one or two packets; 15 s allow for several retransmissions on a bad line.",
        minimum=_SHORTEST_TIMEOUT,
    )  # fmt: skip
    body_idle_seconds: float = setting(
        30.0,
        Unit.SECONDS, Group.TIMEOUTS, Part.FRONT, "--body-timeout",
        help="How long a client may send nothing in the middle of a request body.",
        reason="Mobile networks pause for seconds, not for half a minute; the total time is not limited.",
        minimum=_SHORTEST_TIMEOUT,
    )  # fmt: skip
    keep_alive_seconds: float = setting(
        75.0,
        Unit.SECONDS, Group.TIMEOUTS, Part.FRONT, "--keep-alive",
        help="How long an idle connection stays open for the next request.",
        reason="Longer than the usual 60 s of load balancers, so that they close first: otherwise a "
        "request can meet a connection that is just being closed here, and the user sees a 502.",
        minimum=_SHORTEST_TIMEOUT,
    )  # fmt: skip
    write_idle_seconds: float = setting(
        60.0,
        Unit.SECONDS, Group.TIMEOUTS, Part.FRONT, "--write-timeout",
        help="How long a client may accept nothing of its response.",
        reason="A reader that is merely slow takes something within a minute; the total time is not limited.",
        minimum=_SHORTEST_TIMEOUT,
    )  # fmt: skip

    log_level: str = setting(
        "info",
        Unit.TEXT, Group.LOGS, Part.SUPERVISOR, "--log-level",
        help="The least important messages to show.",
        reason="Says what was started, what failed and what was refused; nothing for each request.",
        choices=("debug", "info", "warning", "error"),
    )  # fmt: skip
    access_log: str | None = setting(
        None,
        Unit.PATH, Group.LOGS, Part.FRONT, "--access-log",
        help="Where to write one line for each request: a file to append to, or - for the standard output.",
        reason="A proxy in front usually writes one already, and a line for each request hides the rest.",
    )  # fmt: skip

    # No setting but what ``access_log`` becomes once it is opened (`penstock.logs.access`): the front
    # writes to a descriptor and never opens a file of the user. -1: off.
    access_log_descriptor: int = -1


TABLE: tuple[Setting, ...] = table_of(Settings)
_BY_NAME = {row.name: row for row in TABLE}


def settings_from(values: Mapping[str, Any]) -> Settings:
    """Checked settings from ``values`` (names as in the table); what is missing has its default.

    Numbers may be given as texts with a unit. Raises ConfigError that names the setting and what is wrong.
    """
    accepted = {}
    for name, value in values.items():
        row = _BY_NAME.get(name)
        if row is None:
            close = difflib.get_close_matches(name, _BY_NAME, n=1)
            raise ConfigError(
                f'There is no setting "{name}".',
                f"Did you mean {close[0]}?" if close else f"There are: {', '.join(_BY_NAME)}.",
            )
        accepted[name] = row.accept(value)
    return Settings(**accepted)
