"""Listening sockets: opened, named and closed.

Owns their descriptors until the front has its own copies, and the files of unix sockets for as long as they
are ours. Must not know HTTP or the front. Runs on the thread that starts and stops pelton.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pelton.config.address import Address, DescriptorAddress, TcpAddress, UnixAddress
from pelton.exceptions import AddressInUseError, StartError
from pelton.system import holders_of

# What waits here has been accepted by the system but not yet by the front. A burst of new connections must
# fit, since a full queue drops them silently and the client tries again only after a second. The system
# caps it (net.core.somaxconn).
BACKLOG = 2048


@dataclass
class Listener:
    """One listening socket and what others need to know of it.

    ``address`` is where it really listens (the port that the system chose, not 0). ``server_name`` and
    ``server_port`` are what WSGI applications see.
    """

    socket: socket.socket
    address: Address
    server_name: str
    server_port: str
    _file: tuple[int, int] | None = field(default=None)
    # Whether clients may speak HTTP/2 without having asked before (``h2c://``).
    speaks_http2: bool = field(default=False)
    # What was asked for, which a successor asks for again; one name may have given several listeners.
    asked: Address | None = field(default=None)
    # Whether connections are encrypted.
    tls: bool = field(default=False)

    def __str__(self) -> str:
        scheme = "https" if self.tls else "http"
        return f"{scheme}://{self.address}" if isinstance(self.address, TcpAddress) else str(self.address)

    def encrypt(self) -> None:
        """Its connections are encrypted."""
        self.tls = True
        if isinstance(self.address, UnixAddress):
            self.server_port = "443"

    def hand_over(self) -> None:
        """Close this copy of the descriptor, once the front has duplicated it.

        Without it the system would go on accepting connections after the front has closed its own.
        """
        self.socket.close()

    def bequeath(self) -> Inherited:
        """What a successor needs in order to listen on the same socket."""
        return Inherited(str(self.asked or self.address), self.socket.fileno(), self._file)

    def leave_file(self) -> None:
        """The socket file belongs to a successor from now on."""
        self._file = None

    def remove_file(self) -> None:
        """Remove the socket file, if it is still the one that was made here; new clients are refused then."""
        if not isinstance(self.address, UnixAddress) or self._file is None:
            return
        path, ours = Path(self.address.path), self._file
        self._file = None
        with contextlib.suppress(FileNotFoundError):
            found = path.lstat()
            # A successor may have made its own file under the same name by now.
            if (found.st_dev, found.st_ino) == ours:
                path.unlink()

    def close(self) -> None:
        """Close and remove; may be called again."""
        self.remove_file()
        self.socket.close()


@dataclass(frozen=True)
class Inherited:
    """A listening socket that a predecessor opened for ``asked``; ``file``: device and inode of its file."""

    asked: str
    descriptor: int
    file: tuple[int, int] | None


def open_listeners(addresses: Iterable[Address], inherited: Sequence[Inherited] = ()) -> list[Listener]:
    """Open all or none; a host name may give several. Raises StartError for the first that cannot be.

    Addresses for which there are inherited sockets are not opened again; those are copied, not closed.
    """
    with contextlib.ExitStack() as opened:
        listeners: list[Listener] = []
        for address in addresses:
            ours = [one for one in inherited if one.asked == str(address)]
            for listener in [_take_over(one, address) for one in ours] if ours else _open(address):
                listener.asked = address
                opened.callback(listener.close)
                listeners.append(listener)
        opened.pop_all()
        return listeners


def _open(address: Address) -> list[Listener]:
    match address:
        case TcpAddress():
            return _open_tcp(address)
        case UnixAddress():
            return [_open_unix(address)]
        case DescriptorAddress():
            return [_adopt(address)]


def _open_tcp(address: TcpAddress) -> list[Listener]:
    try:
        found = socket.getaddrinfo(
            address.host,
            address.port,
            type=socket.SOCK_STREAM,
            proto=socket.IPPROTO_TCP,
            flags=socket.AI_PASSIVE,
        )
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else "not a host name"
        raise StartError(
            f'Cannot listen on {address}: the host "{address.host}" is not known ({reason}).',
            "Use a number such as 127.0.0.1 (this machine) or 0.0.0.0 (every interface).",
        ) from None
    # A name such as localhost stands for an IPv4 and an IPv6 address, and clients try either: listen on all
    # of them. With port 0 only on the first, for the second could not be given the same port.
    targets = list(dict.fromkeys((family, where) for family, _, _, _, where in found))
    if address.port == 0:
        targets = targets[:1]
    listeners: list[Listener] = []
    unavailable: OSError | None = None
    for family, where in targets:
        try:
            listeners.append(_bind_tcp(family, where))
        except OSError as error:
            # localhost names ::1 on machines without IPv6 too.
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                unavailable = error
                continue
            for listener in listeners:
                listener.close()
            raise _refused(address, error) from None
    if not listeners and unavailable is not None:
        raise _refused(address, unavailable)
    return listeners


def _bind_tcp(family: int, where: tuple[object, ...]) -> Listener:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Otherwise a restart has to wait until old connections have left TIME_WAIT.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # [::] and 0.0.0.0 can then be bound side by side, and peers never look like ::ffff:10.0.0.1.
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(where)
        opened.listen(BACKLOG)
        return _described(opened)
    except BaseException:
        opened.close()
        raise


def _open_unix(address: UnixAddress) -> Listener:
    _remove_stale(address)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.bind(address.path)
        made = Path(address.path).lstat()
        listener = Listener(opened, address, "localhost", "80", (made.st_dev, made.st_ino))
        try:
            opened.listen(BACKLOG)
        except BaseException:
            listener.remove_file()
            raise
        opened.setblocking(False)
        return listener
    except OSError as error:
        opened.close()
        raise _refused(address, error) from None
    except BaseException:
        opened.close()
        raise


def _remove_stale(address: UnixAddress) -> None:
    """Remove the file that a crashed process left behind; raise StartError when it is anything else.

    Two processes that start at the same moment can both find the file stale; the second then takes the
    name, and the first, which notices by the inode, leaves the file alone when it ends.
    """
    path = Path(address.path)
    try:
        kind = path.lstat().st_mode
    except OSError:
        return  # Nothing there, or nothing that can be seen: bind says what is wrong.
    if not stat.S_ISSOCK(kind):
        raise StartError(
            f"Cannot listen on {address}: there is something that is not a socket.",
            "It was left alone. Remove it yourself, or choose another path.",
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # A full backlog must not make the start hang.
        probe.setblocking(False)
        try:
            probe.connect(address.path)
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except FileNotFoundError:
            return
        except BlockingIOError:
            pass  # Its backlog is full: somebody listens.
        except OSError as error:
            raise _refused(address, error) from None
    raise _refused(address, OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE)))


def _adopt(address: DescriptorAddress) -> Listener:
    try:
        # A copy: the number belongs to whoever started this process.
        opened = socket.socket(fileno=os.dup(address.descriptor))
    except OSError:
        raise StartError(
            f"Cannot listen on {address}: descriptor {address.descriptor} is no open socket.",
            "It must be passed by the program that starts pelton, for example by a systemd socket unit.",
        ) from None
    if opened.type != socket.SOCK_STREAM or not opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        opened.close()
        raise StartError(f"Cannot listen on {address}: it is a socket, but it does not listen.")
    return _described(opened)


def _take_over(inherited: Inherited, address: Address) -> Listener:
    listener = _adopt(DescriptorAddress(inherited.descriptor))
    if isinstance(address, UnixAddress):
        listener.address = address
        listener._file = inherited.file
    return listener


def _described(opened: socket.socket) -> Listener:
    """The listener for a socket that listens already; its own name is asked from the system."""
    opened.setblocking(False)
    name = opened.getsockname()
    if opened.family in (socket.AF_INET, socket.AF_INET6):
        host, port = name[:2]
        return Listener(opened, TcpAddress(host, port), host, str(port))
    path = os.fsdecode(name) if isinstance(name, bytes) else name
    # A unix socket that was made by somebody else: no file to remove.
    return Listener(opened, UnixAddress(path), "localhost", "80")


def _refused(address: Address, error: OSError) -> StartError:
    what = f"Cannot listen on {address}: "
    match error.errno:
        case errno.EADDRINUSE if isinstance(address, TcpAddress):
            other = TcpAddress(address.host, address.port + 1 if address.port < 65535 else 0)
            held_by = tuple(f"It is held by {holder}." for holder in holders_of(address.port))
            unknown = f"Another program listens there; `ss -ltnp 'sport = :{address.port}'` shows which."
            return AddressInUseError(
                f"{what}the address is already in use.",
                *(held_by or (unknown,)),
                f"Stop it, or choose another port, for example --bind {other} (port 0: any free one).",
                held_by=held_by,
                address_has_port=True,
            )
        case errno.EADDRINUSE:
            return AddressInUseError(
                f"{what}the address is already in use.", "Another program listens there."
            )
        case errno.EACCES | errno.EPERM if isinstance(address, TcpAddress):
            return StartError(
                f"{what}not permitted.", "Ports below 1024 need a privilege; 8000 or 8080 do not."
            )
        case errno.EADDRNOTAVAIL:
            return StartError(
                f"{what}no interface of this machine has this address.",
                "Use 127.0.0.1 (this machine only) or 0.0.0.0 (every interface).",
            )
        case errno.ENOENT | errno.ENOTDIR if isinstance(address, UnixAddress):
            return StartError(f"{what}the directory {Path(address.path).parent} does not exist.")
        case _ if isinstance(address, UnixAddress) and "too long" in str(error):
            return StartError(f"{what}the path is too long for a socket; about 100 bytes are possible.")
        case _:
            return StartError(f"{what}{error.strerror or error}.")
