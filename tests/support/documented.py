"""A reader who types the commands of a page: a folder with all that the pages name, and one server at a time.

Owns where things lie: whatever a page names outside of the reader's folder (``/run/…``, ``/srv/…``) lies in
it, and every port is one that is free. Everything else of a command is typed as it stands.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from support.certificates import make_files
from support.started import Started

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)
# Commands of pelton that come to an end by themselves.
ONCE = {"audit", "check", "config", "deploy", "maintenance", "migrate", "tune"}
# They serve until they are told to stop.
_LISTENS = r"listens on (\S+)|Running on (\S+)"

_APPLICATION = """\
from flask import Flask, request

def create_app(name="app"):
    app = Flask(__name__)

    @app.route("/", methods=["GET", "POST"])
    @app.route("/<path:rest>", methods=["GET", "POST"])
    def page(rest=""):
        response = app.make_response(f"{name}: {rest} {len(request.get_data())}\\n")
        response.cache_control.max_age = 60
        return response

    return app

app = create_app()
"""
_SCRIPT = _APPLICATION + ('\nimport pelton.flask\n\nif __name__ == "__main__":\n    app.run(port=0)\n')
_LINE = '127.0.0.1 - - [20/Nov/2026:18:57:57 +0000] "GET /shop HTTP/1.1" 200 12 "-" "-"\n'
_OPENAPI = {"openapi": "3.0.0", "info": {"title": "shop", "version": "1"}, "paths": {"/shop": {"get": {}}}}


def blocks(page: Path) -> Iterator[list[str]]:
    """What is typed, by block: lines of ``sh`` blocks, and those behind a ``$`` of ``console`` blocks."""
    for language, _, text in FENCE.findall(page.read_text(encoding="utf-8")):
        if language in ("console", "sh"):
            lines = text.replace("\\\n", "").splitlines()
            typed = (
                re.sub(r"\s{2,}#.*", "", one) for one in lines if language == "sh" or one.startswith("$ ")
            )
            yield [" ".join(one.removeprefix("$ ").split()) for one in typed if one.strip() and one[0] != "#"]


class Reader:
    """Somebody in a folder of their own. Use as a context manager."""

    def __init__(self, folder: Path, *, has_gunicorn: bool = False) -> None:
        """``has_gunicorn``: it is the folder of somebody who comes from there."""
        self._home = self._folder = folder
        self._server: Started | None = None
        self._address = ""
        _furnish(folder)
        if has_gunicorn:
            _put(folder, "gunicorn.conf.py", "threads = 4\n")

    def come_home(self) -> None:
        """Goes back to the folder in which each block of a page begins."""
        self._folder = self._home

    def type(self, line: str) -> str:
        """Runs a command to its end, or starts a server and asks it for a page; what was printed."""
        line = self._here(line)
        if line.startswith("cd "):
            self._folder = self._folder / line.removeprefix("cd ")
            return ""
        words = shlex.split(line)
        variables = dict(word.split("=", 1) for word in words if re.fullmatch(r"[A-Z_]+=\S*", word))
        words = [word for word in words if not re.fullmatch(r"[A-Z_]+=\S*", word)]
        if _serves(words):
            return self._serve(words, variables)
        if words[:2] == ["kill", "-HUP"]:
            return self._reload()
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self._folder,
            env=_environment() | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        return done.stdout

    def _serve(self, words: list[str], variables: dict[str, str]) -> str:
        self.leave()
        if words[0] == "pelton" and "run" not in words and "--bind" not in words:
            words = [*words, "--bind", "127.0.0.1:0"]
        if "serve" in words:
            words = [*words, "--port", "0"]
        self._server = Started(words, directory=self._folder, outside=_environment() | variables)
        found = self._server.log.wait_for(_LISTENS, seconds=60)
        self._address = (found[1] or found[2]).rstrip(",")
        status = _ask(self._address)
        assert status in (200, 403), f"{words}: {status}"
        return self._server.log.text

    def _reload(self) -> str:
        assert self._server is not None
        self._server.send_signal(signal.SIGHUP)
        self._server.log.wait_for(r"reload", seconds=60)
        return ""

    def leave(self) -> None:
        """Presses Ctrl-C."""
        if self._server is not None:
            server, self._server = self._server, None
            with server:
                server.send_signal(signal.SIGINT)
                # Click's own code for Ctrl-C is 1.
                assert server.process.wait(60) in (0, 1, -signal.SIGINT)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.__exit__(None, None, None)

    def _here(self, line: str) -> str:
        line = re.sub(r"(?<![\w/.])/(run|srv|var)/", rf"{self._home}/\1/", line)
        if "curl" in line:
            return re.sub(r"(http://)?(localhost|127\.0\.0\.1):8000", self._address, line)
        line = line.replace("../.venv/bin/", "")
        # An address to listen on; what is only written down stays as it is.
        if line.split()[:2] not in (["pelton", one] for one in ONCE):
            line = re.sub(r"(?<![\w.])(0\.0\.0\.0|127\.0\.0\.1)?:(80|443|8000|8002)\b", "127.0.0.1:0", line)
        return line


def _serves(words: list[str]) -> bool:
    if words[0] == "pelton":
        return len(words) < 2 or words[1] not in ONCE
    return "serve" in words or words[0] == "python"


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PELTON", "FLASK"))}
    return kept | {"PATH": f"{Path(sys.executable).parent}:{kept['PATH']}"}


def _ask(address: str) -> int:
    scheme, _, rest = address.partition("://")
    host, _, port = rest.rstrip("/").rpartition(":")
    connection: http.client.HTTPConnection
    if scheme == "https":
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(host, int(port), timeout=60, context=context)
    else:
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    finally:
        connection.close()


def _furnish(folder: Path) -> None:
    """All that the pages name."""
    for name in ("shop/__init__.py", "shop/web.py", "main.py", "admin.py", "mysite/wsgi.py"):
        _put(folder, name, _APPLICATION)
    (folder / "mysite/wsgi.py").write_text(
        _APPLICATION.replace("app = create_app()", "application = create_app()")
    )
    for name in ("hello.py", "path/to/hello.py"):
        _put(folder, name, _SCRIPT)
    for name in ("static/site.css", "errors/soon.html", "srv/shop/invoices/7.pdf"):
        _put(folder, name, "soon\n")
    _put(folder, "deploy/gunicorn.conf.py", "threads = 4\n")
    _put(folder, "uwsgi.ini", "[uwsgi]\nhttp = :8000\nmodule = shop:app\n")
    _put(folder, "access.log", _LINE)
    _put(folder, "list.txt", "GET /shop\n")
    _put(folder, "openapi.json", json.dumps(_OPENAPI))
    _put(folder, "run/shop/.keep", "")
    make_files(folder, stem="site")
    shutil.copy(folder / "site.pem", folder / "fullchain.pem")
    shutil.copy(folder / "site.key", folder / "privkey.pem")
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))


def _put(folder: Path, name: str, text: str) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
