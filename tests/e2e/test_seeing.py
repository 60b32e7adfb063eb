"""What a running server tells of itself: metrics, state, stacks with locks, profiles; and to whom."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from conftest import StartLive
from pelton.cli.main import main
from support.client import Client, request
from support.gates import Gates
from support.live import PROCESS_APP, Live
from support.waiting import eventually

SEEN_APP = Path(__file__).parent.parent / "support" / "seen_app.py"
ROUTED_APP = SEEN_APP.with_name("routed_app.py")
SECRET = "s3cret-of-a-client"


class Seen:
    """A server whose socket the commands find, with a request that holds a lock and one that waits for it."""

    def __init__(self, server: Live, directory: Path, gates: Gates) -> None:
        self.server = server
        self.environment = {"XDG_RUNTIME_DIR": str(directory)}
        self._gates = gates
        self._socket = directory / "pelton" / f"{server.pid}.sock"

    def ask(self, path: str, accept: str = "*/*", method: str = "GET") -> Any:
        with Client(f"unix:{self._socket}") as client:
            return client.ask(request(method, path, fields=[("Accept", accept)]))

    def command(self, *arguments: str) -> str:
        """What ``pelton`` prints; within this process, for to start it takes seconds."""
        done = CliRunner().invoke(main, arguments, env=self.environment)
        assert done.exit_code == 0, done.output
        return done.stdout

    def plant(self) -> tuple[Client, Client]:
        """A lock that is held, and who waits for it; they are in the same process."""
        holder = self.server.connect().send(self._gates.add("gate", "/holds/"))
        eventually(lambda: self._running("/holds/gate"), "it holds the lock")
        waiter = self.server.connect().send(request(target=f"/waits?q={SECRET}", fields=[("Cookie", SECRET)]))
        eventually(lambda: self._running("/waits"), "it waits")
        return holder, waiter

    def release(self, *clients: Client) -> None:
        self._gates.open("gate")
        for client in clients:
            assert client.response().status == 200

    def _running(self, path: str) -> bool:
        workers = self.ask("/state").json()["workers"]
        return any(one["path"] == path and "at" in one for worker in workers for one in worker["requests"])


@pytest.fixture(params=["0", "1"], ids=["one process", "a worker"])
def seen(request: pytest.FixtureRequest, live: StartLive, tmp_path: Path) -> Seen:
    gates = Gates(tmp_path)
    environment = {**gates.environment, "XDG_RUNTIME_DIR": str(tmp_path)}
    server = live(SEEN_APP, "--workers", request.param, environment=environment)
    if request.param != "0":
        server.ready_workers()
    return Seen(server, tmp_path, gates)


def test_everything_is_seen(seen: Seen) -> None:
    for number in range(3):
        assert seen.server.ask(request(target=f"/users/{number}?secret={SECRET}")).status == 200
    assert seen.server.ask(request(target="/fail")).status == 500
    assert seen.server.ask(request(target="/nothing", method="POST")).status == 404
    holder, waiter = seen.plant()

    metrics = seen.ask("/metrics")
    assert metrics.get("Content-Type").startswith("text/plain; version=0.0.4")
    text = metrics.body.decode()
    assert 'pelton_http_requests_total{method="GET",code="2xx"} 3\n' in text
    assert 'pelton_http_requests_total{method="GET",code="5xx"} 1\n' in text
    assert 'pelton_http_requests_total{method="POST",code="4xx"} 1\n' in text
    assert 'pelton_route_duration_seconds_count{route="GET /users/<int:number>"} 3\n' in text
    assert 'pelton_route_errors_total{route="GET /fail"} 1\n' in text
    assert "pelton_http_request_duration_seconds_count 5\n" in text
    assert "pelton_workers 1\n" in text
    if (promtool := shutil.which("promtool")) is not None:
        checked = subprocess.run(
            [promtool, "check", "metrics"], input=text, text=True, capture_output=True, timeout=60
        )
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    open_metrics = seen.ask("/metrics", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert open_metrics.get("Content-Type").startswith("application/openmetrics-text")
    assert open_metrics.body.endswith(b"# EOF\n")
    assert b"# TYPE pelton_http_requests counter\n" in open_metrics.body

    dump = json.loads(seen.command("dump", "--json"))
    threads = {one["request"]["path"]: one for one in dump["workers"][0]["threads"] if "request" in one}
    wait = threads["/waits"]["waits"]
    assert (wait["how"], wait["lock"]) == ("with ledger", True)
    assert [one["function"] for one in wait["held_by"]] == ["holds"]
    assert wait["held_by"][0]["name"] == threads["/holds/gate"]["name"]
    assert threads["/holds/gate"]["stack"][-1]["function"] in ("Path.read_bytes", "Path.open")
    text = seen.command("dump")
    assert "waits in `with ledger`" in text
    assert "in holds" in text

    top = json.loads(seen.command("top", "--once", "--json", "--interval", "0.1"))
    [row] = [one for one in top["running"] if one["path"] == "/waits"]
    assert row["at"].startswith(str(SEEN_APP))
    assert row["waits"]["held_by"][0]["function"] == "holds"
    assert "held by" in seen.command("top", "--once", "--interval", "0.1")

    profile = seen.command("profile", "--seconds", "0.5", "--format", "collapsed")
    assert any("/waits;lock;" in line and "waits (" in line for line in profile.splitlines()), profile
    speedscope = json.loads(seen.command("profile", "--seconds", "0.2"))
    assert speedscope["profiles"][0]["type"] == "sampled"
    assert speedscope["shared"]["frames"]
    assert seen.command("profile", "--seconds", "0.2", "--format", "svg").startswith("<svg ")
    findings = json.loads(seen.command("doctor", "--json"))["findings"]
    assert any((one["kind"], one["name"]) == ("server", "answers") for one in findings)

    def has_samples() -> bool:
        samples = seen.ask("/samples").json()
        return any(one["route"] == "GET /waits" and one["lock"] > 0 for one in samples["routes"])

    eventually(has_samples, "the sampler has seen the lock")
    seen.release(holder, waiter)
    page = seen.ask("/")
    assert page.status == 200
    assert "default-src 'none'" in page.get("Content-Security-Policy")
    assert seen.ask("/page.js").status == 200
    assert seen.ask("/page.css").status == 200
    # Nothing of what clients say in confidence.
    for path in ("/metrics", "/state", "/dump", "/samples"):
        assert SECRET not in seen.ask(path).body.decode()
    assert seen.ask("/nothing").status == 404
    refused = seen.ask("/metrics", method="POST")
    assert (refused.status, refused.get("Allow")) == (405, "GET, HEAD")
    assert seen.ask("/metrics", method="HEAD").body == b""


def test_doctor_looks_at_the_settings_that_the_server_has(live: StartLive, tmp_path: Path) -> None:
    file = tmp_path / "pelton.toml"
    file.write_text(
        'request_timeout = "20s"\nkeep_alive_seconds = "900s"\ngraceful_timeout = "30s"\n'
        'environment = ["WORD=secret"]\n'
    )
    server = live(
        *(SEEN_APP, "--workers", "1", "--config", str(file), "--threads", "3:7"),
        environment={"XDG_RUNTIME_DIR": str(tmp_path)},
    )
    server.ready_workers()
    seen = Seen(server, tmp_path, Gates(tmp_path))
    told = seen.ask("/settings").json()
    assert told["directory"] == str(Path.cwd())
    settings = told["settings"]
    assert (settings["threads"], settings["request_timeout"]) == ("3:7", 20)
    assert settings["environment"] == ["WORD=***"]

    def findings(*arguments: str) -> dict[tuple[str, str], dict[str, Any]]:
        found = json.loads(seen.command("doctor", "--json", *arguments))["findings"]
        return {(one["kind"], one["name"]): one for one in found}

    # In no file of this folder, and in no variable.
    assert ("time-outs", "keep_alive_seconds") not in findings()
    assert "Threads: 3 to 7" in findings()["sizes", "threads"]["what"]
    empty = tmp_path / "empty.toml"
    empty.touch()
    assert ("time-outs", "request_timeout") in findings("--config", str(empty))
    # Workers that come after a reload have other settings than the front was started with.
    assert ("settings", "graceful_timeout") not in findings()
    file.write_text('request_timeout = "40s"\ngraceful_timeout = "10s"\n')
    server.send_signal(signal.SIGHUP)

    def is_reloaded() -> bool:
        return bool(seen.ask("/settings").json()["settings"]["graceful_timeout"] == 10)

    eventually(is_reloaded, "the new worker tells its settings", 60)
    assert findings()["settings", "graceful_timeout"]["verdict"] == "note"
    # This one needs a restart.
    assert seen.ask("/settings").json()["settings"]["request_timeout"] == 20


def test_a_route_is_counted_however_it_was_said(live: StartLive, tmp_path: Path) -> None:
    server = live(ROUTED_APP, "--workers", "1", environment={"XDG_RUNTIME_DIR": str(tmp_path)})
    server.ready_workers()
    seen = Seen(server, tmp_path, Gates(tmp_path))
    paths = ["/added", "/in-its-stead", "/crowded", "/none"]
    for path in paths:
        assert server.ask(request(target=path)).status == 200
    assert server.ask(request(target="/fails")).status == 500
    text = seen.ask("/metrics").body.decode()
    counted = dict(re.findall(r'pelton_route_duration_seconds_count{route="GET (.*?)/<it>"} (\d+)\n', text))
    assert counted == dict.fromkeys([*paths[:-1], "/fails"], "1")
    # Also of a response that was never started.
    assert 'pelton_route_errors_total{route="GET /fails/<it>"} 1\n' in text


def test_the_socket_is_for_one_user_and_goes_with_the_server(live: StartLive, tmp_path: Path) -> None:
    server = live(PROCESS_APP, "--workers", "0", environment={"XDG_RUNTIME_DIR": str(tmp_path)})
    path = tmp_path / "pelton" / f"{server.pid}.sock"
    assert path.is_socket()
    assert path.parent.stat().st_mode & 0o777 == 0o700
    server.send_signal(signal.SIGTERM)
    assert server.exit_code() == 0
    assert not path.exists()
    off = live(PROCESS_APP, "--no-admin-socket", environment={"XDG_RUNTIME_DIR": str(tmp_path / "other")})
    assert off.ask(request()).status == 200
    assert not (tmp_path / "other").exists()


def test_over_tcp_only_this_machine_or_a_token(live: StartLive) -> None:
    def status(address: str, target: str, *fields: tuple[str, str], host: str = "127.0.0.1") -> int:
        with Client(address) as client:
            method = "POST" if target == "/cache/purge" else "GET"
            return int(client.ask(request(method, target, fields, host=host)).status)

    admin = ("--admin-bind", "127.0.0.1:0")
    server = live(PROCESS_APP, "--workers", "1", *admin)
    address = server.log.wait_for(r"health checks are answered on (http://\S+)")[1]
    assert status(address, "/state") == 200
    assert status(address, "/state", host="evil.example") == 403, "a name that was made to point here"
    assert status(address, "/livez", host="evil.example") == 200
    assert status(address, "/cache/purge", ("Sec-Fetch-Site", "cross-site")) == 403
    assert status(address, "/cache/purge") == 409, "there is no cache"

    guarded = live(PROCESS_APP, "--workers", "1", *admin, "--admin-token", "open-sesame")
    address = guarded.log.wait_for(r"health checks are answered on (http://\S+)")[1]
    assert status(address, "/metrics") == 401
    assert status(address, "/metrics", ("Authorization", "Bearer wrong")) == 401
    assert status(address, "/metrics", ("Authorization", "Bearer open-sesame"), host="a.example") == 200
    assert status(address, "/livez") == 200


def test_the_last_hour_is_there_for_who_comes_late(live: StartLive, tmp_path: Path) -> None:
    server = live(SEEN_APP, "--workers", "1", environment={"XDG_RUNTIME_DIR": str(tmp_path)})
    server.ready_workers()
    seen = Seen(server, tmp_path, Gates(tmp_path))
    for number in range(3):
        assert server.ask(request(target=f"/users/{number}")).status == 200
    assert server.ask(request(target="/fail")).status == 500
    # A step takes ten seconds.
    eventually(lambda: bool(seen.ask("/history").json()["points"]), "the first step is over", 60)
    history = seen.ask("/history").json()
    first = history["points"][0]
    assert (history["step_seconds"], first["requests"], first["errors"]) == (10, 4, 1)
    assert 0 < first["p50_seconds"] <= first["p99_seconds"]
    assert first["workers"] == 1
    assert abs(history["until"] - time.time()) < 120
    # A state that is asked for every second does without.
    assert "history" not in seen.ask("/state").json()
