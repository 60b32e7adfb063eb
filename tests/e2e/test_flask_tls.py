"""HTTPS as Flask's users know it: ``flask serve --cert``, ``app.run(ssl_context=…)``, the reloader."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.certificates import Files, ask, connect, context_for, make_files
from support.kinds import IS_ONE_OF_MANY
from support.started import Started

pytestmark = pytest.mark.skipif(IS_ONE_OF_MANY, reason="the front speaks it, whatever the worker kind")

APP = """
from flask import Flask, request

app = Flask(__name__)


@app.get("/")
def scheme():
    return request.scheme
"""
# Each as a user would write it at the end of his file.
SCRIPTS = {
    "adhoc": 'app.run(port=0, ssl_context="adhoc")',
    "pair": "app.run(port=0, ssl_context=(CERT, KEY))",
    "context": """
import ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERT, KEY)
app.run(port=0, ssl_context=context)
""",
    "werkzeugs-context": """
from werkzeug.serving import load_ssl_context
app.run(port=0, ssl_context=load_ssl_context(CERT, KEY))
""",
    "reloader": "app.run(port=0, debug=True, ssl_context=(CERT, KEY))",
}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return make_files(tmp_path)


def check(server: Started, context: ssl.SSLContext) -> None:
    address = server.log.wait_for(r"Running on (https://127\.0\.0\.1:\d+)")[1]
    with connect(address, context) as client:
        assert ask(client).endswith(b"https")


def trusting(files: Files, adhoc: bool) -> ssl.SSLContext:
    context = context_for(files)
    if adhoc:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@pytest.mark.parametrize("script", SCRIPTS)
def test_app_run(script: str, files: Files, tmp_path: Path) -> None:
    names = f"CERT, KEY = {str(files.certificate)!r}, {str(files.key)!r}\n"
    (tmp_path / "shop.py").write_text("import pelton.flask\n" + APP + names + SCRIPTS[script])
    with Started([sys.executable, "shop.py"], directory=tmp_path) as server:
        check(server, trusting(files, script == "adhoc"))


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(lambda files: ["--cert", "adhoc"], id="adhoc"),
        pytest.param(lambda files: ["--cert", str(files.certificate), "--key", str(files.key)], id="pair"),
        pytest.param(lambda files: ["--cert", "contexts.context"], id="context"),
    ],
)
def test_flask_serve(arguments: Callable[[Files], list[str]], files: Files, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "contexts.py").write_text(
        "import ssl\n"
        "context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)\n"
        f"context.load_cert_chain({str(files.certificate)!r}, {str(files.key)!r})\n"
    )
    command = [sys.executable, "-m", "flask", "--app", "shop", "serve", "--port", "0", *arguments(files)]
    with Started(command, directory=tmp_path, environment={"PYTHONPATH": str(tmp_path)}) as server:
        check(server, trusting(files, "adhoc" in command))


def test_an_unknown_context_is_told_of(files: Files, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        f"""
import ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain({str(files.certificate)!r}, {str(files.key)!r})
import pelton
pelton.run_simple("127.0.0.1", 0, lambda environ, start_response: [], ssl_context=context)
"""
    )
    with Started([sys.executable, "shop.py"], directory=tmp_path) as server:
        server.log.wait_for(r"does not tell which certificate and key it has loaded")
        assert server.process.wait(30) != 0
