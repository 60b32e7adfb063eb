"""Addresses to listen on, as text and as values.

Owns the notation (``--bind`` and ``bind=``). Must not open anything: that is `pelton.net.listeners`. Any
thread.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from dataclasses import dataclass

from pelton.exceptions import ConfigError

# Only this machine: serving to a network is a decision, so it is never the default.
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000

_FORMS = "Write host:port, :port (every interface), port, [::1]:port, unix:/path or fd://number."


class Scheme(enum.Enum):
    """What clients of a listener speak, where the address says so."""

    HTTP = "http"
    HTTPS = "https"
    H2C = "h2c"


@dataclass(frozen=True)
class TcpAddress:
    """A host (name or number, IPv6 without brackets) and a port; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class UnixAddress:
    """A path in the file system; a leading ``@`` has no special meaning."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True)
class DescriptorAddress:
    """A socket that already listens and was inherited under this number."""

    descriptor: int

    def __str__(self) -> str:
        return f"fd://{self.descriptor}"


Address = TcpAddress | UnixAddress | DescriptorAddress


@dataclass(frozen=True)
class Bind:
    """What ``--bind`` names: an address, and perhaps what is spoken there."""

    address: Address
    scheme: Scheme | None = None


def parse_bind(text: str) -> Bind:
    """As `parse_address`, with a scheme in front where somebody wants to say which.

    Behind ``http://``, ``https://`` and ``h2c://`` stands the address itself, also ``unix:/path``.
    """
    text = text.strip()
    for scheme in Scheme:
        prefix = f"{scheme.value}://"
        if text.lower().startswith(prefix):
            rest = text[len(prefix) :].rstrip("/")
            return Bind(parse_address(rest), scheme)
    return Bind(parse_address(text))


def parse_address(text: str) -> Address:
    """The address that ``text`` names.

    ``:8000`` is every IPv4 interface, as elsewhere; ``8000`` alone is this machine only.
    Raises ConfigError that says what is wrong with it.
    """
    text = text.strip()
    if text.startswith("unix:"):
        return _unix(text)
    if text.startswith("fd:"):
        digits = text.removeprefix("fd:").removeprefix("//")
        if not _is_number(digits):
            raise ConfigError(f'"{text}" has no descriptor number after "fd://".', _FORMS)
        return DescriptorAddress(int(digits))
    if "://" in text:
        scheme, _, rest = text.partition("://")
        if scheme in ("http", "tcp") and rest:
            raise ConfigError(
                f'"{text}" is a URL, not an address to listen on.', f"Write {rest.rstrip('/')}."
            )
        raise ConfigError(f'"{text}" is not an address to listen on.', _FORMS)
    if _is_number(text):
        return TcpAddress(DEFAULT_HOST, _port(text, text))
    host, colon, port = text.rpartition(":")
    if text.startswith("["):
        return _bracketed(text)
    if not text:
        raise ConfigError("The address to listen on is empty.", _FORMS)
    if text.count(":") > 1:
        raise _bare_ipv6(text)
    if not colon:
        if "/" in text:
            raise ConfigError(
                f'"{text}" looks like a path.', f"Write unix:{text} to listen on a socket file."
            )
        raise ConfigError(f'"{text}" has no port.', f"Write {text}:{DEFAULT_PORT}.")
    if not _is_host(host):
        raise ConfigError(f'"{host}" in "{text}" is not a host.', _FORMS)
    return TcpAddress(host or "0.0.0.0", _port(port, text))


def tcp_address(host: str, port: int) -> TcpAddress:
    """From the separate ``host`` and ``port`` of the Python functions; an empty host is every interface."""
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise ConfigError(f"port={port!r} is not a whole number from 0 to 65535.")
    if not isinstance(host, str):
        raise ConfigError(f"host={host!r} is not a text.")
    bare = host.removeprefix("[").removesuffix("]")
    if not _is_host(bare) and not _is_ipv6(bare):
        raise ConfigError(
            f"host={host!r} is not a host.", 'For a socket file or a descriptor, pass bind="unix:/path".'
        )
    return TcpAddress(bare or "0.0.0.0", port)


def _unix(text: str) -> UnixAddress:
    path = text.removeprefix("unix:")
    # "unix:///run/x" is how curl, Docker and others write the same path.
    if path.startswith("//"):
        path = path[2:]
    if not path or path.endswith("/"):
        raise ConfigError(
            f'"{text}" has no file name after "unix:".', "Write for example unix:/run/app.sock."
        )
    if "\0" in path:
        raise ConfigError("The path of a socket file cannot hold a NUL character.")
    return UnixAddress(path)


def _bracketed(text: str) -> TcpAddress:
    host, bracket, port = text[1:].partition("]")
    if not bracket or not port.startswith(":"):
        raise ConfigError(f'"{text}" has no port after "]".', f"Write [{host or '::1'}]:{DEFAULT_PORT}.")
    if not _is_ipv6(host):
        raise ConfigError(f'"{host}" in "{text}" is not an IPv6 address.')
    return TcpAddress(host, _port(port[1:], text))


def _bare_ipv6(text: str) -> ConfigError:
    host, _, port = text.rpartition(":")
    if _is_ipv6(text):
        return ConfigError(
            f'"{text}" is an IPv6 address without brackets or port.', f"Write [{text}]:{DEFAULT_PORT}."
        )
    if _is_ipv6(host) and _is_number(port):
        return ConfigError(f'"{text}" is an IPv6 address without brackets.', f"Write [{host}]:{port}.")
    return ConfigError(f'"{text}" has more than one colon.', _FORMS)


def _port(digits: str, text: str) -> int:
    if not _is_number(digits):
        raise ConfigError(
            f'"{digits}" in "{text}" is not a port.' if digits else f'"{text}" has no port.', _FORMS
        )
    port = int(digits[:6])
    if port > 65535:
        raise ConfigError(f'The port in "{text}" is too large; ports end at 65535.')
    return port


def _is_number(text: str) -> bool:
    # Not str.isdigit alone: it accepts digits of every script.
    return text.isascii() and text.isdigit()


def _is_host(text: str) -> bool:
    return re.search(r"[\s/\[\]:@?#\0]", text) is None


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
