"""Certificates from pebble, a real ACME server on this machine."""

from __future__ import annotations

import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pelton
from conftest import StartLive
from pelton import _engine
from pelton.config.settings import settings_from
from pelton.tls.acme.state import State
from support.certificates import connect
from support.live import Live
from support.pebble import IS_THERE, Pebble, free_port
from support.waiting import eventually

pytestmark = pytest.mark.skipif(not IS_THERE, reason="there is no pebble (apt-get install pebble)")

APP = Path(__file__).parents[1] / "support" / "tls_app.py"
NAMES = ["shop.pelton.example", "www.pelton.example"]


@pytest.fixture
def listening() -> Iterator[tuple[socket.socket, socket.socket]]:
    """For https and for http; the command inherits them, so that their ports are known before."""
    with (
        socket.create_server(("127.0.0.1", 0)) as secure,
        socket.create_server(("127.0.0.1", 0)) as plain,
    ):
        for one in (secure, plain):
            one.set_inheritable(True)
        yield secure, plain


@pytest.fixture
def pebble(tmp_path: Path, listening: tuple[socket.socket, socket.socket]) -> Iterator[Pebble]:
    secure, plain = (one.getsockname()[1] for one in listening)
    with Pebble(tmp_path, http_port=plain, tls_port=secure) as made:
        yield made


def issuer(server: Live) -> str:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with connect(server.addresses[0], context, NAMES[0]) as client:
        found = client.getpeercert(binary_form=True)
        assert found is not None
        return _engine.read_certificates(ssl.DER_cert_to_PEM_cert(found).encode())[0].issuer


def start(
    live: StartLive,
    pebble: Pebble,
    listening: tuple[socket.socket, socket.socket],
    state: Path,
    *arguments: str,
) -> Live:
    secure, plain = (one.fileno() for one in listening)
    made: Live = live(
        APP,
        *("--bind", f"fd://{secure}", "--redirect-bind", f"fd://{plain}"),
        *("--acme", ",".join(NAMES), "--acme-state", str(state), *pebble.arguments, *arguments),
        descriptors=[secure, plain],
    )
    return made


@pytest.mark.parametrize("challenge", ["tls-alpn-01", "http-01"])
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_certificate_is_obtained_and_kept(
    live: StartLive,
    pebble: Pebble,
    listening: tuple[socket.socket, socket.socket],
    tmp_path: Path,
    challenge: str,
    workers: str,
) -> None:
    options = ("--workers", workers, "--acme-challenge", challenge)
    server = start(live, pebble, listening, tmp_path / "acme", *options)
    server.log.wait_for("until there is a certificate for .*, one serves that nobody trusts")
    server.log.wait_for("ACME: new certificates are in force: shop.pelton.example, www.pelton.example")
    eventually(lambda: "Pebble" in issuer(server), "the certificate is served")
    server.send_signal(signal.SIGTERM)
    server.process.wait(20)
    again = start(live, pebble, listening, tmp_path / "acme", *options)
    assert "Pebble" in issuer(again)
    assert "asks for a certificate" not in again.log.text
    assert "nobody trusts" not in again.log.text


def test_what_the_directory_says_is_in_the_log(
    live: StartLive, tmp_path: Path, listening: tuple[socket.socket, socket.socket]
) -> None:
    # It looks for the challenge where nobody listens.
    with Pebble(tmp_path, http_port=free_port(), tls_port=free_port()) as pebble:
        server = start(live, pebble, listening, tmp_path / "acme")
        server.log.wait_for(r"no certificate for .*: .*shop.pelton.example: .*\. It is tried again in")
        assert "Pebble" not in issuer(server)


def app(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b""]


class InterruptedOrderError(Exception):
    pass


def test_an_order_is_gone_on_with_and_a_lost_account_is_made_anew(
    pebble: Pebble, listening: tuple[socket.socket, socket.socket], tmp_path: Path
) -> None:
    acme = pytest.importorskip("acme")
    from pelton.tls.acme.client import Directory

    settings = settings_from(
        {
            "acme": NAMES,
            "acme_directory": pebble.url,
            "acme_ca_certs": pebble.ca_certs,
            "acme_state": str(tmp_path / "acme"),
        }
    )
    state = State(Path(settings.acme_state), NAMES, settings.acme_directory)
    state.make()
    secure, _ = listening
    with pelton.start(app, bind=f"fd://{secure.fileno()}", certfile="adhoc") as running:
        certificates = running._certificates
        assert certificates is not None

        def stop(answers: Any) -> None:
            if answers.pairs:
                raise InterruptedOrderError

        with pytest.raises(InterruptedOrderError):
            Directory(settings, state).obtain(NAMES, stop)
        order, account = state.order(), state.account()
        assert order is not None
        seen: list[Any] = []

        def publish(answers: Any) -> None:
            seen.append(state.order())
            certificates._publish(answers)

        Directory(settings, state).obtain(NAMES, publish)
        assert seen[0]["address"] == order["address"]
        assert state.account() == account
        pair = state.read_pair()
        assert pair is not None
        assert _engine.read_certificates(pair)[0].names == NAMES
        assert state.order() is None
        when, again = Directory(settings, state).renewal_time(pair)
        assert again > 0
        if when is not None:
            assert when < _engine.read_certificates(pair)[0].not_after
        # The account ends at the directory.
        connected = Directory(settings, state)._connected()
        connected.deactivate_registration(connected.net.account)
        with pytest.raises(acme.messages.Error):
            Directory(settings, state).obtain(NAMES, certificates._publish)
        assert state.account() is None
        Directory(settings, state).obtain(NAMES, certificates._publish)
        assert state.account() != account
        assert state.read_pair() != pair
