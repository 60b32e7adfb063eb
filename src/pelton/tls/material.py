"""Certificates and keys as they are read from their files, and what is made of them.

Owns which file belongs to which, and what is said when one cannot be used. Must not know the front. Any
thread; reading takes as long as the disk does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pelton.config.settings import Settings
from pelton.exceptions import ConfigError, PeltonError, StartError
from pelton.tls.acme.state import State

if TYPE_CHECKING:
    from pelton import _engine

# Instead of a file: a certificate that is made at the start and signed by nobody, for development.
ADHOC: Final = "adhoc"
_ADHOC_NAMES: Final = ("localhost", "*.localhost", "127.0.0.1", "::1")
_ADHOC_LIFETIME: Final = 365 * 86400
_PLACEHOLDER_LIFETIME: Final = 30 * 86400
# What may be chosen by ALPN, the preferred one first.
_PROTOCOLS: Final = ("h2", "http/1.1")
# Far more than any chain has; a file that is not meant can be anything.
_LARGEST_FILE: Final = 2**20

# As the native module takes a pair: certificates, key, pass phrase, OCSP response.
Pair = tuple[bytes, bytes, bytes | None, bytes | None]


class BadCertificateError(StartError):
    """A certificate, a key or what belongs to them cannot be used."""


@dataclass(frozen=True)
class Material:
    """Everything that was read. ``names``: how messages call each pair."""

    pairs: tuple[Pair, ...]
    names: tuple[str, ...]
    authorities: bytes | None = None
    # Made for challenges of an ACME server.
    challenges: tuple[Pair, ...] = ()


def has_certificates(settings: Settings) -> bool:
    """Whether connections can be encrypted."""
    return bool(settings.certfile or settings.acme)


def protocols_of(settings: Settings) -> tuple[str, ...]:
    """What clients may agree on by ALPN, the preferred one first."""
    return _PROTOCOLS if settings.http2 else _PROTOCOLS[1:]


def acme_names(settings: Settings) -> list[str]:
    """The names for which an ACME directory is asked; in lower case, each once."""
    found = [name.strip().lower() for one in settings.acme for name in one.split(",")]
    return list(dict.fromkeys(name for name in found if name))


def acme_state(settings: Settings) -> State | None:
    """Where that certificate is kept; None without."""
    names = acme_names(settings)
    return State(Path(settings.acme_state), names, settings.acme_directory) if names else None


def files_of(settings: Settings) -> list[str]:
    """All files that `read_material` reads."""
    named: Iterable[str | None] = (
        *settings.certfile,
        *settings.keyfile,
        *settings.ocsp_file,
        settings.key_pass_phrase_file,
        settings.ca_certs,
    )
    state = acme_state(settings)
    own = [] if state is None else [str(state.pair)]
    return [*own, *(one for one in named if one is not None and one != ADHOC)]


def stamps(files: Iterable[str]) -> tuple[Any, ...]:
    """What changes when one of the files does; also a link that leads elsewhere."""
    found: list[Any] = []
    for file in files:
        try:
            seen = Path(file).stat()
            found.append((seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns))
        except OSError as error:
            found.append(error.errno)
    return tuple(found)


def read_material(settings: Settings) -> Material:
    """Read all files. Raises BadCertificateError, and ConfigError where they do not pair."""
    certificates, keys = settings.certfile, settings.keyfile
    if keys and len(keys) != len(certificates):
        raise ConfigError(
            f"There are {len(certificates)} certificates and {len(keys)} keys.",
            "Write one --keyfile for each --certfile, in the same order.",
        )
    if len(settings.ocsp_file) > len(certificates):
        raise ConfigError("There are more OCSP responses than certificates.")
    pass_phrase = _pass_phrase(settings.key_pass_phrase_file)
    pairs: list[Pair] = []
    for place, certfile in enumerate(certificates):
        if certfile == ADHOC:
            certificate, key = adhoc_pair()
            pairs.append((certificate, key, None, None))
            continue
        keyfile = keys[place] if keys else certfile
        ocsp = settings.ocsp_file[place] if place < len(settings.ocsp_file) else None
        pairs.append(
            (
                _read(certfile, "certificate"),
                _read(keyfile, "private key"),
                pass_phrase,
                None if ocsp is None else _read(ocsp, "OCSP response"),
            )
        )
    state, labels = acme_state(settings), list(certificates)
    if state is not None:
        _check_acme(settings)
        state.make()
        pairs.append(_acme_pair(settings, state))
        labels.append(str(state.pair))
    authorities = None if settings.ca_certs is None else _read(settings.ca_certs, "authorities' certificates")
    return Material(tuple(pairs), tuple(labels), authorities)


def build(settings: Settings, material: Material, tickets: _engine.TicketKeys) -> _engine.Tls:
    """What the front serves with. Raises BadCertificateError that names the file."""
    # Here and below: the command line looks at settings without the native module.
    from pelton import _engine

    try:
        return _engine.Tls(
            list(material.pairs),
            tickets,
            challenges=list(material.challenges),
            ca_certs=material.authorities,
            cert_reqs=settings.cert_reqs,
            versions=settings.tls_versions,
            ciphers=settings.ciphers,
            protocols=protocols_of(settings),
        )
    except ValueError as error:
        what, place = error.args if len(error.args) == 2 else (error.args[0], None)
        subject = "TLS cannot be set up" if place is None else material.names[place]
        raise BadCertificateError(f"{subject}: {what}.") from None


@cache
def adhoc_pair() -> tuple[bytes, bytes]:
    """A certificate for this machine's own names, and its key; the same one for the whole process."""
    from pelton import _engine

    certificate, key = _engine.make_certificate(list(_ADHOC_NAMES), _ADHOC_LIFETIME)
    return certificate.encode(), key.encode()


@cache
def placeholder(names: tuple[str, ...]) -> tuple[bytes, bytes]:
    """What serves until an ACME directory has given the first certificate."""
    from pelton import _engine

    certificate, key = _engine.make_certificate(list(names), _PLACEHOLDER_LIFETIME)
    return certificate.encode(), key.encode()


def _acme_pair(settings: Settings, state: State) -> Pair:
    both = state.read_pair()
    if both is None:
        certificate, key = placeholder(tuple(acme_names(settings)))
        return certificate, key, None, None
    return both, both, None, None


def _check_acme(settings: Settings) -> None:
    for name in acme_names(settings):
        if "*" in name:
            raise ConfigError(
                f'acme: "{name}": names with * need a record in the DNS (DNS-01), which pelton cannot write.',
                "Obtain it by another program, and name the files with --certfile and --keyfile.",
            )
        if not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)*", name):
            raise ConfigError(f'acme: "{name}" is not the name of a host.')
    if find_spec("acme") is None:
        raise ConfigError("acme: the package acme is missing.", "Install it: pip install 'pelton[acme]'.")
    if (settings.acme_eab_key_id is None) != (settings.acme_eab_hmac_file is None):
        raise ConfigError("acme_eab_key_id and acme_eab_hmac_file go together.")


def _pass_phrase(file: str | None) -> bytes | None:
    if file is None:
        return None
    lines = _read(file, "pass phrase").splitlines()
    return lines[0] if lines else b""


def _read(file: str, what: str) -> bytes:
    try:
        with Path(file).open("rb") as opened:
            content = opened.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise BadCertificateError(
            f"{file} ({what}) cannot be read: {error.strerror or error}.",
            *(
                ["A key belongs to the user as whom pelton starts."]
                if isinstance(error, PermissionError)
                else ()
            ),
        ) from None
    if len(content) > _LARGEST_FILE:
        raise BadCertificateError(f"{file} ({what}) is too large to be one.")
    return content


def explained(error: PeltonError) -> str:
    """An error as one line of a log."""
    return " ".join([error.what, *error.lines])
