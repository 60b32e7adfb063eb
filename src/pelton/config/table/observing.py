"""Health checks and logs.

Rows of the table of settings; see `pelton.config.setting` for what each part means.
"""

from __future__ import annotations

from dataclasses import dataclass

from pelton.config.setting import Group, Part, Unit, setting


@dataclass(frozen=True, kw_only=True)
class Observing:
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
        help="Where to tell of the server itself (/metrics, /state, /livez …); as --bind. May be repeated.",
        reason="Whoever looks at it from another port or network says so.",
    )  # fmt: skip
    admin_token: str | None = setting(
        None,
        Unit.TEXT, Group.HEALTH, Part.FRONT, "--admin-token",
        help="Clients of --admin-bind on TCP send it, as Authorization: Bearer TOKEN.",
        reason="Without one, only this machine gets more than health checks there.",
        more="A unix socket needs none: its file has an owner. Other users of the machine see a command "
        "line, so set it by PELTON_ADMIN_TOKEN or in the configuration's file.",
    )  # fmt: skip
    admin_socket: bool = setting(
        True,
        Unit.FLAG, Group.HEALTH, Part.SUPERVISOR, "--admin-socket",
        help="Have a socket in the user's runtime folder, by which pelton top and dump find the server.",
        reason="Whoever wants to know why it is slow wants to know it now, and of the process that runs.",
        more="Only the same user can open it. Not for pelton.start and app.run, which serve in another's "
        "process.",
    )  # fmt: skip
    sampling: bool = setting(
        True,
        Unit.FLAG, Group.HEALTH, Part.WORKER, "--sampling",
        help="Look now and then at what running requests do, where there is somebody who may ask.",
        reason="It costs less than a hundredth, and what was slow an hour ago cannot be looked at any more.",
    )  # fmt: skip
    agent_bind: tuple[str, ...] = setting(
        (),
        Unit.ADDRESS, Group.HEALTH, Part.SUPERVISOR, "--agent-bind",
        help="Where to tell HAProxy's agent-check the weight of this server; as --bind. May be repeated.",
        reason="Only where several servers share the load does anybody ask.",
        more="One line for each connection: a weight from what is free, drain while the server ends, maint "
        "while it has no workers; see fleet.md.",
    )  # fmt: skip

    log_level: str = setting(
        "info",
        Unit.TEXT, Group.LOGS, Part.SUPERVISOR, "--log-level",
        help="The least important messages to show.",
        reason="Says what was started, what failed and what was refused; nothing for each request.",
        choices=("debug", "info", "warning", "error"),
        first=True,
        reloadable=True,
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
        reloadable=True,
    )  # fmt: skip
    error_log: str = setting(
        "-",
        Unit.PATH, Group.LOGS, Part.SUPERVISOR, "--error-log",
        help="Where to write messages: a file to append to, or - for the standard error output.",
        reason="Containers, systemd and people look there.",
        reloadable=True,
    )  # fmt: skip
    log_syslog: str | None = setting(
        None,
        Unit.ADDRESS, Group.LOGS, Part.SUPERVISOR, "--log-syslog",
        help="Send messages to a syslog instead: unix:/dev/log or host:port (UDP).",
        reason="The journal takes the standard error output, and few machines have anything else.",
        reloadable=True,
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
        help="Take X-Request-ID over from any client, and not from trusted proxies only.",
        reason="Anybody could send the id of somebody else's request.",
    )  # fmt: skip
    request_id: bool = setting(
        False,
        Unit.FLAG, Group.LOGS, Part.FRONT, "--request-id",
        help="Give each request an id, in pelton.request_id and X-Request-ID, also where no log has it.",
        reason="An access log that has it brings it along; without one, only some applications look at it.",
    )  # fmt: skip
    access_log_health: bool = setting(
        False,
        Unit.FLAG, Group.LOGS, Part.FRONT, "--access-log-health",
        help="Write access lines for health checks, too.",
        reason="They come every few seconds for ever, and never reach the application.",
    )  # fmt: skip
    server_timing: bool = setting(
        False,
        Unit.FLAG, Group.LOGS, Part.FRONT, "--server-timing",
        help="Tell clients in Server-Timing how long a request waited for a thread, and how long it took.",
        reason="For developers, whose browsers show it; others need not know how busy a server is.",
        more="In milliseconds: queue;dur=0.00, app;dur=12.34, up to the head of the response. One that "
        "has such a field of its own keeps it.",
    )  # fmt: skip

    traces: bool = setting(
        False,
        Unit.FLAG, Group.LOGS, Part.FRONT, "--traces",
        help="Send a span for each request by OpenTelemetry's protocol (OTLP over HTTP).",
        reason="Somebody has to collect them.",
        more="Needs pelton[otel]. Where to, how many and under which name is said by OpenTelemetry's own "
        "variables (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME …); see traces.md.",
    )  # fmt: skip
    statsd: str | None = setting(
        None,
        Unit.ADDRESS, Group.LOGS, Part.FRONT, "--statsd",
        help="Send metrics to a statsd, once a second: host:port (UDP) or unix:/path.",
        reason="Somebody has to listen there.",
        more="With gunicorn's names and pelton's own (docs/metrics.md). A name is looked up once, at the "
        "start; what cannot be reached then is logged, and gets nothing.",
    )  # fmt: skip
    statsd_prefix: str = setting(
        "",
        Unit.TEXT, Group.LOGS, Part.FRONT, "--statsd-prefix",
        help="What stands before the name of each metric; a dot is put between.",
        reason="Names that begin with gunicorn. and pelton. are distinguished from others.",
    )  # fmt: skip
    statsd_tags: str = setting(
        "",
        Unit.TEXT, Group.LOGS, Part.FRONT, "--statsd-tags",
        help="Tags for each metric, as Datadog reads them: env:production,service:shop.",
        reason="Only some servers understand them.",
    )  # fmt: skip
