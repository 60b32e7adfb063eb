"""Every command of docs/tutorial.md, in its order, in an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/tutorial.md"
_FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)
_ONCE = ("check", "config", "deploy")


class Reader:
    """Somebody who types what the page says. One server runs at a time, as in one terminal."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: subprocess.Popen[str] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = str(free.getsockname()[1])

    def put(self, name: str, text: str) -> None:
        (self._folder / name).write_text(self._here(text))

    def type(self, line: str) -> str | None:
        """Gives what a command printed; None where it goes on to serve."""
        words = shlex.split(self._here(line))
        if words[:2] == ["pip", "install"]:
            return None
        if words[0] == "pelton" and words[1:2] not in ([one] for one in _ONCE) and "run" not in words:
            words += [] if "--bind" in words else ["--bind", f"127.0.0.1:{self._port}"]
            self._serve(words)
            return None
        if words[:2] == ["pelton", "run"] or "serve" in words:
            self._serve(words)
            return None
        done = subprocess.run(
            words, cwd=self._folder, env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        return done.stdout

    def leave(self) -> None:
        """Presses Ctrl-C."""
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGINT)
            # Click's own code for Ctrl-C is 1.
            assert self._server.wait(20) in (0, 1, -signal.SIGINT)
            assert self._server.stderr is not None
            self._server.stderr.close()
        self._server = None

    def _serve(self, words: list[str]) -> None:
        self.leave()
        self._server = subprocess.Popen(
            words,
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._server.stderr is not None
        told = []
        for line in self._server.stderr:
            told.append(line)
            if re.search(r"listens on http|Running on http", line):
                return
        pytest.fail(f"{words} does not serve: {told}")

    @property
    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PELTON", "FLASK"))}
        return kept | {"PATH": f"{Path(sys.executable).parent}:{kept['PATH']}"}

    def _here(self, text: str) -> str:
        return re.sub(r"\b(8000|8443)\b", self._port, text)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    made = Reader(tmp_path)
    yield made
    made.leave()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.timeout(180)
def test_every_command_does_what_it_says(reader: Reader, tmp_path: Path) -> None:
    typed = 0
    for language, title, text in _FENCE.findall(PAGE.read_text(encoding="utf-8")):
        if title:
            reader.put(title, text)
            continue
        assert language == "console", text
        printed: str | None = None
        for line in text.splitlines():
            if line.startswith("$ "):
                printed = reader.type(line.removeprefix("$ ").partition("  #")[0])
                typed += 1
            else:
                assert printed is not None, line
                assert line in printed
    assert typed > 10
    assert (tmp_path / "deploy/hello.service").exists()
    assert (tmp_path / "image/Dockerfile").exists()
    assert (tmp_path / "access.log").exists()
