"""The application of the suites about WebSockets: flask-sock and Flask-SocketIO as their users write them.

Loaded by the command itself; ``app`` has flask-sock's routes, ``chat`` is another one with Flask-SocketIO.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from flask import Flask, abort, request
from flask_sock import Sock
from flask_socketio import SocketIO, emit, join_room, send

app = Flask(__name__)
sock = Sock(app)


@app.get("/")
def page() -> str:
    return str(os.getpid())


@app.get("/threads")
def threads() -> dict[str, int]:
    return {str(os.getpid()): threading.active_count()}


@sock.route("/echo")
def echo(ws: Any) -> None:
    ws.send(str(os.getpid()))
    while (data := ws.receive()) != "bye":
        ws.send(data)


@sock.route("/closes")
def closes(ws: Any) -> None:
    ws.close(1000, "that was all")


@sock.route("/private")
def private(ws: Any) -> None:
    ws.send("never")


@app.before_request
def guard() -> None:
    if request.path == "/private":
        abort(401)


@sock.route("/fails")
def fails(ws: Any) -> None:
    ws.send("soon")
    raise RuntimeError("a fault in the view")


@sock.route("/tells")
def tells(ws: Any) -> None:
    """Says in the log how it ended."""
    ws.send("open")
    try:
        ws.receive()
    except Exception as error:
        print(f"the view got {type(error).__name__}", file=request.environ["wsgi.errors"], flush=True)
        raise


chat = Flask("chat")
# Never by what happens to be installed.
_MODE: Any = os.environ.get("PELTON_TEST_ASYNC_MODE", "threading")
socketio = SocketIO(chat, async_mode=_MODE)


@chat.get("/")
def chat_page() -> str:
    return "a page"


@socketio.on("enter")
def enter(room: str) -> None:
    join_room(room)
    emit("entered", room)


@socketio.on("say")
def say(data: dict[str, str]) -> None:
    emit("said", data["text"], to=data["room"])


@socketio.on("shout")
def shout(text: str) -> None:
    send(text, broadcast=True)
