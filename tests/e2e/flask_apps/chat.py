"""Rooms in which everybody hears everybody (Flask-SocketIO), and a page for it.

The page speaks the few packets of Socket.IO that it needs itself, over a WebSocket: the tests must run
where no network brings the real client. Python's real client is used beside it.
"""

from __future__ import annotations

import os

from flask import Flask, request
from flask.typing import ResponseReturnValue
from flask_socketio import SocketIO, emit, join_room, leave_room

app = Flask(__name__)
# Threads, as with every server for WSGI; what else is installed shall not change that.
socketio = SocketIO(app, async_mode="threading")

PAGE = """<!doctype html>
<title>Chat</title>
<link rel="icon" href="data:,">
<form id="join"><input name="room" aria-label="Room"><button>Join</button></form>
<form id="say"><input name="text" aria-label="Message"><button>Say</button></form>
<p id="state">connecting</p>
<ol id="heard"></ol>
<script>
  const server = location.origin.replace("http", "ws");
  const socket = new WebSocket(`${server}/socket.io/?EIO=4&transport=websocket`);
  const state = document.getElementById("state");
  let room = null;
  const emit = (name, value) => socket.send("42" + JSON.stringify([name, value]));
  const receivers = {
    joined: (value) => { room = value; state.textContent = `in ${room}`; },
    said: (value) => {
      const line = document.createElement("li");
      line.textContent = `${value.room}: ${value.text}`;
      document.getElementById("heard").append(line);
    },
  };
  socket.onclose = () => { state.textContent = "closed"; };
  socket.onmessage = ({ data }) => {
    if (data[0] === "0") socket.send("40");           // opened: ask for the default namespace
    else if (data === "2") socket.send("3");          // a ping
    else if (data.startsWith("40")) state.textContent = "connected";
    else if (data.startsWith("42")) {
      const [name, value] = JSON.parse(data.slice(2));
      receivers[name](value);
    }
  };
  document.getElementById("join").onsubmit = (event) => {
    event.preventDefault();
    emit("join", event.target.room.value);
  };
  document.getElementById("say").onsubmit = (event) => {
    event.preventDefault();
    emit("say", { room, text: event.target.text.value });
    event.target.reset();
  };
</script>
"""


@app.get("/")
def page() -> ResponseReturnValue:
    return PAGE


@app.post("/announce")
def announce() -> ResponseReturnValue:
    """From a plain request to everybody, whichever room they are in."""
    socketio.emit("said", {"room": "all", "text": request.form["text"]})
    return "", 204


@socketio.on("join")
def join(room: str) -> None:
    join_room(room)
    emit("joined", room)


@socketio.on("leave")
def leave(room: str) -> None:
    leave_room(room)
    emit("left", room)


@socketio.on("say")
def say(said: dict[str, str]) -> str:
    """To the room, the speaker included; the return value acknowledges it."""
    emit("said", said, to=said["room"])
    return "heard"


if __name__ == "__main__":
    # The switch is for Werkzeug, which else refuses to be run by anything that is no terminal.
    socketio.run(app, port=int(os.environ.get("PORT", "5000")), allow_unsafe_werkzeug=True)
