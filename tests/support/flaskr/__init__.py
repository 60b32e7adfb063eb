"""The application of Flask's tutorial, in other words: the same parts, rules and names of views.

A factory, blueprints for accounts and posts, SQLite in the instance folder, sessions, flashed messages, a
command that makes the tables. ``FLASKR_DATABASE`` says where the database is.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from flask import Flask

from support.flaskr import auth, blog, db


def create_app(test_config: dict[str, Any] | None = None) -> Flask:
    app = Flask(__name__, instance_relative_config=True)
    app.config.from_mapping(
        SECRET_KEY="dev",
        DATABASE=os.environ.get("FLASKR_DATABASE", str(Path(app.instance_path) / "flaskr.sqlite")),
    )
    if test_config is None:
        app.config.from_pyfile("config.py", silent=True)
    else:
        app.config.update(test_config)
    Path(app.config["DATABASE"]).parent.mkdir(parents=True, exist_ok=True)

    @app.route("/hello")
    def hello() -> str:
        return "Hello, World!"

    db.init_app(app)
    app.register_blueprint(auth.bp)
    app.register_blueprint(blog.bp)
    app.add_url_rule("/", endpoint="index")
    return app
