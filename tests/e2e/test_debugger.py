"""Werkzeug's debugger in a real Flask application: page, PIN, console; in one process and in three."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest

from support.client import Client, request
from support.scripts import Script

APP = """\
import os, time
from flask import Flask
app = Flask(__name__)
app.debug = True

@app.get("/")
def index():
    mine = os.getpid()
    raise RuntimeError(f"in {mine}")

@app.get("/together")
def together():
    mine = os.getpid()
    os.write(1, b"it is held\\n")
    while not os.path.exists("gate"):
        time.sleep(0.005)
    raise RuntimeError(f"in {mine}")

@app.get("/pid")
def pid():
    return str(os.getpid())
"""
DRIVER = Path(__file__).parents[1] / "support" / "debugged.py"
PIN = "123-456-789"
FOREVER = 'exec(\'print("for ever", file=__import__("sys").__stdout__, flush=True)\\nwhile True: pass\')'


class Debugger:
    """The part of a browser: remembers the PIN's cookie."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.cookie = ""

    def get(self, target: str) -> str:
        fields = [("Cookie", self.cookie)] if self.cookie else []
        response = self.script.ask(request(target=target, fields=fields, host="127.0.0.1"))
        for one in response.all("Set-Cookie"):
            self.cookie = one.partition(";")[0]
        return response.text

    def fail(self, target: str = "/") -> tuple[str, str, int]:
        """A new failure: the secret of its page, its last frame, and the process in which it happened."""
        page = self.get(target)
        secret = re.search(r'SECRET = "([^"]+)"', page)
        frames = re.findall(r'id="frame-(\d+)"', page)
        pid = re.search(r"RuntimeError: in (\d+)", page)
        assert secret is not None, page
        assert pid is not None
        return secret[1], frames[-1], int(pid[1])

    def command(self, secret: str, frame: str, command: str) -> str:
        return self.get(f"/?__debugger__=yes&cmd={quote(command)}&frm={frame}&s={secret}")

    def enter_pin(self, secret: str, pin: str = PIN) -> str:
        return self.get(f"/?__debugger__=yes&cmd=pinauth&pin={pin}&s={secret}")


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    (tmp_path / "app.py").write_text(APP)
    arguments = [
        "app:app",
        "--bind",
        "127.0.0.1:0",
        "--workers",
        "3",
        "--threads",
        "2",
        "--debugger-affinity",
    ]
    pin = {"WERKZEUG_DEBUG_PIN": PIN}
    with Script(DRIVER, *arguments, directory=tmp_path, environment=pin) as one:
        one.log.wait_for(r"worker \d+ \(pid \d+\) is ready", 3)
        yield one


def test_a_console_is_answered_by_the_process_that_holds_the_frame(script: Script, tmp_path: Path) -> None:
    # Three failures at the same time, so in three processes; the next request would go to any of them.
    with ThreadPoolExecutor(3) as pool:
        failing = [pool.submit(Debugger(script).fail, "/together") for _ in range(3)]
        script.output.wait_for("it is held", 3)
        (tmp_path / "gate").touch()
        failures = [one.result() for one in failing]
    assert len({pid for _, _, pid in failures}) == 3
    debugger = Debugger(script)
    for secret, _, _ in failures:
        assert '"auth": true' in debugger.enter_pin(secret)
    for number in range(20):
        secret, frame, pid = failures[number % 3]
        assert numbers_in(debugger.command(secret, frame, "1+1")) == [2]
        assert numbers_in(debugger.command(secret, frame, "(mine, __import__('os').getpid())")) == [pid, pid]


def numbers_in(response: str) -> list[int]:
    return [int(one) for one in re.findall(r'<span class="number">(\d+)</span>', response)]


def test_the_pin_and_the_hosts_still_protect_it(script: Script) -> None:
    debugger = Debugger(script)
    secret, frame, _ = debugger.fail()
    # Without the PIN, a command is an ordinary request, which fails as the page does.
    assert "RuntimeError" in debugger.command(secret, frame, "1+1")
    assert '"auth": false' in debugger.enter_pin(secret, "000-000-000")
    assert '"auth": true' in debugger.enter_pin(secret)
    wrong = secret[::-1].replace("-", "x") + secret[secret.index("-w") :]
    assert "RuntimeError" in debugger.command(wrong, frame, "1+1")
    stranger = script.ask(
        request(
            target=f"/?__debugger__=yes&cmd=1&frm={frame}&s={secret}",
            host="evil.example",
            fields=[("Cookie", debugger.cookie)],
        )
    )
    assert stranger.status == 400


def test_a_console_that_never_returns_stops_nobody_and_not_the_end(script: Script) -> None:
    debugger = Debugger(script)
    secret, frame, pid = debugger.fail()
    debugger.enter_pin(secret)
    # In one line with a thread of its own in the process: the console is inside of it when that is answered.
    target = f"/?__debugger__=yes&cmd={quote(FOREVER)}&frm={frame}&s={secret}"
    with Client(script.address) as stuck:
        stuck.send(request(target=target, fields=[("Cookie", debugger.cookie)], host="127.0.0.1"))
        script.output.wait_for("for ever")
        # Its own process answers on the other thread, and the others do.
        assert numbers_in(debugger.command(secret, frame, "mine")) == [pid]
        assert {debugger.get("/pid") for _ in range(10)} != {str(pid)}
        script.process.send_signal(signal.SIGINT)
        script.process.send_signal(signal.SIGTERM)
        assert script.exit_code() == 0
    script.wait_until_gone()
