"""Sockets of packets, and what only this system says of a socket. Any thread."""

from __future__ import annotations

import socket
import struct
from typing import Any, Final

# Of send: who has gone does not kill us.
NO_SIGNAL: Final = socket.MSG_NOSIGNAL
# Of recvmsg: programs that are executed do not get the descriptors.
NOT_INHERITED: Final = socket.MSG_CMSG_CLOEXEC


def packet_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets: what is sent in one call is received in one. Raises OSError."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def peer_of(end: Any) -> tuple[int, int]:
    """Process and user at the other end of a unix socket, which may be of any class. Raises OSError."""
    process, user, _ = struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return process, user


def private_address(name: str) -> bytes:
    """The address of a unix socket with this name: an abstract one, which has no file."""
    return f"\0{name}".encode()


def keep_alive_options(idle: int, interval: int, count: int) -> tuple[tuple[int, int], ...]:
    """Options of TCP: after ``idle`` seconds ask every ``interval`` seconds, and give up after ``count``."""
    return (socket.TCP_KEEPIDLE, idle), (socket.TCP_KEEPINTVL, interval), (socket.TCP_KEEPCNT, count)
