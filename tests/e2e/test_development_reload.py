"""The ways in together with the reloader: a save shows, an error is shown, and nobody stays behind."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.development import FLASK, PELTON, Development
from support.load import Load
from support.waiting import eventually

pytest.importorskip("pelton.reloader")

Start = Callable[..., Development]

SCRIPT = """
from flask import Flask
app = Flask(__name__)

@app.get("/")
def index():
    return "VERSION"

@app.get("/fail")
def fail():
    secret_of_the_frame = 6 * 7
    raise RuntimeError("the view failed")

if __name__ == "__main__":
    app.run(port=0, debug=True)
"""
DOORS = {
    "script": (*PELTON, "run", "hello.py"),
    "flask": (*FLASK, "--app", "hello", "serve", "--debug", "--port", "0"),
    "processes": (*FLASK, "--app", "hello", "serve", "--debug", "--port", "0", "--workers", "2"),
}


class Source:
    """The script as somebody edits it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.save("first")

    def save(self, version: str) -> None:
        self._path.write_text(SCRIPT.replace("VERSION", version))

    def break_it(self) -> None:
        self._path.write_text("if:\n")


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path / "hello.py")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:
        yield lambda door: stack.enter_context(Development(*DOORS[door], directory=tmp_path))


def wait_for(server: Development, text: str) -> None:
    eventually(lambda: server.get("/").text == text, text)


@pytest.mark.parametrize("door", list(DOORS))
def test_a_save_shows_and_nobody_is_refused(start: Start, source: Source, door: str) -> None:
    server = start(door)
    assert server.get("/").text == "first"
    with Load(server.url, "/") as load:
        for version in ("second", "third"):
            source.save(version)
            load.wait_for_body(version)
    assert len(server.log.all("Running on http")) == 1
    assert server.log.all("Detected change in '.*hello.py', reloading")
    assert server.stop() == 0


@pytest.mark.parametrize("door", list(DOORS))
def test_an_error_is_shown_until_the_next_save(start: Start, source: Source, door: str) -> None:
    server = start(door)
    assert server.get("/").text == "first"
    source.break_it()
    eventually(lambda: "SyntaxError" in server.get("/").text, "the error on the page")
    assert "SyntaxError" in server.log.text
    source.save("second")
    wait_for(server, "second")
    assert server.stop(signal.SIGTERM) in (0, -signal.SIGTERM)


@pytest.mark.parametrize("door", list(DOORS))
def test_the_debugger_finds_its_frame(start: Start, source: Source, door: str) -> None:
    server = start(door)
    page = server.get("/fail").text
    secret = re.search(r'SECRET = "([^"]+)"', page)
    frame = re.search(r'id="frame-(\d+)">(?:(?!id="frame-).)*hello\.py', page, re.DOTALL)
    assert secret is not None
    assert frame is not None
    pin = server.log.wait_for(r"Debugger PIN: (\S+)")[1]
    query = f"/?__debugger__=yes&s={secret[1]}"
    session_cookie = server.get(f"{query}&cmd=pinauth&pin={pin}").cookies
    command = f"{query}&frm={frame[1]}&cmd=secret_of_the_frame"
    for _ in range(8):
        assert "42" in server.get(command, cookies=session_cookie).text
    assert server.stop() == 0
