"""Commands that read the settings of serving and start nothing: config, check, tls-report, deploy, migrate.

Owns what they print and their exit codes. Main thread.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from pelton.cli.ending import FAILED, USAGE, colour, working_directory
from pelton.cli.findings import Verdict, doubtful
from pelton.cli.invocation import configured, target_of, words_of
from pelton.cli.serving import exit_with_error
from pelton.cli.show import configuration_text
from pelton.exceptions import ConfigError, PeltonError, StartError


def config(target: tuple[str, ...], config: str | None, **given: Any) -> None:
    """Show each setting: its value, where that comes from, and what it means.

    Takes the same options as serving, and reads the same files and variables. Nothing is started.
    """
    try:
        found, _ = configured(config, given)
    except ConfigError as error:
        exit_with_error(error, USAGE)
    click.echo(configuration_text(found.resolved), color=colour())
    if words := words_of(target, found):
        click.echo(f"Application: {' '.join(words)}")
    for note in found.notes:
        click.echo(f"Note: {note}")
    for warning in found.warnings:
        click.echo(f"Warning: {warning}")


def check(target: tuple[str, ...], config: str | None, **given: Any) -> None:
    """Check everything that can be checked without serving; the exit code is 0 if pelton could start.

    Takes the same options as serving: are the settings right, are the addresses free, can files be read and
    written, can the application be imported, do threads have enough descriptors and database connections.
    """
    try:
        found, settings = configured(config, given)
        parsed = target_of(target, found) if words_of(target, found) else None
    except ConfigError as error:
        exit_with_error(error, USAGE)
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
        *(doubtful("remark", note) for note in (*found.notes, *found.warnings)),
    ]
    if parsed is None:
        findings.append(doubtful("application", "No application was named, so none was imported."))
    for one in findings:
        shown = {Verdict.GOOD: "green", Verdict.DOUBTFUL: "yellow", Verdict.FAULT: "red"}[one.verdict]
        click.echo(f"{click.style(one.verdict.value.rjust(5), fg=shown)}  {one.what}", color=colour())
        for line in one.lines:
            click.echo(f"       {line}", color=colour())
    if any(one.verdict is Verdict.FAULT for one in findings):
        sys.exit(FAILED)


def tls_report(target: tuple[str, ...], config: str | None, **given: Any) -> None:
    """Print what a scanner of TLS would find: versions, cipher suites, certificates, dates.

    Takes the same options as serving, and reads the same files. Nothing is started.
    """
    from pelton.cli.tls_report import report

    try:
        _, settings = configured(config, given)
        for line in report(settings):
            click.echo(line)
    except ConfigError as error:
        exit_with_error(error, USAGE)
    except PeltonError as error:
        exit_with_error(error, FAILED)


def migrate(argument: tuple[str, ...]) -> None:
    """Print what another server's configuration is for pelton, with remarks.

    WHAT is gunicorn's config file, uWSGI's ini file, nginx.conf, or a command line of the former
    two ("uwsgi --http :8000 …").
    """
    from pelton.compat.gunicorn.migrate import migrate as translated

    try:
        click.echo(translated(argument[0] if len(argument) == 1 else shlex.join(argument)))
    except PeltonError as error:
        exit_with_error(error, USAGE)


def deploy(kind: str, target: tuple[str, ...], output: Path | None, config: str | None, **given: Any) -> None:
    """Write the files that run this application on a machine, from the settings that are in effect.

    KIND is what they are for. Takes the same options as serving. Without --output they are printed.
    """
    from pelton.deploy import TARGETS, Facts

    try:
        found, settings = configured(config, given)
        target_of(target, found)
    except ConfigError as error:
        exit_with_error(error, USAGE)
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
            exit_with_error(
                StartError(f"{place} exists and is different.", "Move it away, or name another folder."),
                FAILED,
            )
        place.write_text(file.text, encoding="utf-8")
        click.echo(f"{place} is written.")
