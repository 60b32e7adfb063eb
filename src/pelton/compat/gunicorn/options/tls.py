"""gunicorn's options about TLS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pelton.compat.gunicorn.options.option import Fate, Option, Takes, Translation
from pelton.exceptions import ConfigError
from pelton.loader.tracebacks import users_traceback

if TYPE_CHECKING:
    import ssl

# As Python's ssl module numbers them: CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED.
_CERT_REQS: Final = {"0": "none", "1": "optional", "2": "required"}
_ALWAYS_MODERN: Final = "TLS 1.2 and 1.3 are spoken; tls_versions narrows that."
_NOT_PYTHONS: Final = "It is a detail of Python's ssl module, which does not speak TLS here."


def _file(name: str) -> Any:
    def convert(value: Any, given: Mapping[str, Any]) -> Translation:
        return Translation({name: [str(value)]})

    return convert


def _ca_certs(value: Any, given: Mapping[str, Any]) -> Translation:
    return Translation({"ca_certs": str(value)})


def _cert_reqs(value: Any, given: Mapping[str, Any]) -> Translation:
    # An enum of ssl is a number, too.
    number = str(int(value)) if isinstance(value, int) else str(value).strip()
    meaning = _CERT_REQS.get(number)
    if meaning is None:
        raise ConfigError(f"{value!r} is not one of 0 (none), 1 (optional), 2 (required).")
    return Translation({"cert_reqs": meaning})


def _ciphers(value: Any, given: Mapping[str, Any]) -> Translation:
    return Translation({"ciphers": str(value)})


def _ssl_context(value: Any, given: Mapping[str, Any]) -> Translation:
    from pelton.compat.gunicorn.views import ConfigView
    from pelton.tls.ssl_context import encryption_of, recorded

    conf = ConfigView(given)
    try:
        with recorded():
            context = value(conf, lambda: _default_context(conf))
    except Exception as error:
        raise ConfigError(f"it failed:\n{users_traceback(error).rstrip()}") from None
    if context is None:
        raise ConfigError("it has to give an SSLContext, and gave None.")
    return Translation(encryption_of(context))


def _default_context(conf: Any) -> ssl.SSLContext:
    """What gunicorn's own factory makes of the options."""
    import ssl

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=conf.ca_certs)
    context.load_cert_chain(certfile=conf.certfile, keyfile=conf.keyfile)
    context.verify_mode = ssl.VerifyMode(int(conf.cert_reqs))
    if conf.ciphers:
        context.set_ciphers(conf.ciphers)
    return context


def _row(name: str, flag: str, about: str, convert: Any, *harmless: Any) -> Option:
    return Option(
        name=name,
        flags=(flag,),
        fate=Fate.MAPPED,
        target=name,
        about=about,
        convert=convert,
        harmless=harmless,
    )


def _needless(name: str, flag: str, about: str, *harmless: Any, takes: Takes = Takes.VALUE) -> Option:
    return Option(name=name, flags=(flag,), takes=takes, fate=Fate.NEEDLESS, about=about, harmless=harmless)


TLS = (
    _row(
        "certfile", "--certfile", "The same; may be repeated in pairs, for several names.", _file("certfile")
    ),
    _row("keyfile", "--keyfile", "The same.", _file("keyfile")),
    _row("ca_certs", "--ca-certs", "The same: who may sign certificates of clients.", _ca_certs),
    _needless("ssl_version", "--ssl-version", _ALWAYS_MODERN, 2, "2", "TLS_SERVER", "TLS"),
    _row("cert_reqs", "--cert-reqs", "The same, as none, optional or required.", _cert_reqs, 0, "0"),
    _needless(
        "suppress_ragged_eofs", "--suppress-ragged-eofs", _NOT_PYTHONS, True, False, takes=Takes.SWITCH
    ),
    _needless(
        "do_handshake_on_connect", "--do-handshake-on-connect", _NOT_PYTHONS, True, False, takes=Takes.SWITCH
    ),
    _row(
        "ciphers",
        "--ciphers",
        "The same, by names of suites; groups such as HIGH or !aNULL mean nothing and are logged.",
        _ciphers,
    ),
    Option(
        name="ssl_context",
        fate=Fate.MAPPED,
        target="certfile, keyfile, ca_certs, cert_reqs, tls_versions, ciphers",
        about="Called once, when the file is read. What was set on the context is taken over: its files, the "
        "lowest and highest version, whether clients are asked. A sni_callback and a password are refused.",
        arity=(2,),
        convert=_ssl_context,
    ),
)
