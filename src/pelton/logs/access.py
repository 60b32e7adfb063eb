"""Opens what the front writes access records to, and says in which form.

The form travels with the descriptor: in an *envelope*, a socket of packets with one message in it that has
the form as text and the descriptor beside it, also where each line is a datagram to a syslog. Each front only
looks at it, so that a later one finds the same. What the lines look like is the front's. Runs on the thread
that starts, or opens again.
"""

from __future__ import annotations

import os
import re
import socket

from pelton.config.settings import Settings
from pelton.exceptions import ConfigError, StartError
from pelton.logs.outputs import DAEMON, connect_datagrams, no_syslog, syslog_address
from pelton.process.trusted_files import open_trusted
from pelton.system import packet_pair

OFF = -1
# As a target: where messages go by --log-syslog. A file of this name is ./syslog.
SYSLOG = "syslog"
# The front's own, and the form that it takes by default.
COMBINED = "combined"

# The first line of the message; see crates/front/src/access_envelope.rs.
_ENVELOPE = "pelton access log 1"
_LONGEST_FORM = 8 * 1024
# The syslog's number for what is worth a line and nothing more.
_INFO = 6
_ATOMS = {
    *"hlutrmUqHsBbfaTMDLp",
    *("st", "worker", "queue_time", "application_time", "first_byte_time", "outcome", "request_id"),
}
# Opening it needs /proc, which a chroot may not have, and never works for sockets.
_DESCRIPTOR = re.compile(r"/dev/fd/(\d{1,9})")
_PIECE = re.compile(r"%%|%\((?P<atom>[^)]*)\)(?P<end>[sd]?)|(?P<lone>%)")


def open_access_log_of(settings: Settings) -> int:
    """As `open_access_log`, by the settings."""
    return open_access_log(settings.access_log, settings.access_log_format, syslog=settings.log_syslog)


def open_access_log(target: str | None, form: str = COMBINED, *, syslog: str | None = None) -> int:
    """A descriptor that the caller closes: a copy of standard output for ``-`` and of a descriptor for
    ``/dev/fd/N``, else the file, appended to.

    ``form``: ``combined``, ``json``, or a text with atoms as gunicorn has them. `SYSLOG` as ``target`` means
    the syslog at ``syslog``, with a datagram for each line. ``None`` gives `OFF`. Raises StartError when the
    file cannot be opened, ConfigError for what means nothing.
    """
    if target is None:
        return OFF
    check_form(form)
    if target == SYSLOG:
        return _to_syslog(syslog, form)
    try:
        if target == "-":
            descriptor = os.dup(1)
        elif named := _DESCRIPTOR.fullmatch(target):
            descriptor = os.dup(int(named[1]))
        else:
            # Not for everybody: addresses and paths of visitors are personal data.
            descriptor = open_trusted(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    except OSError as error:
        raise StartError(f'Cannot open the access log "{target}": {error.strerror}.') from None
    if form == COMBINED:
        # Which says nothing that would need more.
        return descriptor
    try:
        return _in_envelope(descriptor, form)
    finally:
        os.close(descriptor)


def check_form(form: str) -> None:
    """Raise ConfigError for a form of lines that the front would not understand."""
    if form in (COMBINED, "json"):
        return
    if len(form.encode("utf-8", "replace")) > _LONGEST_FORM or not form.isprintable():
        raise ConfigError("access_log_format: it is too long, or has characters that cannot be printed.")
    if "%" not in form:
        raise ConfigError(
            f'access_log_format: "{form}" says nothing of a request.',
            'Write combined, json, or atoms such as %(h)s "%(r)s" %(s)s.',
        )
    for found in _PIECE.finditer(form):
        atom = found["atom"]
        if found["lone"]:
            raise ConfigError("access_log_format: there is a % without an atom.", "A % itself is %%.")
        if atom is None:
            continue
        if not found["end"]:
            raise ConfigError(f'access_log_format: after "%({atom})" there is no s.')
        if atom not in _ATOMS and not re.fullmatch(r"\{[^{}]+\}[ioe]", atom):
            raise ConfigError(
                f'access_log_format: there is no atom "%({atom})s".',
                f"There are: {', '.join(sorted(_ATOMS))}.",
            )


def _to_syslog(address: str | None, form: str) -> int:
    if address is None:
        raise ConfigError(
            "access_log: there is no syslog to write to.", "Say where with --log-syslog unix:/dev/log."
        )
    try:
        connected = connect_datagrams(syslog_address(address))
    except OSError as error:
        raise no_syslog(address, error) from None
    with connected:
        return _in_envelope(connected.fileno(), form, f"datagrams <{DAEMON | _INFO}>pelton: ")


def _in_envelope(descriptor: int, form: str, pieces: str = "") -> int:
    """``pieces``: nothing for a stream, or ``datagrams`` and what is before each line."""
    sender, receiver = packet_pair()
    with sender, receiver:
        socket.send_fds(sender, [f"{_ENVELOPE}\n{pieces}\n{form}".encode()], [descriptor])
        return receiver.detach()
