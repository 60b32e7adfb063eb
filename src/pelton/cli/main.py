"""The command ``pelton``.

Owns the commands, the exit code and how errors look. The options come from the table of settings
(`pelton.cli`). Must not load the native module before the arguments are known to be right, so that
help and errors come fast and always. Main thread.

Exit codes: 0 ended as asked; 1 cannot serve (an address in use, no worker that lives, …); 2 wrong arguments;
3 no application.
"""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from pelton.cli.administration import COMMANDS as ADMINISTRATION
from pelton.cli.auditing import COMMANDS as AUDITING
from pelton.cli.configuration import Configuration, read_configuration
from pelton.cli.ending import FAILED, NO_APPLICATION, USAGE, colour, exit_with, working_directory
from pelton.cli.env_file import read_env_file
from pelton.cli.findings import Verdict, doubtful
from pelton.cli.observing import COMMANDS as OBSERVING
from pelton.cli.options import (
    Command,
    option_for_all_of_the_help,
    options_for_development,
    options_of_settings,
    split_values,
    with_bind,
)
from pelton.cli.show import configuration_text
from pelton.cli.tuning import COMMANDS as TUNING
from pelton.config.settings import Settings, check_one_process
from pelton.config.sources import ENV_FILE_VARIABLE, PORT_VARIABLE, WORKERS_VARIABLE
from pelton.config.worker_kinds import kind_of
from pelton.diagnostics.load_watch import LoadWatch
from pelton.exceptions import ConfigError, PeltonError, StartError
from pelton.loader import ApplicationError, Mounts, Target, load_application, parse_targets
from pelton.loader.mounts import check_mount
from pelton.process.daemon import begin
from pelton.process.first import leave_first_place
from pelton.process.systemd import inherited_descriptors
from pelton.traces.required import require_traces
from pelton.version import VERSION

LOGGER = logging.getLogger("pelton")
_STARTED_IN = "PELTON_STARTED_IN"


def _serve(target: tuple[str, ...], config: str | None, **given: Any) -> None:
    """Serve a WSGI application.

    MODULE is a module name (shop, shop.wsgi) or a file (path/to/shop.py). APP is a variable in it (app), an
    attribute of one (site.wsgi), or a call that makes one (create_app(), create_app("test")). Without APP,
    pelton looks for app, application, the only application in the module, create_app() and make_app().

    Several applications have a PLACE each, a path or a host: pelton main shop=/shop admin=admin.example.com.
    """
    try:
        found, settings = _configured(config, given)
        if settings.workers == 0:
            check_one_process(settings, found.resolved.sources)
        parsed = _target(target, found)
    except ConfigError as error:
        _exit_with(error, USAGE)
    try:
        _serve_checked(parsed, settings, found)
    except ApplicationError as error:
        _exit_with(error, NO_APPLICATION)
    except ConfigError as error:
        _exit_with(error, USAGE)
    except PeltonError as error:
        _exit_with(error, FAILED)


def _config(target: tuple[str, ...], config: str | None, **given: Any) -> None:
    """Show each setting: its value, where that comes from, and what it means.

    Takes the same options as serving, and reads the same files and variables. Nothing is started.
    """
    try:
        found, _ = _configured(config, given)
    except ConfigError as error:
        _exit_with(error, USAGE)
    click.echo(configuration_text(found.resolved), color=colour())
    if words := _words(target, found):
        click.echo(f"Application: {' '.join(words)}")
    for note in found.notes:
        click.echo(f"Note: {note}")
    for warning in found.warnings:
        click.echo(f"Warning: {warning}")


def _check(target: tuple[str, ...], config: str | None, **given: Any) -> None:
    """Check everything that can be checked without serving; the exit code is 0 if pelton could start.

    Takes the same options as serving: are the settings right, are the addresses free, can files be read and
    written, can the application be imported, do threads have enough descriptors and database connections.
    """
    try:
        found, settings = _configured(config, given)
        parsed = _target(target, found) if _words(target, found) else None
    except ConfigError as error:
        _exit_with(error, USAGE)
    from pelton.cli import checks
    from pelton.cli.application_check import check_application
    from pelton.cli.certificates_check import check_certificates

    findings = [
        *checks.check_settings(settings, found.resolved.sources),
        *checks.check_process(settings),
    ]
    directory = working_directory()
    findings += [
        *checks.check_addresses(settings),
        *checks.check_files(settings),
        *check_certificates(settings),
        *checks.check_descriptors(settings),
        *(check_application(parsed, directory, settings) if parsed else ()),
        *(doubtful(note) for note in (*found.notes, *found.warnings)),
    ]
    if parsed is None:
        findings.append(doubtful("No application was named, so none was imported."))
    for one in findings:
        shown = {Verdict.GOOD: "green", Verdict.DOUBTFUL: "yellow", Verdict.FAULT: "red"}[one.verdict]
        click.echo(f"{click.style(one.verdict.value.rjust(5), fg=shown)}  {one.what}", color=colour())
        for line in one.lines:
            click.echo(f"       {line}", color=colour())
    if any(one.verdict is Verdict.FAULT for one in findings):
        sys.exit(FAILED)


def _tls_report(target: tuple[str, ...], config: str | None, **given: Any) -> None:
    """Print what a scanner of TLS would find: versions, cipher suites, certificates, dates.

    Takes the same options as serving, and reads the same files. Nothing is started.
    """
    from pelton.cli.tls_report import report

    try:
        _, settings = _configured(config, given)
        for line in report(settings):
            click.echo(line)
    except ConfigError as error:
        _exit_with(error, USAGE)
    except PeltonError as error:
        _exit_with(error, FAILED)


def _migrate(argument: tuple[str, ...]) -> None:
    """Print what another server's configuration is for pelton, with remarks.

    WHAT is gunicorn's config file, uWSGI's ini file, nginx.conf, or a command line of the former
    two ("uwsgi --http :8000 …").
    """
    from pelton.compat.gunicorn.migrate import migrate

    try:
        click.echo(migrate(argument[0] if len(argument) == 1 else shlex.join(argument)))
    except PeltonError as error:
        _exit_with(error, USAGE)


def _deploy(
    kind: str, target: tuple[str, ...], output: Path | None, config: str | None, **given: Any
) -> None:
    """Write the files that run this application on a machine, from the settings that are in effect.

    KIND is what they are for. Takes the same options as serving. Without --output they are printed.
    """
    from pelton.deploy import TARGETS, Facts

    try:
        found, settings = _configured(config, given)
        _target(target, found)
    except ConfigError as error:
        _exit_with(error, USAGE)
    files = TARGETS[kind](
        Facts(target or tuple(filter(None, [found.target])), Path.cwd(), settings, found.resolved)
    )
    for file in files:
        if output is None:
            click.echo(f"# {file.name}\n{file.text}")
            continue
        output.mkdir(parents=True, exist_ok=True)
        place = output / file.name
        if place.exists() and place.read_text(encoding="utf-8") != file.text:
            _exit_with(
                StartError(f"{place} exists and is different.", "Move it away, or name another folder."),
                FAILED,
            )
        place.write_text(file.text, encoding="utf-8")
        click.echo(f"{place} is written.")


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
        _exit_with(error, USAGE)
    sys.exit(code)


def _configured(config: str | None, given: dict[str, Any]) -> tuple[Configuration, Settings]:
    """What was said, and the settings that follow. Raises ConfigError."""
    env_file = given.pop("env_file") or os.environ.get(ENV_FILE_VARIABLE) or None
    if env_file is not None:
        read_env_file(env_file, os.environ)
    values, words = split_values(with_bind(given))
    # As it was at the start: --env adds to it, and a second reading must not see that.
    environ, directory = dict(os.environ), _directory_of_the_start()

    def read() -> tuple[Configuration, Settings]:
        found = read_configuration(values, words, config, environ, directory)
        settings = replace(found.settings, hooks=found.hooks if found.hooks else None)
        source = found.resolved.sources["bind"]
        is_said = found.resolved.given("bind") and not source.endswith(f" {PORT_VARIABLE}")
        if not is_said and (descriptors := inherited_descriptors()):
            # A systemd socket unit has opened them for exactly this.
            settings = replace(settings, bind=tuple(f"fd://{descriptor}" for descriptor in descriptors))
        return found, settings

    found, settings = read()
    return found, replace(settings, read_again=lambda: read()[1])


def _directory_of_the_start() -> Path:
    """What the names of config files are relative to.

    A successor (USR2) is this command once more, in the directory that its predecessor has changed to.
    """
    directory = str(Path.cwd())
    if "PELTON_SUCCESSION" not in os.environ:
        os.environ[_STARTED_IN] = directory
    return Path(os.environ.get(_STARTED_IN, directory))


def _words(target: tuple[str, ...], found: Configuration) -> list[str]:
    """All applications, with their places. Words of the command count in the place of what a file names."""
    words = list(target or ([found.target] if found.target else ()))
    return [*words, *(word for word in found.settings.mount if word not in words)]


def _target(target: tuple[str, ...], found: Configuration) -> Target | Mounts:
    words = _words(target, found)
    if not words:
        raise ConfigError("No application is named.", "Write for example: pelton shop:app")
    for word in found.settings.mount:
        check_mount(word)
    return parse_targets(words)


def _serve_checked(target: Target | Mounts, settings: Settings, found: Configuration) -> None:
    if not settings.workers or settings.reload:
        # A supervisor is a good process 1 itself.
        leave_first_place()
    begin(settings)
    if not is_reloaded():
        for note in found.notes:
            LOGGER.info("%s", note)
        for warning in found.warnings:
            LOGGER.warning("%s", warning)
        if WORKERS_VARIABLE in found.resolved.sources["workers"]:
            LOGGER.info("%s says how many workers: exactly %s.", WORKERS_VARIABLE, settings.workers)
    directory = working_directory()
    # Here once, and not in each worker in turn.
    kind_of(settings).require()
    require_traces(settings)
    if settings.reload:
        from pelton.cli.reloading import serve_reloading

        sys.exit(serve_reloading(target, directory, settings))
    if settings.workers:
        from pelton.supervisor.entry import serve

        code = serve(target, directory, settings)
        if code:
            sys.exit(code)
        return
    if settings.hooks is not None:
        settings.hooks.alone()
    kind_of(settings).prepare(settings)
    from pelton._engine import Origin
    from pelton.process.forks import leave_if_child

    origin = Origin()
    with LoadWatch("This process"):
        application = load_application(target, directory)
        leave_if_child(origin)

    from pelton.api import run_with
    from pelton.observe.runtime import with_own_socket

    run_with(application, with_own_socket(settings))


def is_reloaded() -> bool:
    """Whether this process is the reloader's child: its parent has said what there was to say."""
    return os.environ.get("WERKZEUG_RUN_MAIN") == "true"


def _exit_with(error: PeltonError, code: int) -> NoReturn:
    if is_reloaded():
        # The reloader shows it, and goes on when a file is saved; 3 would mean that one has been.
        sys.last_value = error.__cause__ or error
        code = FAILED
    exit_with(error, code)


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
    "config": lambda: _command(_config, "config"),
    "check": lambda: _command(_check, "check"),
    "tls-report": lambda: _command(_tls_report, "tls-report"),
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
        callback=_deploy,
        help=f"{_deploy.__doc__}\n\nKIND is one of: {', '.join(_DEPLOYED)}.",
        context_settings=_CONTEXT_SETTINGS,
    ),
    **{
        name: partial(_made, one)
        for name, one in {**OBSERVING, **ADMINISTRATION, **AUDITING, **TUNING}.items()
    },
    "migrate": lambda: Command(
        "migrate",
        params=[click.Argument(["argument"], metavar="WHAT", nargs=-1, required=True)],
        callback=_migrate,
        help=_migrate.__doc__,
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
    callback=_serve,
    help=_serve.__doc__,
    no_args_is_help=True,
    context_settings=_CONTEXT_SETTINGS,
)
