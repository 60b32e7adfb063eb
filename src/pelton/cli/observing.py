"""The commands that look at a running server: dump, profile, top; and doctor, which looks around it.

Owns their options and how what they find is printed. What they ask is `pelton.observe`'s. Main thread.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import click

from pelton.cli.ending import FAILED, USAGE, exit_with
from pelton.cli.options import Command
from pelton.exceptions import ConfigError, PeltonError

_P = ParamSpec("_P")
_CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def reported(function: Callable[_P, None]) -> Callable[_P, None]:
    """An error of pelton's is printed, and ends the command with exit code 1, or 2 for wrong arguments."""

    @wraps(function)
    def command(*arguments: _P.args, **named: _P.kwargs) -> None:
        try:
            function(*arguments, **named)
        except ConfigError as error:
            exit_with(error, USAGE)
        except PeltonError as error:
            exit_with(error, FAILED)

    return command


def server_options() -> list[click.Parameter]:
    """How a running server is named."""
    return [
        click.Option(
            ["--admin"],
            metavar="ADDRESS",
            help="An --admin-bind address of the server (host:port, unix:/path); else the one that runs.",
        ),
        click.Option(["--pid"], type=int, help="Which of several servers, by the pid of what was started."),
    ]


_JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print JSON, of the shape in docs/seeing.md.")


@reported
def _dump(admin: str | None, pid: int | None, as_json: bool, everything: bool) -> None:
    """Print where every thread of a running server is, what it waits for, and who holds that.

    Nothing is stopped or restarted, and no code of the application runs for it.
    """
    from pelton.observe.client import ask_json, find_server
    from pelton.observe.dump_text import dump_text

    found = ask_json(find_server(admin, pid), "/dump", expects="workers")
    click.echo(json.dumps(found) if as_json else dump_text(found, everything=everything))


@reported
def _profile(
    admin: str | None,
    pid: int | None,
    seconds: float,
    rate: int,
    form: str,
    output: Path | None,
) -> None:
    """Look for some seconds at what the requests of a running server do, and write a profile.

    Computing is distinguished from waiting for the interpreter, a lock, the network or a disk.
    """
    from pelton.observe.client import NO_ADMIN, ask, find_server

    path = f"/profile?seconds={seconds}&rate={rate}&format={form}"
    address = find_server(admin, pid)
    text = ask(address, path, seconds=seconds + 30).decode(errors="replace")
    if text.lstrip()[:5].lower() in ("<!doc", "<html"):
        raise PeltonError(f"The server on {address} sends a page and no profile.", NO_ADMIN)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PeltonError(f"{output} cannot be written: {error.strerror}.") from None
    click.echo(f"{output} is written.", err=True)


@reported
def _top(admin: str | None, pid: int | None, as_json: bool, once: bool, interval: float) -> None:
    """Show what a running server does now: rates, times, queue, workers, routes, running requests.

    Keys: s sorts otherwise, l shows the stack of the oldest request, n that of the next, r reloads,
    + and - change the number of workers, q ends it.
    """
    from pelton.observe.client import ask_json, find_server
    from pelton.observe.summary import summary

    address = find_server(admin, pid)
    if once or as_json:
        before = ask_json(address, "/state", expects="workers")
        time.sleep(interval)
        found = summary(ask_json(address, "/state", expects="workers"), before)
        if as_json:
            click.echo(json.dumps(found))
            return
        from pelton.observe.summary import summary_text

        click.echo(summary_text(found))
        return
    try:
        from pelton.observe.live import show
    except ImportError as error:
        raise PeltonError(
            f"The live view needs {error.name}.", "pip install 'pelton[top]', or use pelton top --once."
        ) from None
    show(address, interval)


@reported
def _doctor(
    target: str | None, admin: str | None, pid: int | None, as_json: bool, config: str | None
) -> None:
    """Look at what a server here lives with: versions, limits, cgroup, kernel, time-outs, drivers, proxies.

    Of a server that runs also how it is getting on; with MODULE also whether the pools of the application
    suit the threads. Settings are those of that server; without one, or with --config, those of files and
    variables. Exit code 1 where something is wrong.
    """
    from pelton.cli.doctor import MARKS, as_json_of, examine, is_wrong

    findings = examine(admin, pid, config, target)
    if as_json:
        click.echo(json.dumps(as_json_of(findings)))
    else:
        for one in findings:
            mark, colour = MARKS[one.verdict]
            click.echo(f"{click.style(mark, fg=colour)} {one.what}")
            for line in one.lines:
                click.echo(f"    {line}")
    if is_wrong(findings):
        sys.exit(FAILED)


def for_running_server(name: str, callback: Callable[..., None], *params: click.Parameter) -> Command:
    """A command that asks a running server."""
    return Command(
        name,
        params=[*params, *server_options()],
        callback=callback,
        help=callback.__doc__,
        context_settings=_CONTEXT_SETTINGS,
    )


COMMANDS = {
    "dump": for_running_server(
        "dump",
        _dump,
        _JSON,
        click.Option(["--all", "everything"], is_flag=True, help="Also threads that do nothing."),
    ),
    "profile": for_running_server(
        "profile",
        _profile,
        click.Option(
            ["--seconds"], type=click.FloatRange(0.1, 300), default=10.0, show_default=True, help="How long."
        ),
        click.Option(
            ["--rate"], type=click.IntRange(1, 200), default=50, show_default=True, help="Looks per second."
        ),
        click.Option(
            ["--format", "form"],
            type=click.Choice(["speedscope", "collapsed", "svg", "json"]),
            default="speedscope",
            show_default=True,
            help="For speedscope.app, for flamegraph.pl, a flame graph, or pelton's own.",
        ),
        click.Option(
            ["-o", "--output"], type=click.Path(dir_okay=False, path_type=Path), help="Where to write it."
        ),
    ),
    "top": for_running_server(
        "top",
        _top,
        _JSON,
        click.Option(["--once"], is_flag=True, help="Print it once, as text, and end."),
        click.Option(
            ["--interval"],
            type=click.FloatRange(0.1, 60),
            default=1.0,
            show_default=True,
            help="Seconds between two looks.",
        ),
    ),
    "doctor": for_running_server(
        "doctor",
        _doctor,
        click.Argument(["target"], metavar="[MODULE[:APP]]", required=False),
        _JSON,
        click.Option(["-c", "--config"], metavar="FILE", help="As for serving."),
    ),
}
