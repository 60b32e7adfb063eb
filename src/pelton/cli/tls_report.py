"""``pelton tls-report``: what a scanner would see, without one.

Says what is offered and with which certificates, from the same files and settings that a start uses.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from pelton import _engine
from pelton.config.settings import Settings
from pelton.config.units import format_seconds
from pelton.exceptions import ConfigError
from pelton.tls.certificates import not_sent
from pelton.tls.material import build, has_certificates, protocols_of, read_material


def report(settings: Settings) -> Iterator[str]:
    """The lines. Raises PeltonError."""
    if not has_certificates(settings):
        raise ConfigError("There is no certificate.", "Name one with --certfile and --keyfile.")
    material = read_material(settings)
    tls = build(settings, material, _engine.TicketKeys())
    yield f"Versions        {', '.join(f'TLS {one}' for one in settings.tls_versions.split(','))}"
    yield f"Cipher suites   {_wrapped(tls.cipher_suites)}"
    yield "Key exchange    X25519, P-256, P-384 (forward secrecy always)"
    yield f"ALPN            {', '.join(protocols_of(settings))}"
    yield "Resumption      tickets, for 12 hours; no session ids, no early data (0-RTT)"
    yield "Renegotiation   none; compression none"
    yield f"OCSP stapling   {_stapling(settings, tls)}"
    asked = {"none": "not asked for", "optional": "asked for", "required": "required"}
    yield f"Client certs    {asked[settings.cert_reqs]}"
    hsts = format_seconds(settings.hsts_seconds) if settings.hsts_seconds else "not sent (--hsts)"
    yield f"HSTS            {hsts}"
    for name, chain in zip(material.names, tls.chains, strict=True):
        yield ""
        yield f"Certificate     {name}"
        for place, one in enumerate(chain):
            yield f"  {'subject' if place == 0 else 'signed by':<13} {one.subject}"
            if place == 0:
                yield f"  names         {_wrapped(one.names)}"
            yield f"  key           {one.key}"
            yield f"  valid         {_date(one.not_before)} to {_date(one.not_after)}"
        if not chain[-1].is_self_issued:
            yield f"  signed by     {chain[-1].issuer} (not in the file)"


def _stapling(settings: Settings, tls: _engine.Tls) -> str:
    known = [one for one in tls.ocsp if one is not None]
    if not known:
        return "none"
    faults = [f"{name}: {text}" for name, text in not_sent(settings, tls)]
    return _wrapped(faults) if faults else "from a file"


def _date(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _wrapped(words: list[str]) -> str:
    return ("\n" + " " * 16).join(words)
