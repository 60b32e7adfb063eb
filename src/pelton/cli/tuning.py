"""The command ``pelton tune``. Owns its options and what it prints. Main thread.

Exit codes: 0 it was measured; 1 it could not be; 2 wrong arguments; 3 no application.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pelton.cli.ending import FAILED, NO_APPLICATION, USAGE, exit_with, working_directory
from pelton.cli.options import Command
from pelton.cli.request_options import file_option, header_option, request_option
from pelton.exceptions import ApplicationError, ConfigError, PeltonError

if TYPE_CHECKING:
    from pelton.requests.reading import Form
    from pelton.requests.request import Request
    from pelton.tune.server import Setting
    from pelton.tune.tuning import Result

_MOST_SETTINGS = 24
_MOST_AT_ONCE = 4096


def _tune(target: str, as_json: bool, report: Path | None, **given: Any) -> None:
    """Run an application under a load that grows, and say what it costs, where it saturates, what to set.

    The load is that of an access log, a HAR file, an OpenAPI document or a list of requests; without one,
    GET / is sent. Servers are started on this machine with each setting in turn, and a load generator beside
    them. What the requests do is done: methods that change something are sent only with --unsafe-methods.
    """
    try:
        if not as_json and report is None:
            report = Path("pelton-tune.html")
        result = _measured(target, as_json, given)
        if report is not None:
            from pelton.tune.report import report as page_of

            _write(report, page_of(result))
    except ApplicationError as error:
        exit_with(error, NO_APPLICATION)
    except ConfigError as error:
        exit_with(error, USAGE)
    except PeltonError as error:
        exit_with(error, FAILED)
    if as_json:
        click.echo(json.dumps(result.as_json()))
        return
    from pelton.tune.text import text_of

    for line in text_of(result):
        click.echo(line)
    click.echo(f"\n{report} has the plots.")


def _measured(target: str, as_json: bool, given: dict[str, Any]) -> Result:
    from pelton.loader import parse_target
    from pelton.tune.load import load_of
    from pelton.tune.tuning import tune

    parse_target(target)
    source, requests = _requests(given)
    load = load_of(requests, unsafe=given["unsafe_methods"], headers=given["header"])
    if not as_json:
        for reason, count in load.skipped.items():
            click.echo(f"{count} requests are left out: {reason}.")
    return tune(
        target,
        load,
        _settings(given["threads"], given["workers"], given["kind"]),
        given["concurrency"],
        source=source,
        seconds=given["seconds"],
        directory=working_directory(),
        tell=(lambda _: None) if as_json else click.echo,
    )


def _requests(given: dict[str, Any]) -> tuple[str, list[Request]]:
    """Where the load comes from, and its requests. Raises ConfigError."""
    from pelton.requests.reading import Form, read
    from pelton.requests.request import parse

    forms: dict[str, Form | None] = {
        "requests": None,
        "log": Form.LOG,
        "har": Form.HAR,
        "openapi": Form.OPENAPI,
    }
    files = [(given[name], form) for name, form in forms.items() if given[name] is not None]
    found = [one for file, form in files for one in read(file, form)]
    found += map(parse, given["request"])
    names = [str(file) for file, _ in files] or ["the command line"]
    return ", ".join(names), found or [parse("/")]


def _settings(threads: tuple[int, ...], workers: tuple[int, ...], kinds: tuple[str, ...]) -> list[Setting]:
    """All combinations. Raises ConfigError."""
    from pelton.config.worker_kinds import kind_named
    from pelton.system import processors
    from pelton.tune.server import Setting

    for kind in kinds:
        kind_named(kind).require()
    of_machine = max(1, int(processors()))
    chosen = workers or tuple(sorted({1, of_machine}))
    found = [Setting(one, count, kind) for kind, count, one in product(kinds, chosen, threads)]
    # A kind that runs one request at a time does so whatever the threads are.
    found = list({(str(one.as_json())): one for one in found}.values())
    if len(found) > _MOST_SETTINGS:
        raise ConfigError(f"{len(found)} settings are too many; {_MOST_SETTINGS} are the most.")
    return found


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PeltonError(f"{path} cannot be written: {error.strerror}.") from None


# Generic only in newer releases of click.
class _Numbers(click.ParamType):  # type: ignore[type-arg]
    """``1,4,16``: whole numbers, rising, each once."""

    name = "numbers"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """The numbers."""
        if not isinstance(value, str):
            return tuple(value)
        try:
            found = sorted({int(part) for part in value.split(",")})
        except ValueError:
            self.fail(f"{value!r} is no list of numbers; write for example 1,4,16.", param, ctx)
        if found[0] < 1 or found[-1] > _MOST_AT_ONCE:
            self.fail(f"{value!r}: each is from 1 to {_MOST_AT_ONCE}.", param, ctx)
        return tuple(found)


COMMANDS = {
    "tune": Command(
        "tune",
        params=[
            click.Argument(["target"], metavar="MODULE[:APP]"),
            file_option("--log", "The load of an access log: combined, or pelton's JSON."),
            file_option("--har", "The load of a HAR file that a browser has saved."),
            file_option("--openapi", "One request for each operation of an OpenAPI document (version 3)."),
            file_option("--requests", "A list: METHOD PATH [BODY] in each line; or any of the other three."),
            request_option("/shop?page=2"),
            header_option(),
            click.Option(
                ["--unsafe-methods"],
                is_flag=True,
                help="Send also POST, PUT, PATCH, DELETE, again and again.",
            ),
            click.Option(
                ["--seconds"],
                type=click.FloatRange(1, 86_400),
                default=60.0,
                show_default=True,
                help="How long to measure, all in all; starting servers comes to it.",
            ),
            click.Option(
                ["--concurrency"],
                type=_Numbers(),
                default="1,2,4,8,16,32,64",
                show_default=True,
                help="Requests at once, one after the other.",
            ),
            click.Option(
                ["--threads"], type=_Numbers(), default="2,16,64", show_default=True, help="To be tried."
            ),
            click.Option(
                ["--workers"], type=_Numbers(), default=(), help="To be tried; else 1, and one a processor."
            ),
            click.Option(
                ["-k", "--kind"],
                multiple=True,
                default=("threads",),
                help="Worker kinds to be tried. Repeatable.",
            ),
            click.Option(
                ["-o", "--report"],
                type=click.Path(dir_okay=False, path_type=Path),
                metavar="FILE",
                help="Where to write the report. [default: pelton-tune.html; none with --json]",
            ),
            click.Option(
                ["--json", "as_json"], is_flag=True, help="Print JSON, of the shape in docs/tune.md."
            ),
        ],
        callback=_tune,
        help=_tune.__doc__,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    ),
}
