"""A small Flask application to look at a server with.

Start it with ``pelton examples/hello.py`` and open http://127.0.0.1:8000, or with ``python
examples/hello.py``. It uses nothing of pelton, so any other WSGI server, and ``flask --app
examples/hello.py run``, will do for a comparison.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator

from flask import Flask, Response, jsonify, render_template, request

app = Flask(__name__)

# A visitor may ask for work, but not for any amount of it.
LONGEST_SLEEP = 30.0
MOST_ROUNDS = 1_000_000
MOST_LINES = 60
PIECE = 64 * 1024


def bounded(name: str, default: float, largest: float) -> float:
    """The number that the query gives as ``name``; from 0 to ``largest``."""
    value = request.args.get(name, default, type=float)
    # Written so that a NaN gives 0.
    return min(value, largest) if value > 0 else 0.0


@app.get("/")
def index() -> str:
    """The page with everything on it."""
    return render_template("index.html", software=request.environ.get("SERVER_SOFTWARE", "unknown"))


@app.get("/slow")
def slow() -> Response:
    """Waits ``s`` seconds, as a request does that waits for a database."""
    started = time.monotonic()
    time.sleep(bounded("s", 1, LONGEST_SLEEP))
    return jsonify(thread=threading.current_thread().name, seconds=round(time.monotonic() - started, 3))


@app.get("/cpu")
def cpu() -> Response:
    """Computes ``n`` rounds of a hash, which keeps the interpreter busy."""
    digest = b"pelton"
    started = time.perf_counter()
    rounds = int(bounded("n", 10_000, MOST_ROUNDS))
    for _ in range(rounds):
        digest = hashlib.sha256(digest).digest()
    return jsonify(rounds=rounds, digest=digest.hex(), seconds=round(time.perf_counter() - started, 4))


@app.get("/json")
def json() -> Response:
    """The usual small response of an API."""
    return jsonify(message="Hello, World!", time=time.time())


@app.get("/quick")
def quick() -> Response:
    """The cheapest response there is; the page counts how many it gets while slow requests run."""
    return Response(threading.current_thread().name, mimetype="text/plain")


@app.post("/upload")
def upload() -> Response:
    """Reads the body piece by piece and forgets it."""
    size = 0
    digest = hashlib.sha256()
    while piece := request.stream.read(PIECE):
        size += len(piece)
        digest.update(piece)
    return jsonify(bytes=size, sha256=digest.hexdigest())


@app.get("/stream")
def stream() -> Response:
    """Sends ``n`` lines, one each second, while they are made."""
    count = int(bounded("n", 10, MOST_LINES))

    def lines() -> Iterator[str]:
        for number in range(1, count + 1):
            yield f"line {number} of {count}, sent at {time.strftime('%H:%M:%S')}\n"
            if number < count:
                time.sleep(1)

    return Response(lines(), mimetype="text/plain")


@app.get("/whoami")
def whoami() -> Response:
    """Which process and thread answers, and what the server told the application."""
    environ = {name: repr(value) for name, value in sorted(request.environ.items()) if name[0].isupper()}
    wsgi = {name: repr(value) for name, value in request.environ.items() if name.startswith("wsgi.")}
    return jsonify(pid=os.getpid(), thread=threading.current_thread().name, environ=environ, wsgi=wsgi)


@app.get("/error")
def error() -> Response:
    """Fails, to see the log and what the client gets."""
    raise RuntimeError("This failure is intended.")


def main() -> None:
    """Serve with pelton if it is installed, else with Flask's own server."""
    try:
        import pelton
    except ImportError:
        app.run(port=8000)
    else:
        pelton.run(app)


if __name__ == "__main__":
    main()
