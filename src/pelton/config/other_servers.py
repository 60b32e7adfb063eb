"""What a setting is called in other servers, for people who come from one.

Owns the names only: what gunicorn's options become is decided in `pelton.compat.gunicorn`. A name here means
the nearest thing, not always the same thing; it is written as on that server's command line, without dashes,
for Werkzeug as the keyword of ``run_simple``. Pure data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """The names of one setting; empty where there is nothing like it."""

    gunicorn: str = ""
    uwsgi: str = ""
    granian: str = ""
    werkzeug: str = ""


NAMES: Final[dict[str, Elsewhere]] = {
    "bind": Elsewhere(
        gunicorn="bind", uwsgi="http-socket", granian="host, port, uds", werkzeug="hostname, port"
    ),
    "threads": Elsewhere(
        gunicorn="threads", uwsgi="threads", granian="blocking-threads", werkzeug="threaded"
    ),
    "worker_kind": Elsewhere(gunicorn="worker-class", uwsgi="gevent"),
    "worker_connections": Elsewhere(gunicorn="worker-connections", uwsgi="gevent"),
    "graceful_timeout": Elsewhere(
        gunicorn="graceful-timeout", uwsgi="worker-reload-mercy", granian="workers-kill-timeout"
    ),
    "workers": Elsewhere(gunicorn="workers", uwsgi="processes", granian="workers", werkzeug="processes"),
    "preload": Elsewhere(gunicorn="preload", uwsgi="lazy-apps (the opposite)"),
    "max_requests": Elsewhere(gunicorn="max-requests", uwsgi="max-requests"),
    "max_requests_jitter": Elsewhere(gunicorn="max-requests-jitter", uwsgi="max-requests-delta"),
    "max_rss_bytes": Elsewhere(uwsgi="reload-on-rss", granian="workers-max-rss"),
    "worker_lifetime": Elsewhere(uwsgi="max-worker-lifetime", granian="workers-lifetime"),
    "max_head_bytes": Elsewhere(
        gunicorn="limit-request-field_size",
        uwsgi="buffer-size",
        granian="http1-buffer-size",
    ),
    "static": Elsewhere(
        uwsgi="static-map", granian="static-path-route, static-path-mount", werkzeug="static_files"
    ),
    "static_cache": Elsewhere(uwsgi="static-expires", granian="static-path-expires"),
    "static_index": Elsewhere(uwsgi="static-index", granian="static-path-dir-to-file"),
    "static_precompressed": Elsewhere(uwsgi="static-gzip-all", granian="static-path-precompressed"),
    "sendfile_root": Elsewhere(uwsgi="collect-header, send (a route)"),
    "max_line_bytes": Elsewhere(gunicorn="limit-request-line"),
    "max_fields": Elsewhere(gunicorn="limit-request-fields"),
    "max_body_bytes": Elsewhere(uwsgi="limit-post"),
    "body_memory_bytes": Elsewhere(uwsgi="post-buffering"),
    "queue_length": Elsewhere(gunicorn="backlog", uwsgi="listen", granian="backlog"),
    "head_seconds": Elsewhere(uwsgi="http-timeout", granian="http1-header-read-timeout"),
    "body_idle_seconds": Elsewhere(uwsgi="socket-timeout"),
    "keep_alive_seconds": Elsewhere(
        gunicorn="keep-alive", uwsgi="http-keepalive", granian="http1-keep-alive (on or off)"
    ),
    "request_timeout": Elsewhere(gunicorn="timeout (sync workers)", uwsgi="harakiri"),
    "worker_timeout": Elsewhere(gunicorn="timeout"),
    "log_level": Elsewhere(gunicorn="log-level", granian="log-level"),
    "access_log": Elsewhere(gunicorn="access-logfile", uwsgi="req-logger", granian="access-log"),
    "access_log_format": Elsewhere(gunicorn="access-logformat", uwsgi="log-format", granian="access-log-fmt"),
    "error_log": Elsewhere(gunicorn="error-logfile", uwsgi="logger"),
    "log_syslog": Elsewhere(gunicorn="log-syslog"),
    "statsd": Elsewhere(gunicorn="statsd-host", uwsgi="stats-push statsd:"),
    "statsd_prefix": Elsewhere(gunicorn="statsd-prefix"),
    "statsd_tags": Elsewhere(gunicorn="dogstatsd-tags"),
    "daemon": Elsewhere(gunicorn="daemon", uwsgi="daemonize"),
    "pid_file": Elsewhere(gunicorn="pid", uwsgi="pidfile", granian="pid-file"),
    "user": Elsewhere(gunicorn="user", uwsgi="uid"),
    "group": Elsewhere(gunicorn="group", uwsgi="gid"),
    "umask": Elsewhere(gunicorn="umask", uwsgi="umask"),
    "chdir": Elsewhere(gunicorn="chdir", uwsgi="chdir", granian="working-dir"),
    "environment": Elsewhere(gunicorn="env", uwsgi="env", granian="env-files"),
    "python_path": Elsewhere(gunicorn="pythonpath", uwsgi="pythonpath"),
    "process_name": Elsewhere(gunicorn="name", uwsgi="procname", granian="process-name"),
}

NOTHING: Final = Elsewhere()
