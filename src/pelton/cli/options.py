"""The options of the command, made from the table of settings, and how ``--help`` shows them.

Owns the translation into click, shell completion, and which options the first view has. gunicorn's options
are taken too, so that its command lines work; they are only in ``--help-all``. Main thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from pelton.compat.gunicorn.options import OPTIONS, Option, Takes
from pelton.config.address import DEFAULT_HOST, DEFAULT_PORT, tcp_address
from pelton.config.setting import Group, Setting, Unit
from pelton.config.settings import TABLE
from pelton.config.sources import PORT_VARIABLE
from pelton.exceptions import ConfigError

_ALL: Final = "pelton.help_all"
_OTHER, _GUNICORN = "Other", "gunicorn's options (accepted; docs/gunicorn.md says what each becomes)"
# What the names of the parameters for gunicorn's options begin with.
_MARK: Final = "gunicorn__"


# Generic only in newer releases of click, so without the parameter that the checker asks for.
class SettingType(click.ParamType):  # type: ignore[type-arg]
    """Reads the text of an option as its row of the table says."""

    def __init__(self, row: Setting) -> None:
        self._row = row
        self.name = row.unit.value

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The checked value."""
        if not isinstance(value, str):
            return value
        try:
            return self._row.parse(value)
        except ConfigError as error:
            self.fail(" ".join([error.what, *error.lines]), param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Files for paths, the words of settings that have some."""
        if self._row.unit is Unit.PATH:
            return [CompletionItem(incomplete, type="file")]
        words = ["auto"] if self._row.unit is Unit.BOUNDS else [word for word, _ in self._row.words]
        return [CompletionItem(word) for word in words if word.startswith(incomplete)]


# As above.
class _Choice(click.Choice):  # type: ignore[type-arg]
    """Takes gunicorn's words, too, which are those of `logging`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The word as the table has it."""
        if param is not None and param.name == "log_level" and str(value).lower() == "critical":
            return "error"
        return super().convert(value, param, ctx)


class _Listed(click.Option):
    """An option with a heading; ``first``: shown without ``--help-all``."""

    title = _OTHER
    first = True

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """None where this view of the help leaves it out."""
        return super().get_help_record(ctx) if self.first or ctx.meta.get(_ALL) else None


class SettingOption(_Listed):
    """The option for one row of the table."""

    def __init__(self, row: Setting) -> None:
        flag = row.unit is Unit.FLAG
        names = (
            [f"{row.flags[0]}/--no-{row.flags[0].removeprefix('--')}", *row.flags[1:]] if flag else row.flags
        )
        # What it means without a value, where it may be without one.
        alone: dict[str, Any] = {"flag_value": row.bare[0]} if row.bare else {}
        super().__init__(
            [*names, row.name],
            type=_type_of(row),
            metavar=None if flag or row.choices else row.unit.value,
            is_flag=flag,
            # Not the default itself: what is not given stays out, so that other sources can be distinguished
            # from defaults.
            default=None,
            multiple=row.repeatable,
            help=f"{row.help}  [default: {row.show(row.default)}]",
            **alone,
        )
        self.title = row.group.value
        self.first = row.first


class GunicornOption(_Listed):
    """One of gunicorn's options that pelton has no option of the same name for."""

    title = _GUNICORN
    first = False

    def __init__(self, option: Option, flags: Sequence[str]) -> None:
        more: dict[str, Any] = {}
        if option.takes is Takes.SWITCH:
            more = {"is_flag": True, "default": None}
        elif option.takes is Takes.OPTIONAL:
            more = {"is_flag": False, "flag_value": "auto"}
        super().__init__(
            [*flags, _MARK + option.name],
            type=click.BOOL if option.takes is Takes.SWITCH else str,
            multiple=option.takes is Takes.VALUES,
            help=option.about,
            **more,
        )


_BARE: Final = {flag: row.bare for row in TABLE for flag in row.flags if row.bare}


def _without_ambiguity(arguments: Sequence[str]) -> Iterator[str]:
    end = arguments.index("--") if "--" in arguments else len(arguments)
    for one, following in zip_longest(arguments[:end], arguments[1:end], fillvalue=""):
        words = _BARE.get(one)
        yield one if words is None or set(following.split(",")) <= set(words) else f"{one}={words[0]}"
    yield from arguments[end:]


class Command(click.Command):
    """Lists its options under the headings of the table."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Called by click. Where options may stand before the application, one that may be without a value
        must not take the application for it: ``--compress app:app``.
        """
        if ctx.allow_interspersed_args:
            args = [*_without_ambiguity(args)]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Called by click."""
        groups: dict[str, list[tuple[str, str]]] = {}
        left_out = False
        for one in self.get_params(ctx):
            record = one.get_help_record(ctx) if isinstance(one, click.Option) else None
            if record is not None:
                groups.setdefault(one.title if isinstance(one, _Listed) else _OTHER, []).append(record)
            elif isinstance(one, _Listed):
                left_out = True
        for title in (*(group.value for group in Group), _OTHER, _GUNICORN):
            if title in groups:
                with formatter.section(title):
                    formatter.write_dl(groups[title], col_max=30)
        if left_out:
            formatter.write_paragraph()
            formatter.write_text("These are the usual options; --help-all shows all of them.")


def options_of_settings() -> list[click.Parameter]:
    """One option for each row, and ``--config``."""
    config = _Listed(
        ["-c", "--config"],
        metavar="FILE",
        type=click.Path(),
        help="Settings from this file: TOML, or Python in the form of gunicorn's config files. "
        "[default: pelton.toml, or [tool.pelton] in pyproject.toml, if there is one here]",
    )
    env_file = _Listed(
        ["--env-file"],
        metavar="FILE",
        type=click.Path(),
        help="Environment variables from this file, as far as they are not set; PELTON_… among them.",
    )
    host = _Listed(
        ["--host"], metavar="HOST", help="Listen on this address, instead of --bind; port 8000 unless --port."
    )
    port = _Listed(
        ["--port"],
        metavar="PORT",
        type=click.IntRange(0, 65535),
        help="Listen on this port, instead of --bind; only for this machine unless --host.",
    )
    for one in (host, port):
        one.title = Group.SERVING.value
    env_file.first = False
    rows = [SettingOption(row) for row in TABLE]
    return [rows[0], host, port, *rows[1:], config, env_file, *_options_of_gunicorn()]


def options_for_development() -> list[click.Parameter]:
    """One for each row that the script's own call leaves open."""
    # Where to listen, and who the process is, the script says.
    return [SettingOption(row) for row in TABLE if row.name != "bind" and row.group is not Group.PROCESS]


def option_for_all_of_the_help() -> click.Parameter:
    """``--help-all``."""

    def show(ctx: click.Context, option: click.Parameter, given: bool) -> None:
        if given and not ctx.resilient_parsing:
            ctx.meta[_ALL] = True
            click.echo(ctx.get_help(), color=ctx.color)
            ctx.exit()

    return _Listed(
        ["--help-all"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show,
        help="Show all options and exit.",
    )


def with_bind(given: dict[str, Any]) -> dict[str, Any]:
    """The same with ``--host`` and ``--port`` as the setting that they mean. Raises ConfigError."""
    host, port = given.get("host"), given.get("port")
    rest = {name: value for name, value in given.items() if name not in ("host", "port")}
    if host is None and port is None:
        return rest
    if given.get("bind"):
        raise ConfigError(
            "--host and --port mean the same as --bind, which is given, too.",
            "Say either the one or the other.",
        )
    if port is None:
        port = int(text) if (text := os.environ.get(PORT_VARIABLE, "")).isdigit() else DEFAULT_PORT
    return {**rest, "bind": (str(tcp_address(host or DEFAULT_HOST, port)),)}


def split_values(given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What was given: values of settings by name, and gunicorn's options as a command line of their own."""
    values: dict[str, Any] = {}
    words: list[str] = []
    for name, value in given.items():
        # An option that was not given is None, or () if repeatable.
        if value in (None, ()):
            continue
        if not name.startswith(_MARK):
            values[name] = value
            continue
        option = _GUNICORNS[name.removeprefix(_MARK)]
        flag = max(option.flags, key=len)
        if option.takes is Takes.SWITCH:
            words.append(flag)
        else:
            words += [f"{flag}={one}" for one in (value if isinstance(value, tuple) else (value,))]
    return values, words


def _options_of_gunicorn() -> list[click.Parameter]:
    taken = {flag for row in TABLE for flag in row.flags} | {
        "-c",
        "--config",
        "-h",
        "--help",
        "-v",
        "--version",
    }
    made: list[click.Parameter] = []
    for option in OPTIONS:
        flags = [flag for flag in option.flags if flag not in taken]
        if any(flag.startswith("--") for flag in flags):
            made.append(GunicornOption(option, flags))
    return made


def _type_of(row: Setting) -> click.ParamType | None:  # type: ignore[type-arg]
    if row.unit is Unit.FLAG:
        return click.BOOL
    return _Choice(row.choices, case_sensitive=False) if row.choices else SettingType(row)


_GUNICORNS: Final = {option.name: option for option in OPTIONS}
