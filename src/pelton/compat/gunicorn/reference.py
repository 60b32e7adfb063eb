"""Writes docs/gunicorn.md from the rows: ``python -m pelton.compat.gunicorn.reference``.

Owns the page's text; a test compares it with the file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pelton.compat.gunicorn.options import OPTIONS, Fate, Option
from pelton.compat.gunicorn.options.absent import ABSENT
from pelton.compat.gunicorn.options.hooks import HOOKS
from pelton.compat.gunicorn.options.http import HTTP
from pelton.compat.gunicorn.options.logs import LOGS
from pelton.compat.gunicorn.options.process import PROCESS
from pelton.compat.gunicorn.options.serving import SERVING

_INTRODUCTION = """\
# Coming from gunicorn

<!-- Written by python -m pelton.compat.gunicorn.reference; change that, not this page. -->

```console
$ pelton shop:app                            # reads gunicorn.conf.py in this directory, as gunicorn does
$ pelton -c deploy/gunicorn.conf.py shop:app
$ pelton migrate gunicorn.conf.py            # the same in pelton's own words, with remarks
$ pelton migrate "gunicorn -w 4 -k gevent shop:app"
$ pelton migrate uwsgi.ini                   # or "uwsgi --http :8000 …"
```

Every option of gunicorn 27 is known. What has an equivalent is **mapped**. What pelton does not need,
or does not have, is **accepted**, with a line in the log that says why. What would change what a request
means, or who can read it, is **refused** (exit code 2), with the alternative.

gunicorn's flags work on the command line, and in `GUNICORN_CMD_ARGS`. Nothing of it needs gunicorn to be
installed, unless the config file imports it.

What is different:

- `gunicorn.conf.py` in the working directory is read, as gunicorn does, and the log says so. A `pelton.toml` or
  a `[tool.pelton]` in `pyproject.toml` beside it counts instead, and the log says that, too.
- A config file without `workers` means one worker, without `threads` one thread, as with gunicorn. In
  pelton's own configuration it is everything in one process, with as many threads as are needed.
- `worker_class` has the same names; what each kind is, and what it cannot do, is in
  [worker-kinds.md](worker-kinds.md). The front holds all connections, so nothing like gevent is needed for
  slow clients or keep-alive. With gevent and eventlet, patching is the worker's first act: a config file
  that patches the standard library itself (`monkey.patch_all()`) is refused, as it is executed in the
  supervisor. psycogreen belongs into `post_fork`, as before.
- gunicorn trusts proxies on 127.0.0.1 by default, for `wsgi.url_scheme` only. pelton trusts
  nobody unless `forwarded_allow_ips` (or `trusted_proxies`) says so, and then also for the client's
  address, the host and the prefix. The proxy has to set or remove `X-Forwarded-For`, `-Proto`, `-Host` and
  `-Prefix`. `*` means everybody who can connect: write the proxies' addresses instead.
- SIGHUP reads the config file again, too; what needs a restart is named in the log.
- `timeout` ends a request with 504 and an exception in its thread, before it costs a worker.

## Server hooks

A config file with hooks is the one case in which the supervisor runs code of yours: `on_starting`,
`on_reload`, `when_ready`, `pre_fork`, `pre_exec`, `child_exit`, `nworkers_changed` and `on_exit` are
called there, as in gunicorn's master. Keep them short: while one runs, nothing is restarted. Do not start
threads before workers are forked.

The config file itself is executed in the supervisor, too, whether it has hooks or not.

One that fails is logged and forgotten, except `on_starting` (exit code 1), `post_fork` and
`post_worker_init` (exit code 3). They need worker processes: with `--workers 0` none is called.

| object | attributes |
| --- | --- |
| `server` | `log`, `cfg`, `address`, `pid`, `num_workers`, `worker_age`, `WORKERS`, `LISTENERS`, `proc_name`, `timeout`, `pidfile` |
| `worker` | `pid`, `ppid`, `age`, `log`, `cfg`, `nr`, `alive`, `booted`, `aborted`, `timeout`, `max_requests`, `wsgi`, `notify()` |
| `req` | `method`, `path`, `query`, `uri`, `headers`, `version`, `scheme`, `body`, `remote_addr` |
| `resp` | `status`, `status_code`, `headers`, `response_length`, `sent` |
| `server.log` | the methods of a logger, `error_log`, `access_log`, `loglevel` |

`server` and `worker` describe: what a hook changes on them changes nothing, except `worker.wsgi` in
`post_worker_init`, which is what is served. `pre_request` and `post_request` cost some microseconds for
each request.
"""  # noqa: E501
_SECTIONS = (
    ("Addresses and workers", SERVING),
    ("Process", PROCESS),
    ("Logs", LOGS),
    ("HTTP, proxies, TLS", HTTP),
    ("Other protocols and processes", ABSENT),
    ("Hooks", HOOKS),
)
_OUTCOMES = {
    Fate.MAPPED: "mapped",
    Fate.HOOK: "called",
    Fate.NEEDLESS: "not needed",
    Fate.MISSING: "no effect",
    Fate.REFUSED: "**refused**",
}


def page() -> str:
    """The whole page."""
    assert sum(len(rows) for _, rows in _SECTIONS) == len(OPTIONS)
    lines = [_INTRODUCTION]
    for title, rows in _SECTIONS:
        lines += [f"## {title}", "", "| gunicorn | pelton | |", "| --- | --- | --- |"]
        lines += [_line(one) for one in rows]
        lines.append("")
    return "\n".join(lines)


def _line(option: Option) -> str:
    flags = ", ".join(f"`{one}`" for one in option.flags)
    name = f"`{option.name}`" + (f"<br>{flags}" if flags else "")
    outcome = _OUTCOMES[option.fate]
    if option.fate is Fate.MAPPED:
        outcome = ", ".join(f"`{one}`" for one in option.target.split(", "))
    about = option.about
    if option.fate is Fate.REFUSED and not about.startswith("pelton"):
        about = about[:1].upper() + about[1:]
    return f"| {name} | {outcome} | {about.replace('|', chr(92) + '|')} |"


def _main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[4] / "docs" / "gunicorn.md"
    target.write_text(page())


if __name__ == "__main__":
    _main()
