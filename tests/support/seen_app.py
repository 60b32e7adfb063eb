"""An application to be looked at: requests that wait for a lock which another one holds."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import flask

app = flask.Flask(__name__)
ledger = threading.Lock()


@app.get("/users/<int:number>")
def user(number: int) -> str:
    return str(number)


@app.get("/fail")
def fail() -> str:
    raise RuntimeError("planted")


@app.get("/holds/<gate>")
def holds(gate: str) -> str:
    with ledger:
        # Until the test opens the other end.
        (Path(os.environ["PELTON_TEST_GATES"]) / gate).read_bytes()
    return "held"


@app.get("/waits")
def waits() -> str:
    with ledger:
        return "waited"
