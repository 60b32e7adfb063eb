"""The command ``penstock``.

Owns options, the exit code and how errors look. The options come from the table of settings. Must not load
the native module before the arguments are known to be right, so that help and errors come fast and always.
Main thread.

Exit codes: 0 ended as asked; 1 cannot serve (an address in use, …); 2 wrong arguments; 3 no application.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from penstock.app_loader import ApplicationError, Target, load_application, parse_target
from penstock.config.address import parse_address
from penstock.config.errors import ConfigError, PenstockError
from penstock.config.setting import Group, Setting
from penstock.config.settings import TABLE, Settings, settings_from
from penstock.logs.setup import set_up_logging
from penstock.version import VERSION

_FAILED, _USAGE, _NO_APPLICATION = 1, 2, 3


# Generic only in newer releases of click, so without the parameter that the checker asks for.
class _SettingType(click.ParamType):  # type: ignore[type-arg]
    """Reads the text of an option as its row of the table says."""

    def __init__(self, row: Setting) -> None:
        self._row = row
        self.name = row.unit.value

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._row.parse(value)
        except ConfigError as error:
            self.fail(" ".join([error.what, *error.lines]), param, ctx)


class _SettingOption(click.Option):
    """The option for one row of the table."""

    def __init__(self, row: Setting) -> None:
        super().__init__(
            [*row.flags, row.name],
            type=click.Choice(row.choices) if row.choices else _SettingType(row),
            metavar=row.unit.value,
            # Not the default itself: what is not given stays out, so that later sources can be told from
            # defaults.
            default=None,
            multiple=row.repeatable,
            help=f"{_help(row)}  [default: {row.show(row.default)}]",
        )
        self.group = row.group


def _help(row: Setting) -> str:
    return f"{row.help} One of {', '.join(row.choices)}." if row.choices else row.help


class _Command(click.Command):
    """Lists the options under the headings of the table."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for one in self.get_params(ctx):
            record = one.get_help_record(ctx)
            if record is not None:
                title = one.group.value if isinstance(one, _SettingOption) else "Other"
                groups.setdefault(title, []).append(record)
        for title in (*(group.value for group in Group), "Other"):
            if title in groups:
                with formatter.section(title):
                    formatter.write_dl(groups[title], col_max=30)


def _serve(target: str, **given: Any) -> None:
    """Serve a WSGI application.

    MODULE is a module name (shop, shop.wsgi) or a file (path/to/shop.py). APP is a variable in it (app), an
    attribute of one (site.wsgi), or a call that makes one (create_app(), create_app("test")). Without APP,
    penstock looks for app, application, the only application in the module, create_app() and make_app().
    """
    # An option that was not given is None, or () if repeatable.
    values = {name: value for name, value in given.items() if value not in (None, ())}
    try:
        settings = settings_from(values)
        for text in settings.bind:
            # Wrong arguments are told before the application is imported, which may take long and do things.
            parse_address(text)
        parsed = parse_target(target)
    except ConfigError as error:
        _exit_with(error, _USAGE)
    try:
        _serve_checked(parsed, settings)
    except ApplicationError as error:
        _exit_with(error, _NO_APPLICATION)
    except ConfigError as error:
        _exit_with(error, _USAGE)
    except PenstockError as error:
        _exit_with(error, _FAILED)


def _serve_checked(target: Target, settings: Settings) -> None:
    set_up_logging(settings.log_level)
    directory = Path.cwd()
    # As `python` itself, `flask` and gunicorn do; the installed command has its own directory there instead.
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
    application = load_application(target, directory)

    from penstock.api import run_with

    run_with(application, settings)


def _exit_with(error: PenstockError, code: int) -> NoReturn:
    message = str(error)
    if isinstance(error, ApplicationError) and error.traceback:
        click.echo(error.traceback.rstrip() + "\n", err=True)
    click.echo(f"{click.style('Error:', fg='red')} {message}", err=True, color=_colour())
    sys.exit(code)


def _colour() -> bool | None:
    return False if os.environ.get("NO_COLOR") else None


def _show_version(context: click.Context, option: click.Parameter, given: bool) -> None:
    if given and not context.resilient_parsing:
        click.echo(f"penstock {VERSION}")
        context.exit()


main = _Command(
    "penstock",
    params=[
        click.Argument(["target"], metavar="MODULE[:APP]"),
        *(_SettingOption(row) for row in TABLE),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_version,
            help="Show the version and exit.",
        ),
    ],
    callback=_serve,
    help=_serve.__doc__,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
