"""An application with what goes wrong in production, each on a line that the views have to name."""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
from pathlib import Path

from flask import Flask

app = Flask(__name__)
FOLDER = Path(os.environ["PELTON_TEST_INCIDENTS"])
stock = threading.Lock()
kept: list[bytes] = []


@app.get("/convoy")
def convoy() -> str:
    with stock:  # the convoy
        while not (FOLDER / "moved").exists():
            threading.Event().wait(0.01)
    return "moved"


@app.get("/query")
def query() -> str:
    with sqlite3.connect(FOLDER / "shop.sqlite", timeout=600) as database:
        database.execute("insert into orders values (1)")  # the query
    return "stored"


@app.get("/dependency")
def dependency() -> str:
    with socket.create_connection(("127.0.0.1", int((FOLDER / "port").read_text()))) as peer:
        return peer.recv(10).decode()  # the dependency


@app.get("/burns")
def burns() -> str:
    while not (FOLDER / "burnt").exists():
        # Bytecode, for longer than a thread may keep the interpreter: what else is seen is `exists`.
        sum(number for number in range(200_000))  # the interpreter
    return "burnt"


@app.get("/leak")
def leak() -> str:
    kept.append(b"x" * (1 << 20))  # the leak
    return "kept"
