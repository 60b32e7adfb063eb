"""The application of the sizing scenes: routes that wait, compute, or need something scarce."""

import queue
import threading
import time

from flask import Flask

app = Flask(__name__)
LOCK = threading.Lock()
POOL: "queue.Queue[int]" = queue.Queue()
for number in range(10):
    POOL.put(number)


def _compute(milliseconds: float) -> int:
    """Holds the interpreter for so much processor time of its own thread."""
    end = time.thread_time() + milliseconds / 1000
    turns = 0
    while time.thread_time() < end:
        for _ in range(200):
            turns += 1
    return turns


@app.get("/quick")
def quick() -> str:
    return "quick"


@app.get("/sleep")
def sleep() -> str:
    time.sleep(1)
    return "slept"


@app.get("/wait")
def wait() -> str:
    time.sleep(0.05)
    return "waited"


@app.get("/compute")
def compute() -> str:
    return str(_compute(4))


@app.get("/half")
def half() -> str:
    turns = _compute(2.5)
    time.sleep(0.0025)
    return str(turns + _compute(2.5))


@app.get("/lock")
def lock() -> str:
    with LOCK:
        time.sleep(0.002)
    return "locked"


@app.get("/pool")
def pool() -> str:
    number = POOL.get()
    try:
        time.sleep(0.02)
    finally:
        POOL.put(number)
    return "pooled"
