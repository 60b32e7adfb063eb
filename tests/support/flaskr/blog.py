"""Posts: everybody reads them, who is logged in writes them, and their authors change and delete them."""

from __future__ import annotations

import sqlite3

from flask import Blueprint, abort, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from support.flaskr.auth import login_required
from support.flaskr.db import get_db

bp = Blueprint("blog", __name__)

SELECT = (
    "SELECT p.id, title, body, created, author_id, username FROM post p JOIN user u ON p.author_id = u.id"
)


@bp.route("/")
def index() -> str:
    posts = get_db().execute(f"{SELECT} ORDER BY created DESC, p.id DESC LIMIT 20").fetchall()
    return render_template("blog/index.html", posts=posts)


def get_post(number: int, check_author: bool = True) -> sqlite3.Row:
    post: sqlite3.Row | None = get_db().execute(f"{SELECT} WHERE p.id = ?", (number,)).fetchone()
    if post is None:
        abort(404, f"There is no post {number}.")
    if check_author and post["author_id"] != g.user["id"]:
        abort(403)
    return post


@bp.route("/create", methods=("GET", "POST"))
@login_required
def create() -> ResponseReturnValue:
    if request.method == "POST":
        if request.form["title"]:
            db = get_db()
            db.execute(
                "INSERT INTO post (title, body, author_id) VALUES (?, ?, ?)",
                (request.form["title"], request.form["body"], g.user["id"]),
            )
            db.commit()
            return redirect(url_for("blog.index"))
        flash("A title is needed.")
    return render_template("blog/form.html", title="New Post", post=None)


@bp.route("/<int:number>/update", methods=("GET", "POST"))
@login_required
def update(number: int) -> ResponseReturnValue:
    post = get_post(number)
    if request.method == "POST":
        if request.form["title"]:
            db = get_db()
            db.execute(
                "UPDATE post SET title = ?, body = ? WHERE id = ?",
                (request.form["title"], request.form["body"], number),
            )
            db.commit()
            return redirect(url_for("blog.index"))
        flash("A title is needed.")
    return render_template("blog/form.html", title="Edit", post=post)


@bp.route("/<int:number>/delete", methods=("POST",))
@login_required
def delete(number: int) -> ResponseReturnValue:
    get_post(number)
    db = get_db()
    db.execute("DELETE FROM post WHERE id = ?", (number,))
    db.commit()
    return redirect(url_for("blog.index"))
