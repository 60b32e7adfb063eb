"""Certificates for tests, and what clients need to know of them."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from pelton import _engine
from support.waiting import DEADLINE

NAMES = ("localhost", "127.0.0.1", "shop.example")


@dataclass(frozen=True)
class Files:
    """A certificate and its key as files."""

    certificate: Path
    key: Path

    @property
    def arguments(self) -> tuple[str, ...]:
        """As the command takes them."""
        return ("--certfile", str(self.certificate), "--keyfile", str(self.key))

    def write(self, *names: str, lifetime: int = 90 * 86400) -> None:
        """Other ones under the same names."""
        certificate, key = _engine.make_certificate(list(names or NAMES), lifetime)
        self.certificate.write_text(certificate)
        self.key.write_text(key)


def write_hook(config: Path, files: Files) -> None:
    """A configuration of gunicorn's whose hook allows TLS 1.3 only."""
    config.write_text(
        "import ssl\n"
        "def ssl_context(conf, default_ssl_context_factory):\n"
        "    context = default_ssl_context_factory()\n"
        "    context.minimum_version = ssl.TLSVersion.TLSv1_3\n"
        "    return context\n"
        f"certfile, keyfile = {str(files.certificate)!r}, {str(files.key)!r}\n"
    )


def make_files(directory: Path, *names: str, stem: str = "server", lifetime: int = 90 * 86400) -> Files:
    """A self-signed certificate and its key."""
    files = Files(directory / f"{stem}.pem", directory / f"{stem}.key")
    files.write(*names, lifetime=lifetime)
    return files


def context_for(files: Files, own: Files | None = None) -> ssl.SSLContext:
    """What a client uses that trusts ``files`` and shows ``own``."""
    context = ssl.create_default_context(cafile=str(files.certificate))
    if own is not None:
        context.load_cert_chain(own.certificate, own.key)
    return context


def connect(
    address: str,
    context: ssl.SSLContext,
    name: str = "localhost",
    session: ssl.SSLSession | None = None,
) -> ssl.SSLSocket:
    """A connection to ``https://host:port`` with its handshake done."""
    host, _, port = address.removeprefix("https://").rpartition(":")
    plain = socket.create_connection((host.strip("[]"), int(port)), DEADLINE)
    try:
        return context.wrap_socket(plain, server_hostname=name, session=session)
    except BaseException:
        plain.close()
        raise


def ask(connection: ssl.SSLSocket, head: str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") -> bytes:
    """One response with a Content-Length, whole."""
    connection.sendall(head.encode())
    got = b""
    while b"\r\n\r\n" not in got:
        piece = connection.recv(65536)
        assert piece, f"ended early: {got!r}"
        got += piece
    front, _, body = got.partition(b"\r\n\r\n")
    fields = dict(line.split(b": ", 1) for line in front.split(b"\r\n")[1:])
    length = int(fields[b"Content-Length"])
    while len(body) < length:
        piece = connection.recv(65536)
        assert piece, "ended early"
        body += piece
    return front + b"\r\n\r\n" + body
