"""What is taken from an ssl.SSLContext, and what is said where that cannot be."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pelton.compat.gunicorn.loading import load_config_file
from pelton.exceptions import ConfigError
from pelton.tls.ssl_context import encryption_of, recorded
from support.certificates import Files, make_files, write_hook


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return make_files(tmp_path)


def loaded(files: Files, **more: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key, **more)
    return context


def test_a_context_is_its_files(files: Files) -> None:
    with recorded():
        context = loaded(files)
    assert encryption_of(context) == {
        "certfile": (str(files.certificate),),
        "keyfile": (str(files.key),),
        "tls_versions": "1.2,1.3",
        "cert_reqs": "none",
    }
    # Only while it is asked for.
    assert "load_cert_chain" not in vars(ssl.SSLContext)
    with pytest.raises(ConfigError, match="made before pelton could see it"):
        encryption_of(loaded(files))


def test_what_else_it_says(files: Files) -> None:
    with recorded():
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(files.certificate))
        context.load_cert_chain(certfile=str(files.certificate), keyfile=str(files.key))
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    found = encryption_of(context)
    assert (found["cert_reqs"], found["ca_certs"]) == ("optional", str(files.certificate))
    assert (found["ciphers"], found["tls_versions"]) == ("ECDHE-RSA-AES128-GCM-SHA256", "1.3")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert encryption_of(context)["tls_versions"] == "1.2"
    with pytest.deprecated_call():
        context.options |= ssl.OP_NO_TLSv1_2
    with pytest.raises(ConfigError, match="allows neither TLS"):
        encryption_of(context)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda context, files: context.load_cert_chain(files.certificate, files.key, "word"), "a password"),
        (lambda context, _: setattr(context, "sni_callback", lambda *_: None), "sni_callback"),
        (lambda context, _: setattr(context, "verify_mode", ssl.CERT_REQUIRED), "not one file"),
    ],
)
def test_what_cannot_be_taken(
    change: Callable[[ssl.SSLContext, Files], object], said: str, files: Files
) -> None:
    with recorded():
        context = loaded(files)
        change(context, files)
    with pytest.raises(ConfigError, match=said):
        encryption_of(context)


def test_gunicorns_hook(files: Files, tmp_path: Path) -> None:
    config = tmp_path / "gunicorn.conf.py"
    write_hook(config, files)
    values = {name: value for name, (value, _) in load_config_file(str(config)).values.items()}
    assert values["certfile"] == (str(files.certificate),)
    assert values["keyfile"] == (str(files.key),)
    assert values["tls_versions"] == "1.3"
    assert values["cert_reqs"] == "none"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return None", r"gunicorn.conf.py:1: ssl_context: it has to give an SSLContext"),
        ("return default()", "it failed"),
        ("return 5", "is none of"),
    ],
)
def test_gunicorns_hook_that_cannot_be_used(body: str, said: str, tmp_path: Path) -> None:
    config = tmp_path / "gunicorn.conf.py"
    config.write_text(f"def ssl_context(conf, default):\n    {body}\n")
    with pytest.raises(ConfigError, match=said):
        load_config_file(str(config))
