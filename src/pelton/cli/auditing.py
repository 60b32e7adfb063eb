"""The command ``pelton audit``. Owns its options and how findings are printed. Main thread.

Exit codes: 0 nothing unsafe was found; 1 something was; 2 wrong arguments; 3 no application.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from pelton.cli.ending import NO_APPLICATION, USAGE, exit_with, working_directory
from pelton.cli.options import Command
from pelton.cli.request_options import file_option, header_option, request_option
from pelton.exceptions import ConfigError
from pelton.loader import ApplicationError, parse_target

if TYPE_CHECKING:
    from pelton.audit.finding import Finding

_UNSAFE = 1


def _audit(
    target: str,
    request: tuple[str, ...],
    file: Path | None,
    header: tuple[str, ...],
    package: tuple[str, ...],
    rounds: int,
    as_json: bool,
) -> None:
    """Run an application with requests, and say what makes it unsafe with threads or processes.

    It is called directly, without a server: state that requests change, differences between requests alone
    and at once, threads and connections made before a fork, files that several workers would write. What the
    requests do is done: use a database for tests.

    Without requests, GET of each rule of a Flask application that needs no values is sent.
    """
    from pelton.audit.audit import audit
    from pelton.requests.reading import different, read
    from pelton.requests.request import parse, parse_field

    directory = working_directory()
    found: list[Finding] = []
    output = _own_output() if as_json else sys.stdout
    try:
        fields = [parse_field(one) for one in header]
        requests = [*map(parse, request), *(different(read(file)) if file else ())]
        looked_at = audit(
            parse_target(target), directory, requests, rounds=rounds, fields=fields, packages=package
        )
        for finding in looked_at:
            found.append(finding)
            if not as_json:
                _print(finding)
    except ApplicationError as error:
        exit_with(error, NO_APPLICATION)
    except ConfigError as error:
        exit_with(error, USAGE)
    unsafe = sum(finding.is_unsafe for finding in found)
    if as_json:
        click.echo(json.dumps({"unsafe": unsafe, "findings": [one.as_json() for one in found]}), file=output)
    else:
        click.echo(f"{unsafe} unsafe, {len(found) - unsafe} to know.")
    # Threads of the application need not end by themselves.
    output.flush()
    os._exit(_UNSAFE if unsafe else 0)


def _own_output() -> IO[str]:
    """The standard output, for the JSON alone: what the application prints goes to the standard error."""
    sys.stdout.flush()
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return output


def _print(finding: Finding) -> None:
    mark, colour = ("✗", "red") if finding.is_unsafe else ("!", "yellow")
    place = f"  {finding.where}" if finding.where else ""
    click.echo(f"{click.style(mark, fg=colour)} {finding.kind.value}: {finding.name}{place}")
    click.echo(f"    {finding.reason}")
    click.echo(f"    Seen with {finding.request}. {finding.instead}")


COMMANDS = {
    "audit": Command(
        "audit",
        params=[
            click.Argument(["target"], metavar="MODULE[:APP]"),
            request_option("POST /login name=a"),
            file_option(
                "--requests",
                "A file of them: one a line, an access log, a HAR file, or an OpenAPI document.",
                "file",
            ),
            header_option(),
            click.Option(
                ["--package"],
                multiple=True,
                metavar="NAME",
                help="Look into this installed package, too. Repeatable.",
            ),
            click.Option(
                ["--rounds"],
                type=click.IntRange(1, 10_000),
                default=20,
                show_default=True,
                help="How often each request is sent at the same time as the others.",
            ),
            click.Option(
                ["--json", "as_json"], is_flag=True, help="Print JSON, of the shape in docs/thread-safety.md."
            ),
        ],
        callback=_audit,
        help=_audit.__doc__,
        context_settings={"help_option_names": ["-h", "--help"]},
    ),
}
