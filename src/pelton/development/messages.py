"""What a person sees of a development server: the banner, the access lines' form, the logger.

Owns the logger "werkzeug" as far as it has no configuration yet, because that is the name that people already
set levels and handlers for. Must not know the front. Any thread.
"""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pelton.config.address import Address, TcpAddress
from pelton.logs.outputs import wants_colour
from pelton.process.signals import heeds_interrupts

LOGGER: Final = logging.getLogger("werkzeug")

_CODES: Final = {"bold": 1, "red": 31, "green": 32, "yellow": 33, "magenta": 35, "cyan": 36}
_EVERY_INTERFACE: Final = {"0.0.0.0": socket.AF_INET, "::": socket.AF_INET6}
# Addresses that no network has; nothing is sent to them, the system only says which interface it would use.
_ELSEWHERE: Final = {socket.AF_INET: "198.51.100.1", socket.AF_INET6: "2001:db8::1"}
_ESCAPED = re.compile(r"(?:\\x[0-9a-f]{2})+")


@dataclass(frozen=True)
class Mode:
    """What the banner says beyond addresses.

    ``processes``: 0 for this one; ``at_once``: requests at a time, in each; ``unit``: what each takes;
    ``is_most``: there are fewer while fewer are needed.
    """

    processes: int
    at_once: int
    unit: str = "thread"
    is_most: bool = False
    reloader: bool = False
    debugger: bool = False
    tls: bool = False

    def __str__(self) -> str:
        at_once = f"{'up to ' if self.is_most else ''}{self.at_once} {self.unit}s"
        if self.at_once == 1:
            at_once = "one at a time"
        if not self.processes:
            return at_once
        processes = f"{self.processes} process{'' if self.processes == 1 else 'es'}"
        return f"{processes}, {at_once}{' in each' if self.processes > 1 else ''}"


def set_up_logger() -> None:
    """Let lines of INFO reach a person, unless somebody has decided about this logger already.

    As Werkzeug does it: a level that was set stays, and a handler that takes such lines is enough.
    """
    if LOGGER.level == logging.NOTSET:
        LOGGER.setLevel(logging.INFO)
    level = LOGGER.getEffectiveLevel()
    if not any(handler.level <= level for handler in _handlers(LOGGER)):
        LOGGER.addHandler(logging.StreamHandler())


def is_colourful() -> bool:
    """Whether whatever the logger writes to is a terminal that takes colours."""
    handlers = list(_handlers(LOGGER))
    return bool(handlers) and all(
        # A file's stream is no terminal, and a handler of another kind may keep lines.
        isinstance(one, logging.StreamHandler) and wants_colour(one.stream)
        for one in handlers
    )


def styled(text: str, *styles: str, colour: bool = True) -> str:
    """``text`` in the terminal's ``styles``, if ``colour``."""
    if not colour:
        return text
    return "".join(f"\x1b[{_CODES[one]}m" for one in styles) + f"{text}\x1b[0m"


def banner(addresses: Iterable[Address], mode: Mode) -> None:
    """Say where it listens and how, as Flask's users know it."""
    colour = is_colourful()
    lines = [f" * Running on {where}" for where in places(addresses, "https" if mode.tls else "http")]
    lines.append(f" * Served by pelton: {mode}; reloader {_on(mode.reloader)}, debugger {_on(mode.debugger)}")
    if heeds_interrupts():
        lines.append(styled(" * Ctrl-C stops it", "yellow", colour=colour))
    LOGGER.info("%s", "\n".join(lines))


def places(addresses: Iterable[Address], scheme: str = "http") -> list[str]:
    """The URLs that reach ``addresses``, those of the network included where it is every interface."""
    found: list[str] = []
    for address in addresses:
        family = _EVERY_INTERFACE.get(address.host) if isinstance(address, TcpAddress) else None
        if family is None or not isinstance(address, TcpAddress):
            found.append(f"{scheme}://{address}" if isinstance(address, TcpAddress) else str(address))
            continue
        found.append(f"all addresses ({address.host})")
        loopback = "127.0.0.1" if family is socket.AF_INET else "::1"
        for host in dict.fromkeys([loopback, *_network_hosts(family)]):
            found.append(f"{scheme}://{TcpAddress(host, address.port)}")
    return found


def access_line(peer: str, status: str, request_line: str, *, colour: bool, now: datetime) -> str:
    """One line as Werkzeug writes it; ``request_line`` as the front escapes it."""
    text = _readable(request_line)
    code = status if len(status) == 3 and status != "000" else "-"
    styles = _styles(code)
    if styles:
        text = styled(text, *styles, colour=colour)
    return f'{peer or "<local>"} - - [{now:%d/%b/%Y %H:%M:%S}] "{text}" {code} -'


def _styles(code: str) -> Sequence[str]:
    if code.startswith("1"):
        return ("bold",)
    if code.startswith("2") or code == "-":
        return ()
    if code == "304":
        return ("cyan",)
    if code.startswith("3"):
        return ("green",)
    if code == "404":
        return ("yellow",)
    return ("bold", "red") if code.startswith("4") else ("bold", "magenta")


def _readable(line: str) -> str:
    r"""With letters beyond ASCII as people read them; what could drive a terminal stays ``\xHH``."""
    with suppress(ImportError):
        from werkzeug.urls import uri_to_iri

        method, space, rest = line.partition(" ")
        target, between, version = rest.rpartition(" ")
        if space and between:
            with suppress(ValueError):
                # The front has escaped each quote; those that were decoded here would end the field.
                line = f"{method} {uri_to_iri(target)} {version}".replace('"', "%22")
    decoded = _ESCAPED.sub(_decoded, line)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in decoded)


def _decoded(match: re.Match[str]) -> str:
    data = bytes.fromhex(match[0].replace("\\x", ""))
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return match[0]
    # A quote would end the field.
    return text if text.isprintable() and '"' not in text else match[0]


def _network_hosts(family: socket.AddressFamily) -> list[str]:
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        # Sends nothing: for datagrams this only chooses the way.
        probe.connect((_ELSEWHERE[family], 9))
        return [str(probe.getsockname()[0])]
    return []


def _on(state: bool) -> str:
    return "on" if state else "off"


def _handlers(logger: logging.Logger) -> Iterable[logging.Handler]:
    current: logging.Logger | None = logger
    while current is not None:
        yield from current.handlers
        current = current.parent if current.propagate else None
