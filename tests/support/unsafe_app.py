"""An application with one fault a view, and views without: what `pelton audit` is tried with."""

from __future__ import annotations

import functools
import itertools
import os
import socket
import threading
import time
from pathlib import Path

from flask import Flask, request

app = Flask(__name__)
hits = 0
carts: dict[str, list[int]] = {}
lock = threading.Lock()
guarded = {"count": 0}
numbers = itertools.count()
current = ""
engine: object = None
forgotten = threading.Lock()
forgotten.acquire()
listener = socket.create_server(("127.0.0.1", 0))
connection = socket.create_connection(listener.getsockname())
never_sent = 0


class Store:
    items: list[int] = []  # noqa: RUF012  # (the fault)


def poll() -> None:
    threading.Event().wait()


threading.Thread(target=poll, daemon=True, name="poller").start()


@app.get("/global")
def change_global() -> str:
    global hits
    hits += 1
    return "done"


@app.get("/container")
def change_container() -> str:
    carts.setdefault("a", []).append(1)
    return "done"


@app.get("/guarded")
def change_guarded() -> str:
    with lock:
        guarded["count"] += 1
    return "done"


@app.get("/class")
def change_class() -> str:
    Store.items.append(1)
    return "done"


@app.get("/iterator")
def take_number() -> str:
    return str(next(numbers))


def remember(value: int, seen: list[int] = []) -> int:  # noqa: B006  # (the fault)
    seen.append(value)
    return len(seen)


@app.get("/default")
def change_default() -> str:
    remember(1)
    return "done"


@app.get("/lazy")
def make_once() -> str:
    global engine
    if engine is None:
        engine = object()
    return "done"


@functools.lru_cache
def slow(value: str) -> str:
    return value


@app.get("/cached")
def cached() -> str:
    return slow(request.args["x"])


@app.get("/who")
def who() -> str:
    global current
    current = request.args["u"]
    end = time.monotonic() + 2
    # Beside others it waits for one of them, so that no luck is needed.
    while threading.active_count() > 4 and current == request.args["u"] and time.monotonic() < end:
        time.sleep(0.001)
    return current


@app.get("/file")
def write_file() -> str:
    with Path(os.environ["AUDITED_FILE"]).open("a") as file:
        file.write("x")
    return "done"


class Basket:
    """Guards itself."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: list[int] = []

    def add(self, item: int) -> None:
        with self._lock:
            self._items.append(item)


basket = Basket()
titles: dict[str, str] = {}
people: dict[str, int] = {}


@app.get("/basket")
def fill_basket() -> str:
    basket.add(1)
    return "done"


@app.get("/title")
def title() -> str:
    name = request.args["of"]
    if name not in titles:
        titles[name] = name.title()
    return titles[name]


@app.post("/people")
def add_people() -> str:
    people[request.form["name"]] = 1
    return "done"


@app.get("/config")
def change_config() -> str:
    app.config["SEEN"] = app.config.get("SEEN", 0) + 1
    return "done"


def make_counter() -> None:
    counted = [0]

    @app.get("/closure")
    def change_closure() -> str:
        counted[0] += 1
        return "done"


make_counter()


@app.post("/never")
def never_sent_here() -> str:
    global never_sent
    never_sent += 1
    return "done"


@app.get("/fails")
def fails() -> str:
    raise RuntimeError("Meant to.")


@app.get("/safe")
def safe() -> str:
    print("What an application prints is no part of the findings.")
    return f"{threading.current_thread().name}: {sorted(carts)}"
