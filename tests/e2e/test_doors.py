"""What people type first, coming from elsewhere or from a platform: each is taken as they mean it."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
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


@pytest.mark.parametrize("port", ["x", "-1", "70000"])
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


def responses(server: Live, address: str, text: str) -> bool:
    with Client(address) as client:
        return text in client.ask(request()).text


def test_reload(live: StartLive, tmp_path: Path) -> None:
    module = tmp_path / "shop.py"
    module.write_text(_APP % "one")
    server = live("shop", "--reload", directory=tmp_path)
    address = server.addresses[0]
    assert responses(server, address, "one")
    save(module, _APP % "two")
    eventually(lambda: responses(server, address, "two"), "the new code answers", 30)
    # What cannot be loaded is shown, and is no end.
    save(module, "this is no Python")
    eventually(lambda: responses(server, address, "SyntaxError"), "the error is shown", 30)
    save(module, _APP % "three")
    eventually(lambda: responses(server, address, "three"), "the mended code answers", 30)
    os.kill(server.process.pid, signal.SIGTERM)
    assert server.exit_code() == 0


def test_an_edit_in_the_same_second_counts(live: StartLive, tmp_path: Path) -> None:
    module = tmp_path / "shop.py"
    module.write_text(_APP % "one")
    # The interpreter keeps what it has compiled, and knows a source by its size and this second.
    second = int(module.stat().st_mtime)
    environment = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": ""}
    server = live("shop", "--reload", directory=tmp_path, environment=environment)
    assert responses(server, server.addresses[0], "one")
    assert list((tmp_path / "__pycache__").glob("shop.*.pyc"))
    beside = tmp_path / "beside"
    times = itertools.count(second * 10**9)

    def edited() -> bool:
        # Again, for the first look at the files may come after the first edit, whose time is made up.
        beside.write_text(_APP % "two")
        os.utime(beside, ns=(now := next(times), now))
        beside.replace(module)
        return responses(server, server.addresses[0], "two")

    eventually(edited, "the new code answers", 30)


def test_reload_with_workers(live: StartLive) -> None:
    server = live(HELLO, "--reload", "--workers", "2")
    assert server.exit_code() == 2
    server.log.wait_for("reload: it serves in one process")


# pelton run


_SCRIPT = """
from flask import Flask
app = Flask(__name__)

@app.get("/")
def index():
    return "a script"

if __name__ == "__main__":
    import sys
    print("arguments:", sys.argv[1:], flush=True)
    app.run(port=0)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    made = tmp_path / "script.py"
    made.write_text(_SCRIPT)
    return made


def run_script(live: StartLive, *arguments: str | Path, environment: dict[str, str] | None = None) -> Live:
    return live("run", *arguments, any_port=False, environment=environment)


def page_of(server: Live) -> str:
    address = server.log.wait_for(r"Running on (http://\S+)")[1]
    with Client(address) as client:
        return client.ask(request()).text


def test_run_with_options_of_its_own(live: StartLive, script: Path) -> None:
    server = run_script(live, "--threads", "3", "-k", "gthread", script, "--threads", "x")
    assert page_of(server) == "a script"
    # What stands behind the script is the script's.
    server.log.wait_for(r"3 threads")


def test_run_with_a_kind_from_the_environment(live: StartLive, script: Path) -> None:
    server = run_script(live, script, environment={"PELTON_WORKER_KIND": "gevent"})
    server.log.wait_for(r"1000 connections")
    assert page_of(server) == "a script"


def test_run_with_a_kind_that_is_none(live: StartLive, script: Path) -> None:
    server = run_script(live, script, environment={"PELTON_WORKER_KIND": "bogus"})
    assert server.exit_code() == 2
    server.log.wait_for("PELTON_WORKER_KIND: .*bogus")


def test_run_with_an_access_log(live: StartLive, script: Path, tmp_path: Path) -> None:
    path = tmp_path / "access"
    server = run_script(live, script, environment={"PELTON_ACCESS_LOG": str(path)})
    assert page_of(server) == "a script"
    eventually(lambda: "GET / HTTP/1.1" in path.read_text(), "the line is there")


def test_run_with_a_misspelt_variable(live: StartLive, script: Path) -> None:
    server = run_script(live, script, environment={"PELTON_THREDS": "3"})
    assert "WARNING" in server.log.wait_for("PELTON_THREDS.*Did you mean PELTON_THREADS").string


# flask serve


def flask(live: StartLive, *arguments: str, directory: Path) -> Live:
    return live(*arguments, directory=directory, any_port=False, module="flask")


def test_flask_serve_with_threads_and_without(live: StartLive, script: Path) -> None:
    server = flask(
        live, "--app", "script", "serve", "--threads", "4", "--without-threads", directory=script.parent
    )
    assert server.exit_code() == 2
    server.log.wait_for("--without-threads serves one request at a time, --threads 4 several")


def test_flask_serve_of_nothing_advises_what_exists(live: StartLive, tmp_path: Path) -> None:
    server = flask(live, "--app", "nosuch", "serve", directory=tmp_path)
    assert server.exit_code() == 2
    server.log.wait_for("Could not import 'nosuch'")
    assert not server.log.all("serve run")
    server.log.wait_for("flask serve --help")


# Names of applications


def test_a_django_project_by_its_name(live: StartLive, tmp_path: Path) -> None:
    project = tmp_path / "mysite"
    project.mkdir()
    (project / "__init__.py").touch()
    (project / "settings.py").write_text("DEBUG = True\n")
    (project / "wsgi.py").write_text(
        "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
    )
    server = live("mysite", directory=tmp_path)
    assert server.exit_code() == 3
    server.log.wait_for("Did you mean: pelton mysite.wsgi")


def test_a_typo_names_only_what_are_applications(live: StartLive, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("from flask import Flask\nsite = Flask(__name__)\n")
    (tmp_path / "tool.py").write_text("import typer\napp = typer.Typer()\n")
    (tmp_path / "window.py").write_text("app = None\ndef application(name):\n    pass\n")
    server = live("shp", directory=tmp_path)
    assert server.exit_code() == 3
    server.log.wait_for("shop.py looks like an application")
    assert not server.log.all("tool.py|window.py")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--threads", "-1"], '"-1" is negative; say a number such as 8, a range such as 4:64, or auto'),
        (["-w", "two"], '"two" is not a whole number, nor a range such as 4:64, nor auto'),
        (["--port", "http"], "'http' is not a valid integer"),
    ],
)
def test_numbers_that_are_none(live: StartLive, arguments: list[str], says: str) -> None:
    server = live(HELLO, *arguments, any_port=False)
    assert server.exit_code() == 2
    server.log.wait_for(says)


# gevent-websocket


def test_gevent_websockets_package_is_warned_of(live: StartLive, tmp_path: Path) -> None:
    # Only looked for, and never imported.
    (tmp_path / "geventwebsocket.py").write_text("raise RuntimeError\n")
    (tmp_path / "shop.py").write_text(_APP % "shop")
    name = "geventwebsocket.gunicorn.workers.GeventWebSocketWorker"
    server = live("shop", "-k", name, directory=tmp_path, environment={"PYTHONPATH": str(tmp_path)})
    assert server.ask(request()).text == "shop"
    line = server.log.wait_for("gevent-websocket is installed").string
    assert "WARNING" in line
    assert "simple-websocket" in line


# eventlet in development


def test_flask_serve_with_eventlet_prints_no_tracebacks(tmp_path: Path) -> None:
    code = (
        "import flask; from pelton.config.settings import Settings; "
        "from pelton.worker.runners.eventlet import prepare; prepare(Settings()); "
        "from eventlet import patcher; assert patcher.is_monkey_patched('thread')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "monkey" not in done.stderr
