"""gunicorn's options about HTTP, proxies and TLS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pelton.compat.gunicorn.options.option import Fate, Option, Takes, Translation, count, exists, texts
from pelton.compat.gunicorn.options.tls import TLS
from pelton.exceptions import ConfigError

_LOCAL: tuple[Any, ...] = ("127.0.0.1,::1", "127.0.0.1", ["127.0.0.1", "::1"], ("127.0.0.1", "::1"), [], "")
# What pelton allows for a whole head by default; room for the other fields beside a large one.
_HEAD, _ROOM, _UNLIMITED = 64 * 1024, 16 * 1024, 2**20
# Less cannot be set.
_SHORTEST_LINE = 256
_MORE_TRUST = (
    "gunicorn takes only the scheme from these proxies, pelton also the client's address, the host and the "
    "prefix (X-Forwarded-For, -Host, -Prefix). They have to set or remove those fields."
)
_EVERYBODY = "With * that holds for whoever can connect: name the proxies' addresses or networks."


def _line(value: Any, given: Mapping[str, Any]) -> Translation:
    limit = count(value)
    found = _head(value, given)
    if limit == 0:
        limit = _UNLIMITED - _ROOM
    if exists("max_line_bytes"):
        found.values["max_line_bytes"] = max(limit, _SHORTEST_LINE)
    return found


def _head(value: Any, given: Mapping[str, Any]) -> Translation:
    # Both limits that end here count: the larger one decides.
    limits = [count(given.get(one) or 0) for one in ("limit_request_line", "limit_request_field_size")]
    limit = count(value)
    if limit == 0:
        return Translation(
            {"max_head_bytes": _UNLIMITED}, ["no limit at all is not offered: 1 MiB for the whole head."]
        )
    largest = max(limit, *limits)
    zero = any(one in given and count(given[one]) == 0 for one in _HEAD_OPTIONS)
    if zero:
        return Translation()
    return Translation({"max_head_bytes": largest + _ROOM} if largest + _ROOM > _HEAD else {})


_HEAD_OPTIONS = ("limit_request_line", "limit_request_field_size")


def _fields(value: Any, given: Mapping[str, Any]) -> Translation:
    limit = count(value)
    return Translation({"max_fields": limit}) if limit else Translation()


def _trusted(given: Mapping[str, Any]) -> tuple[str, ...]:
    """Whoever one of the options trusts."""
    names = list(texts(given.get("forwarded_allow_ips") or ()))
    if _reads_proxy_headers(given.get("proxy_protocol")):
        names += texts(given.get("proxy_allow_ips") or "127.0.0.1,::1")
    # gunicorn trusts whoever connects to a socket file.
    if any(one.startswith("unix:") for one in texts(given.get("bind") or ())):
        names.append("unix")
    return tuple(dict.fromkeys(names))


def _forwarded(value: Any, given: Mapping[str, Any]) -> Translation:
    if not texts(value):
        return Translation()
    if exists("trusted_proxies"):
        remark = f"{_MORE_TRUST} {_EVERYBODY}" if "*" in texts(value) else _MORE_TRUST
        return Translation({"trusted_proxies": _trusted(given)}, [remark])
    return Translation(
        notes=[
            "this version believes no proxy what it says about the client (X-Forwarded-Proto and the like)."
        ]
    )


def _reads_proxy_headers(value: Any) -> bool:
    return str(value).strip().lower() not in ("none", "off", "false", "")


def _proxy_protocol(value: Any, given: Mapping[str, Any]) -> Translation:
    if not _reads_proxy_headers(value):
        return Translation()
    if not exists("proxy_protocol"):
        raise ConfigError("this version does not read PROXY headers, so every request would be malformed.")
    return Translation({"proxy_protocol": True, "trusted_proxies": _trusted(given)}, [_MORE_TRUST])


def _header_map(value: Any, given: Mapping[str, Any]) -> Translation:
    meaning = {"drop": "drop", "refuse": "refuse", "dangerous": "allow"}.get(str(value).lower())
    if meaning is None:
        raise ConfigError(f"{value!r} is not one of drop, refuse, dangerous.")
    return Translation({"underscore_fields": meaning} if exists("underscore_fields") else {})


def _refused(name: str, flags: str, about: str, *harmless: Any, takes: Takes = Takes.VALUE) -> Option:
    return Option(
        name=name,
        flags=tuple(flags.split()),
        takes=takes,
        fate=Fate.REFUSED,
        about=about,
        harmless=harmless,
    )


def _needless(name: str, flags: str, about: str, *harmless: Any, takes: Takes = Takes.VALUE) -> Option:
    return Option(
        name=name,
        flags=tuple(flags.split()),
        takes=takes,
        fate=Fate.NEEDLESS,
        about=about,
        harmless=harmless,
    )


_STRICT = "it lets requests through that servers and proxies read differently: the way to smuggle requests."
_H2C = (
    "write h2c:// in front of an address in bind: HTTP/2 with prior knowledge and HTTP/1.1 are spoken there."
)
# As RFC 9113 has it.
_LEAST_WINDOW = 2**14


def _protocols(value: Any, given: Mapping[str, Any]) -> Translation:
    found = texts(value)
    unknown = [one for one in found if one not in ("h1", "h2")]
    if unknown:
        raise ConfigError(f"http_protocols: {unknown[0]!r} is not spoken; h1 and h2 are.")
    return Translation({"http2": "h2" in found})


def _streams(value: Any, given: Mapping[str, Any]) -> Translation:
    return Translation({"http2_streams": max(1, count(value))})


def _window(value: Any, given: Mapping[str, Any]) -> Translation:
    window = max(_LEAST_WINDOW, count(value))
    return Translation({"http2_stream_window": window})


def _http2(name: str, flag: str, target: str, about: str, convert: Any) -> Option:
    return Option(name=name, flags=(flag,), fate=Fate.MAPPED, target=target, about=about, convert=convert)


HTTP = (
    Option(
        name="limit_request_line",
        flags=("--limit-request-line",),
        fate=Fate.MAPPED,
        target="max_line_bytes, max_head_bytes",
        about="The same for the line, not below 256; not written, it is 16 KiB. The 64 KiB for the whole "
        "head are raised where this asks for more, never lowered.",
        convert=_line,
    ),
    Option(
        name="limit_request_fields",
        flags=("--limit-request-fields",),
        fate=Fate.MAPPED,
        target="max_fields",
        about="The same; 0 leaves the default.",
        convert=_fields,
    ),
    Option(
        name="limit_request_field_size",
        flags=("--limit-request-field_size",),
        fate=Fate.MAPPED,
        target="max_head_bytes",
        about="As limit_request_line; there is no limit for a single field.",
        convert=_head,
    ),
    Option(
        name="forwarded_allow_ips",
        flags=("--forwarded-allow-ips",),
        fate=Fate.MAPPED,
        target="trusted_proxies",
        about="Whose X-Forwarded-… and Forwarded are believed; socket files are added where they are bound. "
        "Not written, it means nobody here, where gunicorn trusts 127.0.0.1. More is believed: see above.",
        convert=_forwarded,
    ),
    Option(
        name="secure_scheme_headers",
        fate=Fate.MISSING,
        harmless=(
            {"X-FORWARDED-PROTOCOL": "ssl", "X-FORWARDED-PROTO": "https", "X-FORWARDED-SSL": "on"},
            {"X-FORWARDED-PROTO": "https"},
            {"X-Forwarded-Proto": "https"},
            {},
        ),
        about="Only X-Forwarded-Proto and Forwarded count, and only from trusted proxies.",
    ),
    Option(
        name="forwarder_headers",
        flags=("--forwarder-headers",),
        fate=Fate.MISSING,
        harmless=("SCRIPT_NAME,PATH_INFO", ["SCRIPT_NAME", "PATH_INFO"]),
        about="Fields never become SCRIPT_NAME or PATH_INFO. A prefix comes by X-Forwarded-Prefix.",
    ),
    Option(
        name="header_map",
        flags=("--header-map",),
        fate=Fate.MAPPED,
        target="underscore_fields",
        about="dangerous becomes allow.",
        convert=_header_map,
    ),
    Option(
        name="proxy_protocol",
        flags=("--proxy-protocol",),
        takes=Takes.OPTIONAL,
        fate=Fate.MAPPED,
        target="proxy_protocol",
        about="Both versions are read, from trusted proxies.",
        convert=_proxy_protocol,
    ),
    Option(
        name="proxy_allow_ips",
        flags=("--proxy-allow-from",),
        fate=Fate.MAPPED,
        target="trusted_proxies",
        about="Counts together with proxy_protocol; there is one list of trusted proxies for both.",
        convert=lambda value, given: Translation(),
    ),
    _refused(
        "protocol",
        "--protocol",
        "pelton speaks HTTP/1 to its proxies. In nginx, proxy_pass instead of uwsgi_pass or fastcgi_pass.",
        "http",
    ),
    _needless("uwsgi_allow_ips", "--uwsgi-allow-from", "Belongs to protocol = uwsgi.", *_LOCAL),
    _refused("permit_obsolete_folding", "--permit-obsolete-folding", _STRICT, False, takes=Takes.SWITCH),
    _refused("strip_header_spaces", "--strip-header-spaces", _STRICT, False, takes=Takes.SWITCH),
    _needless(
        "permit_unconventional_http_method",
        "--permit-unconventional-http-method",
        "Every method that is a token is let through to the application.",
        False,
        takes=Takes.SWITCH,
    ),
    _refused(
        "permit_unconventional_http_version",
        "--permit-unconventional-http-version",
        "only HTTP/1.0 and HTTP/1.1 are served.",
        False,
        takes=Takes.SWITCH,
    ),
    _refused(
        "casefold_http_method",
        "--casefold-http-method",
        "methods are case-sensitive; a client that sends get has to be corrected.",
        False,
        takes=Takes.SWITCH,
    ),
    _needless("http_parser", "--http-parser", "There is one parser, in Rust.", "auto", "fast", "python"),
    _needless("root_path", "--root-path", "Only ASGI applications see it.", ""),
    *TLS,
    _http2(
        "http_protocols",
        "--http-protocols",
        "http2",
        "HTTP/2 is offered over TLS unless this says h1 alone; HTTP/1.1 always is. There is no h3.",
        _protocols,
    ),
    _refused("http2_cleartext", "--http2-cleartext", _H2C, "off", False),
    _http2(
        "http2_max_concurrent_streams",
        "--http2-max-concurrent-streams",
        "http2_streams",
        "The same.",
        _streams,
    ),
    _http2(
        "http2_initial_window_size",
        "--http2-initial-window-size",
        "http2_stream_window",
        "The same, at least 16 KiB.",
        _window,
    ),
    _needless("http2_max_frame_size", "--http2-max-frame-size", "It is 16 KiB, as everywhere.", 16384),
    _needless(
        "http2_max_header_list_size",
        "--http2-max-header-list-size",
        "max_head_bytes is the limit for both versions.",
    ),
)
