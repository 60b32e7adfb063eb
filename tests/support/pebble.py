"""pebble, a small ACME server, and a DNS server in which every name is this machine. Both are Debian's."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from support.certificates import make_files
from support.waiting import eventually

IS_THERE = shutil.which("pebble") is not None and shutil.which("pebble-challtestsrv") is not None


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody has at this moment."""
    with socket.socket(socket.AF_INET, kind) as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class Pebble:
    """Looks for challenges on these ports of this machine. Use as a context manager."""

    def __init__(self, directory: Path, *, http_port: int, tls_port: int) -> None:
        self._directory = directory
        self._ports = {"httpPort": http_port, "tlsPort": tls_port}
        self._files = make_files(directory, "localhost", "127.0.0.1", stem="pebble")
        self._stack = contextlib.ExitStack()
        self._port = free_port()

    @property
    def url(self) -> str:
        """The directory's address."""
        return f"https://127.0.0.1:{self._port}/dir"

    @property
    def ca_certs(self) -> str:
        """The file that says that the directory is to be trusted."""
        return str(self._files.certificate)

    @property
    def arguments(self) -> tuple[str, ...]:
        """For the command."""
        return ("--acme-directory", self.url, "--acme-ca-certs", self.ca_certs)

    def __enter__(self) -> Self:
        dns, management = free_port(socket.SOCK_DGRAM), free_port()
        self._run(
            "pebble-challtestsrv",
            *("-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dns01", f"127.0.0.1:{dns}"),
            *("-http01", "", "-https01", "", "-tlsalpn01", "", "-management", f"127.0.0.1:{management}"),
        )
        config = self._directory / "pebble.json"
        own = {
            "listenAddress": f"127.0.0.1:{self._port}",
            "managementListenAddress": f"127.0.0.1:{free_port()}",
            "certificate": str(self._files.certificate),
            "privateKey": str(self._files.key),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
            **self._ports,
        }
        config.write_text(json.dumps({"pebble": own}))
        self._run("pebble", "-config", str(config), "-dnsserver", f"127.0.0.1:{dns}", "-strict")
        eventually(lambda: is_open(self._port) and is_open(management), "pebble listens")
        return self

    def _run(self, *command: str) -> None:
        environment = {
            **os.environ,
            # Looks at once, refuses no nonce for fun, and forgets authorizations, so that each order is one.
            "PEBBLE_VA_NOSLEEP": "1",
            "PEBBLE_WFE_NONCEREJECT": "0",
            "PEBBLE_AUTHZREUSE": "0",
        }
        log = self._stack.enter_context((self._directory / f"{command[0]}.log").open("wb"))
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._stack.close()
