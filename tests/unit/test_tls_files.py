"""Certificates, keys and ticket keys as files: what is read, refused, kept and rotated."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pelton import _engine
from pelton.config.address import Scheme, TcpAddress, UnixAddress, parse_bind
from pelton.config.settings import settings_from
from pelton.exceptions import ConfigError
from pelton.net.opened import open_all
from pelton.tls.certificates import Certificates, ending
from pelton.tls.material import ADHOC, BadCertificateError, build, read_material, stamps
from pelton.tls.ticket_keys import ROTATE_EVERY, current_keys, new_store
from support.certificates import Files, make_files


def settings_of(files: Files, **more: Any) -> Any:
    return settings_from({"certfile": [str(files.certificate)], "keyfile": [str(files.key)], **more})


def test_ticket_keys_are_rotated_and_shared() -> None:
    store = new_store()
    try:
        first = current_keys(store, 1000.0)
        assert len(first) == 1
        assert len(first[0]) == 48
        assert current_keys(store, 1000.0 + ROTATE_EVERY - 1) == first
        second = current_keys(store, 1000.0 + ROTATE_EVERY)
        assert second[1:] == first
        assert second[0] != first[0]
        # What a successor inherits is the same file.
        other = os.dup(store)
        assert current_keys(other, 1000.0 + ROTATE_EVERY) == second
        os.close(other)
        third = current_keys(store, 1000.0 + 2 * ROTATE_EVERY)
        fourth = current_keys(store, 1000.0 + 3 * ROTATE_EVERY)
        assert fourth[1:] == [third[0], second[0]]
        # A clock that was set back.
        assert current_keys(store, 5.0)[1:] == fourth[:2]
    finally:
        os.close(store)


def test_ticket_keys_have_a_length() -> None:
    with pytest.raises(ValueError, match="48 bytes"):
        _engine.TicketKeys().replace([b"x"])


@pytest.mark.parametrize(
    ("text", "address", "scheme"),
    [
        ("https://0.0.0.0:443", TcpAddress("0.0.0.0", 443), Scheme.HTTPS),
        ("https://:443/", TcpAddress("0.0.0.0", 443), Scheme.HTTPS),
        ("HTTP://[::1]:80", TcpAddress("::1", 80), Scheme.HTTP),
        ("https://unix:/run/x", UnixAddress("/run/x"), Scheme.HTTPS),
        ("localhost:8000", TcpAddress("localhost", 8000), None),
    ],
)
def test_addresses_with_a_scheme(text: str, address: object, scheme: Scheme | None) -> None:
    found = parse_bind(text)
    assert (found.address, found.scheme) == (address, scheme)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"bind": ["https://127.0.0.1:0"]}, "there is no certificate"),
        ({"certfile": [ADHOC], "bind": ["http://127.0.0.1:0"]}, "no address is encrypted"),
        ({"redirect_bind": ["127.0.0.1:0"], "bind": ["127.0.0.1:0"]}, "there is no certificate"),
        ({"certfile": ["a", "b"], "keyfile": ["c"]}, "2 certificates and 1 keys"),
        ({"certfile": ["a"], "keyfile": ["b"], "ocsp_file": ["c", "d"]}, "more OCSP responses"),
        ({"acme": ["*.example.com"]}, "DNS-01"),
        ({"acme": ["exa mple"]}, "not the name of a host"),
        ({"acme": ["example.com"], "acme_eab_key_id": "x"}, "go together"),
    ],
)
def test_what_does_not_fit(values: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        open_all(settings_from({"acme_state": str(tmp_path), **values}))


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    files, other = make_files(tmp_path), make_files(tmp_path, stem="other")
    tickets = _engine.TicketKeys()

    def fault(certificate: Path, key: Path, **more: Any) -> str:
        settings = settings_from({"certfile": [str(certificate)], "keyfile": [str(key)], **more})
        with pytest.raises(BadCertificateError) as caught:
            build(settings, read_material(settings), tickets)
        return caught.value.what

    assert fault(tmp_path / "none.pem", files.key).startswith(f"{tmp_path}/none.pem (certificate) cannot be")
    assert "does not belong to the first certificate" in fault(files.certificate, other.key)
    assert str(files.certificate) in fault(files.certificate, other.key)
    assert "no certificate in the file" in fault(files.key, files.key)
    assert "which authorities count" in fault(files.certificate, files.key, cert_reqs="required")
    assert "no cipher suite" in fault(files.certificate, files.key, ciphers="RC4")
    big = tmp_path / "big"
    big.write_bytes(b"x" * (2**20 + 1))
    assert "too large" in fault(big, files.key)


def test_the_key_may_stand_in_the_certificates_file(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    both = tmp_path / "both.pem"
    both.write_text(files.certificate.read_text() + files.key.read_text())
    settings = settings_from({"certfile": [str(both)]})
    made = build(settings, read_material(settings), _engine.TicketKeys())
    assert made.chains[0][0].names == ["localhost", "127.0.0.1", "shop.example"]
    assert made.chains[0][0].key == "EC 256"


def test_reading_again_keeps_what_is_good(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    settings = settings_of(files)
    store = new_store()
    certificates = Certificates(settings, read_material(settings), store)
    os.close(store)
    first = certificates.tls.chains[0][0].serial
    files.write(lifetime=-10)
    assert not certificates.read_again("test")
    assert certificates.tls.chains[0][0].serial == first
    files.write()
    assert certificates.read_again("test")
    assert certificates.tls.chains[0][0].serial != first
    certificates.close()
    certificates.close()


def test_a_change_shows_in_the_stamps(tmp_path: Path) -> None:
    files = make_files(tmp_path)
    names = [str(files.certificate), str(tmp_path / "none")]
    before = stamps(names)
    assert stamps(names) == before
    files.write()
    assert stamps(names) != before


@pytest.mark.parametrize(
    ("lifetime", "passed", "said"),
    [
        (90, 1, None),
        (90, 75, None),
        (90, 77, "ends in 1"),
        (90, 91, "has expired"),
        (6, 3, None),
        (6, 5, "ends in 1.0 days"),
        (90, -1, "not valid yet"),
    ],
)
def test_the_end_is_told_in_time(tmp_path: Path, lifetime: int, passed: int, said: str | None) -> None:
    files = make_files(tmp_path, lifetime=lifetime * 86400)
    settings = settings_of(files)
    material = read_material(settings)
    made = build(settings, material, _engine.TicketKeys())
    now = made.chains[0][0].not_after - lifetime * 86400 + passed * 86400
    found = ending(made, material, now)
    if said is None:
        assert found == []
    else:
        assert found[0][0] == str(files.certificate)
        assert said in found[0][1]
