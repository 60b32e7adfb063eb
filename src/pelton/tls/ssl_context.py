"""Werkzeug's ``ssl_context`` and gunicorn's hook of that name: what of them can be served with.

Owns the three forms that Flask's users know: ``'adhoc'``, a pair of files, and an `ssl.SSLContext`. An
SSLContext gives neither its certificate nor its key away. So while `record` is in force it is written down
which files a context loads; where that is not known, the error says what to write instead. Must
not import ssl by itself, which most programs never need. Main thread.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from pelton.exceptions import ConfigError
from pelton.tls.material import ADHOC

# Where a context keeps what was set on it: the names of the methods, and the arguments of each call.
_CALLS: Final = "_pelton_calls"
_METHODS: Final = ("load_cert_chain", "load_verify_locations", "set_ciphers")
_ONLY_FILES: Final = "Write ssl_context=('cert.pem', 'key.pem'), or 'adhoc'."
_CERT_REQS: Final = ("none", "optional", "required")

# How often `record` was called, and the class whose methods are exchanged since the first time.
_recorders = 0
_recorded: type[Any] | None = None


def record() -> None:
    """From now on contexts remember what they load, until `stop_recording` was called as often."""
    global _recorders, _recorded
    import ssl

    _recorders += 1
    if _recorders == 1:
        # Kept, for gevent and eventlet put a class of their own into its place.
        _recorded = ssl.SSLContext
        for name in _METHODS:
            setattr(_recorded, name, _remembering(getattr(_recorded, name)))


def stop_recording() -> None:
    """Undo `record`."""
    global _recorders, _recorded
    _recorders -= 1
    if _recorders == 0:
        for name in _METHODS:
            # They are inherited, so to take them back is to delete them.
            delattr(_recorded, name)
        _recorded = None


@contextmanager
def recorded() -> Iterator[None]:
    """For as long as the block runs."""
    record()
    try:
        yield
    finally:
        stop_recording()


def encryption_of(ssl_context: object) -> dict[str, Any]:
    """The settings that ``ssl_context`` means; none for None. Raises ConfigError."""
    if ssl_context is None:
        # Whatever the environment says about certificates is meant for production.
        return {"certfile": (), "keyfile": ()}
    if ssl_context == ADHOC:
        return {"certfile": (ADHOC,), "keyfile": ()}
    if isinstance(ssl_context, (str, os.PathLike)):
        raise ConfigError(
            f"ssl_context: {ssl_context!r} is neither 'adhoc' nor a pair of files.",
            "Write ssl_context=('cert.pem', 'key.pem').",
        )
    if isinstance(ssl_context, (tuple, list)):
        return _pair(ssl_context)
    ssl = sys.modules.get("ssl")
    if ssl is not None and isinstance(ssl_context, ssl.SSLContext):
        return settings_of(ssl_context)
    raise ConfigError(f"ssl_context: {ssl_context!r} is none of 'adhoc', a pair of files, an SSLContext.")


def settings_of(context: Any) -> dict[str, Any]:
    """The settings that an SSLContext comes to. Raises ConfigError for what cannot be taken from it."""
    calls: dict[str, list[dict[str, Any]]] = vars(context).get(_CALLS, {})
    chains = calls.get("load_cert_chain", [])
    if not chains:
        raise ConfigError(
            "ssl_context: an SSLContext does not tell which certificate and key it has loaded, and this one "
            "was made before pelton could see it.",
            _ONLY_FILES,
            "Or call pelton.install() before the SSLContext is made.",
        )
    if any(chain["password"] is not None for chain in chains):
        raise ConfigError(
            "ssl_context: the SSLContext opens its key with a password.",
            "Write the password into a file, and name that by PELTON_KEY_PASS_PHRASE_FILE, with "
            "ssl_context=('cert.pem', 'key.pem').",
        )
    if context.sni_callback is not None:
        raise ConfigError(
            "ssl_context: the SSLContext has a callback that chooses by the client's name (sni_callback), "
            "which is Python's and is not called here.",
            "pelton chooses by the names in the certificates: repeat --certfile and --keyfile in pairs.",
        )
    files = [_pair((chain["certfile"], chain["keyfile"])) for chain in chains]
    found: dict[str, Any] = {
        "certfile": tuple(one for pair in files for one in pair["certfile"]),
        "keyfile": tuple(one for pair in files for one in pair["keyfile"]),
        "tls_versions": _versions(context),
        "cert_reqs": _CERT_REQS[int(context.verify_mode)],
    }
    if ciphers := calls.get("set_ciphers"):
        found["ciphers"] = str(ciphers[-1]["ciphers"])
    if found["cert_reqs"] != "none":
        found["ca_certs"] = _authorities(calls.get("load_verify_locations", []))
    return found


def _remembering(method: Callable[..., Any]) -> Callable[..., Any]:
    # The names of the arguments are those of the module ssl, which programs use.
    def load_cert_chain(self: Any, certfile: Any, keyfile: Any = None, password: Any = None) -> None:
        method(self, certfile, keyfile, password)
        _remember(self, "load_cert_chain", certfile=certfile, keyfile=keyfile, password=password)

    def load_verify_locations(self: Any, cafile: Any = None, capath: Any = None, cadata: Any = None) -> None:
        method(self, cafile, capath, cadata)
        _remember(self, "load_verify_locations", cafile=cafile, capath=capath, cadata=cadata)

    def set_ciphers(self: Any, ciphers: str, /) -> None:
        method(self, ciphers)
        _remember(self, "set_ciphers", ciphers=ciphers)

    made: dict[str, Callable[..., Any]] = {
        "load_cert_chain": load_cert_chain,
        "load_verify_locations": load_verify_locations,
    }
    return made.get(method.__name__, set_ciphers)


def _remember(context: Any, name: str, **arguments: Any) -> None:
    calls = vars(context).setdefault(_CALLS, {})
    calls.setdefault(name, []).append(arguments)


def _versions(context: Any) -> str:
    import ssl

    version = ssl.TLSVersion
    # The two names for "any" are numbers below zero.
    lowest = context.minimum_version if context.minimum_version > 0 else version.SSLv3
    highest = context.maximum_version if context.maximum_version > 0 else version.TLSv1_3
    if context.minimum_version == version.MAXIMUM_SUPPORTED:
        lowest = version.TLSv1_3
    offered = (("1.2", version.TLSv1_2, ssl.OP_NO_TLSv1_2), ("1.3", version.TLSv1_3, ssl.OP_NO_TLSv1_3))
    found = [name for name, one, off in offered if lowest <= one <= highest and not context.options & off]
    if not found:
        raise ConfigError(
            "ssl_context: the SSLContext allows neither TLS 1.2 nor TLS 1.3; pelton speaks these."
        )
    return ",".join(found)


def _authorities(calls: list[dict[str, Any]]) -> str:
    files = [call["cafile"] for call in calls if call["cafile"] is not None]
    if len(files) == 1 and not any(call["capath"] or call["cadata"] for call in calls):
        return os.fsdecode(files[0])
    raise ConfigError(
        "ssl_context: the SSLContext asks clients for certificates, and the authorities for them are not one "
        "file (load_verify_locations(cafile=…)).",
        "Write all authorities into one file, in PEM.",
    )


def _pair(files: tuple[Any, ...] | list[Any]) -> dict[str, Any]:
    # With one file Werkzeug looks for the key in it.
    if not 1 <= len(files) <= 2 or files[0] is None:
        raise ConfigError("ssl_context: a pair of files is a certificate and its key.")
    certificate, key = (os.fsdecode(files[0]), os.fsdecode(files[-1]) if files[-1] is not None else None)
    return {"certfile": (certificate,), "keyfile": (certificate if key is None else key,)}
