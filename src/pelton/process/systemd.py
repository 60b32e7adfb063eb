"""What systemd tells a service and wants to hear from it.

Owns the protocols of sd_listen_fds(3) and sd_notify(3). Must not know what is listened on or when something
is ready. Called on the main thread. Variables that are read are removed: a child must not take them for its
own.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

LOGGER = logging.getLogger("pelton")

_FIRST_DESCRIPTOR: Final = 3
# A message is lost rather than that it holds us up; systemd reads at once.
_PATIENCE: Final = 2.0


def inherited_descriptors(environment: MutableMapping[str, str] = os.environ) -> list[int]:
    """The listening sockets that systemd has opened for this very process (``LISTEN_FDS``), none mostly.

    They are not inherited further by programs that are executed.
    """
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    # A shell in between would have passed them on to us without meaning us.
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    found = []
    for descriptor in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + min(int(count), 1024)):
        try:
            os.set_inheritable(descriptor, False)
        except OSError as error:
            LOGGER.warning("LISTEN_FDS names descriptor %d, which is not open: %s", descriptor, error)
        else:
            found.append(descriptor)
    return found


class Notifier:
    """Tells systemd how the service is. Does nothing without an address, and never raises.

    ``address``: of a datagram socket, a path or ``@`` and an abstract name. ``watchdog``: seconds within
    which systemd wants to hear from us; None: it does not.
    """

    def __init__(self, address: str | None, watchdog: float | None = None) -> None:
        self._address = address
        self._watchdog = watchdog
        self._has_failed = False
        if address is not None and address[:1] not in ("/", "@"):
            LOGGER.warning("NOTIFY_SOCKET is %r, which is no unix socket: nothing is notified.", address)
            self._address = None

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] = os.environ) -> Notifier:
        """As ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` say."""
        address = environment.pop("NOTIFY_SOCKET", None)
        microseconds, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        is_watched = microseconds.isdecimal() and int(microseconds) > 0 and pid in ("", str(os.getpid()))
        return cls(address or None, int(microseconds) / 1e6 if is_watched else None)

    @property
    def watchdog_interval(self) -> float | None:
        """Seconds between two calls of `watchdog`: half of what systemd allows. None: it does not watch."""
        return None if self._watchdog is None or self._address is None else self._watchdog / 2

    def environment(self) -> dict[str, str]:
        """The variables for a program that takes over from this process, which `from_environment` removed."""
        if self._address is None:
            return {}
        variables = {"NOTIFY_SOCKET": self._address}
        if self._watchdog is not None:
            # Without WATCHDOG_PID, as nobody knows it yet: it means whoever gets them.
            variables["WATCHDOG_USEC"] = str(round(self._watchdog * 1e6))
        return variables

    def ready(self, status: str) -> None:
        """Requests are served, for the first time or again after `reloading`."""
        self._send("READY=1", f"STATUS={_line(status)}")

    def reloading(self) -> None:
        """A reload has begun; `ready` must follow, also when it failed."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={microseconds}")

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1")

    def status(self, status: str) -> None:
        """A line for ``systemctl status``."""
        self._send(f"STATUS={_line(status)}")

    def main_pid(self, pid: int) -> None:
        """Another process is the service from now on."""
        self._send(f"MAINPID={pid}")

    def watchdog(self) -> None:
        """A sign of life."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if self._address is None:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        # One for each message, so that there is no descriptor which children would have to close.
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(_PATIENCE)
                sender.sendto("\n".join(lines).encode("utf-8", "replace"), address)
        except OSError as error:
            if not self._has_failed:
                LOGGER.warning("systemd cannot be notified at %s: %s", self._address, error)
            self._has_failed = True


def _line(text: str) -> str:
    return " ".join(text.split())
