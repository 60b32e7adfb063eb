"""The application of the suites for kinds with an event loop, loaded by the command itself.

What it does while it is imported, the loop has to run. Imports nothing of the suites.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from typing import Any

import flask
from flask import Flask, request, stream_with_context
from flask.typing import ResponseReturnValue

app = Flask(__name__)
_seen: list[str] = []


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def in_the_background() -> None:
    """Begun while the application is imported; ends with the loop."""
    _seen.append("began at import")
    try:
        await asyncio.Event().wait()
    finally:
        tell("background task cleaned up")


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        found = asyncio.get_event_loop()
    except RuntimeError:
        return None
    return found if found.is_running() else None


if (_loop := _running_loop()) is not None:
    asyncio.run_coroutine_threadsafe(in_the_background(), _loop)
else:
    # As with --preload.
    _seen.append("no loop at import")


@app.get("/")
async def which() -> ResponseReturnValue:
    """The loop, as one number."""
    await asyncio.sleep(0)
    return {"loop": id(asyncio.get_running_loop()), "seen": _seen}


@app.get("/environ")
def of_environ() -> ResponseReturnValue:
    loop: Any = request.environ["pelton.loop"]
    return {"loop": id(getattr(loop, "asyncio_loop", loop)), "type": type(loop).__name__}


@app.get("/hang")
async def hang() -> ResponseReturnValue:
    await hang_deeper()
    return ""


async def hang_deeper() -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        tell("hang was cancelled")
        raise


@app.get("/block")
async def block() -> ResponseReturnValue:
    time.sleep(float(request.args["seconds"]))
    return "blocked"


@app.get("/events")
def events() -> ResponseReturnValue:
    def pieces() -> Iterator[str]:
        yield "first"
        app.async_to_sync(hang_deeper)()

    return flask.Response(stream_with_context(pieces()), mimetype="text/event-stream")
