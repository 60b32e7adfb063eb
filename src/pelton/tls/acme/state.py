"""The folder in which an account, orders and certificates outlive the process.

Owns its layout and that what is there is never half of something. Several servers may share one: whoever
holds the lock speaks with the directory, the others look at the files. Must not know the protocol.

    lock                    held by whoever obtains or renews
    account-XXXX.json       key and registration, for each directory
    NAME/pair.pem           the certificate with its chain and its key, in one file, so that they always fit
    NAME/order.json         what is under way: the order's address, its key and its request
    NAME/renewal.json       when to renew, as the directory has said it, and when to ask again
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pelton.exceptions import StartError

_PRIVATE = 0o600


class State:
    """The folder ``root``, for a certificate with ``names`` from ``directory``."""

    def __init__(self, root: Path, names: Sequence[str], directory: str) -> None:
        self._root = root
        # The first name for people, the digest for lists that begin alike.
        digest = hashlib.sha256("\n".join([directory, *names]).encode()).hexdigest()[:8]
        self._folder = root / f"{names[0]}-{digest}"
        self._account = root / f"account-{hashlib.sha256(directory.encode()).hexdigest()[:8]}.json"

    @property
    def pair(self) -> Path:
        """Certificate, chain and key; may not exist yet."""
        return self._folder / "pair.pem"

    def make(self) -> None:
        """Make the folders, where there are none. Raises StartError."""
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StartError(
                f"The folder for ACME's state cannot be made: {error}.", "Choose one with --acme-state."
            ) from None

    @contextlib.contextmanager
    def locked(self) -> Iterator[bool]:
        """Hold the lock, if nobody else does; whether it is held."""
        descriptor = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)

    def account(self) -> dict[str, Any] | None:
        """What `keep_account` was given."""
        return _read(self._account)

    def keep_account(self, account: dict[str, Any] | None) -> None:
        """Remember the account; None: forget it."""
        _write(self._account, account)

    def order(self) -> dict[str, Any] | None:
        """What `keep_order` was given."""
        return _read(self._folder / "order.json")

    def keep_order(self, order: dict[str, Any] | None) -> None:
        """Remember what is under way; None: nothing is."""
        _write(self._folder / "order.json", order)

    def renewal(self) -> dict[str, Any]:
        """What `keep_renewal` was given."""
        return _read(self._folder / "renewal.json") or {}

    def keep_renewal(self, renewal: dict[str, Any] | None) -> None:
        """Remember when to renew; None: nobody has said."""
        _write(self._folder / "renewal.json", renewal)

    def read_pair(self) -> bytes | None:
        """The certificate in force with its key; None before the first one."""
        try:
            return self.pair.read_bytes()
        except FileNotFoundError:
            return None

    def keep_pair(self, chain: str, key: str) -> None:
        """Put a new pair in the place of the old one, at one moment."""
        _replace(self.pair, f"{chain.rstrip()}\n{key}".encode())


def _read(file: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_bytes())
    except (FileNotFoundError, ValueError):
        # What cannot be read was not written by this; it is made anew.
        return None
    return found if isinstance(found, dict) else None


def _write(file: Path, content: dict[str, Any] | None) -> None:
    if content is None:
        file.unlink(missing_ok=True)
    else:
        _replace(file, json.dumps(content, indent=1).encode())


def _replace(file: Path, content: bytes) -> None:
    new = file.with_name(f"{file.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _PRIVATE)
    with open(descriptor, "wb") as opened:  # noqa: PTH123  (a descriptor, for the mode)
        opened.write(content)
        opened.flush()
        os.fsync(descriptor)
    new.replace(file)
