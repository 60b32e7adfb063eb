"""Configures the logger "pelton" for people who have not configured it themselves.

Owns one handler on that logger, and never touches the root logger: the rest of logging is the application's.
What a record looks like is `pelton.logs.formats`; where it goes to is `pelton.logs.outputs`.
"""

from __future__ import annotations

import logging
from typing import TextIO

from pelton.config.settings import Settings
from pelton.logs import formats, outputs

LOGGER = logging.getLogger("pelton")
# The rows of the table that decide about messages.
LOG_SETTINGS = ("log_level", "log_format", "error_log", "log_syslog")


def set_up_logging(level: str) -> None:
    """Show messages of at least ``level`` (as in the settings) on the standard error output.

    Does nothing when records of "pelton" already reach a handler, its own or the root logger's. To be
    called before `label_process`.
    """
    _set_up(level, outputs.StandardError(formats.ForPeople()))


def set_up_logs(settings: Settings) -> bool:
    """As `set_up_logging`, with format and place as ``settings`` say. Raises StartError, ConfigError.

    With a file or a syslog named there, that is done even if the root logger has a handler. Whether messages
    go where the settings say, as they also do when it was done before.
    """
    if any(isinstance(one, outputs.Output) for one in LOGGER.handlers):
        return True
    is_explicit = settings.log_syslog is not None or settings.error_log != "-"
    return _set_up(settings.log_level, _output(settings), explicitly=is_explicit)


def change_logs(before: Settings, after: Settings) -> None:
    """Go over to other format, level and place. Raises StartError, ConfigError, and then nothing has changed.

    Does nothing where somebody else has configured the logger.
    """
    ours = [one for one in LOGGER.handlers if isinstance(one, outputs.Output)]
    if not ours or all(getattr(before, name) == getattr(after, name) for name in LOG_SETTINGS):
        return
    new = _output(after)
    new.form.label = ours[0].form.label
    LOGGER.setLevel(after.log_level.upper())
    # In one step, for other threads log meanwhile.
    LOGGER.handlers = [new, *(one for one in LOGGER.handlers if one not in ours)]
    for one in ours:
        one.close()


def _output(settings: Settings) -> outputs.Output:
    form = formats.Json() if settings.log_format == "json" else formats.ForPeople()
    if settings.log_syslog is not None:
        return outputs.open_syslog(settings.log_syslog, form)
    if settings.error_log != "-":
        return outputs.open_file(settings.error_log, form)
    return outputs.StandardError(form)


def _set_up(level: str, handler: logging.Handler, *, explicitly: bool = False) -> bool:
    if LOGGER.handlers or (LOGGER.hasHandlers() and not explicitly):
        handler.close()
        return False
    LOGGER.addHandler(handler)
    LOGGER.setLevel(level.upper())
    # An application that configures the root logger later would show every line a second time.
    LOGGER.propagate = False
    return True


def label_process(label: str) -> None:
    """Put ``[label]`` into the lines of this process, for several write into one log."""
    for handler in LOGGER.handlers:
        if isinstance(handler, outputs.Output):
            handler.form.label = label


def wants_colour(stream: TextIO) -> bool:
    """See `pelton.logs.outputs.wants_colour`."""
    return outputs.wants_colour(stream)
