"""A Flask application that calls its own server, loaded by the command itself in its own process.

The test steers it by pipes with a name in the directory that PELTON_TEST_GATES names. Imports nothing of
the suites: it stands alone in a foreign process.
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from flask import Flask, request

app = Flask(__name__)

# Far above what any of it needs.
TIMEOUT = 60

_MEETING = threading.Barrier(2)


@app.get("/inner")
def inner() -> str:
    return f"inner in {os.getpid()}"


@app.post("/length")
def length() -> str:
    return str(len(request.get_data()))


@app.get("/hold/<name>")
def hold(name: str) -> str:
    print(f"{name} is held by {os.getpid()}", file=sys.stderr, flush=True)
    Path(os.environ["PELTON_TEST_GATES"], name).read_bytes()
    return f"held in {os.getpid()}"


@app.get("/hold-and-call/<name>")
def hold_and_call(name: str) -> str:
    hold(name)
    return requests.get(here() + "inner", timeout=TIMEOUT).text


@app.get("/outer/<client>/<path:path>")
def outer(client: str, path: str) -> str:
    """What ``path`` of this server answers to this client."""
    return f"{os.getpid()} got {CLIENTS[client](here() + path)}"


@app.get("/upload/<int:size>")
def upload(size: int) -> str:
    return requests.post(here() + "length", data=bytes(size), timeout=TIMEOUT).text


@app.get("/together")
def together() -> str:
    """Two of them meet before either calls, so that both threads are taken then."""
    _MEETING.wait(TIMEOUT)
    return requests.get(here() + "inner", timeout=TIMEOUT).text


@app.get("/endless")
def endless() -> tuple[str, int]:
    """Calls itself again and again."""
    response = requests.get(here() + "endless", timeout=TIMEOUT)
    return f"{response.status_code} {response.text}", 200


@app.get("/by-unix-socket/<path:path>")
def by_unix_socket(path: str) -> str:
    connection = http.client.HTTPConnection("localhost", timeout=TIMEOUT)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(os.environ["PELTON_TEST_SOCKET"])
    connection.request("GET", f"/{path}")
    return f"{os.getpid()} got {connection.getresponse().read().decode()}"


def here() -> str:
    """This server, by the address that the client has, too: both are on this machine."""
    host, port = request.environ["REMOTE_ADDR"], request.environ["SERVER_PORT"]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _urllib(url: str) -> str:
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
        text: str = response.read().decode()
    return text


def _requests(url: str) -> str:
    return requests.get(url, timeout=TIMEOUT).text


def _pool(url: str) -> str:
    """On a thread of the view's own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_requests, url).result()


def _process(url: str) -> str:
    """In a process that the view waits for."""
    program = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode(), end='')"
    found = subprocess.run(
        [sys.executable, "-c", program, url], capture_output=True, check=True, text=True, timeout=TIMEOUT
    )
    return found.stdout


CLIENTS: dict[str, Callable[[str], str]] = {
    "requests": _requests,
    "urllib": _urllib,
    "pool": _pool,
    "process": _process,
}
