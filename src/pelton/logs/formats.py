"""What a record of the log looks like: a line for people, or a JSON object with OpenTelemetry's names.

Must not know where it goes. Any thread.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

# What applications write to ``wsgi.errors``, ready formatted (`pelton.worker.wsgi.error_stream`).
APPLICATION_LOGGER = logging.getLogger("pelton.application")

_COLOURS = {
    logging.DEBUG: "2",
    logging.INFO: "32",
    logging.WARNING: "33",
    logging.ERROR: "31",
    logging.CRITICAL: "1;31",
}
_PLAIN = logging.Formatter("%(message)s")
_LINE = logging.Formatter("%(asctime)s %(levelname)s %(label)s%(message)s")
_LINE.default_msec_format = "%s.%03d"
_UNTIMED = logging.Formatter("%(label)s%(message)s")


class Form:
    """``label``: which process writes; empty where there is only one."""

    label = ""

    def text(self, record: logging.LogRecord, *, colour: bool = False, timed: bool = True) -> str:
        """The record without a line end behind it.

        ``timed``: False where the receiver adds time and level itself.
        """
        raise NotImplementedError


class ForPeople(Form):
    """A line; a traceback follows it in lines of its own."""

    def text(self, record: logging.LogRecord, *, colour: bool = False, timed: bool = True) -> str:
        """See `Form.text`."""
        if record.name == APPLICATION_LOGGER.name:
            # What the application wrote has its own form, and often its own time and level.
            return _PLAIN.format(record)
        record.label = f"[{self.label}] " if self.label else ""
        if not timed:
            return _UNTIMED.format(record)
        text = _LINE.format(record)
        code = _COLOURS.get(record.levelno)
        if colour and code is not None:
            return text.replace(record.levelname, f"\x1b[{code}m{record.levelname}\x1b[0m", 1)
        return text


class Json(Form):
    """One object in one line, a traceback included. Everything beyond ASCII is escaped."""

    def text(self, record: logging.LogRecord, *, colour: bool = False, timed: bool = True) -> str:
        """See `Form.text`; the time is in it in any case."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields: dict[str, object] = {
            "timestamp": time.replace("+00:00", "Z"),
            "severity_text": record.levelname,
            "severity_number": _severity(record.levelno),
            "body": record.getMessage(),
            "logger.name": record.name,
            "process.pid": record.process,
            "thread.name": record.threadName,
        }
        if self.label:
            fields["pelton.process"] = self.label
        if record.exc_info and record.exc_info[0] is not None:
            kind, error, _ = record.exc_info
            fields["exception.type"] = f"{kind.__module__}.{kind.__qualname__}"
            fields["exception.message"] = str(error)
            fields["exception.stacktrace"] = _PLAIN.formatException(record.exc_info)
        elif record.exc_text:
            fields["exception.stacktrace"] = record.exc_text
        if record.stack_info:
            fields["code.stacktrace"] = record.stack_info
        # Escapes everything but printable ASCII; lone surrogates, too, which no file could take.
        return json.dumps(fields, ensure_ascii=True, separators=(",", ":")).replace("\x7f", "\\u007f")


def _severity(level: int) -> int:
    """OpenTelemetry's number: DEBUG 5, INFO 9, WARN 13, ERROR 17, FATAL 21."""
    return 1 + 4 * min(max(level // 10, 0), 5)


def in_one_line(text: str) -> str:
    r"""``text`` with ``\n`` and the like written out, for receivers to which a line is a record."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )
