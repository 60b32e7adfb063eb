"""What the directives of a usual site are in pelton's settings, with a remark for each that has no equal.

Owns the mapping only. Pure; any thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from pelton.compat.nginx.parsing import Directive

# They make nginx itself quick, or say what pelton does by itself: nobody misses them.
_UNNEEDED_NAMES: Final = """
    sendfile tcp_nopush tcp_nodelay types_hash_max_size server_names_hash_bucket_size default_type
    include charset pid events worker_connections multi_accept use aio directio open_file_cache etag
    open_file_cache_valid open_file_cache_min_uses open_file_cache_errors worker_rlimit_nofile
    proxy_set_header proxy_http_version proxy_redirect proxy_buffering proxy_buffers proxy_buffer_size
    proxy_request_buffering proxy_pass uwsgi_pass uwsgi_param server_tokens http2 gzip_vary gzip_proxied
    gzip_disable gzip_http_version gzip_buffers gzip_static brotli_static load_module internal
    ssl_session_cache ssl_session_timeout ssl_session_tickets ssl_prefer_server_ciphers proxy_cache_key
    proxy_cache_lock proxy_cache_revalidate upstream map
"""
_UNNEEDED: Final = frozenset(_UNNEEDED_NAMES.split())
_SIZES: Final = {"client_max_body_size": "max_body_bytes", "gzip_min_length": "compress_min_bytes"}
_TIMES: Final = {
    "client_header_timeout": "head_seconds",
    "client_body_timeout": "body_idle_seconds",
    "send_timeout": "write_idle_seconds",
    "keepalive_timeout": "keep_alive_seconds",
    "proxy_read_timeout": "request_timeout",
}


@dataclass
class Found:
    """Settings by name, in order, and remarks."""

    settings: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def add(self, name: str, value: str) -> None:
        """One more value of a setting that may have several."""
        values = self.settings.setdefault(name, ())
        if value not in values:
            self.settings[name] = (*values, value)

    def remark(self, directive: Directive, text: str) -> None:
        """Something to be said of a line."""
        self.remarks.append(f"Line {directive.line}, {directive}: {text}")


@dataclass(frozen=True)
class _Place:
    """Where a directive stands: the path of its location, and the folder that holds there."""

    path: str = "/"
    root: str = ""


def translate(directives: Iterable[Directive]) -> Found:
    """The settings for all servers of a configuration."""
    found = Found()
    http = [inner for one in directives for inner in (one.inner if one.name == "http" else (one,))]
    zones = {name: rate for one in http if one.name == "limit_req_zone" for name, rate in _zone(one)}
    for one in http:
        if one.name == "server":
            _server(one, zones, found)
        elif one.name not in ("limit_req_zone", "proxy_cache_path"):
            _directive(one, _Place(), zones, found)
    for one in http:
        if one.name == "proxy_cache_path" and "cache_bytes" in found.settings:
            size = next((word[9:] for word in one.words if word.startswith("max_size=")), "64m")
            found.settings["cache_bytes"] = _size(size)
            found.remark(one, "the cache is in memory; choose its size by that.")
    return found


def _server(server: Directive, zones: dict[str, str], found: Found) -> None:
    sent_on = server.find("return")
    target = sent_on.words[-1] if sent_on is not None and sent_on.words else ""
    if re.match(r"https?://", target) and not any(one.name == "location" for one in server.inner):
        _redirecting(server, target, found)
        return
    root = server.find("root")
    place = _Place(root=root.words[0] if root is not None and root.words else "")
    for one in server.inner:
        match one.name:
            case "listen":
                found.add("bind", _bind(one))
            case "server_name":
                if set(one.words) - {"_", "localhost"}:
                    found.remark(one, "every host is served; --canonical-host sends the others on.")
            case "location":
                _location(one, place, zones, found)
            case "root":
                pass
            case _:
                _directive(one, place, zones, found)


def _redirecting(server: Directive, target: str, found: Found) -> None:
    """A server that only sends its clients on: to https, or to the one right host."""
    host = re.sub(r"^https?://", "", target).split("/")[0].replace("$request_uri", "")
    if host and "$" not in host:
        found.settings["canonical_host"] = host
    for one in server.inner:
        if one.name == "listen" and "ssl" not in one.words and target.startswith("https:"):
            found.add("redirect_bind", _bind(one))


def _location(location: Directive, server: _Place, zones: dict[str, str], found: Found) -> None:
    path = location.words[-1] if location.words else "/"
    if location.words[:1] in (("~",), ("~*",)) or not path.startswith("/"):
        if not all(one.name in _UNNEEDED for one in location.inner):
            found.remark(location, "patterns of paths have no equal, but for --static-cache '*.js=1y'.")
        return
    path = path.rstrip("/") or "/"
    alias, root = location.find("alias"), location.find("root")
    folder = ""
    if alias is not None and alias.words:
        folder = alias.words[0].rstrip("/")
    elif root is not None and root.words:
        folder = root.words[0].rstrip("/") + (path if path != "/" else "")
    elif location.find("try_files") is not None and server.root:
        folder = server.root.rstrip("/") + (path if path != "/" else "")
    if folder:
        name = "sendfile_root" if location.find("internal") is not None else "static"
        found.add(name, f"{path}={folder}")
    place = _Place(path, folder or server.root)
    for one in location.inner:
        if one.name not in ("alias", "root"):
            _directive(one, place, zones, found)


def _directive(one: Directive, place: _Place, zones: dict[str, str], found: Found) -> None:
    words = one.words
    special = _SPECIAL.get(one.name)
    if special is not None:
        special(one, place, zones, found)
    elif one.name in _SIZES and words:
        found.settings[_SIZES[one.name]] = _size(words[0])
    elif one.name in _TIMES and words:
        found.settings[_TIMES[one.name]] = _time(words[0])
    elif one.name not in _UNNEEDED:
        found.remark(one, "has no equal here.")


def _gzip(one: Directive, _place: _Place, _zones: dict[str, str], found: Found) -> None:
    coding = {"brotli": "br", "zstd": "zstd"}.get(one.name, "gzip")
    if one.words == ("on",):
        before = found.settings.get("compress", "")
        found.settings["compress"] = f"{before},{coding}" if before else coding


def _gzip_types(one: Directive, _place: _Place, _zones: dict[str, str], found: Found) -> None:
    known = re.compile(r"text/.*|.*[+/](json|xml|javascript)|application/x-javascript|font/[ot]tf|\*")
    for kind in one.words:
        if known.fullmatch(kind) is None:
            found.add("compress_type", kind)


def _expires(one: Directive, place: _Place, _zones: dict[str, str], found: Found) -> None:
    value = one.words[-1] if one.words else "off"
    if value in ("off", "epoch"):
        return
    if value == "max":
        value = "10y"
    found.add("static_cache", f"*={value}")
    if place.path != "/":
        found.remark(one, "--static-cache goes by names of files, and holds below every --static.")


def _limit_req(one: Directive, place: _Place, zones: dict[str, str], found: Found) -> None:
    parts = dict(word.partition("=")[::2] for word in one.words)
    rate = zones.get(parts.get("zone", ""))
    if rate is None:
        found.remark(one, "its zone is not by $binary_remote_addr, or is not there.")
        return
    burst = f",burst={int(parts['burst']) + 1}" if parts.get("burst", "").isdigit() else ",burst=1"
    found.add("rate_limit", f"{place.path}={rate}{burst}")
    if "nodelay" not in one.words:
        found.remark(one, "requests beyond the rate are refused, not delayed; burst are let through at once.")


def _zone(one: Directive) -> list[tuple[str, str]]:
    parts = dict(word.partition("=")[::2] for word in one.words)
    rate = re.fullmatch(r"([0-9]+)r/([sm])", parts.get("rate", ""))
    if rate is None or one.words[0] not in ("$binary_remote_addr", "$remote_addr"):
        return []
    return [(parts.get("zone", "").split(":")[0], f"{rate[1]}/{rate[2]}")]


def _access(one: Directive, place: _Place, _zones: dict[str, str], found: Found) -> None:
    network = one.words[0] if one.words else "all"
    network = network.removesuffix(":") if network == "unix:" else network
    found.add(one.name, network if place.path == "/" else f"{place.path}={network}")


def _add_header(one: Directive, place: _Place, _zones: dict[str, str], found: Found) -> None:
    if len(one.words) < 2 or "$" in one.words[1]:
        found.remark(one, "values with variables have no equal.")
        return
    name, value = one.words[:2]
    if name.lower() == "strict-transport-security" and (age := re.search(r"max-age=([0-9]+)", value)):
        found.settings["hsts_seconds"] = int(age[1])
        return
    if name.lower() == "cache-control" and place.root:
        found.add("static_cache", f"*={value.replace(' ', '')}")
        return
    found.add("response_header", f"{name}: {value}")
    if place.path != "/":
        found.remark(one, "--response-header holds for all responses.")


def _error_page(one: Directive, place: _Place, _zones: dict[str, str], found: Found) -> None:
    *statuses, page = one.words
    if not page.startswith("/") or not place.root:
        found.remark(one, "only a file can be a page: --error-page 503=file.")
        return
    for status in statuses:
        if status.isdigit():
            found.add("error_page", f"{status}={place.root.rstrip('/')}{page}")


def _try_files(one: Directive, place: _Place, _zones: dict[str, str], found: Found) -> None:
    last = one.words[-1] if one.words else ""
    if last.startswith("@"):
        found.settings["static_fall_through"] = True
    elif last.startswith("/"):
        found.settings["static_fallback"] = last.lstrip("/")
    elif not last.startswith("="):
        found.remark(one, "has no equal here.")
    if not place.root:
        found.remark(one, "there is no root for it.")


def _return(one: Directive, _place: _Place, _zones: dict[str, str], found: Found) -> None:
    found.remark(one, "responses of the configuration have no equal: let the application give it.")


def _file(name: str) -> Callable[[Directive, _Place, dict[str, str], Found], None]:
    def take(one: Directive, _place: _Place, _zones: dict[str, str], found: Found) -> None:
        if not one.words or one.words[0] == "off":
            return
        if name in ("certfile", "keyfile"):
            found.add(name, one.words[0])
        else:
            found.settings[name] = one.words[0]

    return take


def _cache(one: Directive, _place: _Place, _zones: dict[str, str], found: Found) -> None:
    if one.words != ("off",):
        found.settings.setdefault("cache_bytes", "64MiB")


def _said_by_application(one: Directive, _place: _Place, _zones: dict[str, str], found: Found) -> None:
    found.remark(one, "the cache keeps what the application says may be kept (Cache-Control), docs/cache.md.")


def _processes(one: Directive, _place: _Place, _zones: dict[str, str], found: Found) -> None:
    found.remark(one, "the front is one thread; --workers are processes of the application.")


_SPECIAL: Final[dict[str, Callable[[Directive, _Place, dict[str, str], Found], None]]] = {
    "gzip": _gzip,
    "brotli": _gzip,
    "zstd": _gzip,
    "gzip_types": _gzip_types,
    "brotli_types": _gzip_types,
    "expires": _expires,
    "limit_req": _limit_req,
    "allow": _access,
    "deny": _access,
    "add_header": _add_header,
    "error_page": _error_page,
    "try_files": _try_files,
    "return": _return,
    "ssl_certificate": _file("certfile"),
    "ssl_certificate_key": _file("keyfile"),
    "access_log": _file("access_log"),
    "error_log": _file("error_log"),
    "user": _file("user"),
    "proxy_cache": _cache,
    "proxy_cache_valid": _said_by_application,
    "proxy_cache_use_stale": _said_by_application,
    "worker_processes": _processes,
}


def _bind(listen: Directive) -> str:
    address = listen.words[0] if listen.words else "80"
    address = f":{address}" if address.isdigit() else address.replace("*:", ":")
    if "ssl" in listen.words:
        return f"https://{address}"
    return address


def _size(text: str) -> str:
    """``20m`` as ``20MiB``."""
    found = re.fullmatch(r"([0-9]+)([kmgKMG]?)", text)
    if found is None:
        return text
    return found[1] + {"": "", "k": "KiB", "m": "MiB", "g": "GiB"}[found[2].lower()]


def _time(text: str) -> str:
    """``75`` as ``75s``, ``1m`` as ``1min``."""
    found = re.fullmatch(r"([0-9]+)(ms|s|m|h|d)?", text)
    if found is None:
        return text
    return found[1] + {"m": "min", None: "s"}.get(found[2], found[2] or "s")
