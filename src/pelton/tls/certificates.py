"""The certificates of a running server: read again when their files change, and reported before they end.

Owns one thread, "pelton-certificates", which looks at the files, rotates the keys of tickets, and warns. A
new pair counts only when everything about it is in order; otherwise the old one stays, and the log says why.
Lives in the process that has the front.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pelton import _engine
from pelton.config.settings import Settings
from pelton.exceptions import PeltonError
from pelton.tls.acme.renewer import Renewer
from pelton.tls.material import (
    BadCertificateError,
    Material,
    Pair,
    acme_names,
    acme_state,
    build,
    explained,
    files_of,
    read_material,
    stamps,
)
from pelton.tls.ticket_keys import current_keys

if TYPE_CHECKING:
    from pelton.net.opened import Opened
    from pelton.tls.acme.client import Answers

LOGGER = logging.getLogger("pelton")

# Looking costs a few system calls; whoever replaces a certificate does not wait for it.
_LOOK_EVERY: Final = 10.0
# Whoever renews by hand needs some days; clients of authorities renew a month before.
WARN_DAYS: Final = 14
_WARN_EVERY: Final = 86400.0


class Certificates:
    """Those of one front; it gets each new configuration (but not of the first one, `tls`)."""

    def __init__(self, settings: Settings, material: Material, ticket_keys: int) -> None:
        self._settings = settings
        self._store = os.dup(ticket_keys)
        self._tickets = _engine.TicketKeys()
        self._tickets.replace(current_keys(self._store))
        self._files = files_of(settings)
        self._seen = stamps(self._files)
        self._material = material
        self._tls = build(settings, material, self._tickets)
        self._front: _engine.Front | None = None
        self._changing = threading.Lock()
        self._end = threading.Event()
        self._warned_at = 0.0
        self._thread: threading.Thread | None = None
        self._renewer: Renewer | None = None
        self._challenges: tuple[Pair, ...] = ()
        if self._tls.unknown_ciphers:
            LOGGER.warning("ciphers: not known, and left out: %s.", ", ".join(self._tls.unknown_ciphers))

    @property
    def tls(self) -> _engine.Tls:
        """What is in force."""
        return self._tls

    def facts(self) -> dict[str, Any]:
        """For whoever asks on an admin listener: how each pair is called, and when it ends."""
        pairs = zip(self._material.names, self._tls.chains, strict=False)
        return {"certificates": [{"name": name, "expires": chain[0].not_after} for name, chain in pairs]}

    def start(self, front: _engine.Front) -> None:
        """Watch from now on; ``front`` has been started."""
        self._front = front
        self._thread = threading.Thread(target=self._watch, name="pelton-certificates", daemon=True)
        self._thread.start()
        self._renewer = self._make_renewer()
        if self._renewer is not None:
            self._renewer.start()

    def close(self) -> None:
        """Watch no more; the configuration in force stays."""
        self._end.set()
        if self._renewer is not None:
            self._renewer.close()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_LOOK_EVERY)
        if self._store >= 0:
            os.close(self._store)
            self._store = -1

    def read_again(self, why: str) -> bool:
        """Read all files now; whether what they hold is in force."""
        with self._changing:
            self._seen = stamps(self._files)
            try:
                material = read_material(self._settings)
                made = build(self._settings, replace(material, challenges=self._challenges), self._tickets)
                _refuse_expired(made, material)
            except PeltonError as error:
                LOGGER.error("%s: the old certificates stay in force: %s", why, explained(error))
                return False
            changed = material != self._material
            self._material, self._tls = material, made
            if self._front is not None:
                self._front.encrypt(made)
        if changed:
            LOGGER.info("%s: new certificates are in force: %s.", why, described(made))
        self._warned_at = 0.0
        return True

    def _make_renewer(self) -> Renewer | None:
        settings, state = self._settings, acme_state(self._settings)
        if state is None:
            return None
        # The package and what it brings along; only who uses it waits for it.
        from pelton.tls.acme.client import Directory
        from pelton.tls.acme.client import explained as explained_by_directory

        names = acme_names(settings)
        if state.read_pair() is None:
            LOGGER.warning(
                "ACME: until there is a certificate for %s, one serves that nobody trusts.", ", ".join(names)
            )
        return Renewer(
            state,
            names,
            lambda: Directory(settings, state),
            explained_by_directory,
            publish=self._publish,
            changed=lambda: self.read_again("ACME"),
        )

    def _publish(self, answers: Answers) -> None:
        """Let ACME servers find these; on "pelton-acme"."""
        if self._front is None:
            return
        self._front.set_challenges(answers.texts)
        with self._changing:
            if answers.pairs != self._challenges:
                self._challenges = answers.pairs
                self._tls = build(
                    self._settings, replace(self._material, challenges=answers.pairs), self._tickets
                )
                self._front.encrypt(self._tls)

    def _watch(self) -> None:
        """Runs on "pelton-certificates"."""
        self._warn()
        while not self._end.wait(_LOOK_EVERY):
            self._warn()
            self._tickets.replace(current_keys(self._store))
            if stamps(self._files) != self._seen:
                # Certificate and key are written one after the other: look once more when both are there.
                before = stamps(self._files)
                if not self._end.wait(1.0) and stamps(self._files) == before:
                    self.read_again("Certificate files have changed")
            elif any(is_sent and until <= time.time() for _, until, is_sent in filter(None, self._tls.ocsp)):
                self._leave_out_ocsp()

    def _leave_out_ocsp(self) -> None:
        """An OCSP response has become out of date: made anew, the configuration is without it."""
        with self._changing:
            material = replace(self._material, challenges=self._challenges)
            made = build(self._settings, material, self._tickets)
            self._tls = made
            if self._front is not None:
                self._front.encrypt(made)
        self._warned_at = 0.0

    def _warn(self) -> None:
        now = time.time()
        if now - self._warned_at < _WARN_EVERY:
            return
        self._warned_at = now
        for name, text in (*ending(self._tls, self._material, now), *not_sent(self._settings, self._tls)):
            LOGGER.warning("%s: %s", name, text)


def certificates_of(settings: Settings, opened: Opened) -> Certificates | None:
    """Those that ``opened`` has read; None without encryption. Raises BadCertificateError."""
    if opened.material is None:
        return None
    return Certificates(settings, opened.material, opened.ticket_keys)


def ending(tls: _engine.Tls, material: Material, now: float) -> list[tuple[str, str]]:
    """The pairs that end soon, or have ended: how they are called, and what is to be said."""
    found = []
    for name, chain in zip(material.names, tls.chains, strict=True):
        first = chain[0]
        when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(first.not_after))
        left = first.not_after - now
        if left < 0:
            found.append((name, f"the certificate has expired ({when}); browsers refuse it."))
        elif first.not_before > now:
            found.append((name, "the certificate is not valid yet; browsers refuse it."))
        elif left < WARN_DAYS * 86400 and first.not_after - first.not_before > 2 * WARN_DAYS * 86400:
            found.append((name, f"the certificate ends in {int(left // 86400)} days, on {when}."))
        elif left < (first.not_after - first.not_before) / 3 and left < WARN_DAYS * 86400:
            # One that lives for days only, as authorities give them now, is renewed in its last third.
            found.append((name, f"the certificate ends in {left / 86400:.1f} days, on {when}."))
    return found


def not_sent(settings: Settings, tls: _engine.Tls) -> list[tuple[str, str]]:
    """The OCSP responses that clients would not take kindly: how they are called, and what is to be said."""
    found = []
    for name, status in zip(settings.ocsp_file, tls.ocsp, strict=False):
        if status is None or status[2]:
            continue
        is_good, until, _ = status
        if not is_good:
            text = "the OCSP response does not say that the certificate is in order; it is not sent along."
        else:
            when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(until))
            text = f"the OCSP response was valid until {when}; it is not sent along any more."
        found.append((name, text))
    return found


def described(tls: _engine.Tls) -> str:
    """The pairs in a few words."""
    return "; ".join(
        f"{', '.join(chain[0].names) or chain[0].subject} until "
        f"{time.strftime('%Y-%m-%d', time.gmtime(chain[0].not_after))}"
        for chain in tls.chains
    )


def _refuse_expired(tls: _engine.Tls, material: Material) -> None:
    """Raise BadCertificateError if a pair is no good at present."""
    now = time.time()
    for name, chain in zip(material.names, tls.chains, strict=True):
        if chain[0].not_after < now:
            raise BadCertificateError(f"{name}: the certificate has expired.")
        if chain[0].not_before > now:
            raise BadCertificateError(f"{name}: the certificate is not valid yet.")
