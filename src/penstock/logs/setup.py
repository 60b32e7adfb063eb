"""Configures the logger "penstock" for people who have not configured it themselves.

Owns one handler on that logger, and never touches the root logger: the rest of logging is the application's.
What a record looks like is `penstock.logs.formats`; where it goes to is `penstock.logs.outputs`.
"""

from __future__ import annotations

import logging
from typing import TextIO

from penstock.config.settings import Settings
from penstock.logs import formats, outputs

LOGGER = logging.getLogger("penstock")


def set_up_logging(level: str) -> None:
    """Show messages of at least ``level`` (as in the settings) on the standard error output.

    Does nothing when records of "penstock" already reach a handler, its own or the root logger's. To be
    called before `label_process`.
    """
    _set_up(level, outputs.StandardError(formats.ForPeople()))


def set_up_logs(settings: Settings) -> None:
    """As `set_up_logging`, with format and place as ``settings`` say. Raises StartError, ConfigError.

    With a file or a syslog named there, that is done even if the root logger has a handler.
    """
    form = formats.Json() if settings.log_format == "json" else formats.ForPeople()
    if settings.log_syslog is not None:
        _set_up(settings.log_level, outputs.open_syslog(settings.log_syslog, form), explicitly=True)
    elif settings.error_log != "-":
        _set_up(settings.log_level, outputs.open_file(settings.error_log, form), explicitly=True)
    else:
        _set_up(settings.log_level, outputs.StandardError(form))


def _set_up(level: str, handler: logging.Handler, *, explicitly: bool = False) -> None:
    if LOGGER.handlers or (LOGGER.hasHandlers() and not explicitly):
        return
    LOGGER.addHandler(handler)
    LOGGER.setLevel(level.upper())
    # An application that configures the root logger later would show every line a second time.
    LOGGER.propagate = False


def label_process(label: str) -> None:
    """Put ``[label]`` into the lines of this process, for several write into one log."""
    for handler in LOGGER.handlers:
        if isinstance(handler, outputs.Output):
            handler.form.label = label


def wants_colour(stream: TextIO) -> bool:
    """See `penstock.logs.outputs.wants_colour`."""
    return outputs.wants_colour(stream)
