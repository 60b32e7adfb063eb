"""A Flask application in one file, as in Flask's own documentation; also a factory. Stands alone."""

from __future__ import annotations

import json
import os
import sys

from flask import Flask, request


def create_app(name: str = "made") -> Flask:
    made = Flask("factory")

    @made.get("/")
    def index() -> str:
        return name

    return made


app = Flask(__name__)


@app.get("/")
def index() -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "argv": sys.argv,
        "path": sys.path[0],
        "main": sys.modules["__main__"].__dict__.get("__file__"),
        "software": request.environ["SERVER_SOFTWARE"],
        "multithread": request.environ["wsgi.multithread"],
        "multiprocess": request.environ["wsgi.multiprocess"],
        "debug": app.debug,
        "setting": os.environ.get("FROM_FILE", ""),
    }


@app.get("/fail")
def fail() -> str:
    raise RuntimeError("the view failed")


if __name__ == "__main__":
    app.run(**{"port": 0, **json.loads(os.environ.get("RUN_ARGUMENTS", "{}"))})
