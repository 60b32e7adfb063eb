"""The commands that change a running server: ``pelton purge``, ``pelton maintenance``.

Owns their options, and what they ask the admin listener. Main thread.
"""

from __future__ import annotations

from urllib.parse import urlencode

import click

from pelton.cli.observing import for_running_server, reported


@reported
def _purge(path: str | None, tag: str | None, everything: bool, admin: str | None, pid: int | None) -> None:
    """Forget kept responses of a running server, by PATH or by tag.

    PATH includes the query; with * at its end it means all that begin so.

    The server is named by one of its --admin-bind addresses, or found where only one runs.
    """
    from pelton.observe.client import ask_json, find_server

    if not (path or tag or everything):
        raise click.UsageError("Nothing is named. Write a PATH, --tag TAG, or --all.")
    query = urlencode({name: value for name, value in (("target", path), ("tag", tag)) if value})
    count = int(
        ask_json(find_server(admin, pid), f"/cache/purge?{query}", method="POST", expects="purged")["purged"]
    )
    click.echo(f"{count} {'response is' if count == 1 else 'responses are'} forgotten.")


@reported
def _maintenance(state: str, admin: str | None, pid: int | None) -> None:
    """Begin (on) or end (off) maintenance of a running server.

    Everybody but --maintenance-allow gets 503 with Retry-After meanwhile; health checks go on. Restarting the
    server ends it.
    """
    from pelton.observe.client import ask_json, find_server

    ask_json(find_server(admin, pid), f"/maintenance/{state}", method="POST")
    click.echo(f"Maintenance is {state}.")


COMMANDS = {
    "maintenance": for_running_server(
        "maintenance", _maintenance, click.Argument(["state"], type=click.Choice(["on", "off"]))
    ),
    "purge": for_running_server(
        "purge",
        _purge,
        click.Argument(["path"], metavar="[PATH]", required=False),
        click.Option(["--tag"], metavar="TAG", help="Those whose Cache-Tag has this tag."),
        click.Option(["--all", "everything"], is_flag=True, help="All."),
    ),
}
