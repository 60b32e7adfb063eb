"""What the commands say where nobody answers, or somebody else: one sentence, and an exit code."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from pelton.cli.main import main

COMMANDS = (
    ["top", "--once", "--json"],
    ["dump", "--json"],
    ["profile", "--seconds", "0.1"],
    ["purge", "--all"],
)
PAGE = (200, "text/html", b"<html>\n<p>Welcome</p>\n</html>")


class Foreign(BaseHTTPRequestHandler):
    """Somebody else's server."""

    protocol_version = "HTTP/1.1"
    response = PAGE

    def do_GET(self) -> None:
        status, media_type, body = self.response
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815  # (as http.server asks for it)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(
    params=[
        PAGE,
        (200, "application/json", b"[1, 2]"),
        (200, "application/json", b'{"some": "thing"}'),
        (404, "text/html", b"<html>\n<p>Nothing here</p>\n</html>"),
        (404, "text/plain", b"Not\nFound"),
    ],
    ids=["page", "list", "object", "404", "404 as text"],
)
def foreign(request: pytest.FixtureRequest) -> Iterator[str]:
    handler = type("Handler", (Foreign,), {"response": request.param})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(30)


def error_of(*arguments: str, code: int, folder: Path) -> str:
    done = CliRunner().invoke(main, arguments, env={"XDG_RUNTIME_DIR": str(folder), "PELTON_ADMIN": ""})
    assert done.exit_code == code, done.output
    assert done.stdout == ""
    first, *rest = done.stderr.splitlines()
    assert len(rest) <= 1, done.stderr
    return first


def test_somebody_elses_server_is_called_so(foreign: str, tmp_path: Path) -> None:
    for command in COMMANDS:
        if command[0] != "profile":  # Which is a text of any kind.
            text = error_of(*command, "--admin", foreign, code=1, folder=tmp_path)
            assert text.endswith("Is it one of its --admin-bind addresses?"), text


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_where_nobody_answers(command: list[str], tmp_path: Path) -> None:
    assert "No running server of this user was found." in error_of(*command, code=1, folder=tmp_path)
    text = error_of(*command, "--pid", "7", code=1, folder=tmp_path)
    assert "with the pid 7" in text
    text = error_of(*command, "--admin", f"unix:{tmp_path}/none.sock", code=1, folder=tmp_path)
    assert "No such file" in text
    for wrong in ("nonsense", "http://127.0.0.1:1", "127.0.0.1:99999"):
        assert wrong in error_of(*command, "--admin", wrong, code=2, folder=tmp_path)


@pytest.mark.parametrize("foreign", [PAGE, (200, "image/svg+xml", b"<svg/>")], indirect=True)
def test_a_profile_that_is_none_or_cannot_be_written(foreign: str, tmp_path: Path) -> None:
    output = str(tmp_path / "nowhere/profile")
    command = ("profile", "--seconds", "0.1", "--admin", foreign, "-o", output)
    text = error_of(*command, code=1, folder=tmp_path)
    assert "sends a page" in text or text.endswith(f"{output} cannot be written: No such file or directory.")
