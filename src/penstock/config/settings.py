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

# The value of ``workers`` that stands for what the machine offers.
AUTO = -1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of one start. Made by `settings_from`, which checks; the plain constructor does not."""

    bind: tuple[str, ...] = setting(
        (f"{DEFAULT_HOST}:{DEFAULT_PORT}",),
        Unit.ADDRESS, Group.SERVING, Part.SUPERVISOR, "--bind -b",
        help="Where to listen: host:port, :port, port, [::1]:port, unix:/path or fd://3. May be repeated.",
        reason="Only this machine: serving to a network should be a decision.",
        first=True,
        more="A host name stands for all of its addresses, localhost usually for two. Sockets that systemd "
        "passes are used where this setting is not given.",
    )  # fmt: skip
    threads: int = setting(
        8,
        Unit.COUNT, Group.SERVING, Part.WORKER, "--threads",
        help="How many requests run at the same time, in each worker process.",
        reason="Enough for requests that wait for a database, while an application that computes runs "
        "one after another anyway; each thread costs little when idle.",
        minimum=1,
        first=True,
        more="An SQLAlchemy pool gives 15 connections at most unless it is told otherwise; "
        "`penstock check` compares.",
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
    )  # fmt: skip

    workers: int = setting(
        0,
        Unit.COUNT, Group.PROCESSES, Part.SUPERVISOR, "--workers -w",
        help="How many worker processes; auto: as many as the processors and the memory allow, also "
        "in a container.",
        reason="One process is what embedding and development need, and what a debugger understands.",
        zero="everything in one process",
        words=(("auto", AUTO),),
        first=True,
        more="Each worker is a process of its own, with its own interpreter and its own copy of the "
        "application; the front gives each request to the one with the most free threads. "
        "WEB_CONCURRENCY is taken too.",
        while_running="TTIN starts one more, TTOU ends one",
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
    )  # fmt: skip
    max_requests_jitter: int = setting(
        0,
        Unit.COUNT, Group.PROCESSES, Part.SUPERVISOR, "--max-requests-jitter",
        help="Up to so many requests more, drawn for each worker.",
        reason="Workers are replaced one after the other anyway; it only spreads that over time.",
    )  # fmt: skip
    max_rss_bytes: int = setting(
        0,
        Unit.BYTES, Group.PROCESSES, Part.SUPERVISOR, "--max-rss",
        help="Replace a worker when it uses more resident memory than this.",
        reason="Only applications that leak need it; what is too much, only their owner knows.",
        zero="never",
        first=True,
    )  # fmt: skip
    worker_lifetime: float = setting(
        0.0,
        Unit.SECONDS, Group.PROCESSES, Part.SUPERVISOR, "--worker-lifetime",
        help="Replace a worker after this time (and up to a tenth more, drawn for each worker).",
        reason="A healthy process needs no end.",
        zero="never",
    )  # fmt: skip
    drain_delay: float = setting(
        0.0,
        Unit.SECONDS, Group.SERVING, Part.SUPERVISOR, "--drain-delay",
        help="After SIGTERM, how long connections are still accepted while the readiness check fails.",
        reason="Load balancers that look at the readiness check need some seconds to look elsewhere; "
        "without one the end should come at once.",
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
    max_line_bytes: int = setting(
        16 * 2**10,
        Unit.BYTES, Group.REQUESTS, Part.FRONT, "--max-line",
        help="Longest request line; more is answered 414.",
        reason="Apache and nginx stop at 8 KiB, which links for single sign-on and searches exceed now and "
        "then.",
        minimum=256,
    )  # fmt: skip
    underscore_fields: str = setting(
        "drop",
        Unit.TEXT, Group.REQUESTS, Part.FRONT, "--underscore-fields",
        help="What becomes of header fields with an underscore in their name: left out, answered 400, or "
        "passed on.",
        reason="In the environ X_User and X-User have the same key, so one could be mistaken for the other.",
        choices=("drop", "refuse", "allow"),
    )  # fmt: skip
    max_body_bytes: int = setting(
        2**30,
        Unit.BYTES, Group.REQUESTS, Part.FRONT, "--max-body",
        help="Largest request body; more is answered 413.",
        reason="Bodies are kept in files, so memory is no reason for a low limit; the application has "
        "its own.",
        first=True,
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
        default_text="the system's directory for temporary files",
    )  # fmt: skip
    spool_bytes: int = setting(
        16 * 2**30,
        Unit.BYTES, Group.REQUESTS, Part.FRONT, "--spool-size",
        help="Most bytes in all such files together; an upload beyond it is answered 503.",
        reason="Sixteen of the largest uploads at once, or a hundred slow readers of 100 MB; nobody should be"
        " able to fill the disk.",
        zero="as much as the disk holds",
    )  # fmt: skip

    request_buffering: str = setting(
        "on",
        Unit.TEXT, Group.REQUESTS, Part.FRONT, "--request-buffering",
        help="Whether a request waits until its body is complete; with off, the application reads the body "
        "while it comes.",
        reason="A complete body costs no thread while it comes, and one that never becomes complete costs "
        "none at all.",
        choices=("on", "off"),
        more="Reading waits for a slow client then, and the thread with it.",
    )  # fmt: skip
    stream_path: tuple[str, ...] = setting(
        (),
        Unit.PATH, Group.REQUESTS, Part.FRONT, "--stream-path",
        help="As --request-buffering off, for the requests to this path and below. May be repeated.",
        reason="Uploads that are passed on or looked at while they come are a matter of few paths.",
    )  # fmt: skip

    response_buffer_bytes: int = setting(
        2**20,
        Unit.BYTES, Group.RESPONSES, Part.FRONT, "--response-buffer",
        help="How much of a response is held in memory for a slow reader.",
        reason="Nearly every page fits, so that its thread is free at once, however slow the reader.",
        minimum=4096,
    )  # fmt: skip
    response_memory_bytes: int = setting(
        128 * 2**20,
        Unit.BYTES, Group.RESPONSES, Part.FRONT, "--response-memory",
        help="How much of all responses together is held in memory; beyond it each has 64 KiB.",
        reason="A thousand slow readers of usual pages; more of them use files, not more memory.",
        minimum=2**20,
    )  # fmt: skip
    response_file_bytes: int = setting(
        2**30,
        Unit.BYTES, Group.RESPONSES, Part.FRONT, "--response-file",
        help="How much more of a response is held in a file before the application has to wait.",
        reason="Holds all that people download from an application, so that slow readers keep no thread; a"
        " quick reader never gets that far.",
    )  # fmt: skip

    trusted_proxies: str = setting(
        "",
        Unit.TEXT, Group.LOAD, Part.FRONT, "--trusted-proxies",
        help="Whose X-Forwarded-* and Forwarded fields are believed: addresses, networks, unix, or *.",
        reason="Anyone can send these fields. Name the proxies in front, for example 10.0.0.0/8,unix.",
    )  # fmt: skip
    untrusted_forwarding: str = setting(
        "keep",
        Unit.TEXT, Group.LOAD, Part.FRONT, "--untrusted-forwarding",
        help="Whether the application sees such fields from anyone else: as sent, or not at all.",
        reason="They are plain fields then, as everywhere; remove them if the application believes them.",
        choices=("keep", "remove"),
    )  # fmt: skip
    proxy_protocol: bool = setting(
        False,
        Unit.FLAG, Group.LOAD, Part.FRONT, "--proxy-protocol",
        help="Connections of trusted proxies begin with a PROXY header (version 1 or 2).",
        reason="A proxy sends it only if told so, and then on every connection.",
    )  # fmt: skip
    max_connections: int = setting(
        0,
        Unit.COUNT, Group.LOAD, Part.FRONT, "--max-connections",
        help="Most connections at once; beyond it, new ones wait in the system's own queue.",
        reason="An idle connection costs only a descriptor, so the limit on descriptors is the honest limit.",
        zero="as many as the limit on descriptors allows",
        first=True,
    )  # fmt: skip
    connections_per_client: int = setting(
        0,
        Unit.COUNT, Group.LOAD, Part.FRONT, "--max-connections-per-client",
        help="Most connections at once from one address; more are answered 429.",
        reason="Whole companies and mobile networks share one address; set it where no such clients come.",
        zero="no limit",
    )  # fmt: skip
    requests_per_connection: int = setting(
        0,
        Unit.COUNT, Group.LOAD, Part.FRONT, "--max-requests-per-connection",
        help="Most requests on one connection; the last response closes it.",
        reason="A connection costs nothing that grows with its requests. Behind some load balancers a limit"
        " spreads the load better.",
        zero="no limit",
    )  # fmt: skip
    queue_length: int = setting(
        1024,
        Unit.COUNT, Group.LOAD, Part.FRONT, "--queue-length",
        help="Most complete requests that wait for a thread; more are answered 503.",
        reason="At a few milliseconds each, a thousand requests are seconds of work; who comes later "
        "than that is served better by an answer than by waiting.",
        minimum=1,
        first=True,
    )  # fmt: skip
    queue_seconds: float = setting(
        30.0,
        Unit.SECONDS, Group.LOAD, Part.FRONT, "--queue-timeout",
        help="How long a complete request waits for a thread before it is answered 503.",
        reason="After half a minute people have reloaded or left; working for them delays the others.",
        minimum=_SHORTEST_TIMEOUT,
        first=True,
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
        help="How long a client may send too little (see --min-body-rate) in the middle of a request body.",
        reason="Mobile networks pause for seconds, not for half a minute.",
        minimum=_SHORTEST_TIMEOUT,
    )  # fmt: skip
    body_rate: int = setting(
        500,
        Unit.BYTES, Group.TIMEOUTS, Part.FRONT, "--min-body-rate",
        help="Bytes per second that a request body has to bring at least, on average over --body-timeout.",
        reason="Slower than any network that people use; a byte now and then would hold it for ever.",
        zero="any byte will do",
    )  # fmt: skip
    body_seconds: float = setting(
        0.0,
        Unit.SECONDS, Group.TIMEOUTS, Part.FRONT, "--body-time",
        help="How long all of a request body may take.",
        reason="The rate bounds it already, by the size; large uploads over slow lines are no fault.",
        zero="no limit",
    )  # fmt: skip
    keep_alive_seconds: float = setting(
        75.0,
        Unit.SECONDS, Group.TIMEOUTS, Part.FRONT, "--keep-alive",
        help="How long an idle connection stays open for the next request.",
        reason="Longer than the usual 60 s of load balancers, so that they close first: otherwise a "
        "request can meet a connection that is just being closed here, and the user sees a 502.",
        minimum=_SHORTEST_TIMEOUT,
        first=True,
        more="Set it above the idle timeout of whatever proxies to penstock.",
    )  # fmt: skip
    write_idle_seconds: float = setting(
        60.0,
        Unit.SECONDS, Group.TIMEOUTS, Part.FRONT, "--write-timeout",
        help="How long a client may accept too little (see --min-write-rate) of its response.",
        reason="A reader that is merely slow takes enough within a minute.",
        minimum=_SHORTEST_TIMEOUT,
    )  # fmt: skip
    write_rate: int = setting(
        500,
        Unit.BYTES, Group.TIMEOUTS, Part.FRONT, "--min-write-rate",
        help="Bytes per second of a response that a client has to accept, on average over --write-timeout.",
        reason="As for bodies.",
        zero="any byte will do",
    )  # fmt: skip

    request_timeout: float = setting(
        0.0,
        Unit.SECONDS, Group.TIMEOUTS, Part.FRONT, "--request-timeout",
        help="How long the application may run before its answer begins; then 504, a report of where its "
        "thread is, and penstock.RequestTimeout there.",
        reason="What is too long, only the application knows: a report may take minutes.",
        zero="as long as it likes",
        first=True,
        more="It ends with the first byte of the response: what takes long after that is the pace "
        "of the client.",
    )  # fmt: skip
    request_timeout_grace: float = setting(
        5.0,
        Unit.SECONDS, Group.TIMEOUTS, Part.FRONT, "--request-timeout-grace",
        help="How long a thread may take to react to that, before its worker process is replaced.",
        reason="Time for a transaction to be rolled back; who needs more hangs in a library that nothing "
        "interrupts.",
        minimum=_SHORTEST_TIMEOUT,
    )  # fmt: skip
    worker_timeout: float = setting(
        30.0,
        Unit.SECONDS, Group.TIMEOUTS, Part.FRONT, "--worker-timeout",
        help="How long a worker with running requests may give no sign of life, with none of its threads "
        "getting the interpreter, before it is killed.",
        reason="Threads get the interpreter every few milliseconds; only a library that keeps it to itself, "
        "or a machine that swaps, takes seconds.",
        zero="as long as it likes",
        first=True,
    )  # fmt: skip

    health_path: str | None = setting(
        None,
        Unit.PATH, Group.HEALTH, Part.FRONT, "--health-path",
        help="Answer the health checks livez and readyz below this path, for example /-/health.",
        reason="Every path is the application's unless it is given away.",
        first=True,
    )  # fmt: skip
    admin_bind: tuple[str, ...] = setting(
        (),
        Unit.ADDRESS, Group.HEALTH, Part.SUPERVISOR, "--admin-bind",
        help="Where to answer only /livez and /readyz; as --bind. May be repeated.",
        reason="Whoever looks at it from another port or network says so.",
    )  # fmt: skip

    log_level: str = setting(
        "info",
        Unit.TEXT, Group.LOGS, Part.SUPERVISOR, "--log-level",
        help="The least important messages to show.",
        reason="Says what was started, what failed and what was refused; nothing for each request.",
        choices=("debug", "info", "warning", "error"),
        first=True,
    )  # fmt: skip
    access_log: str | None = setting(
        None,
        Unit.PATH, Group.LOGS, Part.FRONT, "--access-log",
        help="Where to write one line for each request: a file to append to, or - for the standard output.",
        reason="A proxy in front usually writes one already, and a line for each request hides the rest.",
        first=True,
        while_running="USR1 opens the file again, after it was moved away",
    )  # fmt: skip

    log_format: str = setting(
        "text",
        Unit.TEXT, Group.LOGS, Part.SUPERVISOR, "--log-format",
        help="The form of messages: lines for people, or JSON with OpenTelemetry's names.",
        reason="Whoever starts it by hand reads it.",
        choices=("text", "json"),
    )  # fmt: skip
    error_log: str = setting(
        "-",
        Unit.PATH, Group.LOGS, Part.SUPERVISOR, "--error-log",
        help="Where to write messages: a file to append to, or - for the standard error output.",
        reason="Containers, systemd and people look there.",
    )  # fmt: skip
    log_syslog: str | None = setting(
        None,
        Unit.ADDRESS, Group.LOGS, Part.SUPERVISOR, "--log-syslog",
        help="Send messages to a syslog instead: unix:/dev/log or host:port (UDP).",
        reason="The journal takes the standard error output, and few machines have anything else.",
    )  # fmt: skip
    daemon: bool = setting(
        False,
        Unit.FLAG, Group.PROCESS, Part.SUPERVISOR, "--daemon -D",
        help="Leave the terminal and run in the background.",
        reason="Service managers and containers want the process that they started.",
    )  # fmt: skip
    pid_file: str | None = setting(
        None,
        Unit.PATH, Group.PROCESS, Part.SUPERVISOR, "--pid -p",
        help="Write the process's number to this file, and remove it at the end.",
        reason="Service managers know it without.",
    )  # fmt: skip
    user: str | None = setting(
        None,
        Unit.TEXT, Group.PROCESS, Part.SUPERVISOR, "--user -u",
        help="Run as this user (name or number) once the addresses are bound. Needs --workers.",
        reason="Service managers and containers do it before.",
    )  # fmt: skip
    group: str | None = setting(
        None,
        Unit.TEXT, Group.PROCESS, Part.SUPERVISOR, "--group -g",
        help="Run as this group (name or number); without it, as the user's own. Needs --workers.",
        reason="As for the user.",
    )  # fmt: skip
    umask: str | None = setting(
        None,
        Unit.TEXT, Group.PROCESS, Part.SUPERVISOR, "--umask -m",
        help="Permissions that new files do not get, also unix sockets; octal, for example 007.",
        reason="Whoever starts it has set one.",
    )  # fmt: skip
    chdir: str | None = setting(
        None,
        Unit.PATH, Group.PROCESS, Part.SUPERVISOR, "--chdir",
        help="Change to this directory first; other paths are relative to it.",
        reason="The directory of the start is where people expect their application to be.",
    )  # fmt: skip
    environment: tuple[str, ...] = setting(
        (),
        Unit.TEXT, Group.PROCESS, Part.SUPERVISOR, "--env -e",
        help="Set an environment variable: NAME=VALUE. May be repeated.",
        reason="The environment is usually set outside.",
    )  # fmt: skip
    python_path: tuple[str, ...] = setting(
        (),
        Unit.PATH, Group.PROCESS, Part.SUPERVISOR, "--pythonpath",
        help="Look for modules in this directory first. May be repeated, or separated by commas.",
        reason="The working directory and what is installed are enough for most.",
    )  # fmt: skip
    process_name: str | None = setting(
        None,
        Unit.TEXT, Group.PROCESS, Part.SUPERVISOR, "--proc-name -n",
        help="What ps and top show; all of it if the package setproctitle is installed, else 15 characters.",
        reason="The command line says more.",
    )  # fmt: skip

    access_log_format: str = setting(
        "combined",
        Unit.TEXT, Group.LOGS, Part.FRONT, "--access-log-format",
        help="The form of access lines: combined, json, or a text with gunicorn's atoms such as %(h)s.",
        reason="Most tools read it.",
    )  # fmt: skip
    trust_request_id: bool = setting(
        False,
        Unit.FLAG, Group.LOGS, Part.FRONT, "--trust-request-id",
        help="Take X-Request-ID over from clients; otherwise each request gets a new one.",
        reason="Anybody could send the id of somebody else's request.",
    )  # fmt: skip

    # No setting but what ``access_log`` becomes once it is opened (`penstock.logs.access`): the front
    # writes to a descriptor and never opens a file of the user. -1: off.
    access_log_descriptor: int = -1
    # No setting either: the functions of gunicorn's config file (`penstock.gunicorn.Hooks`), None without.
    hooks: Any = None


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
    path = accepted.get("health_path")
    if path is not None:
        accepted["health_path"] = _checked_health_path(path)
    for prefix in accepted.get("stream_path", ()):
        if not prefix.startswith("/") or "?" in prefix or "#" in prefix:
            raise ConfigError(f'stream_path: "{prefix}" is not a path; write for example /upload.')
    return Settings(**accepted)


def check_one_process(settings: Settings, sources: Mapping[str, str] | None = None) -> None:
    """Raise ConfigError for settings that mean nothing without worker processes.

    ``sources``: where each setting comes from, for the message.
    """
    if settings.workers != 0:
        raise ConfigError(
            "workers: penstock.run and penstock.start serve in this one process.",
            "Worker processes come with the command: penstock module:app --workers 4",
        )
    for row in TABLE:
        if row.group is Group.PROCESSES and getattr(settings, row.name) != row.default:
            came = [f"It comes from: {sources[row.name]}."] if sources else []
            raise ConfigError(f"{row.name} means nothing in one process.", "It needs --workers.", *came)


def _checked_health_path(path: str) -> str:
    if not path.startswith("/") or any(c in path for c in "?#% ") or not path.isprintable():
        raise ConfigError(f'health_path: "{path}" is not a path; write for example /-/health.')
    return path.rstrip("/")
