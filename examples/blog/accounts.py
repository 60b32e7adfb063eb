"""Accounts: register, log in, log out, and who is there.

The session holds the account's number and nothing else.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable
from typing import ParamSpec

from flask import Blueprint, flash, g, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from werkzeug.security import check_password_hash, generate_password_hash

from blog.database import connection

blueprint = Blueprint("accounts", __name__)

_LONGEST_NAME = 40

P = ParamSpec("P")


@blueprint.before_app_request
def recognise() -> None:
    """Put the visitor's account into ``g.account``, or None."""
    number = session.get("account")
    query = "SELECT id, name FROM account WHERE id = ?"
    g.account = None if number is None else connection().execute(query, (number,)).fetchone()


def members_only(view: Callable[P, ResponseReturnValue]) -> Callable[P, ResponseReturnValue]:
    """Send whoever has not logged in to the form for it, and back from there."""

    @functools.wraps(view)
    def guarded(*positional: P.args, **named: P.kwargs) -> ResponseReturnValue:
        if g.account is None:
            flash("Log in first.")
            return redirect(url_for("accounts.login", next=request.path))
        return view(*positional, **named)

    return guarded


@blueprint.get("/register")
def registration() -> ResponseReturnValue:
    """The form."""
    return render_template("blog/account.html", title="Register")


@blueprint.post("/register")
def register() -> ResponseReturnValue:
    """Make an account."""
    name, password = _credentials()
    if not name or not password:
        flash("Both a name and a password are needed.")
        return render_template("blog/account.html", title="Register"), 400
    if len(name) > _LONGEST_NAME:
        flash(f"A name has at most {_LONGEST_NAME} characters.")
        return render_template("blog/account.html", title="Register"), 400
    database = connection()
    try:
        with database:
            database.execute(
                "INSERT INTO account (name, password) VALUES (?, ?)", (name, generate_password_hash(password))
            )
    except sqlite3.IntegrityError:
        flash(f"The name {name} is taken.")
        return render_template("blog/account.html", title="Register"), 409
    flash(f"Welcome, {name}. You can log in now.")
    return redirect(url_for("accounts.login"))


@blueprint.get("/login")
def login() -> ResponseReturnValue:
    """The form."""
    return render_template("blog/account.html", title="Log in")


@blueprint.post("/login")
def enter() -> ResponseReturnValue:
    """Begin a session."""
    name, password = _credentials()
    query = "SELECT id, password FROM account WHERE name = ?"
    found = connection().execute(query, (name,)).fetchone()
    # One message for both, so that nobody learns which names exist.
    if found is None or not check_password_hash(found["password"], password):
        flash("Name or password is wrong.")
        return render_template("blog/account.html", title="Log in"), 403
    session.clear()
    session["account"] = found["id"]
    flash(f"Hello, {name}.")
    return redirect(_next_page())


@blueprint.post("/logout")
def leave() -> ResponseReturnValue:
    """End the session."""
    session.clear()
    flash("You have logged out.")
    return redirect(url_for("posts.front"))


def _credentials() -> tuple[str, str]:
    return request.form.get("name", "").strip(), request.form.get("password", "")


def _next_page() -> str:
    page = request.args.get("next", "")
    # Only a path of this site: "//elsewhere" and "/\\elsewhere" lead to another one.
    if page.startswith("/") and not page.startswith(("//", "/\\")):
        return page
    return url_for("posts.front")
