"""What the command asks of a running server: ``pelton purge``, ``pelton maintenance``.

Owns the requests to the admin listener. Main thread.
"""

from __future__ import annotations

from urllib.parse import urlencode

from pelton.observe.client import ask_json


def purge(admin: str, path: str | None, tag: str | None) -> int:
    """Forget what fits; everything, where neither is given. Gives how many responses that were.

    Raises PeltonError when the server cannot be asked, or has no cache.
    """
    query = urlencode({name: value for name, value in (("target", path), ("tag", tag)) if value})
    return int(ask_json(admin, f"/cache/purge?{query}", method="POST")["purged"])


def maintain(admin: str, *, begins: bool) -> None:
    """Begin or end maintenance. Raises PeltonError when the server cannot be asked."""
    ask_json(admin, f"/maintenance/{'on' if begins else 'off'}", method="POST")
