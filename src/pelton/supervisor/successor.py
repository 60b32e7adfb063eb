"""The change to a new version of pelton without closing the listening sockets.

Owns what goes from the old supervisor to the new one: the sockets, and a pipe on which the new one says that
it serves. The new one is this command, started again with the same words; what is different then is what is
installed by then.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass

from pelton.net.listeners import Inherited, Listener
from pelton.tls.ticket_keys import NO_KEYS

_VARIABLE = "PELTON_SUCCESSION"


@dataclass(frozen=True)
class Succession:
    """What the new one has inherited.

    ``ready``: where it says that it serves; -1: nobody asks. ``bind``: addresses that are not in the command,
    since a service manager passed the sockets to the first one. ``ticket_keys``: the store of the keys with
    which clients resume their sessions (`pelton.tls.ticket_keys`).
    """

    listeners: tuple[Inherited, ...] = ()
    ready: int = -1
    bind: tuple[str, ...] = ()
    ticket_keys: int = NO_KEYS

    def announce(self) -> None:
        """Say that this process serves."""
        if self.ready >= 0:
            with contextlib.suppress(OSError):
                os.write(self.ready, b"r")
            os.close(self.ready)

    def close_listeners(self) -> None:
        """Close the inherited sockets, which have been copied."""
        for one in self.listeners:
            os.close(one.descriptor)


def inherited_succession(environment: MutableMapping[str, str] = os.environ) -> Succession:
    """What the predecessor left, if there was one. To be called once: the variable is removed."""
    text = environment.pop(_VARIABLE, "")
    try:
        fields = json.loads(text)
        if fields["for"] != os.getppid():
            # It was meant for another process, from which this one was started.
            return Succession()
        listeners = tuple(
            Inherited(asked, descriptor, None if file is None else (file[0], file[1]))
            for asked, descriptor, file in fields["listeners"]
        )
        ready, bind = int(fields["ready"]), tuple(map(str, fields["bind"]))
        # One from before there were such keys names none.
        ticket_keys = int(fields.get("ticket_keys", NO_KEYS))
        for descriptor in (ready, *(one.descriptor for one in listeners), ticket_keys):
            if descriptor != NO_KEYS:
                os.set_inheritable(descriptor, False)
    except (ValueError, KeyError, TypeError, OSError):
        return Succession()
    return Succession(listeners, ready, bind, ticket_keys)


class Successor:
    """A new supervisor that has been started and has not said yet that it serves."""

    def __init__(self, process: subprocess.Popen[bytes], ready: int) -> None:
        self._process = process
        self._ready = ready

    @classmethod
    def start(
        cls,
        listeners: Sequence[Listener],
        bind: Sequence[str],
        environment: Mapping[str, str],
        ticket_keys: int = NO_KEYS,
    ) -> Successor:
        """Start this command again. ``environment``: variables for it besides those of this process.

        Raises OSError.
        """
        reader, writer = os.pipe()
        try:
            left = [one.bequeath() for one in listeners]
            fields = {
                "for": os.getpid(),
                "ready": writer,
                "bind": bind if all(one.startswith("fd:") for one in bind) else (),
                "ticket_keys": ticket_keys,
                "listeners": [[one.asked, one.descriptor, one.file] for one in left],
            }
            process = subprocess.Popen(
                [sys.executable, *sys.orig_argv[1:]],
                env={**os.environ, **environment, _VARIABLE: json.dumps(fields)},
                pass_fds=[
                    writer,
                    *(one.descriptor for one in left),
                    *([ticket_keys] if ticket_keys != NO_KEYS else ()),
                ],
            )
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        os.set_blocking(reader, False)
        return cls(process, reader)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def fileno(self) -> int:
        """Readable when it has said something, or ended; -1 after that."""
        return self._ready

    def is_ready(self) -> bool:
        """Whether it has said that it serves; to be called when there is something to read."""
        try:
            said = os.read(self._ready, 1)
        except BlockingIOError:
            return False
        self.close()
        return said == b"r"

    def stop(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def forget(self) -> None:
        """It has been waited for, or it lives on without this process."""
        # Otherwise its object would look for the process once more, and complain.
        self._process.returncode = 0
        self.close()

    def close(self) -> None:
        """Hear nothing more."""
        if self._ready >= 0:
            os.close(self._ready)
            self._ready = -1
