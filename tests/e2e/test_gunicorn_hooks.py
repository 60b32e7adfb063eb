"""gunicorn's server hooks: when each is called, where, and what its failure comes to."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from conftest import StartLive
from support.client import request
from support.live import Live

CONFIG = Path(__file__).parents[1] / "gunicorn_configs" / "all_hooks.py"
_SHOP = """
def app(environ, start_response):
    if environ["PATH_INFO"] == "/fail":
        raise RuntimeError("it fails")
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/pieces":
        return iter([b"one", b"two"])
    return [b"whole"]
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(_SHOP)
    return tmp_path


def start(live: StartLive, shop: Path, *arguments: str | Path) -> Live:
    server: Live = live("-c", *(arguments or (CONFIG,)), "shop:app", directory=shop)
    return server


def hooks(server: Live) -> list[str]:
    return [one[1] for one in server.log.all(r"hook (\w+)")]


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["each loads", "preload"])
def test_the_life_of_it(live: StartLive, shop: Path, preload: tuple[str, ...]) -> None:
    server = start(live, shop, CONFIG, *preload)
    server.ready_workers(2)
    server.log.wait_for(r"hook post_worker_init 2", 2)
    server.log.wait_for("hook when_ready workers=2 address=.*'127.0.0.1'")
    assert server.log.all("hook post_fork pid=True age=1 tag-1")
    assert server.log.all("hook post_fork pid=True age=2 tag-2")
    server.send_signal(signal.SIGTTIN)
    server.log.wait_for("hook nworkers_changed 3 2")
    server.ready_workers(3)
    server.send_signal(signal.SIGTTOU)
    server.log.wait_for("hook nworkers_changed 2 3")
    server.log.wait_for("hook child_exit True")
    server.send_signal(signal.SIGHUP)
    server.log.wait_for("hook on_reload")
    server.log.wait_for("reload: done")
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0
    said = hooks(server)
    assert said[:2] == ["on_starting", "nworkers_changed"]
    assert said[-1] == "on_exit"
    assert said.count("post_fork") == said.count("post_worker_init") == said.count("worker_exit") == 5
    assert said.count("child_exit") == 5
    assert "worker_int" not in said


def _tell_everybody(server: Live) -> None:
    os.killpg(server.process.pid, signal.SIGINT)


def _tell_the_supervisor(server: Live) -> None:
    server.send_signal(signal.SIGQUIT)


@pytest.mark.parametrize("tell", [_tell_everybody, _tell_the_supervisor])
def test_an_interrupt(live: StartLive, shop: Path, tell: object) -> None:
    server = start(live, shop)
    server.ready_workers(2)
    assert callable(tell)
    tell(server)
    assert server.exit_code() == 0
    assert hooks(server).count("worker_int") == 2


def test_an_abort(live: StartLive, shop: Path) -> None:
    server = start(live, shop)
    os.kill(server.ready_workers(2)[1], signal.SIGABRT)
    server.log.wait_for("hook worker_abort")
    server.log.wait_for("hook child_exit")
    # The stacks are shown as without the hook.
    assert "Fatal Python error: Aborted" in server.log.text
    server.ready_workers(3)


def test_requests(live: StartLive, shop: Path) -> None:
    server = start(live, shop)
    response = server.ask(request(target="/a?b=1", fields=[("X-Item", "7")]))
    assert (response.text, response.get("Content-Length")) == ("whole", "5")
    server.log.wait_for("hook pre_request GET /a 7")
    server.log.wait_for(r"hook post_request /a\?b=1 200 OK 5")
    assert server.ask(request(target="/pieces")).body == b"onetwo"
    server.log.wait_for("hook post_request /pieces 200 OK 6")
    assert server.ask(request(target="/fail")).status == 500
    server.log.wait_for("hook post_request /fail")


def test_an_upgrade(live: StartLive, shop: Path) -> None:
    server = start(live, shop)
    server.ready_workers(2)
    server.send_signal(signal.SIGUSR2)
    server.log.wait_for("hook pre_exec")
    server.log.wait_for("hook when_ready", 2)
    server.log.wait_for("hook on_exit")
    assert server.process.wait(10) == 0


@pytest.mark.parametrize(
    ("hook", "code"),
    [("on_starting(server)", 1), ("post_fork(server, worker)", 3), ("post_worker_init(worker)", 3)],
)
def test_one_that_fails_at_the_start(live: StartLive, shop: Path, hook: str, code: int) -> None:
    (shop / "g.py").write_text(f"def {hook}:\n    raise RuntimeError('no luck')\n")
    server = start(live, shop, "g.py")
    assert server.exit_code() == code
    assert f"The hook {hook.partition('(')[0]} failed" in server.log.text
    assert "RuntimeError: no luck" in server.log.text


def test_those_that_fail_later_do_no_harm(live: StartLive, shop: Path) -> None:
    names = ("pre_fork", "when_ready", "child_exit", "worker_exit", "on_exit", "post_request", "on_reload")
    (shop / "g.py").write_text(
        "".join(f"def {name}(*arguments):\n    raise RuntimeError('in {name}')\n" for name in names)
    )
    server = start(live, shop, "g.py")
    server.ready_workers()
    assert server.ask(request()).text == "whole"
    server.send_signal(signal.SIGHUP)
    server.log.wait_for("reload: done")
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0
    for name in names:
        assert f"RuntimeError: in {name}" in server.log.text


def test_one_process_calls_none(live: StartLive, shop: Path) -> None:
    server = start(live, shop, CONFIG, "--workers", "0")
    assert server.ask(request()).text == "whole"
    assert hooks(server) == []
    server.log.wait_for(r"Server hooks \(on_starting, .*\) are not called in one process")
