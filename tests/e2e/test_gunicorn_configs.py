"""Config files as people publish them, rewritten: each loads and serves, and what was mapped is told."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from conftest import StartLive
from pelton.compat.gunicorn.options import BY_NAME, Fate
from support.certificates import Files, ask, connect, context_for
from support.client import request
from support.kinds import exists
from support.live import Live
from support.waiting import eventually

CONFIGS = Path(__file__).parents[1] / "gunicorn_configs"
_SHOP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode()]
"""
# The words of the log that say what was not mapped, for each file.
REMARKS: dict[str, tuple[str, ...]] = {
    "access_format": (),
    "all_hooks": ("one request at a time",),
    "django_nginx": ("one request at a time",),
    "flask_container": ("keepalive = 5", "worker_tmp_dir:", "capture_output:", "enable_stdio_inheritance:"),
    "from_environment": ("keepalive = 5", "worker_tmp_dir:"),
    "gevent_psycogreen": (),
    "logconfig": (),
    "old_style": ("one request at a time",),
    "paas": ("forwarded_allow_ips: ",),
    "preloaded": ("backlog:", "reuse_port:", "no limit at all"),
    "prometheus": (),
    "request_times": (),
    "statsd": (),
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(_SHOP)
    for package, module, text in (
        ("psycogreen", "gevent", "def patch_psycopg():\n    pass\n"),
        (
            "prometheus_client",
            "multiprocess",
            "def mark_process_dead(pid):\n    print('dead', pid, flush=True)\n",
        ),
    ):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
        (tmp_path / package / f"{module}.py").write_text(text)
    return tmp_path


def start(live: StartLive, shop: Path, name: str, *arguments: str, **variables: str) -> Live:
    shutil.copy(CONFIGS / f"{name}.py", shop / "gunicorn.conf.py")
    return live("-c", "gunicorn.conf.py", *arguments, directory=shop, environment=variables, any_port=False)


# Not whether the library is there: without it these are to fail.
NEEDS_GEVENT = pytest.mark.skipif(not exists("gevent"), reason="pelton has no such kind yet")


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=NEEDS_GEVENT if "gevent" in one else ()) for one in REMARKS]
)
def test_it_serves(live: StartLive, shop: Path, name: str) -> None:
    says_bind = "\nbind = " in (CONFIGS / f"{name}.py").read_text()
    bind = () if says_bind else ("--bind", "127.0.0.1:0")
    # Two processors are enough for tests: several files take twice as many workers as there are.
    arguments = ("--workers", "2") if "multiprocessing" in (CONFIGS / f"{name}.py").read_text() else ()
    server = start(live, shop, name, "shop:app", *bind, *arguments)
    if name == "django_nginx":
        eventually((shop / "shop.sock").is_socket, "it listens")
        assert not server.log.all("listens on"), "log level warning"
    else:
        assert server.ask(request(target="/cart")).text == "/cart"
    for words in REMARKS[name]:
        if name != "django_nginx":
            server.log.wait_for(words)
    if name != "django_nginx":
        # Some settings come with other parts of pelton.
        told = server.log.all(r"gunicorn\.conf\.py(:\d+)?: ")
        later = [
            one for one in told if "this version of pelton" in one.string or "its own format" in one.string
        ]
        assert len(told) - len(later) == len(REMARKS[name]), server.log.text
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0


def test_no_file_is_left_out() -> None:
    assert {one.stem for one in CONFIGS.glob("*.py")} == {*REMARKS, "tls"}


def test_the_files_name_only_known_options() -> None:
    hooks = {one.name for one in BY_NAME.values() if one.fate is Fate.HOOK}
    defined = (CONFIGS / "all_hooks.py").read_text()
    assert all(f"def {one}(" in defined for one in hooks)


def test_tls(live: StartLive, shop: Path) -> None:
    files = Files(shop / "server.crt", shop / "server.key")
    files.write()
    server = start(live, shop, "tls", "shop:app")
    with connect(server.addresses[0], context_for(files)) as client:
        assert ask(client).startswith(b"HTTP/1.1 200 ")


def test_the_application_of_the_file(live: StartLive, shop: Path) -> None:
    server = start(live, shop, "old_style")
    assert server.ask(request(target="/x")).text == "/x"


def test_metrics_of_a_worker_that_ended(live: StartLive, shop: Path) -> None:
    server = start(live, shop, "prometheus", "shop:app")
    pid = server.ready_workers(2)[1]
    assert (shop / "metrics").is_dir()
    server.send_signal(signal.SIGTTOU)
    server.output.wait_for(r"dead \d+")
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0
    assert f"dead {pid}" in server.output.text


@NEEDS_GEVENT
def test_the_driver_is_patched_in_each_worker(live: StartLive, shop: Path) -> None:
    server = start(live, shop, "gevent_psycogreen", "shop:app", "--bind", "127.0.0.1:0")
    server.ready_workers(2)
    server.log.wait_for(r"\[worker \d\] Made Psycopg2 Green", 2)
    server.log.wait_for("gevent, 500 connections in each of 2 workers")


def test_a_platform(live: StartLive, shop: Path) -> None:
    server = start(
        live, shop, "paas", "shop:app", "--bind", "127.0.0.1:0", WEB_CONCURRENCY="2", PYTHON_MAX_THREADS="3"
    )
    server.log.wait_for("3 threads in each of 2 workers")
    eventually((shop / "app-initialized").exists, "the router is told")


def test_logging_as_the_file_says(live: StartLive, shop: Path) -> None:
    server = start(live, shop, "logconfig", "shop:app", "--bind", "127.0.0.1:0")
    server.log.wait_for(r"^\[shop\] INFO pelton .* listens on")
    assert not server.log.all(r"^\S+ \S+ INFO (\[\w+ \d+\] )?(worker|pelton)")


def test_times_of_requests(live: StartLive, shop: Path) -> None:
    server = start(live, shop, "request_times", "shop:app", "--bind", "127.0.0.1:0")
    assert server.ask(request(target="/a?b")).text == "/a"
    server.log.wait_for("GET /a took little: 200")


def test_the_variable_and_flags_of_gunicorn(live: StartLive, shop: Path) -> None:
    server = live(
        "shop:app", "-k", "gthread", "--worker-tmp-dir", "/dev/shm", "--workers", "1", "-t", "20",
        directory=shop, environment={"GUNICORN_CMD_ARGS": "--threads 3"},
    )  # fmt: skip
    server.log.wait_for("worker_tmp_dir: ")
    server.log.wait_for("3 threads in each of 1 worker")
    assert server.ask(request(target="/x")).text == "/x"
