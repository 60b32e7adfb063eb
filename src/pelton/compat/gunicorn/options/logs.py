"""gunicorn's options about logs and statsd."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pelton.compat.gunicorn.options.option import (
    Fate,
    Option,
    Takes,
    Translation,
    exists,
    silent,
    switch,
    text,
    to,
)
from pelton.exceptions import ConfigError

_LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "critical": "error"}


def _loglevel(value: Any, given: Mapping[str, Any]) -> Translation:
    name = text(value).lower()
    if name not in _LEVELS:
        raise ConfigError(f'"{value}" is no level.', f"There are {', '.join(_LEVELS)}.")
    notes = ["loglevel critical: the least that pelton shows is errors."] if name == "critical" else []
    return Translation({"log_level": _LEVELS[name]}, notes)


def _access_log_format(value: Any, given: Mapping[str, Any]) -> Translation:
    if value is None:
        return Translation()
    if exists("access_log_format"):
        return Translation({"access_log_format": text(value)})
    return Translation(notes=["access_log_format: this version writes its own format."])


def _statsd_host(value: Any, given: Mapping[str, Any]) -> Translation:
    # gunicorn's file may have it as its own settings show it: a path, or host and port.
    if isinstance(value, (tuple, list)) and len(value) == 2:
        value = f"{value[0]}:{value[1]}"
    address = text(value)
    return Translation({"statsd": f"unix:{address}" if address.startswith("/") else address})


def _errorlog(value: Any, given: Mapping[str, Any]) -> Translation:
    if value in (None, "-"):
        return Translation()
    return to("error_log", text)(value, given)


def _logger_class(value: Any, given: Mapping[str, Any]) -> Translation:
    name = value if isinstance(value, str) else getattr(value, "__name__", repr(value))
    if value is None or name.rpartition(".")[2] == "Logger":
        return Translation()
    return Translation(
        notes=[
            f"logger_class {name}: not used. Error messages go through the logger pelton (logconfig_dict "
            "reaches it), and access records are written outside of Python: access_log_format."
        ]
    )


def _syslog(value: Any, given: Mapping[str, Any]) -> Translation:
    if not switch(value):
        return Translation()
    if not exists("log_syslog"):
        return to("log_syslog", switch)(value, given)
    values = {"log_syslog": _syslog_address(text(given.get("syslog_addr") or "udp://localhost:514"))}
    redirects = not switch(given.get("disable_redirect_access_to_syslog") or False)
    if redirects and not given.get("accesslog") and exists("access_log"):
        values["access_log"] = "syslog"
    return Translation(values)


def _syslog_address(address: str) -> str:
    if address.startswith("tcp://"):
        raise ConfigError(f"syslog_addr {address}: only UDP and unix sockets.", "Write udp://host:port.")
    if address.startswith("unix:"):
        # What follows # is the kind of socket, which is found out.
        return f"unix:{address[5:].partition('#')[0].replace('//', '', 1)}"
    address = address.removeprefix("udp://")
    return address if ":" in address else f"{address}:514"


LOGS = (
    Option(
        name="accesslog",
        flags=("--access-logfile",),
        fate=Fate.MAPPED,
        target="access_log",
        about="The same.",
        convert=to("access_log", text),
    ),
    Option(
        name="disable_redirect_access_to_syslog",
        flags=("--disable-redirect-access-to-syslog",),
        takes=Takes.SWITCH,
        fate=Fate.MAPPED,
        target="access_log",
        about="Belongs to syslog, which takes access lines, too, unless they have a file of their own.",
        # What it changes is decided with the syslog itself.
        convert=lambda value, given: Translation(),
    ),
    Option(
        name="access_log_format",
        flags=("--access-logformat",),
        fate=Fate.MAPPED,
        target="access_log_format",
        about="The %(…)s fields are the same.",
        convert=_access_log_format,
    ),
    Option(
        name="errorlog",
        flags=("--error-logfile", "--log-file"),
        fate=Fate.MAPPED,
        target="error_log",
        about="The same; - is the standard error output.",
        convert=_errorlog,
    ),
    Option(
        name="loglevel",
        flags=("--log-level",),
        fate=Fate.MAPPED,
        target="log_level",
        about="The same; critical becomes error.",
        convert=_loglevel,
    ),
    Option(
        name="capture_output",
        flags=("--capture-output",),
        takes=Takes.SWITCH,
        fate=Fate.MISSING,
        harmless=(False,),
        about="The application's standard output and error stay what they are: redirect them in the "
        "shell, or let the service manager collect them.",
    ),
    Option(
        name="logger_class",
        flags=("--logger-class",),
        fate=Fate.MISSING,
        about="pelton's messages go through the standard logging; access records are written by the front.",
        convert=_logger_class,
    ),
    Option(
        name="logconfig",
        flags=("--log-config",),
        fate=Fate.MAPPED,
        target="logging",
        about="Read by logging.config. What is said for gunicorn.error holds for the logger pelton; "
        "gunicorn.access does nothing, as the front writes access records.",
        convert=silent,
    ),
    Option(
        name="logconfig_dict",
        fate=Fate.MAPPED,
        target="logging",
        about="As logconfig.",
        convert=silent,
    ),
    Option(
        name="logconfig_json",
        flags=("--log-config-json",),
        fate=Fate.MAPPED,
        target="logging",
        about="As logconfig.",
        convert=silent,
    ),
    Option(
        name="syslog",
        flags=("--log-syslog",),
        takes=Takes.SWITCH,
        fate=Fate.MAPPED,
        target="log_syslog",
        about="To the address of syslog_addr. Access lines go there, too, unless accesslog or "
        "disable_redirect_access_to_syslog says otherwise.",
        convert=lambda value, given: _syslog(value, given),
    ),
    Option(
        name="syslog_addr",
        flags=("--log-syslog-to",),
        fate=Fate.MAPPED,
        target="log_syslog",
        about="Counts together with syslog.",
        convert=silent,
    ),
    Option(
        name="syslog_prefix",
        flags=("--log-syslog-prefix",),
        fate=Fate.MISSING,
        about="Lines are labelled pelton.",
    ),
    Option(
        name="syslog_facility",
        flags=("--log-syslog-facility",),
        fate=Fate.MISSING,
        harmless=("user",),
        about="The facility is user.",
    ),
    Option(
        name="enable_stdio_inheritance",
        flags=("-R", "--enable-stdio-inheritance"),
        takes=Takes.SWITCH,
        fate=Fate.NEEDLESS,
        harmless=(False,),
        about="Workers always inherit standard output and error.",
    ),
    Option(
        name="statsd_host",
        flags=("--statsd-host",),
        fate=Fate.MAPPED,
        target="statsd",
        harmless=("",),
        about="The same metrics by the same names (docs/metrics.md), summed and sent once a second.",
        convert=_statsd_host,
    ),
    Option(
        name="dogstatsd_tags",
        flags=("--dogstatsd-tags",),
        fate=Fate.MAPPED,
        target="statsd_tags",
        about="The same.",
        convert=to("statsd_tags", text),
    ),
    Option(
        name="statsd_prefix",
        flags=("--statsd-prefix",),
        fate=Fate.MAPPED,
        target="statsd_prefix",
        about="The same.",
        convert=to("statsd_prefix", text),
    ),
    Option(
        name="enable_backlog_metric",
        flags=("--enable-backlog-metric",),
        takes=Takes.SWITCH,
        fate=Fate.NEEDLESS,
        harmless=(False, True),
        about="It is always among the metrics: what waits in the front's queue and in the system's.",
    ),
)
