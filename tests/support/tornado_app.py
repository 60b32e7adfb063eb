"""The application of the suites for the kind "tornado", loaded by the command itself.

A WSGI application that uses tornado's loop, timers and client; what it does while it is imported, the loop
has to run. Imports nothing of the suites.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

from flask import Flask, request
from flask.typing import ResponseReturnValue
from tornado.httpclient import AsyncHTTPClient
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.web import Application

app = Flask(__name__)
native = Application()
_ticks = threading.Semaphore(0)


def make_native() -> Application:
    return Application()


_timer = PeriodicCallback(_ticks.release, 10)
IOLoop.current().add_callback(_timer.start)


@app.get("/")
def call_back() -> ResponseReturnValue:
    """What runs on the loop, asked for from a request's thread."""
    response: Future[str] = Future()
    loop: IOLoop = request.environ["pelton.loop"]
    IOLoop.current().add_callback(lambda: response.set_result(threading.current_thread().name))
    return {"where": response.result(10), "same": loop is IOLoop.current()}


@app.get("/ticks")
def ticks() -> ResponseReturnValue:
    """Whether the timer that was started at import runs."""
    return str(_ticks.acquire(timeout=10))


@app.get("/fetch")
async def fetch() -> ResponseReturnValue:
    """tornado's client on tornado's loop, from an async view."""
    response = await AsyncHTTPClient().fetch(f"{request.args['at']}/ticks")
    return response.body


@app.get("/fetch-in-a-callback")
def fetch_in_a_callback() -> ResponseReturnValue:
    """The same from a plain view."""
    response: Future[Any] = Future()
    url = f"{request.args['at']}/ticks"

    async def ask() -> None:
        response.set_result((await AsyncHTTPClient().fetch(url)).body)

    IOLoop.current().add_callback(ask)
    return response.result(10)  # type: ignore[no-any-return]
