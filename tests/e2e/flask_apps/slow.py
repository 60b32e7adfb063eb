"""Requests that wait: for a time (/slow?s=1), or for each other (/meet?n=4)."""

from __future__ import annotations

import os
import threading
import time

from flask import Flask, request
from flask.typing import ResponseReturnValue

app = Flask(__name__)

_meetings: dict[int, threading.Barrier] = {}
_lock = threading.Lock()
LONGEST_WAIT = 20.0


@app.get("/")
def quick() -> ResponseReturnValue:
    return {"pid": os.getpid(), "thread": threading.current_thread().name}


@app.get("/slow")
def slow() -> ResponseReturnValue:
    seconds = request.args.get("s", 1.0, type=float)
    time.sleep(min(max(seconds, 0.0), LONGEST_WAIT))
    return {"slept": seconds, "pid": os.getpid()}


@app.get("/meet")
def meet() -> ResponseReturnValue:
    """Answered when ``n`` requests are inside this process at the same time; 503 if that never happens."""
    count = request.args.get("n", 2, type=int)
    with _lock:
        barrier = _meetings.setdefault(count, threading.Barrier(count))
    try:
        barrier.wait(LONGEST_WAIT)
    except threading.BrokenBarrierError:
        return "nobody came", 503
    return {"met": count}


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")))
