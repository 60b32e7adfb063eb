"""What `benchmarks.kinds` asks for: an async view that waits, and what a worker is made of."""

import asyncio
import gc
import sys
import threading

from flask import Flask, jsonify
from flask.typing import ResponseReturnValue

SECONDS = 0.01

app = Flask(__name__)


@app.get("/")
def hello() -> str:
    return "Hello, World!"


@app.get("/wait")
async def wait() -> str:
    await asyncio.sleep(SECONDS)
    return "Hello, World!"


@app.get("/count")
def count() -> ResponseReturnValue:
    """Threads that Python knows, and greenlets that live."""
    library = sys.modules.get("greenlet")
    greenlets = 0
    if library is not None:
        greenlets = sum(isinstance(one, library.greenlet) and not one.dead for one in gc.get_objects())
    return jsonify(threads=threading.active_count(), greenlets=greenlets)
