"""A script of a user of ``run_simple``, run by Werkzeug's server and by pelton's in turn.

The test says the arguments in RUN_ARGUMENTS (JSON), and what else the script does in SCRIPT_DOES. Imports
nothing of the suites: it stands alone in a foreign process.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from werkzeug.serving import WSGIRequestHandler, run_simple

DOES = os.environ.get("SCRIPT_DOES", "").split()
FLAGS = ("wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once", "wsgi.input_terminated")
Start = Callable[..., Any]


class QuietHandler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def app(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
    name, _, rest = environ["PATH_INFO"].removeprefix("/").partition("/")
    if name == "raise":
        raise RuntimeError("the view failed")
    if name == "late":
        return _late(start_response)
    if name == "endless":
        return _endless(start_response)
    if name == "hold":
        print(f"{rest} is held by {os.getpid()}", file=sys.stderr, flush=True)
        Path(os.environ["PELTON_TEST_GATES"], rest).read_bytes()
    body = environ["wsgi.input"].read() if "HTTP_TRANSFER_ENCODING" in environ else _body(environ)
    facts = {
        "pid": os.getpid(),
        "thread": threading.current_thread().name,
        "body": body.decode("latin-1"),
        "flags": {key: environ.get(key) for key in FLAGS},
        "environ": {key: value for key, value in environ.items() if isinstance(value, str)},
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(facts).encode()]


def _body(environ: dict[str, Any]) -> bytes:
    data: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return data


def _late(start_response: Start) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"first"
    raise RuntimeError("the answer failed")


def _endless(start_response: Start) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    try:
        while True:
            yield b"x" * 65536
    finally:
        print("the answer is closed", file=sys.stderr, flush=True)


def main() -> None:
    arguments = {"hostname": "127.0.0.1", "port": 0, **json.loads(os.environ["RUN_ARGUMENTS"])}
    if "ssl_context" in arguments:
        # JSON knows no tuples, and Werkzeug takes nothing else for a pair.
        arguments["ssl_context"] = tuple(arguments["ssl_context"])
    if "handler" in DOES:
        arguments["request_handler"] = QuietHandler
    if "quiet" in DOES:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
    if "file" in DOES:
        logging.basicConfig(filename="app.log", format="%(name)s|%(levelname)s|%(message)s", level="INFO")
    if "terminate" in DOES:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    if "thread" in DOES:
        thread = threading.Thread(target=lambda: run_simple(application=app, **arguments), daemon=True)
        # Before it serves: where SIGINT is inherited as ignored, one that comes earlier would be lost.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        thread.start()
        try:
            thread.join()
        except KeyboardInterrupt:
            sys.exit(5)
    run_simple(application=app, **arguments)
    print("behind run_simple")


if __name__ == "__main__":
    main()
