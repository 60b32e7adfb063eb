"""``flask --app hello serve``: the command that Flask's own command line finds as a plugin.

Owns its options; what they do is Flask's own ``run`` with pelton in the place of Werkzeug's server, so
application factories, ``.flaskenv``, ``--debug`` and load errors are exactly as people know them. Flask loads
this module for every ``flask …`` command, so it imports nothing of pelton until it is called.
"""

from __future__ import annotations

import copy
from typing import Any

import click
from flask.cli import CertParamType, run_command


class _Cert(CertParamType):
    """Flask's own type of ``--cert``, but ``adhoc`` asks for no further package, and contexts are seen."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from pelton.tls.ssl_context import recorded

        try:
            # The name of an SSLContext: its module is imported here.
            with recorded():
                return super().convert(value, param, ctx)
        except click.BadParameter:
            if str(value).lower() == "adhoc":
                return "adhoc"
            raise


_OPTIONS = (
    click.Option(
        ["--workers"],
        type=click.IntRange(min=0),
        help="Worker processes; 0 (the default) serves in this one.",
    ),
    click.Option(
        ["--threads"],
        metavar="N|MIN:MAX|auto",
        help="Requests at the same time, in each process; auto (the default): as many as are needed.",
    ),
    click.Option(["-k", "--worker-class"], help="The way to run requests: threads, sync, …"),
)


def _serve(workers: int | None, threads: str | None, worker_class: str | None, **options: Any) -> None:
    """Serve with pelton during development.

    Takes all options of 'flask run', which mean the same. For production there is the command 'pelton'.
    """
    from pelton.development.installation import install
    from pelton.exceptions import PeltonError
    from pelton.process.first import leave_first_place

    leave_first_place()
    given = {"workers": workers, "threads": threads, "worker_kind": worker_class}
    if worker_class is not None and options.get("with_threads") is False:
        raise click.UsageError("--without-threads is the worker kind sync; leave out -k.")
    if threads not in (None, "1") and options.get("with_threads") is False:
        raise click.UsageError(
            f"--without-threads serves one request at a time, --threads {threads} several: leave one out."
        )
    try:
        install(**{name: value for name, value in given.items() if value is not None})
        assert run_command.callback is not None
        # Not as a command of its own, which errors would name: "flask serve run".
        run_command.callback(**options)
    except PeltonError as error:
        raise click.ClickException(str(error)) from None


def _parameters() -> list[click.Parameter]:
    """Flask's, whichever version it is, and ours; each can be given as FLASK_SERVE_… and as FLASK_RUN_…."""
    made: list[click.Parameter] = []
    for parameter in (*run_command.params, *_OPTIONS):
        one = copy.copy(parameter)
        if one.name == "cert":
            one.type = _Cert()
        if isinstance(one, click.Option) and one.envvar is None and one.name is not None:
            one.envvar = [f"FLASK_SERVE_{one.name.upper()}", f"FLASK_RUN_{one.name.upper()}"]
        made.append(one)
    return made


serve = click.Command(
    "serve",
    params=_parameters(),
    callback=_serve,
    help=_serve.__doc__,
    short_help="Serve with pelton during development.",
)
