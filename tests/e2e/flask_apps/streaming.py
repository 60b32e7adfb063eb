"""A notice board: what one visitor puts up appears at once on the pages of all, by server-sent events.

The notices are lines of a file (NOTICES), so that it does not matter which process gets a request.
"""

from __future__ import annotations

import csv
import io
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from flask import Flask, Response, request, stream_with_context
from flask.typing import ResponseReturnValue

app = Flask(__name__)

NOTICES = Path(os.environ.get("NOTICES", Path(tempfile.gettempdir()) / "notices.txt"))
LOOK_AGAIN = 0.02
# Between two comments to a client that gets nothing else: by writing one, a server finds out that he left.
SIGN_OF_LIFE = 1.0

PAGE = """<!doctype html>
<title>Notices</title>
<link rel="icon" href="data:,">
<form id="form"><input name="text" aria-label="Notice"><button>Put up</button></form>
<p id="state">connecting</p>
<ol id="notices"></ol>
<script>
  const source = new EventSource("/events");
  const state = document.getElementById("state");
  source.onopen = () => { state.textContent = "connected"; };
  source.onerror = () => { state.textContent = "broken"; };
  source.onmessage = (event) => {
    const line = document.createElement("li");
    line.textContent = event.data;
    document.getElementById("notices").append(line);
  };
  document.getElementById("form").onsubmit = (event) => {
    event.preventDefault();
    fetch("/notices", { method: "POST", body: new FormData(event.target) });
    event.target.reset();
  };
</script>
"""


@app.get("/")
def page() -> ResponseReturnValue:
    return PAGE


@app.post("/notices")
def put_up() -> ResponseReturnValue:
    text = request.form["text"].replace("\n", " ")
    with NOTICES.open("a", encoding="utf-8") as file:
        file.write(f"{text}\n")
    return "", 204


@app.get("/events")
def events() -> ResponseReturnValue:
    """Each notice as an event with its number; a browser that comes back names the last one it has."""

    def pieces() -> Iterator[str]:
        seen = request.headers.get("Last-Event-ID", 0, type=int)
        last = time.monotonic()
        # Says at once that the connection stands.
        yield ": welcome\n\n"
        while True:
            for number, text in enumerate(_notices()[seen:], seen + 1):
                yield f"id: {number}\ndata: {text}\n\n"
                seen = number
                last = time.monotonic()
            if time.monotonic() - last > SIGN_OF_LIFE:
                yield ": still here\n\n"
                last = time.monotonic()
            time.sleep(LOOK_AGAIN)

    return Response(stream_with_context(pieces()), mimetype="text/event-stream")


@app.get("/table")
def table() -> ResponseReturnValue:
    """A table of ``rows`` lines, made while it is sent, from the request that asked for it."""

    def lines() -> Iterator[str]:
        for number in range(request.args.get("rows", 10, type=int)):
            line = io.StringIO()
            csv.writer(line).writerow([number, number * number, request.args.get("name", "")])
            yield line.getvalue()

    return Response(stream_with_context(lines()), mimetype="text/csv")


def _notices() -> list[str]:
    try:
        text = NOTICES.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    # What has no line end yet is still being written.
    return text.split("\n")[:-1]


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")))
