"""The Flask application of the scenes: gives each request's number back, and says which process answered.

It also keeps, per process, one byte for each thread that is inside a request, in a file that outlives the
process: after a `kill -9` the file tells how many requests died with it.
"""

import itertools
import mmap
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import Flask, Response, request

STATE = "LIFECYCLE_STATE"
MOST_THREADS = mmap.PAGESIZE

app = Flask(__name__)


class _Inside:
    """The bytes of this process. Made by its first request, for the module may have been imported before a
    fork."""

    def __init__(self, folder: Path) -> None:
        with (folder / str(os.getpid())).open("wb+") as file:
            file.truncate(MOST_THREADS)
            self._bytes = mmap.mmap(file.fileno(), MOST_THREADS)
        self._numbers = itertools.count()
        self._thread = threading.local()

    @contextmanager
    def counted(self) -> Iterator[None]:
        number = getattr(self._thread, "number", None)
        if number is None:
            number = self._thread.number = next(self._numbers) % MOST_THREADS
        self._bytes[number] = 1
        try:
            yield
        finally:
            self._bytes[number] = 0


_made: dict[int, _Inside] = {}
_making = threading.Lock()


def _inside() -> _Inside:
    pid = os.getpid()
    found = _made.get(pid)
    if found is None:
        with _making:
            found = _made.get(pid)
            if found is None:
                found = _made[pid] = _Inside(Path(os.environ[STATE]))
    return found


@app.get("/number/<int:number>")
def number(number: int) -> Response:
    with _inside().counted():
        if seconds := request.args.get("seconds", type=float):
            time.sleep(seconds)
        answer = Response(f"{number}\n", mimetype="text/plain")
        answer.headers["X-Worker"] = str(os.getpid())
        return answer


def running_in(folder: Path, pid: int) -> int:
    """How many requests were inside the application when the process ended, or are now."""
    try:
        return sum((folder / str(pid)).read_bytes())
    except FileNotFoundError:
        return 0
