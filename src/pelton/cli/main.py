"""The command ``pelton``.

Owns the commands, the exit code and how errors look. The options come from the table of settings
(`pelton.cli`). Must not load the native module before the arguments are known to be right, so that
help and errors come fast and always. Main thread.

Exit codes: 0 ended as asked; 1 cannot serve (an address in use, no worker that lives, …); 2 wrong arguments;
3 no application.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from pelton.cli import serving, settings_commands
from pelton.cli.administration import COMMANDS as ADMINISTRATION
from pelton.cli.auditing import COMMANDS as AUDITING
from pelton.cli.ending import USAGE
from pelton.cli.observing import COMMANDS as OBSERVING
from pelton.cli.options import (
    Command,
    option_for_all_of_the_help,
    options_for_development,
    options_of_settings,
)
from pelton.cli.tuning import COMMANDS as TUNING
from pelton.exceptions import ConfigError
from pelton.process.first import leave_first_place
from pelton.version import VERSION


def _run(module: bool, script: str, arguments: tuple[str, ...], **given: Any) -> None:
    """Run a script as python does; its app.run() is served by pelton.

    For development. Options stand before SCRIPT; the arguments behind it are its own. With -m, SCRIPT is the
    name of a module or package.
    """
    from pelton.development.script import run_module, run_script

    leave_first_place()
    settings = {name: value for name, value in given.items() if value not in (None, ())}
    try:
        code = (run_module if module else run_script)(script, arguments, settings)
    except ConfigError as error:
        serving.exit_with_error(error, USAGE)
    sys.exit(code)


def _show_version(context: click.Context, option: click.Parameter, given: bool) -> None:
    if given and not context.resilient_parsing:
        click.echo(f"pelton {VERSION}")
        context.exit()


class _Target(click.Argument):
    """Completed as a file, and, as the first word, as a command."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        commands = [] if ctx.args else [name for name in _COMMANDS if name.startswith(incomplete)]
        return [*map(CompletionItem, commands), CompletionItem(incomplete, type="file")]


class _Main(Command):
    """Serves, unless the first word is the name of a command.

    A module of that name is still served as ./config.py or config:app.
    """

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args and args[0] in _COMMANDS:
            name, *rest = args
            return _COMMANDS[name]().make_context(f"{info_name} {name}", rest, parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands (as the first word)"):
            formatter.write_dl([(name, one.get_short_help_str(200)) for name, one in commands().items()])


def _command(callback: Callable[..., None], name: str) -> Command:
    return Command(
        name,
        params=[
            click.Argument(["target"], metavar="[MODULE[:APP][=PLACE]]", nargs=-1),
            *_common_options(),
        ],
        callback=callback,
        help=callback.__doc__,
        context_settings=_CONTEXT_SETTINGS,
    )


def _common_options() -> list[click.Parameter]:
    return [*options_of_settings(), option_for_all_of_the_help()]


# The keys of `pelton.deploy.TARGETS`, which serving need not import.
_DEPLOYED = ("systemd", "docker", "compose", "kubernetes", "nginx", "haproxy", "apache", "procfile")
_CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"]}


def _made(command: click.Command) -> click.Command:
    return command


# Made when one is asked for: each has an option for every setting, which takes long at every start.
_COMMANDS: dict[str, Callable[[], click.Command]] = {
    "config": lambda: _command(settings_commands.config, "config"),
    "check": lambda: _command(settings_commands.check, "check"),
    "tls-report": lambda: _command(settings_commands.tls_report, "tls-report"),
    "run": lambda: Command(
        "run",
        params=[
            click.Option(["-m", "module"], is_flag=True, help="Run a module, as python -m does."),
            click.Argument(["script"], metavar="SCRIPT"),
            click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED),
            *options_for_development(),
            option_for_all_of_the_help(),
        ],
        callback=_run,
        help=_run.__doc__,
        # What follows the script's name is the script's, even --help.
        context_settings={**_CONTEXT_SETTINGS, "allow_interspersed_args": False},
    ),
    "deploy": lambda: Command(
        "deploy",
        params=[
            click.Argument(["kind"], metavar="KIND", type=click.Choice(_DEPLOYED)),
            click.Argument(["target"], metavar="[MODULE[:APP][=PLACE]]", nargs=-1),
            click.Option(
                ["-o", "--output"],
                type=click.Path(file_okay=False, path_type=Path),
                metavar="FOLDER",
                help="Where to write the files; a file that is there and different stays as it is.",
            ),
            *_common_options(),
        ],
        callback=settings_commands.deploy,
        help=f"{settings_commands.deploy.__doc__}\n\nKIND is one of: {', '.join(_DEPLOYED)}.",
        context_settings=_CONTEXT_SETTINGS,
    ),
    **{
        name: partial(_made, one)
        for name, one in {**OBSERVING, **ADMINISTRATION, **AUDITING, **TUNING}.items()
    },
    "migrate": lambda: Command(
        "migrate",
        params=[click.Argument(["argument"], metavar="WHAT", nargs=-1, required=True)],
        callback=settings_commands.migrate,
        help=settings_commands.migrate.__doc__,
        # The options of the other server are its own business.
        context_settings={**_CONTEXT_SETTINGS, "ignore_unknown_options": True},
    ),
}


def commands() -> dict[str, click.Command]:
    """The commands by the word that names them."""
    return {name: make() for name, make in _COMMANDS.items()}


main = _Main(
    "pelton",
    params=[
        _Target(["target"], metavar="MODULE[:APP][=PLACE]", nargs=-1),
        *_common_options(),
        click.Option(
            ["-v", "--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_version,
            help="Show the version and exit.",
        ),
    ],
    callback=serving.serve,
    help=serving.serve.__doc__,
    no_args_is_help=True,
    context_settings=_CONTEXT_SETTINGS,
)
