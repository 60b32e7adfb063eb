"""The ways in: a script with one more line, ``pelton run``, ``flask serve``, and Flask's ``flask run``."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.development import FLASK, FLASK_SCRIPT, PELTON, SIMPLE_SCRIPT, Development
from support.processes import children_of, group_of
from support.waiting import DEADLINE, eventually

Start = Callable[..., Development]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a command."""
    with ExitStack() as stack:
        yield lambda *command, **others: stack.enter_context(Development(*command, **others))


def run_to_its_end(*command: str | Path, directory: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(one) for one in command],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# A script


def test_pelton_run_is_python(start: Start, tmp_path: Path) -> None:
    script = write(tmp_path / "hello.py", FLASK_SCRIPT.read_text())
    server = start(*PELTON, "run", "hello.py", "--help", "-x", directory=tmp_path)
    facts = server.get("/").json()
    assert facts["software"].startswith("pelton/")
    assert facts["argv"] == ["hello.py", "--help", "-x"]
    assert facts["path"] == str(tmp_path.resolve())
    assert facts["main"] == str(script)
    assert facts["multithread"] is True
    assert facts["pid"] == server.process.pid
    assert server.output.all("Serving Flask app 'hello'")
    assert server.log.all(r"Served by pelton: up to \d+ threads; reloader off, debugger off")
    assert server.stop() == 0


def test_one_line_in_the_script(start: Start, tmp_path: Path) -> None:
    write(tmp_path / "hello.py", "import pelton.flask\n" + FLASK_SCRIPT.read_text().replace(FUTURE, ""))
    server = start(sys.executable, "hello.py", directory=tmp_path)
    assert server.get("/").json()["software"].startswith("pelton/")
    assert server.stop() == 0


def test_settings_are_given_to_install(start: Start, tmp_path: Path) -> None:
    line = "import pelton; pelton.install(threads=3, workers=2)\n"
    write(tmp_path / "hello.py", line + FLASK_SCRIPT.read_text().replace(FUTURE, ""))
    server = start(sys.executable, "hello.py", directory=tmp_path)
    server.log.wait_for("2 processes, 3 threads in each")
    assert server.get("/").json()["pid"] != server.process.pid
    assert server.stop() == 0


FUTURE = "from __future__ import annotations\n"


def test_a_package_is_run_as_python_does(start: Start, tmp_path: Path) -> None:
    write(tmp_path / "shop" / "__init__.py", "")
    write(tmp_path / "shop" / "views.py", "NAME = 'the shop'\n")
    main = "from flask import Flask\nfrom .views import NAME\napp = Flask(__name__)\n"
    main += "app.add_url_rule('/', view_func=lambda: f'{NAME} {__name__} {__package__}')\napp.run(port=0)\n"
    write(tmp_path / "shop" / "__main__.py", main)
    server = start(*PELTON, "run", "-m", "shop", directory=tmp_path)
    assert server.get("/").text == "the shop __main__ shop"
    assert server.stop() == 0


def test_a_directory_with_main(start: Start, tmp_path: Path) -> None:
    write(tmp_path / "shop" / "__main__.py", FLASK_SCRIPT.read_text())
    server = start(*PELTON, "run", "shop", directory=tmp_path)
    assert server.get("/").json()["software"].startswith("pelton/")
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("body", "code", "output"),
    [
        ("import sys; sys.exit(4)", 4, ""),
        ("import sys; sys.exit('the reason')", 1, "the reason"),
        ("raise SystemExit", 0, ""),
        ("raise KeyboardInterrupt", -2, "KeyboardInterrupt"),
        ("def f():\n  raise ValueError('wrong')\nf()", 1, "ValueError: wrong"),
        ("if:", 1, "SyntaxError"),
    ],
)
def test_a_script_ends_as_under_python(body: str, code: int, output: str, tmp_path: Path) -> None:
    write(tmp_path / "hello.py", body)
    theirs = run_to_its_end(sys.executable, "hello.py", directory=tmp_path)
    ours = run_to_its_end(*PELTON, "run", "hello.py", directory=tmp_path)
    assert (theirs.returncode, ours.returncode) == (code, code)
    assert output in ours.stderr
    assert ours.stderr == theirs.stderr


def test_a_script_that_serves_nothing_says_how(tmp_path: Path) -> None:
    write(tmp_path / "hello.py", "from flask import Flask\napp = Flask(__name__)\nprint('done')\n")
    ended = run_to_its_end(*PELTON, "run", "hello.py", directory=tmp_path)
    assert (ended.returncode, ended.stdout) == (0, "done\n")
    assert "hello.py has ended and served nothing, because it never called app.run()" in ended.stderr
    assert "pelton hello " in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.py"], 'There is no file "none.py"'),
        (["-m", "no_such_module"], 'There is no module "no_such_module"'),
        (["-m", "email"], 'The package "email" has no __main__ module'),
        ([], "Missing argument 'SCRIPT'"),
    ],
)
def test_what_cannot_be_run(arguments: list[str], message: str, tmp_path: Path) -> None:
    ended = run_to_its_end(*PELTON, "run", *arguments, directory=tmp_path)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


# The flask command


def test_flask_serve(start: Start, tmp_path: Path) -> None:
    write(tmp_path / "hello.py", FLASK_SCRIPT.read_text())
    server = start(*FLASK, "--app", "hello", "serve", "--port", "0", "--threads", "3", directory=tmp_path)
    facts = server.get("/").json()
    assert facts["software"].startswith("pelton/")
    assert facts["debug"] is False
    assert server.log.all("Served by pelton: 3 threads;")
    assert server.output.all("Debug mode: off")
    assert server.stop() == 0


def test_flask_serve_with_processes_of_one_thread(start: Start, tmp_path: Path) -> None:
    write(tmp_path / "hello.py", FLASK_SCRIPT.read_text())
    options = ["--workers", "2", "--without-threads", "-p", "0"]
    server = start(*FLASK, "--app", "hello", "serve", *options, directory=tmp_path)
    facts = server.get("/").json()
    assert (facts["multithread"], facts["multiprocess"]) == (False, True)
    assert facts["pid"] in children_of(server.process.pid)
    assert server.stop() == 0


def test_a_factory_and_variables(start: Start, tmp_path: Path) -> None:
    write(tmp_path / "hello.py", FLASK_SCRIPT.read_text())
    variables = {"FLASK_APP": "hello:create_app('a name')", "FLASK_RUN_PORT": "0", "FLASK_SERVE_THREADS": "2"}
    server = start(*FLASK, "serve", directory=tmp_path, environment=variables)
    assert server.get("/").text == "a name"
    assert server.log.all("Served by pelton: 2 threads;")
    assert server.stop() == 0


def test_files_with_variables(start: Start, tmp_path: Path) -> None:
    pytest.importorskip("dotenv")
    write(tmp_path / "hello.py", FLASK_SCRIPT.read_text())
    write(tmp_path / ".flaskenv", "FLASK_APP=hello\nFLASK_RUN_PORT=0\nFROM_FILE=flaskenv\n")
    write(tmp_path / ".env", "FROM_FILE=env\n")
    server = start(*FLASK, "serve", directory=tmp_path)
    assert server.get("/").json()["setting"] == "env"


def test_debug_brings_the_debugger(start: Start, tmp_path: Path) -> None:
    write(tmp_path / "hello.py", FLASK_SCRIPT.read_text())
    command = [*FLASK, "--app", "hello", "serve", "--debug", "--no-reload", "--port", "0"]
    server = start(*command, "--workers", "2", directory=tmp_path)
    server.log.wait_for("reloader off, debugger on")
    response = server.get("/fail")
    assert "<title>RuntimeError: the view failed" in response.text
    assert server.get("/").json()["debug"] is True
    assert server.stop() == 0
    # The number is the same for both workers and is told once.
    assert len(server.log.all(r"Debugger PIN: \d+-\d+-\d+")) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--app", "none", "serve"], "Could not import 'none'"),
        (["--app", "hello", "serve", "-k", "none"], 'there is no worker kind "none"'),
        (["--app", "hello", "serve", "--threads", "0"], "0 is too small; the smallest value is 1"),
        (["--app", "hello", "serve", "-k", "threads", "--without-threads"], "leave out -k"),
        (
            ["--app", "hello", "serve", "--cert", "c.pem", "--key", "k.pem"],
            "there is no certificate in the file",
        ),
    ],
)
def test_what_flask_serve_refuses(arguments: list[str], message: str, tmp_path: Path) -> None:
    write(tmp_path / "hello.py", FLASK_SCRIPT.read_text())
    write(tmp_path / "c.pem", "")
    write(tmp_path / "k.pem", "")
    ended = run_to_its_end(*FLASK, *arguments, directory=tmp_path)
    assert ended.returncode in (1, 2)
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_flask_run_is_werkzeug_until_pelton_is_installed(start: Start, tmp_path: Path) -> None:
    write(tmp_path / "plain.py", FLASK_SCRIPT.read_text())
    patched = FLASK_SCRIPT.read_text().replace(FUTURE, "import pelton.flask\n")
    write(tmp_path / "patched.py", patched)
    software = {}
    for name in ("plain", "patched"):
        server = start(*FLASK, "--app", name, "run", "--port", "0", directory=tmp_path)
        software[name] = server.get("/").json()["software"].partition("/")[0]
        assert server.stop() == 0
    assert software == {"plain": "Werkzeug", "patched": "pelton"}


# The end, and what must not stay behind


def test_a_closed_terminal_ends_all_processes(start: Start) -> None:
    server = start(*PELTON, "run", SIMPLE_SCRIPT, arguments={"processes": 2})
    server.get("/")
    server.process.send_signal(signal.SIGHUP)
    assert server.process.wait(DEADLINE) == -signal.SIGHUP
    eventually(lambda: not group_of(server.process.pid), lambda: f"left: {group_of(server.process.pid)}")


def test_a_killed_worker_is_replaced(start: Start) -> None:
    server = start(*PELTON, "run", SIMPLE_SCRIPT, arguments={"processes": 2})
    first = server.get("/").json()["pid"]
    os.kill(first, signal.SIGKILL)
    eventually(
        lambda: first not in children_of(server.process.pid) and len(children_of(server.process.pid)) == 3,
        "another worker",
    )
    assert server.get("/").json()["pid"] != first
    assert server.stop() == 0


# Outside development


@pytest.mark.parametrize("workers", [(), ("--workers", "1")])
def test_production_refuses_the_debugger(workers: tuple[str, ...], tmp_path: Path) -> None:
    body = "from flask import Flask\nfrom werkzeug.debug import DebuggedApplication\napp = Flask(__name__)\n"
    write(tmp_path / "shop.py", body + "app.wsgi_app = DebuggedApplication(app.wsgi_app, evalex=True)\n")
    ended = run_to_its_end(*PELTON, "shop:app", "--bind", "127.0.0.1:0", *workers, directory=tmp_path)
    assert ended.returncode != 0
    assert "wrapped in Werkzeug's debugger (DebuggedApplication)" in ended.stderr
    assert re.search("flask serve --debugger", ended.stderr)


def test_loading_the_plugin_changes_nothing() -> None:
    code = "import pelton.development.flask_command, sys; print(*(m for m in sys.modules if 'pelton' in m))"
    ended = run_to_its_end(sys.executable, "-c", code)
    loaded = {"pelton", "pelton.version", "pelton.development", "pelton.development.flask_command"}
    assert set(ended.stdout.split()) == loaded
