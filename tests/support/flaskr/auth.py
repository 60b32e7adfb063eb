"""Accounts, below /auth: register, log in, log out; and who is there, before each request."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from flask import Blueprint, flash, g, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from werkzeug.security import check_password_hash, generate_password_hash

from support.flaskr.db import get_db

bp = Blueprint("auth", __name__, url_prefix="/auth")


@bp.before_app_request
def load_logged_in_user() -> None:
    number = session.get("user_id")
    if number is None:
        g.user = None
    else:
        g.user = get_db().execute("SELECT * FROM user WHERE id = ?", (number,)).fetchone()


def login_required(view: Callable[..., ResponseReturnValue]) -> Callable[..., ResponseReturnValue]:
    @functools.wraps(view)
    def wrapped_view(**named: Any) -> ResponseReturnValue:
        if g.user is None:
            return redirect(url_for("auth.login"))
        return view(**named)

    return wrapped_view


@bp.route("/register", methods=("GET", "POST"))
def register() -> ResponseReturnValue:
    if request.method == "POST":
        username, password = request.form["username"], request.form["password"]
        db = get_db()
        error = None
        if not username:
            error = "A name is needed."
        elif not password:
            error = "A password is needed."
        if error is None:
            try:
                db.execute(
                    "INSERT INTO user (username, password) VALUES (?, ?)",
                    (username, generate_password_hash(password, "pbkdf2:sha256:1000")),
                )
                db.commit()
            except db.IntegrityError:
                error = f"{username} is registered already."
            else:
                return redirect(url_for("auth.login"))
        flash(error)
    return render_template("auth/form.html", title="Register")


@bp.route("/login", methods=("GET", "POST"))
def login() -> ResponseReturnValue:
    if request.method == "POST":
        row = (
            get_db().execute("SELECT * FROM user WHERE username = ?", (request.form["username"],)).fetchone()
        )
        if row is not None and check_password_hash(row["password"], request.form["password"]):
            session.clear()
            session["user_id"] = row["id"]
            return redirect(url_for("index"))
        flash("The name or the password is wrong.")
    return render_template("auth/form.html", title="Log In")


@bp.route("/logout")
def logout() -> ResponseReturnValue:
    session.clear()
    return redirect(url_for("index"))
