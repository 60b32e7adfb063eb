"""The same work behind Flask, written the way a Flask user writes it."""

from flask import Flask, Response, jsonify, request

from benchmarks.apps.work import HELLO, MEBIBYTE, count_bytes, nap, spin

app = Flask(__name__)


@app.get("/")
def hello() -> str:
    return HELLO.decode()


@app.get("/json")
def json() -> Response:
    return jsonify(message="Hello, World!", items=list(range(10)), nested={"a": 1, "b": [True, None, 2.5]})


@app.get("/sleep")
def sleep() -> str:
    nap()
    return HELLO.decode()


@app.get("/cpu")
def cpu() -> str:
    return f"{spin()}\n"


@app.get("/large")
def large() -> Response:
    return Response(MEBIBYTE, mimetype="text/plain")


@app.post("/upload")
def upload() -> str:
    return f"{count_bytes(request.stream, request.content_length or 0)}\n"
