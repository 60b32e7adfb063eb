"""Options of the commands that send requests: which, with which fields, from which file."""

from __future__ import annotations

from pathlib import Path

import click


def request_option(example: str) -> click.Option:
    """``--request``; what it is given is read by `pelton.requests.request.parse`."""
    return click.Option(
        ["--request"],
        multiple=True,
        metavar="REQUEST",
        help=f"One request: [METHOD] PATH [BODY], for example '{example}'. Repeatable.",
    )


def header_option() -> click.Option:
    """``--header``; what it is given is read by `pelton.requests.request.parse_field`."""
    return click.Option(
        ["--header"],
        multiple=True,
        metavar="FIELD",
        help="Sent with each request, for example 'Cookie: session=…'. Repeatable.",
    )


def file_option(name: str, text: str, parameter: str | None = None) -> click.Option:
    """An option for a file with requests. ``parameter``: how the callback calls it, if not as the option."""
    names = [name] if parameter is None else [name, parameter]
    return click.Option(names, type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help=text)
