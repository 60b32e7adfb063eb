"""What uWSGI's options mean for pelton, for `pelton.compat.gunicorn.migrate`.

Owns the reading of its ini files and command lines, and a table of the options that applications for Python
commonly have. Pure.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pelton.exceptions import ConfigError


@dataclass
class Found:
    """What a configuration of uWSGI comes to: pelton's options, the application, remarks."""

    options: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    module: str = ""
    callable: str = ""

    @property
    def target(self) -> str:
        """``MODULE:APP``; uWSGI's name for APP is application."""
        module, colon, name = self.module.partition(":")
        return f"{module}:{name if colon else self.callable or 'application'}" if module else ""


# The option of pelton that takes the same value.
_SAME = {
    "processes": "--workers",
    "workers": "--workers",
    "threads": "--threads",
    "max-requests": "--max-requests",
    "harakiri": "--request-timeout",
    "worker-reload-mercy": "--graceful-timeout",
    "http-keepalive": "--keep-alive",
    "so-keepalive": "",
    "max-worker-lifetime": "--worker-lifetime",
    "listen-queue": "",
    "chdir": "--chdir",
    "chdir2": "--chdir",
    "pidfile": "--pid",
    "uid": "--user",
    "gid": "--group",
    "umask": "--umask",
    "procname": "--name",
    "procname-master": "--name",
    "env": "--env",
    "limit-post": "--max-body",
}
_MEBIBYTES = {"reload-on-rss": "--max-rss", "evil-reload-on-rss": "--max-rss"}
_NEEDLESS = {
    "master": "pelton always has a supervisor when it has workers.",
    "enable-threads": "Threads always run.",
    "single-interpreter": "There is one interpreter in each worker.",
    "need-app": "A missing application always ends the start (exit code 3).",
    "die-on-term": "SIGTERM ends in order.",
    "vacuum": "Socket files are removed at the end.",
    "thunder-lock": "Only the front accepts.",
    "buffer-size": "The head may have 64 KiB (--max-head).",
    "post-buffering": "Bodies are always received before the application is called.",
    "plugin": "Python is built in.",
    "plugins": "Python is built in.",
    "strict": "Wrong options are always errors.",
    "listen": "The longest queue that the system grants is used.",
    "memory-report": "See /readyz, and --max-rss.",
    "auto-procname": "Use --name.",
    "http-auto-chunked": "Answers without a length are always chunked.",
    "add-header": "Add it in the application or the proxy.",
    "disable-logging": "There is no access log unless --access-log says so.",
    "harakiri-verbose": "The report of where the thread hangs is always written.",
    "ignore-sigpipe": "A client that has gone is no error.",
    "ignore-write-errors": "A client that has gone is no error.",
    "disable-write-exception": "A client that has gone is no error.",
    "gevent-monkey-patch": "Patching is the first act of a worker of the kind gevent.",
    "gevent-early-monkey-patch": "Patching is the first act of a worker of the kind gevent.",
    "no-orphans": "Workers end with the supervisor.",
}
_ELSEWHERE = {
    "static-map": "Files are the proxy's, or WhiteNoise's in the application.",
    "check-static": "Files are the proxy's, or WhiteNoise's in the application.",
    "https": "Let a proxy speak TLS.",
    "mule": "Use a queue (Celery, RQ) for background work.",
    "spooler": "Use a queue (Celery, RQ) for background work.",
    "cron": "Use the system's cron or a queue's.",
    "emperor": "Start one service for each application (systemd).",
    "cheaper": "The number of workers is fixed; SIGTTIN and SIGTTOU change it.",
    "py-autoreload": "Files are not watched yet; kill -HUP loads the code again.",
    "touch-reload": "kill -HUP loads the code again.",
    "stats": "See /readyz (--health-path, --admin-bind).",
    "cache2": "Use Redis or memcached.",
    "mount": "Combine the applications in Python (werkzeug's DispatcherMiddleware).",
    "attach-daemon": "Start it as a service of its own.",
    "route": "Routing is the proxy's or the application's.",
    "daemonize": "Use --daemon, or better a service manager.",
}


def read_ini(path: str) -> list[tuple[str, str]]:
    """The pairs of the section ``uwsgi``. Raises ConfigError."""
    parser = configparser.ConfigParser(
        strict=False,
        interpolation=None,
        delimiters=("=",),
        allow_no_value=True,
        inline_comment_prefixes=None,
        dict_type=_Pairs,
    )
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    try:
        parser.read_string(Path(path).read_text(), path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'"{path}" cannot be read: {getattr(error, "strerror", None) or error}.') from None
    except configparser.Error as error:
        raise ConfigError(f'"{path}" is no ini file: {error}.') from None
    if not parser.has_section("uwsgi"):
        raise ConfigError(f'"{path}" has no section [uwsgi].')
    pairs: list[tuple[str, str]] = []
    for name, value in parser.items("uwsgi"):
        # A repeated key has all of its values, one after the other.
        pairs += [(name.strip(), one.strip()) for one in (value or "true").split("\n") if one.strip()]
    return pairs


class _Pairs(dict):  # type: ignore[type-arg]
    """Keeps all values of a repeated key: the parser gives each as a list of lines."""

    def __setitem__(self, key: object, value: object) -> None:
        if isinstance(value, list) and isinstance(self.get(key), list):
            self[key].extend(value)
        else:
            super().__setitem__(key, value)


def read_words(words: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of a command line after its first word."""
    short = {
        "-p": "processes",
        "-s": "socket",
        "-w": "module",
        "-M": "master",
        "-H": "virtualenv",
        "-t": "harakiri",
        "-d": "daemonize",
    }
    pairs: list[tuple[str, str]] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            pairs.append(("ini" if word.endswith(".ini") else "wsgi-file", word))
            continue
        name = short.get(name, name.lstrip("-"))
        if not equals:
            value = rest.pop(0) if rest and not rest[0].startswith("-") else "true"
        pairs.append((name, value))
    return pairs


def translate(pairs: Sequence[tuple[str, str]]) -> Found:
    """What they come to."""
    found = Found()
    for name, value in pairs:
        name = name.replace("_", "-")
        if value.lower() in ("false", "0", "no") and name in _NEEDLESS:
            continue
        if re.search(r"%\(|\$\(|@\(|%[a-zA-Z]", value):
            found.notes.append(f"{name} = {value}: has a placeholder of uWSGI's; write what it stands for.")
        if name in _SPECIAL:
            _SPECIAL[name](found, name, value)
        elif _SAME.get(name):
            if name == "harakiri":
                found.notes.append(
                    "harakiri: such a request is answered 504, and RequestTimeout is raised in its thread; "
                    "the process is replaced only if that does not help."
                )
            found.options.append((_SAME[name], value))
        elif name in _MEBIBYTES:
            found.options.append((_MEBIBYTES[name], f"{value}MiB"))
        elif name in _NEEDLESS:
            found.notes.append(f"{name}: not needed. {_NEEDLESS[name]}")
        elif (part := next((one for one in _ELSEWHERE if name.startswith(one)), None)) is not None:
            found.notes.append(f"{name} = {value}: has no equivalent. {_ELSEWHERE[part]}")
        else:
            found.notes.append(f"{name} = {value}: not known to pelton; left out.")
    if not any(flag == "--workers" for flag, _ in found.options):
        found.options.append(("--workers", "1"))
    if not any(flag in ("--threads", "--worker-class") for flag, _ in found.options):
        found.options.append(("--threads", "1"))
        found.notes.append("uWSGI runs one request at a time in each process by default; so does this.")
    return found


def _address(found: Found, name: str, value: str) -> None:
    address, *details = value.split(",")
    if name in ("socket", "uwsgi-socket", "fastcgi-socket", "scgi-socket"):
        found.notes.append(
            f"{name}: pelton speaks HTTP, not uwsgi: in nginx write proxy_pass http://{_upstream(address)} "
            "instead of uwsgi_pass, and proxy_set_header Host $http_host."
        )
    if details:
        found.notes.append(f"{name}: {', '.join(details)} is left out.")
    if "/" in address or address.startswith("@"):
        address = f"unix:{address.removeprefix('unix:')}"
    elif address.isdigit():
        address = f":{address}"
    found.options.append(("--bind", address))


def _upstream(address: str) -> str:
    return f"unix:{address}" if "/" in address else address


def _module(found: Found, name: str, value: str) -> None:
    found.module = value if ":" in value or not value.endswith(".py") or name != "module" else value[:-3]


def _callable(found: Found, name: str, value: str) -> None:
    found.callable = value


def _virtualenv(found: Found, name: str, value: str) -> None:
    found.notes.append(f"{name}: start the pelton of that environment: {value.rstrip('/')}/bin/pelton.")


def _lazy(found: Found, name: str, value: str) -> None:
    found.notes.append("lazy-apps: the default here, each worker loads the application.")
    found.options.append(("lazy", ""))


def _log(found: Found, name: str, value: str) -> None:
    found.options.append(("--access-log", value))
    found.notes.append(f"{name}: pelton's own messages go to the standard error output.")


def _format(found: Found, name: str, value: str) -> None:
    found.notes.append(f"{name}: the fields have other names; see --access-log-format.")


def _path(found: Found, name: str, value: str) -> None:
    found.options.append(("--pythonpath", value))


def _green(found: Found, name: str, value: str) -> None:
    found.options.append(("--worker-class", "gevent"))
    if value.isdigit() and int(value):
        found.options.append(("--worker-connections", value))


def _mode(found: Found, name: str, value: str) -> None:
    digits = re.sub(r"\D", "", value) or "666"
    found.options.append(("--umask", f"{0o777 & ~int(digits, 8):03o}"))


def _push(found: Found, name: str, value: str) -> None:
    kind, _, rest = value.partition(":")
    if kind != "statsd":
        found.notes.append(f"{name} = {value}: has no equivalent. Metrics go to a statsd only (--statsd).")
        return
    address, _, prefix = rest.partition(",")
    found.options.append(("--statsd", f"unix:{address}" if address.startswith("/") else address))
    if prefix:
        found.options.append(("--statsd-prefix", prefix))
    found.notes.append(f"{name}: the metrics have other names; see docs/metrics.md.")


def _ini(found: Found, name: str, value: str) -> None:
    inner = translate(read_ini(value))
    found.options += [one for one in inner.options if one[0] not in dict(found.options)]
    found.notes += inner.notes
    found.module, found.callable = found.module or inner.module, found.callable or inner.callable


_SPECIAL: dict[str, Callable[[Found, str, str], None]] = {
    **dict.fromkeys(("http", "http-socket", "http11-socket", "socket", "uwsgi-socket"), _address),
    **dict.fromkeys(("fastcgi-socket", "scgi-socket", "http-to"), _address),
    **dict.fromkeys(("module", "wsgi", "wsgi-file", "file"), _module),
    "callable": _callable,
    **dict.fromkeys(("virtualenv", "venv", "home", "pyhome"), _virtualenv),
    **dict.fromkeys(("lazy-apps", "lazy"), _lazy),
    **dict.fromkeys(("logto", "logto2", "req-logger"), _log),
    "log-format": _format,
    **dict.fromkeys(("pythonpath", "python-path", "pp"), _path),
    "chmod-socket": _mode,
    "gevent": _green,
    **dict.fromkeys(("stats-push", "stats-pusher"), _push),
    "ini": _ini,
}
