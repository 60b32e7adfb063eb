"""``pelton migrate``: the same service in pelton's words."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path

import pytest

from pelton.compat.gunicorn.migrate import migrate
from pelton.exceptions import ConfigError

_UWSGI = """\
[uwsgi]
http-socket = :8080
socket = /run/shop.sock
module = shop.wsgi:application
master = true
processes = 4
threads = 2
env = A=1
env = B=2
harakiri = 30
reload-on-rss = 512
chmod-socket = 660
vacuum = true
virtualenv = /srv/shop/.venv
static-map = /static=/srv/static
; a remark
no-such-thing = 3
"""


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PORT", "WEB_CONCURRENCY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def read(text: str) -> tuple[list[str], dict[str, object], str]:
    """The command, the table, the remarks."""
    lines = text.splitlines()
    table = text.partition("# Or as")[2].partition("\n")[2].partition("# Remarks:")[0]
    remarks = " ".join(text.partition("# Remarks:")[2].replace("#", " ").split())
    return shlex.split(lines[1]), tomllib.loads(table), remarks


def test_gunicorns_file() -> None:
    Path("gunicorn.conf.py").write_text(
        "bind = ['a:1', 'b:2']\nworkers = 3\ntimeout = 90\nworker_class = 'gthread'\nthreads = 4\n"
        "chdir = '/srv'\nbacklog = 7\npreload_app = True\ndef on_exit(server):\n    pass\n"
    )
    command, table, remarks = read(migrate("gunicorn.conf.py"))
    assert command[:2] == ["pelton", "MODULE:APP"]
    assert command[2:6] == ["--bind", "a:1", "--bind", "b:2"]
    assert command[command.index("--chdir") + 1] == "/srv"
    assert "--preload" in command
    assert table["workers"] == 3
    assert table["bind"] == ["a:1", "b:2"]
    assert table["preload"] is True
    assert "backlog:" in remarks
    assert "The hooks on_exit stay functions" in remarks


def test_gunicorns_command() -> None:
    command, table, _ = read(migrate("gunicorn -w 4 -k gevent -b :80 shop:app --timeout 120"))
    assert command == [
        *("pelton", "shop:app", "--workers", "4", "--worker-class", "gevent"),
        *("--bind", ":80", "--worker-timeout", "120s", "--start-timeout", "120s", "--threads", "1"),
    ]
    assert table["worker_timeout"] == "120s"
    assert table["worker_kind"] == "gevent"
    command, _, _ = read(migrate("/usr/bin/gunicorn shop:app"))
    assert command == ["pelton", "shop:app", "--workers", "1", "--threads", "1"]


def test_uwsgis_file() -> None:
    Path("uwsgi.ini").write_text(_UWSGI)
    command, table, remarks = read(migrate("uwsgi.ini"))
    assert command[:6] == [
        "pelton", "shop.wsgi:application", "--bind", ":8080", "--bind", "unix:/run/shop.sock"
    ]  # fmt: skip
    assert table["bind"] == [":8080", "unix:/run/shop.sock"]
    assert (table["workers"], table["threads"], table["preload"]) == (4, 2, True)
    assert (table["umask"], table["environment"]) == ("117", ["A=1", "B=2"])
    assert table["max_rss_bytes"] == "512MiB"
    for words in (
        "proxy_pass http://unix:/run/shop.sock",
        "master: not needed",
        "static-map",
        "no-such-thing",
    ):
        assert words in remarks


def test_metrics_of_uwsgi() -> None:
    start = "uwsgi --http :8000 --module shop:app --stats-push"
    command, _, remarks = read(migrate(f"{start} statsd:10.0.0.1:8125,shop --stats-push mongodb:a"))
    assert "--statsd 10.0.0.1:8125 --statsd-prefix shop" in " ".join(command)
    assert "stats-push = mongodb:a: has no equivalent" in remarks
    command, _, _ = read(migrate(f"{start}=statsd:/run/dsd.socket"))
    assert "--statsd unix:/run/dsd.socket" in " ".join(command)


def test_uwsgis_command() -> None:
    command, table, remarks = read(
        migrate("uwsgi --http :8000 --wsgi-file shop.py --callable app -p 4 --lazy-apps")
    )
    assert command == ["pelton", "shop.py:app", "--bind", ":8000", "--workers", "4", "--threads", "1"]
    assert "preload" not in table
    assert "one request at a time" in remarks


@pytest.mark.parametrize(
    "argument", ["", "nginx.conf", "apache2 -f x", "'", "no.ini", "no.py", "gunicorn --no-such"]
)
def test_what_is_neither(argument: str) -> None:
    with pytest.raises(ConfigError):
        migrate(argument)


def test_an_ini_file_of_something_else() -> None:
    Path("a.ini").write_text("[app]\nx = 1\n")
    with pytest.raises(ConfigError, match="no section"):
        migrate("a.ini")
    Path("a.ini").write_text("x = 1\n")
    with pytest.raises(ConfigError, match="no ini file"):
        migrate("a.ini")
