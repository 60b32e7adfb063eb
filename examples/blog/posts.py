"""Posts: everybody reads them, members write them, authors change and delete their own."""

from __future__ import annotations

import sqlite3

from flask import Blueprint, abort, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from blog.accounts import members_only
from blog.database import connection

blueprint = Blueprint("posts", __name__)

_POSTS = """
SELECT post.id, title, body, written, author, name
FROM post JOIN account ON account.id = author
"""


@blueprint.get("/")
def front() -> ResponseReturnValue:
    """All posts, the newest first."""
    rows = connection().execute(f"{_POSTS} ORDER BY post.id DESC").fetchall()
    return render_template("blog/front.html", posts=rows)


@blueprint.get("/new")
@members_only
def begin() -> ResponseReturnValue:
    """An empty form."""
    return render_template("blog/editor.html", title="New post", post=None)


@blueprint.post("/new")
@members_only
def publish() -> ResponseReturnValue:
    """A new post."""
    title, body = _text()
    if not title:
        flash("A post needs a title.")
        return render_template("blog/editor.html", title="New post", post=request.form), 400
    database = connection()
    with database:
        database.execute(
            "INSERT INTO post (author, title, body) VALUES (?, ?, ?)", (g.account["id"], title, body)
        )
    flash("Published.")
    return redirect(url_for("posts.front"))


@blueprint.get("/posts/<int:number>/edit")
@members_only
def edit(number: int) -> ResponseReturnValue:
    """The form with what is there."""
    return render_template("blog/editor.html", title="Edit", post=_own(number))


@blueprint.post("/posts/<int:number>/edit")
@members_only
def change(number: int) -> ResponseReturnValue:
    """A new text."""
    _own(number)
    title, body = _text()
    if not title:
        flash("A post needs a title.")
        return render_template("blog/editor.html", title="Edit", post=request.form), 400
    database = connection()
    with database:
        database.execute("UPDATE post SET title = ?, body = ? WHERE id = ?", (title, body, number))
    flash("Changed.")
    return redirect(url_for("posts.front"))


@blueprint.post("/posts/<int:number>/delete")
@members_only
def delete(number: int) -> ResponseReturnValue:
    """No post any more."""
    _own(number)
    database = connection()
    with database:
        database.execute("DELETE FROM post WHERE id = ?", (number,))
    flash("Deleted.")
    return redirect(url_for("posts.front"))


def _own(number: int) -> sqlite3.Row:
    """The visitor's own post; else the response is 404 or 403."""
    post: sqlite3.Row | None = connection().execute(f"{_POSTS} WHERE post.id = ?", (number,)).fetchone()
    if post is None:
        abort(404)
    if post["author"] != g.account["id"]:
        abort(403)
    return post


def _text() -> tuple[str, str]:
    return request.form.get("title", "").strip(), request.form.get("body", "")
