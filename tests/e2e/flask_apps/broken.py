"""A view that fails three calls deep, for the debugger: each frame has a variable worth asking for."""

from __future__ import annotations

import os

from flask import Flask
from flask.typing import ResponseReturnValue

app = Flask(__name__)


class EmptyTillError(Exception):
    """What the view fails with."""


@app.get("/")
def index() -> ResponseReturnValue:
    return "all is well"


@app.get("/fail")
def fail() -> ResponseReturnValue:
    customer = "Ada <ada@example.org>"
    return str(_total(customer))


def _total(customer: str) -> int:
    prices = [7, 14, 21]
    return sum(prices) // _number_of(customer, [])


def _number_of(customer: str, bought: list[str]) -> int:
    if not bought:
        raise EmptyTillError(f"{customer} has bought nothing")
    return len(bought)


if __name__ == "__main__":
    processes = int(os.environ.get("PROCESSES", "1"))
    app.run(port=int(os.environ.get("PORT", "5000")), threaded=processes == 1, processes=processes)
