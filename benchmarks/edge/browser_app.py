"""The page of the scene in the browser."""

from flask import Flask

app = Flask(__name__)

_STYLES = "".join(f'<link rel="stylesheet" href="/static/{number}.css">' for number in range(10))
_SCRIPTS = "".join(f'<script defer src="/static/{number}.js"></script>' for number in range(10))
_PICTURES = "".join(f'<img width="20" height="20" src="/static/{number}.svg">' for number in range(40))


@app.get("/")
def page() -> str:
    """60 assets, and the picture of a browser's tab is none."""
    head = f'<link rel="icon" href="data:,">{_STYLES}{_SCRIPTS}'
    return f"<!doctype html><title>A page</title>{head}<body>{_PICTURES}</body>"
