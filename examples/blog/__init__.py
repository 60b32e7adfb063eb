"""A small blog: accounts, posts, forms and flashed messages, with SQLite and nothing else.

A Flask application of the usual shape: a package with a factory. It uses nothing of pelton. From the
directory ``examples``, each of these serves it:

    python -m blog
    flask --app blog run
    pelton blog

Its settings come from variables that begin with BLOG, such as BLOG_DATABASE (a path).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask

from blog import accounts, database, posts


def create_app(settings: Mapping[str, Any] | None = None) -> Flask:
    """Make the application; ``settings`` go before the environment's."""
    app = Flask(__name__)
    app.config.from_mapping(
        DATABASE=str(Path(app.instance_path) / "blog.sqlite"),
        # A form of another site that is sent here comes without the cookie, so it is nobody's.
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=2**20,
    )
    app.config.from_prefixed_env("BLOG")
    app.config.from_mapping(settings or {})
    database.init_app(app)
    app.register_blueprint(accounts.blueprint)
    app.register_blueprint(posts.blueprint)
    return app
