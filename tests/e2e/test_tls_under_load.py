"""Certificates that are renewed, reloads and upgrades, while clients ask over TLS: none of them notices."""

from __future__ import annotations

import contextlib
import os
import signal
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from websocket import WebSocket, WebSocketException, create_connection

from conftest import StartLive
from support.certificates import Files, connect, context_for, make_files
from support.gates import Gates
from support.go_load import GO, GoLoad
from support.http2 import Frame, Http2Client
from support.kinds import IS_ONE_OF_MANY
from support.live import PROCESS_APP, Live
from support.load import Load
from support.waiting import DEADLINE, eventually

pytestmark = pytest.mark.skipif(IS_ONE_OF_MANY, reason="the front speaks it, whatever the worker kind")

WEBSOCKETS = "support.websocket_app:app"
HERE = str(Path(__file__).parents[1])
GOAWAY, MOST_STREAM = 7, 2**31 - 1


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return make_files(tmp_path)


def trusting_all() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def shown(address: str) -> bytes | None:
    """The certificate that a new connection is shown."""
    with connect(address, trusting_all()) as client:
        return client.getpeercert(binary_form=True)


def der(files: Files) -> bytes:
    return ssl.PEM_cert_to_DER_cert(files.certificate.read_text())


def start(live: StartLive, files: Files, *arguments: str) -> Live:
    server: Live = live(PROCESS_APP, *files.arguments, "--workers", "2", *arguments)
    server.ready_workers(2)
    return server


@contextlib.contextmanager
def upgraded(server: Live) -> Iterator[None]:
    """Ends the successor, who is no child of this process."""
    yield
    pid = int(server.log.wait_for(r"listens on .*, pid (\d+)\)", 2)[1])
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    server.wait_until_gone()


def test_renewals_under_load(live: StartLive, files: Files, tmp_path: Path) -> None:
    server = start(live, files)
    address = server.addresses[0]
    # Whoever is connected goes on with what he had verified; so this load verifies nothing anew.
    with Load(address, tls=trusting_all()) as load:
        for count in range(1, 4):
            load.wait_for(50)
            files.write()
            server.send_signal(signal.SIGHUP)
            server.log.wait_for("new certificates are in force", count)
            eventually(lambda: shown(address) == der(files), "the new certificate")
            # Broken ones in between.
            good = files.certificate.read_text()
            files.certificate.write_text(good[: len(good) // 2])
            server.send_signal(signal.SIGHUP)
            server.log.wait_for("the old certificates stay in force", count)
            files.certificate.write_text(good)
            assert shown(address) == der(files)
        load.wait_for(50)
    assert all(response.keeps_connection for response in load.responses)


def test_a_renewal_that_nobody_tells_of(live: StartLive, files: Files, tmp_path: Path) -> None:
    """As certbot does it: links to files lead to others all at once."""
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    made = [make_files(folder) for folder in folders]
    current = tmp_path / "current"
    current.symlink_to(folders[0])
    linked = Files(current / made[0].certificate.name, current / made[0].key.name)
    server = start(live, linked)
    address = server.addresses[0]
    with Load(address, tls=trusting_all(), clients=2) as load:
        load.wait_for(10)
        assert shown(address) == der(made[0])
        new = tmp_path / "new"
        new.symlink_to(folders[1])
        new.replace(current)
        server.log.wait_for("Certificate files have changed: new certificates are in force")
        eventually(lambda: shown(address) == der(made[1]), "the new certificate")
        load.wait_for(10)
    assert all(response.keeps_connection for response in load.responses)


@pytest.mark.skipif(GO is None, reason="there is no Go")
@pytest.mark.timeout(400)
def test_reloads_and_an_upgrade_under_a_load_of_http_2(live: StartLive, files: Files) -> None:
    server = start(live, files)
    address = server.addresses[0]
    with (
        upgraded(server),
        GoLoad(address, files.certificate) as load,
        Load(address, tls=context_for(files)) as other,
    ):
        load.wait_for(200)
        server.send_signal(signal.SIGHUP)
        server.ready_workers(4)
        load.wait_for(500)
        server.send_signal(signal.SIGUSR2)
        assert server.process.wait(30) == 0
        load.wait_for(500)
        other.wait_for(50)
    # One lasted until the upgrade. To the successor, each of the eight may have made one at the same time.
    assert 2 <= load.found["connections"] <= 9


def test_streams_finish_during_an_upgrade(live: StartLive, files: Files, tmp_path: Path) -> None:
    gates = Gates(tmp_path)
    server: Live = live(PROCESS_APP, *files.arguments, "--workers", "1", environment=gates.environment)
    old = server.ready_workers(1)[1]
    address = server.addresses[0]
    with upgraded(server), Http2Client(int(address.rpartition(":")[2]), tls=context_for(files)) as client:
        gates.add("one")
        held = client.ask("/hold/one")
        server.log.wait_for("one is held")
        server.send_signal(signal.SIGUSR2)
        server.log.wait_for("listens on", 2)
        # It is told to ask no more; what is on its way for a second longer is answered all the same.
        announced = client.ask("/")
        eventually(lambda: is_answered_by_another(address, files, old), "new connections go to the successor")
        gates.open("one")
        frames = client.frames_until_end()
        assert server.process.wait(30) == 0
    goaways = [struct.unpack(">II", one.payload[:8]) for one in frames if one.kind == GOAWAY]
    assert goaways[0] == (MOST_STREAM, 0)
    assert goaways[-1] in ((held, 0), (announced, 0))
    assert body_of(frames, held) == str(old).encode()
    if goaways[-1][0] == announced:
        assert body_of(frames, announced) == str(old).encode()


def is_answered_by_another(address: str, files: Files, old: int) -> bool:
    with Http2Client(int(address.rpartition(":")[2]), tls=context_for(files)) as client:
        stream = client.ask("/")
        # Whoever was accepted at the last moment is asked to come again.
        while stream not in client.ended:
            if not client.receive():
                return False
        return client.text(stream) != str(old)


def body_of(frames: list[Frame], stream: int) -> bytes:
    """What a stream has brought; it has ended."""
    pieces = [one for one in frames if one.stream == stream and one.kind == 0]
    assert pieces
    assert pieces[-1].flags & 1
    return b"".join(one.payload for one in pieces)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_encrypted_websockets_end_when_their_worker_does(
    live: StartLive, files: Files, number: signal.Signals
) -> None:
    server: Live = live(WEBSOCKETS, *files.arguments, "--workers", "1", environment={"PYTHONPATH": HERE})
    server.ready_workers(1)
    old = open_socket(server, files)
    pid = old.recv()
    with contextlib.closing(old), upgraded(server) if number == signal.SIGUSR2 else contextlib.nullcontext():
        old.send("before")
        assert old.recv() == "before"
        server.send_signal(number)
        # The application sees the end of its socket and says goodbye.
        assert ends(old)
        if number == signal.SIGUSR2:
            assert server.process.wait(30) == 0
        with contextlib.closing(open_socket(server, files)) as new:
            assert new.recv() != pid
            new.send("after")
            assert new.recv() == "after"
    assert server.log.all("left behind|Traceback") == []


def open_socket(server: Live, files: Files) -> WebSocket:
    address = server.addresses[0].replace("https://127.0.0.1", "wss://localhost")
    trust = {"ca_certs": str(files.certificate)}
    made: WebSocket = create_connection(f"{address}/echo", timeout=DEADLINE, sslopt=trust)
    return made


def ends(one: WebSocket) -> bool:
    with contextlib.suppress(WebSocketException, ConnectionError):
        while one.recv() != "":
            pass
    return True
