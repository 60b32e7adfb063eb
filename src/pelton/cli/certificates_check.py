"""What ``pelton check`` says of certificates: do they fit, who may read the key, until when are they good.

Reads the files as a start does, and nothing else: what clients trust is theirs to say.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from pelton import _engine
from pelton.cli.findings import Finding, doubtful, fault, good
from pelton.config.settings import Settings
from pelton.exceptions import PeltonError
from pelton.tls.certificates import ending
from pelton.tls.material import ADHOC, Material, build, has_certificates, read_material

_WEAK_RSA = 2048


def check_certificates(settings: Settings) -> Iterator[Finding]:
    """Everything about the pairs; nothing where there are none."""
    if not has_certificates(settings):
        return
    try:
        material = read_material(settings)
        tls = build(settings, material, _engine.TicketKeys())
    except PeltonError as error:
        yield fault("certfile", error.what, *error.lines)
        return
    soon = dict(ending(tls, material, time.time()))
    for name, chain in zip(material.names, tls.chains, strict=True):
        if name == ADHOC:
            yield doubtful("adhoc", "adhoc: nobody trusts this certificate; it is for development.")
            continue
        yield from _chain(name, chain)
        if name in soon:
            expired = "browsers refuse it" in soon[name]
            yield (fault if expired else doubtful)("expiry", f"{name}: {soon[name]}")
    yield from _clashes(material, tls)
    for key in settings.keyfile or settings.certfile:
        yield from _mode(key)
    if tls.unknown_ciphers:
        yield doubtful("ciphers", f"ciphers: not known, and left out: {', '.join(tls.unknown_ciphers)}.")


def _chain(name: str, chain: list[_engine.Certificate]) -> Iterator[Finding]:
    own = chain[0]
    for below, above in pairwise(chain):
        if below.issuer != above.subject:
            yield fault(
                "chain",
                f'{name}: "{above.subject}" follows "{below.subject}" and has not signed it.',
                "Each certificate has to be followed by the one that signed it.",
            )
            return
    if not own.names:
        yield fault(
            "subject_names",
            f"{name}: the certificate has no names (subjectAltName), so no client accepts it.",
        )
    elif own.is_self_issued:
        yield doubtful("self_signed", f"{name}: signed by itself; only clients that know it accept it.")
    elif len(chain) == 1:
        yield doubtful(
            "chain",
            f'{name}: nothing follows the certificate, which "{own.issuer}" has signed.',
            "Most authorities sign with an intermediate certificate, which has to follow (fullchain.pem).",
        )
    kind, _, size = own.key.partition(" ")
    if kind == "RSA" and size.isdigit() and int(size) < _WEAK_RSA:
        yield fault("key_size", f"{name}: an RSA key of {size} bits is too short.")
    until = time.strftime("%Y-%m-%d", time.gmtime(own.not_after))
    yield good("certificate", f"{name}: {', '.join(own.names) or own.subject}, {own.key}, until {until}.")


def _clashes(material: Material, tls: _engine.Tls) -> Iterator[Finding]:
    seen: dict[tuple[str, str], str] = {}
    for name, chain in zip(material.names, tls.chains, strict=True):
        for host in chain[0].names:
            kind = chain[0].key.partition(" ")[0]
            other = seen.setdefault((host, kind), name)
            if other != name:
                yield doubtful("clash", f"{host} is in {other} and in {name}; the first of them is used.")


def _mode(key: str) -> Iterator[Finding]:
    if key == ADHOC:
        return
    mode = Path(key).stat().st_mode
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        yield fault(
            "key_mode",
            f"{key}: everybody on this machine may read the private key.",
            f"Forbid it: chmod 640 {key}",
        )
