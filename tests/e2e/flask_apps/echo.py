"""A WebSocket that gives back what it gets (flask-sock), and a page that talks to it."""

from __future__ import annotations

import os

from flask import Flask
from flask.typing import ResponseReturnValue
from flask_sock import Sock
from simple_websocket import Server

app = Flask(__name__)
sock = Sock(app)

PAGE = """<!doctype html>
<title>Echo</title>
<link rel="icon" href="data:,">
<form id="form"><input name="text" aria-label="Message"><button>Send</button></form>
<p id="state">connecting</p>
<ol id="answers"></ol>
<script>
  const socket = new WebSocket(`${location.origin.replace("http", "ws")}/echo`);
  const state = document.getElementById("state");
  socket.onopen = () => { state.textContent = "connected"; };
  socket.onclose = (event) => { state.textContent = `closed, ${event.code} ${event.reason}`; };
  socket.onmessage = (event) => {
    const line = document.createElement("li");
    line.textContent = event.data;
    document.getElementById("answers").append(line);
  };
  document.getElementById("form").onsubmit = (event) => {
    event.preventDefault();
    socket.send(event.target.text.value);
    event.target.reset();
  };
</script>
"""


@app.get("/")
def page() -> ResponseReturnValue:
    return PAGE


@sock.route("/echo")  # type: ignore[untyped-decorator]
def echo(socket: Server) -> None:
    """Until the client ends it, or says "bye"."""
    while True:
        message = socket.receive()
        if message == "bye":
            socket.close(message="good bye")
            return
        socket.send(message)


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")))
