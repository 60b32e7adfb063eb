"""gunicorn's options, config files, flags and variable, and what they come to."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from pelton.compat.gunicorn import OPTIONS, from_arguments, from_environment, load_config_file
from pelton.compat.gunicorn.loading import DEFAULT, Loaded
from pelton.compat.gunicorn.options import BY_NAME
from pelton.compat.gunicorn.options.option import PROCESS_SETTINGS, ROWS, Fate
from pelton.compat.gunicorn.reference import page
from pelton.config.settings import TABLE, settings_from
from pelton.exceptions import ConfigError
from pelton.loader import load_application, parse_target

ROOT = Path(__file__).parents[2]
NAMES = (ROOT / "tests" / "gunicorn_configs" / "options-27.txt").read_text().splitlines()


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])


def load(text: str) -> Loaded:
    Path("gunicorn.conf.py").write_text(text)
    return load_config_file("gunicorn.conf.py")


def values(loaded: Loaded) -> dict[str, Any]:
    return {name: value for name, (value, _) in loaded.values.items()}


def test_no_option_is_missing() -> None:
    theirs = {line.split()[0]: tuple(line.split()[1:]) for line in NAMES}
    ours = {one.name: one.flags for one in OPTIONS}
    assert len(ours) == len(OPTIONS)
    assert ours == theirs


def test_what_is_mapped_to_exists() -> None:
    known = {row.name for row in TABLE} | PROCESS_SETTINGS
    later = {
        *("trusted_proxies", "proxy_protocol", "underscore_fields", "max_line_bytes"),
        *("error_log", "access_log_format", "log_syslog"),
    }
    elsewhere = {"--config", "MODULE[:APP]", "logging", "paste"}
    for one in OPTIONS:
        if one.fate is Fate.MAPPED:
            assert set(one.target.split(", ")) <= known | later | elsewhere, one.name
        assert one.about.endswith("."), one.name


def test_the_page_is_the_committed_one() -> None:
    assert (ROOT / "docs" / "gunicorn.md").read_text() == page(), (
        "run python -m pelton.compat.gunicorn.reference"
    )


def test_values_and_where_they_are_written() -> None:
    loaded = load("import os\nworkers = 2 + 1\nthreads = '4'\n\nbind = 'localhost:80, [::1]'\n")
    assert loaded.values == {
        "workers": (3, "gunicorn.conf.py:2"),
        "threads": (4, "gunicorn.conf.py:3"),
        "bind": (("localhost:80", "[::1]:8000"), "gunicorn.conf.py:5"),
    }
    settings_from(values(loaded))


def test_what_a_file_does_not_say_is_as_with_gunicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load("")
    assert loaded.values == {"workers": (1, DEFAULT), "threads": (1, DEFAULT)}
    monkeypatch.setenv("PORT", "5000")
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    assert values(load("")) == {"workers": 3, "threads": 1, "bind": ("0.0.0.0:5000",)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "worker_class = 'sync'\ntimeout = 90",
            {
                "worker_kind": "sync",
                "threads": 1,
                "worker_timeout": 90,
                "request_timeout": 90,
                "start_timeout": 90,
            },
        ),
        ("worker_class = 'sync'\nthreads = 3", {"worker_kind": "threads", "threads": 3}),
        (
            "worker_class = 'gthread'\nthreads = 6\ntimeout = 90",
            {"worker_kind": "threads", "threads": 6, "worker_timeout": 90, "start_timeout": 90},
        ),
        (
            # Preloading, it gives an application as much time as it takes.
            "worker_class = 'gevent'\nworker_connections = 20\ntimeout = 90\npreload_app = True",
            {
                "worker_kind": "gevent",
                "worker_connections": 20,
                "threads": 1,
                "worker_timeout": 90,
                "preload": True,
            },
        ),
        ("worker_class = 'gunicorn.workers.ggevent.GeventWorker'", {"worker_kind": "gevent", "threads": 1}),
        (
            "worker_class = 'geventwebsocket.gunicorn.workers.GeventWebSocketWorker'",
            {"worker_kind": "gevent", "threads": 1},
        ),
        ("worker_class = 'eventlet'\nthreads = 8", {"worker_kind": "eventlet", "threads": 8}),
        ("worker_class = 'egg:gunicorn#tornado'", {"worker_kind": "tornado", "threads": 1}),
        ("worker_class = 'of_another_package'", {"worker_kind": "of_another_package", "threads": 1}),
        ("worker_class = 'shop.workers.Own'", {"threads": 1}),
        (
            "class ThreadWorker: pass\nclass Own(ThreadWorker): pass\nworker_class = Own",
            {"worker_kind": "threads", "threads": 1},
        ),
        ("timeout = 0", {"worker_timeout": 0, "request_timeout": 0, "start_timeout": 0, "threads": 1}),
        ("keepalive = 5", {"keep_alive_seconds": 5, "threads": 1}),
        ("keepalive = 0", {"requests_per_connection": 1, "threads": 1}),
        ("preload_app = True", {"preload": True, "threads": 1}),
        ("limit_request_field_size = 100_000", {"max_head_bytes": 116_384, "threads": 1}),
        ("limit_request_line = 8190", {"max_line_bytes": 8190, "threads": 1}),
        (
            "limit_request_field_size = 0\nlimit_request_line = 100",
            {"max_head_bytes": 2**20, "max_line_bytes": 256, "threads": 1},
        ),
        ("limit_request_fields = 200", {"max_fields": 200, "threads": 1}),
        (
            "syslog = True\nsyslog_addr = 'unix:///dev/log#dgram'",
            {"log_syslog": "unix:/dev/log", "access_log": "syslog", "threads": 1},
        ),
        (
            "syslog = True\naccesslog = 'a.log'",
            {"log_syslog": "localhost:514", "access_log": "a.log", "threads": 1},
        ),
        (
            "syslog = True\ndisable_redirect_access_to_syslog = True",
            {"log_syslog": "localhost:514", "threads": 1},
        ),
        ("loglevel = 'CRITICAL'", {"log_level": "error", "threads": 1}),
        ("accesslog = '-'", {"access_log": "-", "threads": 1}),
        ("tmp_upload_dir = '/var/tmp'", {"spool_directory": "/var/tmp", "threads": 1}),
        ("bind = 'unix:/run/x.sock'", {"bind": ("unix:/run/x.sock",), "threads": 1}),
        (
            "bind = ['8080', 'tcp://a:1', 'shop']",
            {"bind": ("0.0.0.0:8080", "a:1", "shop:8000"), "threads": 1},
        ),
        # What pelton alone has may stand in the same file.
        ("request_timeout = '5s'", {"request_timeout": 5.0, "threads": 1}),
    ],
)
def test_mapped(text: str, expected: dict[str, Any]) -> None:
    assert values(load(text)) == {"workers": 1, **expected}


@pytest.mark.skipif("trusted_proxies" not in ROWS, reason="there are no such settings yet")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("forwarded_allow_ips = ''", {}),
        ("forwarded_allow_ips = '10.0.0.0/8, ::1'", {"trusted_proxies": "10.0.0.0/8,::1"}),
        (
            "forwarded_allow_ips = '*'\nbind = 'unix:/run/x'",
            {"trusted_proxies": "*,unix", "bind": ("unix:/run/x",)},
        ),
        ("proxy_protocol = 'off'\nproxy_allow_ips = '*'", {}),
        ("proxy_protocol = True", {"proxy_protocol": True, "trusted_proxies": "127.0.0.1,::1"}),
        (
            "proxy_protocol = 'v2'\nproxy_allow_ips = '10.0.0.1'\nforwarded_allow_ips = '10.0.0.2'",
            {"proxy_protocol": True, "trusted_proxies": "10.0.0.2,10.0.0.1"},
        ),
        ("header_map = 'dangerous'", {"underscore_fields": "allow"}),
        ("limit_request_line = 20_000", {"max_line_bytes": 20_000}),
        ("limit_request_line = 0", {"max_line_bytes": 2**20 - 2**14, "max_head_bytes": 2**20}),
    ],
)
def test_proxies_and_heads(text: str, expected: dict[str, Any]) -> None:
    loaded = load(text)
    assert values(loaded) == {"workers": 1, "threads": 1, **expected}
    assert ("the client's address" in " ".join(loaded.notes)) == ("trusted_proxies" in expected)
    settings_from(values(loaded))


def test_the_variable_of_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    loaded = load("")
    if "trusted_proxies" in ROWS:
        assert loaded.values["trusted_proxies"] == ("*", "FORWARDED_ALLOW_IPS")
    assert "FORWARDED_ALLOW_IPS: forwarded_allow_ips: " in loaded.notes[0]


def test_matters_of_the_process() -> None:
    loaded = load(
        "chdir = '/'\npidfile = 'a.pid'\numask = 0o027\nuser = 'nobody'\ngroup = 12345\nproc_name = 'shop'\n"
        "raw_env = ['A=1', 'B=x=y,z']\npythonpath = 'a,b'\ndaemon = True\n"
    )
    assert {name: value for name, (value, _) in loaded.extras.items()} == {
        "chdir": "/",
        "pid_file": "a.pid",
        "umask": "027",
        "user": "nobody",
        "group": "12345",
        "process_name": "shop",
        "environment": ("A=1", "B=x=y,z"),
        "python_path": ("a", "b"),
        "daemon": True,
    }
    settings_from(values(loaded))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cert_reqs = 7", r"7 is not one of 0 .none., 1 .optional., 2 .required."),
        ("def ssl_context(c):\n    pass", r"has to take 2 arguments"),
        ("worker_class = 'uvicorn.workers.UvicornWorker'", "serves ASGI"),
        ("worker_class = 'asgi'", "serves ASGI"),
        ("header_map = 'x'", "is not one of drop, refuse, dangerous"),
        ("\nworkers = 'many'", r"gunicorn.conf.py:2: workers: 'many' is not a whole number"),
        ("workers = -1", "is negative"),
        ("preload_app = 'yes'", "neither True nor False"),
        ("bind = 5", "not a text or a list of texts"),
        ("raw_env = ['A']", '"A" is no variable'),
        ("when_ready = 7", "7 is not a function"),
        ("def post_fork(worker):\n    pass", r"has to take 2 arguments, not \(worker\)"),
        ("workers = ", r"gunicorn.conf.py:1: this is not valid Python"),
        ("import os\nos.no_such_thing", "no_such_thing"),
        ("from gunicorn_no import x", "gunicorn_no"),
        ("loglevel = 'loud'", "is no level"),
        ("max_requests = 1.5", "not a whole number"),
        ("dirty_apps = ['x:y']", "dirty_apps is refused"),
        ("spew = True", "spew is refused"),
        ("strip_header_spaces = True", "smuggle"),
    ],
)
def test_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(text)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r'"no\.py" cannot be read: No such file'):
        load_config_file("no.py")


def test_a_module_as_the_file() -> None:
    Path("conf_of_shop.py").write_text("import os\n\nworkers = 5\n")
    loaded = load_config_file("python:conf_of_shop")
    assert loaded.values["workers"][0] == 5
    assert loaded.values["workers"][1].endswith("conf_of_shop.py:3")


def test_notes() -> None:
    loaded = load(
        "backlog = 64\ncontrol_socket = 'x'\nwroker_class = 'x'\nreload_engine = 'poll'\nsendfile = False\n"
    )
    assert [note.partition(": ")[0] for note in loaded.notes] == [
        "gunicorn.conf.py:3",
        "gunicorn.conf.py:1",
        "gunicorn.conf.py:2",
        "gunicorn.conf.py:4",
    ]
    assert "did you mean worker_class?" in loaded.notes[0]


def test_defaults_that_are_written_out_are_silent() -> None:
    text = "".join(
        f"{one.name} = {one.harmless[0]!r}\n"
        for one in OPTIONS
        if one.harmless and one.fate is not Fate.MAPPED
    )
    assert load(text).notes == []


def test_the_command_line() -> None:
    loaded, rest = from_arguments(
        ["shop:app", "-w", "4", "--bind=:80", "-k", "gthread", "-t60", "--preload", "--worker-tmp-dir", "/x",
         "--no-sendfile", "-c", "-k", "--", "--spew"]
    )  # fmt: skip
    assert rest == [
        *("shop:app", "-w", "4", "--bind=:80", "-k", "gthread", "--preload", "-c", "-k", "--", "--spew")
    ]
    assert loaded.values == {
        "worker_timeout": (60.0, "the command line: -t"),
        "request_timeout": (60.0, "the command line: -t"),
        "start_timeout": (60.0, "the command line: -t"),
    }
    beside, _ = from_arguments(["-t60"], {"worker_class": "gthread", "preload_app": True})
    assert beside.values == {"worker_timeout": (60.0, "the command line: -t")}
    assert loaded.notes == ["the command line: --worker-tmp-dir: " + loaded.notes[0].split(": ", 2)[2]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--http2-cleartext", "on"], "the command line: --http2-cleartext: http2_cleartext is refused"),
        (["--timeout"], "--timeout needs a value"),
        (["--reuse-port=1"], "--reuse-port takes no value"),
        (["-t", "x"], "the command line: -t: timeout: 'x' is not a whole number"),
    ],
)
def test_wrong_arguments(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        from_arguments(words)


def test_the_variable() -> None:
    Path("g.py").write_text("workers = 2\nthreads = 3\n")
    loaded = from_environment({"GUNICORN_CMD_ARGS": "-c g.py --workers=7 -e A=1 -e B=2 --bind :80 -b :81"})
    assert loaded.values["workers"] == (7, "GUNICORN_CMD_ARGS: --workers")
    assert loaded.values["threads"] == (3, "g.py:2")
    assert loaded.values["bind"][0] == (":80", ":81")
    assert loaded.extras["environment"][0] == ("A=1", "B=2")
    assert from_environment({}).values == {}


@pytest.mark.parametrize("text", ["--no-such", "'", "--worker"])
def test_a_wrong_variable(text: str) -> None:
    with pytest.raises(ConfigError, match="GUNICORN_CMD_ARGS"):
        from_environment({"GUNICORN_CMD_ARGS": text})


def test_syslog() -> None:
    if not any(row.name == "log_syslog" for row in TABLE):
        pytest.skip("there is no such setting yet")
    assert values(load("syslog = True"))["log_syslog"] == "localhost:514"
    assert (
        values(load("syslog = True\nsyslog_addr = 'unix:///dev/log#stream'"))["log_syslog"] == "unix:/dev/log"
    )
    with pytest.raises(ConfigError, match="only UDP"):
        load("syslog = True\nsyslog_addr = 'tcp://a:1'")


@pytest.fixture
def no_paste(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.partition(".")[0] == "paste"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.usefixtures("no_paste")
def test_paste() -> None:
    Path("shop.ini").write_text("[app:main]\n")
    Path("paste").mkdir()
    Path("paste/__init__.py").touch()
    Path("paste/deploy.py").write_text(
        "def loadapp(uri, name, global_conf):\n    return lambda *_: (uri, name, global_conf)\n"
    )
    with pytest.raises(ConfigError, match="no file"):
        load("paste = 'no.ini'")
    loaded = load("paste = 'shop.ini#other'\nraw_paste_global_conf = ['a=1']\n")
    assert loaded.target is not None
    application = load_application(parse_target(loaded.target), Path.cwd())
    assert application() == (f"config:{Path('shop.ini').resolve()}", "other", {"a": "1"})
    loaded, _ = from_arguments(["--paste", "egg:shop#main"])
    assert loaded.target == "pelton.compat.gunicorn.paste:application('egg:shop', 'main', {})"


def test_paste_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("shop.ini").write_text("[app:main]\n")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="PasteDeploy is not installed"):
        load("paste = 'shop.ini'")


def test_patching_in_the_supervisor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("gevent").mkdir()
    Path("gevent/__init__.py").touch()
    Path("gevent/monkey.py").write_text("saved = {}\ndef patch_all():\n    saved['os'] = {}\n")
    for name in ("gevent", "gevent.monkey"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ConfigError, match="patches the standard library"):
        load("from gevent import monkey\nmonkey.patch_all()\n")
    for name in ("gevent", "gevent.monkey"):
        sys.modules.pop(name, None)


def test_every_hook_is_known() -> None:
    hooks = [one.name for one in OPTIONS if one.fate is Fate.HOOK]
    assert len(hooks) == 15
    text = "".join(f"def {one}(*arguments):\n    pass\n" for one in hooks)
    assert set(load(text).hooks.functions) == set(hooks)
    assert not load("").hooks
    assert BY_NAME["post_request"].arity == (4, 3, 2)
