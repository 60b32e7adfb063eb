"""The database: a connection in ``g``, closed with the application's context, and the command ``init-db``."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import click
from flask import Flask, current_app, g


def get_db() -> sqlite3.Connection:
    if "db" not in g:
        g.db = sqlite3.connect(current_app.config["DATABASE"], timeout=30)
        g.db.row_factory = sqlite3.Row
    found: sqlite3.Connection = g.db
    return found


def close_db(error: BaseException | None = None) -> None:
    db = g.pop("db", None)
    if db is not None:
        db.close()


def init_db() -> None:
    get_db().executescript(Path(current_app.root_path, "schema.sql").read_text(encoding="utf-8"))


@click.command("init-db")
def init_db_command() -> None:
    """Forget all data, and make the tables."""
    init_db()
    click.echo("The database is there.")


def init_app(app: Flask) -> None:
    app.teardown_appcontext(close_db)
    app.cli.add_command(init_db_command)
