"""SIGHUP reads the settings again: what can change does, what cannot is named, what is wrong is not taken."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from conftest import StartLive
from support.client import request
from support.gates import Gates
from support.live import HEALTH, PROCESS_APP, Live
from support.waiting import eventually


def write(directory: Path, *lines: str) -> Path:
    path = directory / "pelton.toml"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def reload(server: Live, count: int) -> None:
    """Reload for the ``count``th time, and wait until the new workers serve."""
    server.send_signal(signal.SIGHUP)
    server.log.wait_for("reload: done", count)


def wait_for_permits(server: Live, count: int) -> None:
    """Wait until the front has workers that run so many requests at a time, all together."""
    eventually(
        lambda: server.verdict()["permits"]["total"] == count,
        lambda: f"{count} permits: {server.verdict()}",
    )


def test_workers_get_the_new_settings(live: StartLive, tmp_path: Path) -> None:
    config = write(tmp_path, "workers = 1", "threads = 2")
    server = live(PROCESS_APP, "-c", config, *HEALTH)
    before = server.ready_workers(1)
    wait_for_permits(server, 2)
    write(tmp_path, "workers = 2", "threads = 3")
    reload(server, 1)
    server.log.wait_for(r"settings that have changed: .*threads = 3")
    wait_for_permits(server, 6)
    assert server.ask(request()).text != str(before[1])
    # A worker that comes later is one of them.
    server.send_signal(signal.SIGTTIN)
    wait_for_permits(server, 9)
    assert server.ask(request()).status == 200


def test_what_the_command_line_says_still_counts_more(live: StartLive, tmp_path: Path) -> None:
    config = write(tmp_path, "threads = 2")
    server = live(PROCESS_APP, "-c", config, "--workers", "1", "--threads", "4", *HEALTH)
    server.ready_workers(1)
    write(tmp_path, "threads = 3")
    reload(server, 1)
    wait_for_permits(server, 4)
    assert "settings that have changed" not in server.log.text


def test_what_needs_a_restart_is_named_once(live: StartLive, tmp_path: Path) -> None:
    config = write(tmp_path, "workers = 1")
    server = live(PROCESS_APP, "-c", config, *HEALTH)
    server.ready_workers(1)
    write(tmp_path, "workers = 1", 'max_body_bytes = "10KiB"', "server_timing = true")
    reload(server, 1)
    server.log.wait_for(r"need a restart \(USR2\): max_body_bytes, server_timing")
    assert server.ask(request("POST", "/echo", body=b"x" * 20_000)).status == 200
    reload(server, 2)
    assert len(server.log.all("need a restart")) == 1


def test_rules_about_requests_change_without_a_new_front(live: StartLive, tmp_path: Path) -> None:
    page = tmp_path / "403.html"
    page.write_text("<h1>first</h1>")
    always = ("workers = 1", f'error_page = ["403={page}"]')
    config = write(tmp_path, *always)
    server = live(PROCESS_APP, "-c", config, *HEALTH)
    server.ready_workers(1)

    def statuses(path: str, count: int = 1, host: str = "localhost") -> list[int]:
        return [server.ask(request("GET", path, host=host)).status for _ in range(count)]

    assert statuses("/", 3) == [200] * 3
    rules = (
        'rate_limit = ["/=1/h"]',
        'deny = ["/no=all", "admin.example/=all"]',
        'response_header = ["X-A: 1"]',
    )
    write(tmp_path, *always, *rules)
    page.write_text("<h1>second</h1>")
    reload(server, 1)
    server.log.wait_for(r"settings that have changed: .*rate_limit = /=1/h")
    eventually(lambda: server.ask(request("GET", "/no")).status == 403, "the front has the new rules")
    assert server.ask(request("GET", "/no")).body == b"<h1>second</h1>"
    assert statuses("/", host="admin.example") == [403]
    assert statuses("/", 2) == [200, 429]
    assert server.ask(request("GET", "/")).get("X-A") == "1"
    # What is wrong is not taken, and accounts are kept over a change of something else.
    write(tmp_path, *always, 'deny = ["no"]')
    reload(server, 2)
    server.log.wait_for("reload: the settings stay as they were")
    write(tmp_path, *always, rules[0])
    reload(server, 3)
    eventually(lambda: server.ask(request("GET", "/")).get("X-A") is None, "the front has the last rules")
    assert statuses("/") == [429]
    assert "need a restart" not in server.log.text


def test_a_new_front_has_the_rules_of_the_last_reload(live: StartLive, tmp_path: Path) -> None:
    config = write(tmp_path, "workers = 1", "threads = 2")
    server = live(PROCESS_APP, "-c", config, *HEALTH)
    server.ready_workers(1)
    write(tmp_path, "workers = 1", "threads = 2", 'deny = ["/no=all"]')
    reload(server, 1)
    eventually(lambda: server.ask(request("GET", "/no")).status == 403, "the front has the new rules")
    os.kill(server.front_pid(2), signal.SIGKILL)
    server.log.wait_for(r"front .* was killed by SIGKILL")
    wait_for_permits(server, 2)
    eventually(lambda: server.ask(request("GET", "/no")).status == 403, "the new front has the rules, too")


def test_a_file_that_is_wrong_changes_nothing(live: StartLive, tmp_path: Path) -> None:
    config = write(tmp_path, "workers = 1", "threads = 2")
    server = live(PROCESS_APP, "-c", config, *HEALTH)
    server.ready_workers(1)
    write(tmp_path, "workers = 1", "threads = 0")
    reload(server, 1)
    server.log.wait_for("the settings stay as they were: .*threads")
    wait_for_permits(server, 2)
    config.unlink()
    reload(server, 2)
    wait_for_permits(server, 2)


def test_a_reload_that_fails_leaves_the_old_workers_their_settings(live: StartLive, tmp_path: Path) -> None:
    module = tmp_path / "shop.py"
    module.write_text(
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [b'old']\n"
    )
    config = write(tmp_path, "workers = 1", "threads = 2")
    server = live(
        *("shop", "-c", config, *HEALTH),
        directory=tmp_path,
        environment={"PYTHONDONTWRITEBYTECODE": "1"},
    )
    pid = server.ready_workers(1)[1]
    module.write_text("raise RuntimeError('broken')\n")
    write(tmp_path, "workers = 1", "threads = 5")
    server.send_signal(signal.SIGHUP)
    server.log.wait_for("reload: failed")
    module.write_text(
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [b'new']\n"
    )
    # One that dies is replaced by one of the same generation.
    os.kill(pid, signal.SIGKILL)
    server.log.wait_for(r"worker \d+ \(pid \d+\) is ready", 2)
    wait_for_permits(server, 2)
    assert server.ask(request()).status == 200


def test_messages_change_their_form_everywhere(live: StartLive, tmp_path: Path) -> None:
    config = write(tmp_path, "workers = 1")
    server = live(PROCESS_APP, "-c", config, *HEALTH)
    server.ready_workers(1)
    log = tmp_path / "messages"
    write(tmp_path, "workers = 1", f'error_log = "{log}"', 'log_format = "json"', 'log_level = "debug"')
    server.send_signal(signal.SIGHUP)

    def lines() -> list[dict[str, str]]:
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    eventually(lambda: any("reload: done" in line["body"] for line in lines()), lambda: f"done: {lines()}")
    # The front has been told, too.
    with server.connect() as client:
        client.send(request(target="/kill"))
        assert client.response().status == 502
    eventually(
        lambda: any(line.get("pelton.process") == "front" for line in lines()), lambda: f"front: {lines()}"
    )
    assert "reload: done" not in server.log.text


def test_hooks_of_a_gunicorn_file_are_read_again(live: StartLive, tmp_path: Path) -> None:
    config = tmp_path / "gunicorn.conf.py"
    config.write_text(
        "workers = 1\ndef on_reload(server):\n    server.log.info('the old hook of %d', server.num_workers)\n"
    )
    server = live(PROCESS_APP, "-c", config, *HEALTH)
    server.ready_workers(1)
    config.write_text(
        "workers = 2\nthreads = 2\n"
        "def on_reload(server):\n    server.log.info('the new hook')\n"
        "def post_fork(server, worker):\n    server.log.info('forked %d', worker.age)\n"
        "def on_exit(server):\n    server.log.info('the end of %d', server.num_workers)\n"
        "def nworkers_changed(server, new, old):\n    server.log.info('%s became %s', old, new)\n"
    )
    server.send_signal(signal.SIGHUP)
    server.log.wait_for("the new hook")
    server.log.wait_for("1 became 2")
    server.log.wait_for("forked 2")
    server.log.wait_for("reload: done")
    wait_for_permits(server, 4)
    assert "the old hook" not in server.log.text
    config.write_text("raise SystemExit('I want to end')\n")
    server.send_signal(signal.SIGHUP)
    server.log.wait_for("the settings stay as they were: I want to end")
    server.log.wait_for("reload: done", 2)
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0
    assert server.log.all("the end of 2")


def test_a_front_that_dies_comes_back_to_workers_of_both_kinds(live: StartLive, tmp_path: Path) -> None:
    gates = Gates(tmp_path)
    config = write(tmp_path, "workers = 1", "threads = 2")
    server = live(PROCESS_APP, "-c", config, *HEALTH, environment=gates.environment)
    server.ready_workers(1)
    write(tmp_path, "workers = 1", "threads = 3")
    with server.connect() as client:
        client.send(gates.add("late"))
        server.log.wait_for("late is held by")
        server.send_signal(signal.SIGHUP)
        server.log.wait_for(r"worker 2 \(pid \d+\) is ready")
        os.kill(server.front_pid(2), signal.SIGKILL)
        # Before it is noticed, mostly: afterwards the worker with the old settings stays for a second only.
        gates.open("late")
        server.log.wait_for(r"front .* was killed by SIGKILL")
    wait_for_permits(server, 3)
    for _ in range(5):
        assert server.ask(request()).status == 200
