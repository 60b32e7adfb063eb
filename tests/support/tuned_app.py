"""A small Flask application for `pelton tune`: one view computes, one waits, one keeps memory."""

from __future__ import annotations

import time

from flask import Flask

app = Flask(__name__)
kept: list[bytes] = []


@app.get("/computes/<int:number>")
def computes(number: int) -> str:
    return str(sum(range(number)))


@app.get("/waits")
def waits() -> str:
    time.sleep(0.01)
    return "waited"


@app.post("/keeps")
def keeps() -> str:
    kept.append(bytes(50_000))
    return "kept"
