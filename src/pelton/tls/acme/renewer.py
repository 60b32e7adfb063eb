"""When to ask an ACME directory: at once for the first certificate, in time for the next, after failures.

Owns one thread, "pelton-acme". Neither the event loop nor a supervisor ever waits for it, and whatever fails
there is logged and tried again. The clock and the waiting are arguments, for tests.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from pelton import _engine
from pelton.tls.acme.state import State

LOGGER = logging.getLogger("pelton")

# After a failure: quickly first, for most are mistakes of whom sits before it; then as rarely as the limits
# of directories want it.
_RETRY: Final = (60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 12 * 3600.0)
# How often the date is looked at, and what another server may have put into the folder.
_LOOK_EVERY: Final = 300.0
# Without the directory's advice: renewed when a third of its life is left, as they recommend.
_LEFT: Final = 1 / 3


class Obtains(Protocol):
    """What a directory is asked for; see `pelton.tls.acme.client.Directory`."""

    def obtain(self, names: list[str], publish: Any) -> None:
        """Get a certificate into the state."""

    def renewal_time(self, certificate: bytes) -> tuple[float | None, float]:
        """When to renew, and when to ask again."""


class Renewer:
    """``changed`` is called when there is a new certificate, ``publish`` with answers to challenges."""

    def __init__(
        self,
        state: State,
        names: list[str],
        connect: Callable[[], Obtains],
        explain: Callable[[Exception], str],
        *,
        publish: Callable[[Any], object],
        changed: Callable[[], object],
        now: Callable[[], float] = time.time,
        retry: tuple[float, ...] = _RETRY,
    ) -> None:
        self._state = state
        self._names = names
        self._connect = connect
        self._explain = explain
        self._publish = publish
        self._changed = changed
        self._now = now
        self._retry = retry
        self._failures = 0
        self._directory: Obtains | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pelton-acme", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Begin nothing more. What is under way goes on after the next start."""
        self._end.set()

    def _run(self) -> None:
        """Runs on "pelton-acme"."""
        wait = 0.0
        while not self._end.wait(wait):
            wait = self.step()

    def step(self) -> float:
        """Do what is due; returns after how many seconds to look again."""
        try:
            with self._state.locked() as is_ours:
                if not is_ours:
                    # Another server does it, and the watch on the files sees what comes of it.
                    return _LOOK_EVERY
                if not self._is_due():
                    return _LOOK_EVERY
                self._obtain()
        except Exception as error:
            return self._failed(error)
        self._failures = 0
        return _LOOK_EVERY

    def _obtain(self) -> None:
        names = ", ".join(self._names)
        LOGGER.info("ACME: asks for a certificate for %s.", names)
        self._connected().obtain(self._names, self._publish)
        LOGGER.info("ACME: there is a new certificate for %s.", names)
        self._changed()

    def _failed(self, error: Exception) -> float:
        wait = self._retry[min(self._failures, len(self._retry) - 1)]
        self._failures += 1
        # Servers that were started together are not to come back together.
        wait *= random.uniform(0.8, 1.2)
        LOGGER.error(
            "ACME: no certificate for %s: %s. It is tried again in %s.",
            ", ".join(self._names),
            self._explain(error),
            f"{wait / 60:.0f} min" if wait >= 120 else f"{wait:.0f} s",
        )
        LOGGER.debug("ACME: the failure was", exc_info=error)
        # The directory itself may have moved, and connections break.
        self._directory = None
        return wait

    def _connected(self) -> Obtains:
        if self._directory is None:
            self._directory = self._connect()
        return self._directory

    def _is_due(self) -> bool:
        pair = self._state.read_pair()
        if pair is None or self._state.order() is not None:
            return True
        first = _engine.read_certificates(pair)[0]
        now = self._now()
        fallback = first.not_after - (first.not_after - first.not_before) * _LEFT
        if now >= first.not_after:
            return True
        try:
            return now >= (self._advised(pair, first.serial, now) or fallback)
        except Exception as error:
            LOGGER.warning("ACME: when to renew is not known: %s.", self._explain(error))
            return now >= fallback

    def _advised(self, pair: bytes, serial: str, now: float) -> float | None:
        """When the directory wants it renewed; None where it does not say."""
        kept = self._state.renewal()
        if kept.get("serial") == serial and now < kept.get("ask_at", 0.0):
            at: float | None = kept.get("renew_at")
            return at
        when, again = self._connected().renewal_time(pair)
        self._state.keep_renewal({"serial": serial, "renew_at": when, "ask_at": again})
        return when
