"""What the settings about access, error pages and fields mean to the front.

Owns their text forms: ``/admin=10.0.0.0/8`` (``admin.example.com/=10.0.0.0/8`` for one host),
``503=down.html``, ``Name: value``. Reads the files of error pages. Pure otherwise; any thread.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pelton.config.path_rules import HOST, TOKEN, host_of
from pelton.exceptions import ConfigError
from pelton.static.media_types import media_types

if TYPE_CHECKING:
    from pelton.config.settings import Settings

# A page that explains an error is small; all of them stay in memory.
MOST_PAGE_BYTES: Final = 1 << 20
_TOKEN: Final = re.compile(TOKEN)
_PLACE: Final = re.compile(rf"{HOST}?(?P<path>/[^?#%\s]*)")
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
# What says how a message is framed and how its connection goes on: the front decides those.
_FRAMING: Final = frozenset(
    {"connection", "content-length", "date", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
# Without these a request is another one.
_NEEDED: Final = _FRAMING | {"host", "expect"}
# Said where the application says nothing else. A policy for scripts (Content-Security-Policy) is not among
# them: none is right for every site.
SECURITY_FIELDS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
)
# Never of use to a client where the front obeys them.
_NAMING_FILES: Final = ("x-sendfile", "x-accel-redirect")


@dataclass(frozen=True)
class EdgeRules:
    """What the front reads, by the names that it knows."""

    access: tuple[tuple[str, str, str, bool], ...]
    maintenance_allow: str
    error_pages: tuple[tuple[int, str, bytes], ...]
    pages_for_application: bool
    removed_fields: tuple[str, ...]
    default_fields: tuple[tuple[str, str], ...]
    set_fields: tuple[tuple[str, str], ...]
    hidden_fields: tuple[str, ...]
    canonical_host: str


def check_edge(settings: Settings) -> None:
    """Raise ConfigError for texts that mean nothing; faults of files are reported at the start only."""
    access_rules(settings.allow, settings.deny)
    for text in settings.maintenance_allow:
        _network("maintenance_allow", text)
    for text in settings.error_page:
        _status_and_file(text)
    _pairs(settings.response_header)
    _names("response_header_remove", settings.response_header_remove, _FRAMING)
    _names("request_header_remove", settings.request_header_remove, _NEEDED)
    host = settings.canonical_host
    if host and _HOST.fullmatch(host) is None:
        raise ConfigError(f'canonical_host: "{host}" is no host; write for example www.example.com.')


def front_edge(settings: Settings) -> EdgeRules:
    """The rules for the front. Raises ConfigError."""
    removed = _names("response_header_remove", settings.response_header_remove, _FRAMING)
    return EdgeRules(
        access=access_rules(settings.allow, settings.deny),
        maintenance_allow=",".join(
            _network("maintenance_allow", text)[0] for text in settings.maintenance_allow
        ),
        error_pages=tuple(_page(text) for text in settings.error_page),
        pages_for_application=settings.error_page_for_application,
        removed_fields=removed + (_NAMING_FILES if settings.sendfile_root else ()),
        default_fields=SECURITY_FIELDS if settings.security_headers else (),
        set_fields=_pairs(settings.response_header),
        hidden_fields=_names("request_header_remove", settings.request_header_remove, _NEEDED),
        canonical_host=settings.canonical_host or "",
    )


def access_rules(allow: Iterable[str], deny: Iterable[str]) -> tuple[tuple[str, str, str, bool], ...]:
    """Host, path, network and whether it may: the first that fits counts. Raises ConfigError."""
    rules = []
    for name, values in (("allow", allow), ("deny", deny)):
        for value in values:
            place, equals, network = value.rpartition("=")
            place = place if equals else "/"
            found = _PLACE.fullmatch(place)
            if found is None:
                raise ConfigError(
                    f'{name}: "{place}" is no path.',
                    "Write for example /admin=10.0.0.0/8, admin.example.com/=10.0.0.0/8, or 10.0.0.0/8.",
                )
            text, width = _network(name, network)
            path = found["path"].rstrip("/") or "/"
            rules.append((host_of(found["host"]), path, text, name == "allow", width))
    # The longest path, there a named host before a pattern before any, there the narrowest network; of two
    # that are alike the one that allows.
    rules.sort(key=lambda rule: (-len(rule[1]), _rank(rule[0]), -rule[4], not rule[3]))
    return tuple(rule[:4] for rule in rules)


def _rank(host: str) -> tuple[bool, bool, int]:
    return not host, host.startswith("*."), -len(host)


def _network(name: str, text: str) -> tuple[str, int]:
    """A network as the front writes it, and how narrow it is; ``all`` is everybody."""
    text = text.strip()
    if text in ("all", "unix"):
        return ("*", -1) if text == "all" else (text, 128)
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise ConfigError(
            f"{name}: {error}.", "Write an address, a network such as 10.0.0.0/8, or all."
        ) from None
    width = network.prefixlen + (96 if network.version == 4 else 0)
    return str(network), width


def _status_and_file(text: str) -> tuple[int, Path]:
    status, equals, file = text.partition("=")
    if not equals or not file or not re.fullmatch("[45][0-9]{2}", status):
        raise ConfigError(f'error_page: "{text}" is no page.', "Write for example 503=errors/503.html.")
    return int(status), Path(file)


def _page(text: str) -> tuple[int, str, bytes]:
    """Status, media type and content of a page. Raises ConfigError."""
    status, path = _status_and_file(text)
    try:
        with path.open("rb") as file:
            body = file.read(MOST_PAGE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"error_page: {path} cannot be read: {error.strerror}.") from None
    if len(body) > MOST_PAGE_BYTES:
        raise ConfigError(f"error_page: {path} has more than {MOST_PAGE_BYTES} bytes.")
    extension = os.fsencode(path.suffix.removeprefix(".").lower())
    media_type = media_types().get(extension, b"text/html; charset=utf-8").decode()
    return status, media_type, body


def _names(name: str, values: Sequence[str], forbidden: frozenset[str]) -> tuple[str, ...]:
    names = tuple(value.strip().lower() for value in values)
    for one in names:
        _check_name(name, one, forbidden)
    return names


def _check_name(setting: str, name: str, forbidden: frozenset[str]) -> None:
    if _TOKEN.fullmatch(name) is None:
        raise ConfigError(f'{setting}: "{name}" is no name of a field.')
    if name.lower() in forbidden:
        raise ConfigError(f"{setting}: {name} is the server's own affair.")


def _pairs(values: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Names and values. What stands behind a comma may have been taken for one of its own (environment)."""
    pairs: list[list[str]] = []
    for text in values:
        name, colon, value = text.partition(":")
        if pairs and not (colon and _TOKEN.fullmatch(name.strip())):
            pairs[-1][1] += f",{text}"
            continue
        if not colon:
            raise ConfigError(f'response_header: "{text}" is no field.', "Write for example 'X-Site: shop'.")
        _check_name("response_header", name.strip(), _FRAMING)
        pairs.append([name.strip(), value.strip()])
    for name, value in pairs:
        if not value.isascii() or not value.isprintable():
            raise ConfigError(f"response_header: the value of {name} is not printable ASCII.")
    return tuple((name, value) for name, value in pairs)
