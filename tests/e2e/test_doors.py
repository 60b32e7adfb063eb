"""What people type first, coming from elsewhere or from a platform: each is taken as they mean it."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from conftest import StartLive
from support.client import Client, request
from support.live import EXAMPLES, Live
from support.waiting import eventually

HELLO = EXAMPLES / "hello.py"

_APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%s"]
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def test_the_port_of_a_platform(live: StartLive) -> None:
    port = free_port()
    server = live(HELLO, environment={"PORT": str(port)}, any_port=False)
    # On all addresses, for the platform's proxy comes from another machine.
    assert server.addresses == [f"http://0.0.0.0:{port}"]
    with Client(f"http://127.0.0.1:{port}") as client:
        assert client.ask(request()).status == 200


@pytest.mark.parametrize("port", ["x", "0", "70000"])
def test_a_port_of_a_platform_that_is_none(live: StartLive, port: str) -> None:
    server = live(HELLO, environment={"PORT": port}, any_port=False)
    assert server.exit_code() == 2
    server.log.wait_for(f'environment variable PORT: "{port}" is not a port')


@pytest.mark.parametrize("arguments", [["--bind", "127.0.0.1:{}"], ["--port", "{}"]])
def test_what_is_typed_counts_more_than_the_platform(live: StartLive, arguments: list[str]) -> None:
    port = free_port()
    given = [one.format(port) for one in arguments]
    server = live(HELLO, *given, environment={"PORT": "1"}, any_port=False)
    assert server.addresses == [f"http://127.0.0.1:{port}"]


def test_host_and_port(live: StartLive) -> None:
    port = free_port()
    server = live(HELLO, "--host", "127.0.0.2", "--port", str(port), any_port=False)
    assert server.addresses == [f"http://127.0.0.2:{port}"]


def test_host_and_bind(live: StartLive) -> None:
    server = live(HELLO, "--host", "127.0.0.2", "--bind", ":0")
    assert server.exit_code() == 2
    server.log.wait_for("--host and --port mean the same as --bind")


def test_a_file_of_variables(live: StartLive, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("GREETING='from the file'\nPELTON_THREADS=3\nTAKEN=file\n")
    (tmp_path / "hello.py").write_text(
        "import os\n" + _APP.replace('b"%s"', "f\"{os.environ['GREETING']}, {os.environ['TAKEN']}\".encode()")
    )
    server = live("hello", "--env-file", ".env", directory=tmp_path, environment={"TAKEN": "outside"})
    assert server.ask(request()).text == "from the file, outside"
    server.log.wait_for("worker kind: threads, 3 threads")


def test_a_file_of_variables_that_is_not_there(live: StartLive, tmp_path: Path) -> None:
    server = live(HELLO, "--env-file", str(tmp_path / "none"))
    assert server.exit_code() == 2
    server.log.wait_for("there is no file .*none")


def test_a_misspelt_variable_is_a_warning(live: StartLive) -> None:
    server = live(HELLO, environment={"PELTON_THREDS": "3"})
    line = server.log.wait_for("PELTON_THREDS").string
    assert "WARNING" in line
    assert "Did you mean PELTON_THREADS?" in line


def test_gunicorns_file_in_the_directory(live: StartLive, tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("threads = 5\nwsgi_app = 'shop:app'\n")
    (tmp_path / "shop.py").write_text(_APP % "shop")
    server = live(directory=tmp_path)
    assert server.ask(request()).text == "shop"
    server.log.wait_for("worker kind: threads, 5 threads")
    server.log.wait_for("gunicorn.conf.py is read, for it is in this directory")


def test_gunicorns_file_beside_our_own(live: StartLive, tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("threads = 5\n")
    (tmp_path / "pelton.toml").write_text("threads = 4\n")
    (tmp_path / "shop.py").write_text(_APP % "shop")
    server = live("shop", directory=tmp_path)
    server.log.wait_for("worker kind: threads, 4 threads")
    server.log.wait_for("gunicorn.conf.py is not read, because there is a pelton.toml")


# --reload


def save(file: Path, text: str) -> None:
    # As editors do.
    beside = file.with_name(f".{file.name}")
    beside.write_text(text)
    beside.replace(file)


def answers(server: Live, address: str, text: str) -> bool:
    with Client(address) as client:
        return text in client.ask(request()).text


def test_reload(live: StartLive, tmp_path: Path) -> None:
    module = tmp_path / "shop.py"
    module.write_text(_APP % "one")
    server = live("shop", "--reload", directory=tmp_path)
    address = server.addresses[0]
    assert answers(server, address, "one")
    save(module, _APP % "two")
    eventually(lambda: answers(server, address, "two"), "the new code answers")
    # What cannot be loaded is shown, and is no end.
    save(module, "this is no Python")
    eventually(lambda: answers(server, address, "SyntaxError"), "the error is shown")
    save(module, _APP % "three")
    eventually(lambda: answers(server, address, "three"), "the mended code answers")
    os.kill(server.process.pid, signal.SIGTERM)
    assert server.exit_code() == 0


def test_reload_with_workers(live: StartLive) -> None:
    server = live(HELLO, "--reload", "--workers", "2")
    assert server.exit_code() == 2
    server.log.wait_for("reload: it serves in one process")
