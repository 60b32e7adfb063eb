"""The database: a connection per request, closed with it.

Owns the schema's creation and the key that signs the sessions. Knows nothing of pages.
"""

from __future__ import annotations

import secrets
import sqlite3
from pathlib import Path

from flask import Flask, current_app, g

# How long a writer waits for another one, in seconds. SQLite has one lock for all threads and processes.
_LONGEST_WAIT = 10.0


def connection() -> sqlite3.Connection:
    """The one of this request."""
    if "database" not in g:
        g.database = _open(current_app.config["DATABASE"])
    opened: sqlite3.Connection = g.database
    return opened


def init_app(app: Flask) -> None:
    """Create what is missing, and close connections when requests end.

    Several processes may do so at once, so each statement says "if it is not there yet".
    """
    path = Path(app.config["DATABASE"])
    path.parent.mkdir(parents=True, exist_ok=True)
    opened = _open(path)
    try:
        opened.executescript(Path(app.root_path, "schema.sql").read_text())
        # In the database, so that each process of the server has the same key, also after the next start.
        with opened:
            opened.execute("INSERT OR IGNORE INTO secret VALUES (1, ?)", (secrets.token_hex(),))
        (key,) = opened.execute("SELECT key FROM secret").fetchone()
    finally:
        opened.close()
    if app.config["SECRET_KEY"] is None:
        app.config["SECRET_KEY"] = key
    app.teardown_appcontext(_close)


def _open(path: str | Path) -> sqlite3.Connection:
    opened = sqlite3.connect(path, timeout=_LONGEST_WAIT)
    opened.row_factory = sqlite3.Row
    opened.execute("PRAGMA foreign_keys = ON")
    return opened


def _close(error: BaseException | None) -> None:
    opened = g.pop("database", None)
    if opened is not None:
        opened.close()
