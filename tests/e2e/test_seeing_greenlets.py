"""What a profile sees of requests that are greenlets: who is parked, and who keeps the thread."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from conftest import StartLive
from pelton.cli.main import main
from support.client import request
from support.waiting import eventually

APPLICATION = """
import importlib
import os
from pathlib import Path

event = importlib.import_module({kind!r} + ".event").Event()
END = Path({end!r})


def parked():
    event.wait()
    return b"parked"


def computes():
    while not END.exists():
        pass
    return b"computed"


def app(environ, start_response):
    name = environ["PATH_INFO"]
    if name == "/open":
        getattr(event, "set", None) and event.set()
        event.ready() or event.send()
        body = b""
    else:
        body = parked() if name == "/parked" else computes()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.mark.parametrize("kind", ["gevent", "eventlet"])
def test_greenlets_are_seen_where_they_are(live: StartLive, tmp_path: Path, kind: str) -> None:
    end = tmp_path / "end"
    text = APPLICATION.format(kind=kind, end=str(end))
    if kind == "eventlet":
        text = text.replace('getattr(event, "set", None) and event.set()\n        ', "")
    else:
        text = text.replace("        event.ready() or event.send()\n", "")
    (tmp_path / "greens.py").write_text(text)
    environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
    server = live(
        tmp_path / "greens.py",
        "--workers",
        "1",
        "-k",
        kind,
        environment=environment,
    )
    server.ready_workers()

    def profile() -> list[str]:
        done = CliRunner().invoke(
            main, ["profile", "--seconds", "0.3", "--format", "collapsed"], env=environment
        )
        assert done.exit_code == 0, done.output
        return done.stdout.splitlines()

    def running(path: str) -> dict[str, Any]:
        done = CliRunner().invoke(main, ["top", "--json", "--interval", "0.1"], env=environment)
        assert done.exit_code == 0, done.output
        rows = json.loads(done.stdout)["running"]
        return next((one for one in rows if one["path"] == path), {})

    def line(code: str) -> str:
        (number,) = [at for at, one in enumerate(text.splitlines(), 1) if one.strip() == code]
        return f"{tmp_path / 'greens.py'}:{number}"

    waits = server.connect().send(request(target="/parked"))
    eventually(lambda: any(line.startswith("GET /parked;lock;") for line in profile()), "it is parked")
    assert any("parked (" in line for line in profile() if line.startswith("GET /parked;lock;"))
    row = running("/parked")
    assert (row["at"], row["waits"]["for"]) == (line("event.wait()"), "event.wait()")
    dump = CliRunner().invoke(main, ["dump"], env=environment).stdout
    assert "DEADLOCK" not in dump, dump
    computes = server.connect().send(request(target="/computes"))

    def keeps_the_thread() -> bool:
        lines = profile()
        busy = [line for line in lines if line.startswith("GET /computes;")]
        return any("computes (" in line and ";computing;" in line for line in busy) and any(
            line.startswith("GET /parked;interpreter") for line in lines
        )

    eventually(keeps_the_thread, "one computes, and the other waits for it")
    row = running("/computes")
    assert row["function"] == "computes"
    row = running("/parked")
    assert row["waits"]["for"] == "the hub"
    assert [one["function"] for one in row["waits"]["held_by"]] == ["computes"]
    end.touch()
    assert computes.response().body == b"computed"
    assert server.ask(request(target="/open")).status == 200
    assert waits.response().body == b"parked"
