"""HTTPS with real clients: handshakes, names, certificates of clients, and what becomes of broken ones."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import ssl
import subprocess
from pathlib import Path

import h2.connection
import h2.events
import pytest

from conftest import StartLive
from support.apps import answer
from support.certificates import Files, ask, connect, context_for, make_files, write_hook
from support.live import HEALTH, Live
from support.serving import Serve
from support.waiting import DEADLINE, eventually

APP = Path(__file__).parents[1] / "support" / "tls_app.py"
WAYS = [
    pytest.param(("--workers", "0"), id="one-process"),
    pytest.param(("--workers", "2"), id="two-workers"),
]

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return make_files(tmp_path)


def run(*command: str, text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def start(live: StartLive, files: Files, *arguments: str) -> Live:
    server: Live = live(APP, *files.arguments, *arguments)
    assert server.addresses[0].startswith("https://127.0.0.1:")
    return server


@needs_curl
@pytest.mark.parametrize("way", WAYS)
def test_curl(live: StartLive, files: Files, way: tuple[str, ...], tmp_path: Path) -> None:
    server = start(live, files, *way)
    address = server.addresses[0]
    curl = ("curl", "--silent", "--show-error", "--fail", "--cacert", str(files.certificate))
    assert run(*curl, address) == "hello"
    told = json.loads(run(*curl, f"{address}/environ"))
    assert told["wsgi.url_scheme"] == "https"
    assert (told["HTTPS"], told["SSL_PROTOCOL"]) == ("on", "TLSv1.3")
    assert told["SSL_CIPHER"].startswith("TLS_")
    assert told["SERVER_PORT"] == address.rpartition(":")[2]
    told = json.loads(run(*curl, "--tls-max", "1.2", f"{address}/environ"))
    assert (told["SSL_PROTOCOL"], told["SSL_CIPHER"][:6]) == ("TLSv1.2", "ECDHE-")
    large = tmp_path / "large"
    large.write_bytes(b"z" * 5_000_001)
    assert run(*curl, "--data-binary", f"@{large}", f"{address}/length") == "5000001"
    assert run(*curl, f"{address}/stream") == "one,two," + "x" * 100_000
    down = tmp_path / "down"
    run(*curl, "--output", str(down), f"{address}/large")
    assert down.read_bytes() == bytes(range(256)) * 16384
    run(*curl, "--output", str(down), f"{address}/file?{large}")
    assert down.read_bytes() == large.read_bytes()


@needs_curl
@pytest.mark.parametrize("way", WAYS)
def test_http2_is_chosen_by_the_client(live: StartLive, files: Files, way: tuple[str, ...]) -> None:
    server = start(live, files, *way, "--hsts", "1h")
    curl = ("curl", "--silent", "--show-error", "--fail", "--cacert", str(files.certificate), "--include")
    for option, line in (("--http2", "HTTP/2 200"), ("--http1.1", "HTTP/1.1 200 OK")):
        got = run(*curl, option, f"{server.addresses[0]}/environ")
        assert got.startswith(line)
        assert "strict-transport-security: max-age=3600" in got.lower()
        told = json.loads(got[got.index("{") :])
        assert (told["wsgi.url_scheme"], told["SSL_PROTOCOL"]) == ("https", "TLSv1.3")


@needs_curl
def test_http2_can_be_left_out(live: StartLive, files: Files) -> None:
    server = start(live, files, "--no-http2")
    curl = ("curl", "--silent", "--show-error", "--cacert", str(files.certificate), "--include")
    assert run(*curl, "--http2", server.addresses[0]).startswith("HTTP/1.1 200 OK")


def test_requests_follow_each_other_and_the_end_is_said(live: StartLive, files: Files) -> None:
    server = start(live, files)
    with connect(server.addresses[0], context_for(files)) as client:
        for _ in range(3):
            assert ask(client).endswith(b"\r\n\r\nhello")
        response = ask(client, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b"Connection: close" in response
        # An orderly end: without the alert, Python raises SSLEOFError.
        assert client.recv(1) == b""


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_byte_by_byte(live: StartLive, files: Files, version: ssl.TLSVersion) -> None:
    server = start(live, files)
    context = context_for(files)
    context.maximum_version = version
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    host, _, port = server.addresses[0].removeprefix("https://").rpartition(":")
    with socket.create_connection((host, int(port)), DEADLINE) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def carry() -> None:
            for byte in outgoing.read():
                plain.send(bytes([byte]))

        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                carry()
                incoming.write(plain.recv(65536))
        session.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        carry()
        got = b""
        while not got.endswith(b"hello"):
            try:
                got += session.read(65536)
            except ssl.SSLWantReadError:
                incoming.write(plain.recv(65536))


def test_the_name_decides(live: StartLive, tmp_path: Path) -> None:
    first = make_files(tmp_path, "a.example", stem="a")
    second = make_files(tmp_path, "b.example", "*.c.example", stem="b")
    server = live(APP, *first.arguments, *second.arguments)
    for name, files in (("a.example", first), ("b.example", second), ("x.c.example", second)):
        with connect(server.addresses[0], context_for(files), name) as client:
            assert ask(client).endswith(b"hello")
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(server.addresses[0], context_for(first), "c.example")


@pytest.mark.parametrize("way", WAYS)
def test_certificates_of_clients(live: StartLive, files: Files, way: tuple[str, ...], tmp_path: Path) -> None:
    own = make_files(tmp_path, "client.example", stem="client")
    stranger = make_files(tmp_path, "stranger.example", stem="stranger")
    server = start(live, files, *way, "--ca-certs", str(own.certificate), "--cert-reqs", "optional")

    def told(shown: Files | None) -> dict[str, str]:
        with connect(server.addresses[0], context_for(files, shown)) as client:
            response = ask(client, "GET /environ HTTP/1.1\r\nHost: localhost\r\n\r\n")
            found: dict[str, str] = json.loads(response.partition(b"\r\n\r\n")[2])
            return found

    assert told(None)["SSL_CLIENT_VERIFY"] == "NONE"
    shown = told(own)
    assert shown["SSL_CLIENT_VERIFY"] == "SUCCESS"
    assert shown["SSL_CLIENT_S_DN"] == shown["SSL_CLIENT_I_DN"] == "CN=client.example"
    assert shown["SSL_CLIENT_S_DN_CN"] == shown["SSL_CLIENT_SAN_DNS_0"] == "client.example"
    assert shown["SSL_CLIENT_CERT"].strip() == own.certificate.read_text().replace("\r\n", "\n").strip()
    assert shown["SSL_CLIENT_V_END"].endswith(" GMT")
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        told(stranger)


def test_a_client_cannot_name_variables(live: StartLive, files: Files) -> None:
    server = start(live, files)
    head = (
        "GET /environ HTTP/1.1\r\nHost: localhost\r\nSSL_CLIENT_VERIFY: SUCCESS\r\n"
        "SSL-Client-Verify: SUCCESS\r\n\r\n"
    )
    with connect(server.addresses[0], context_for(files)) as client:
        told = json.loads(ask(client, head).partition(b"\r\n\r\n")[2])
    assert "SSL_CLIENT_VERIFY" not in told


@needs_openssl
def test_kinds_of_keys(live: StartLive, tmp_path: Path) -> None:
    subject = ("-x509", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "30")
    rsa, sec1, sealed, phrase = (tmp_path / one for one in ("rsa.key", "sec1.key", "sealed.key", "phrase"))
    run("openssl", "genrsa", "-traditional", "-out", str(rsa), "2048")
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-out", str(sec1))
    phrase.write_text("open sesame\n")
    run("openssl", "pkcs8", "-topk8", "-in", str(sec1), "-out", str(sealed), "-passout", f"file:{phrase}")
    for key in (rsa, sec1, sealed):
        certificate = key.with_suffix(".pem")
        source = sec1 if key is sealed else key
        run("openssl", "req", *subject, "-key", str(source), "-out", str(certificate))
        files = Files(certificate, key)
        server = start(live, files, "--key-pass-phrase-file", str(phrase))
        with connect(server.addresses[0], context_for(files)) as client:
            assert ask(client).endswith(b"hello"), key.name
    phrase.write_text("wrong")
    failed = live(APP, *files.arguments, "--key-pass-phrase-file", str(phrase))
    assert failed.process.wait(20) != 0
    assert "the pass phrase does not open the private key" in failed.log.text


def test_plain_http_on_a_tls_port(live: StartLive, files: Files) -> None:
    server = start(live, files)
    host, _, port = server.addresses[0].removeprefix("https://").rpartition(":")
    with socket.create_connection((host, int(port)), DEADLINE) as plain:
        plain.sendall(f"GET /x?y=1 HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
        got = b""
        while piece := plain.recv(65536):
            got += piece
    assert got.startswith(b"HTTP/1.1 400 ")
    assert f"https://localhost:{port}/x?y=1".encode() in got


def test_tls_on_a_plain_port(live: StartLive, files: Files) -> None:
    server = live(APP, "--bind", "127.0.0.1:0")
    with pytest.raises(ssl.SSLError):
        connect(server.addresses[0].replace("http:", "https:"), context_for(files))
    server.log.wait_for("speaks TLS .https. where only HTTP is spoken")


def test_both_at_once_and_the_redirect(live: StartLive, files: Files) -> None:
    server = live(
        APP,
        *files.arguments,
        *("--bind", "https://127.0.0.1:0", "--bind", "http://127.0.0.1:0", "--hsts", "31536000"),
        *("--redirect-bind", "127.0.0.1:0", *HEALTH),
    )
    secure, plain = server.addresses
    assert plain.startswith("http://")
    with connect(secure, context_for(files)) as client:
        assert b"Strict-Transport-Security: max-age=31536000\r\n" in ask(client)
    redirect = server.log.wait_for(r"sends on to HTTPS from http://(\S+)")[1]
    host, _, port = redirect.rpartition(":")
    with socket.create_connection((host, int(port)), DEADLINE) as client:
        client.sendall(b"GET /a%20b?c HTTP/1.1\r\nHost: shop.example:8080\r\nConnection: close\r\n\r\n")
        got = b""
        while piece := client.recv(65536):
            got += piece
    assert got.startswith(b"HTTP/1.1 308 ")
    assert f"Location: https://shop.example:{secure.rpartition(':')[2]}/a%20b?c\r\n".encode() in got
    assert b"Strict-Transport-Security" not in got


def fingerprint(server: Live, files: Files) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with connect(server.addresses[0], context) as client:
        found = client.getpeercert(binary_form=True)
        assert found is not None
        return found


def der(files: Files) -> bytes:
    return ssl.PEM_cert_to_DER_cert(files.certificate.read_text())


@pytest.mark.parametrize("way", WAYS)
def test_certificates_are_read_again(live: StartLive, files: Files, way: tuple[str, ...]) -> None:
    server = start(live, files, *way)
    kept = connect(server.addresses[0], context_for(files))
    assert ask(kept).endswith(b"hello")
    before = der(files)
    good = files.key.read_text()
    files.key.write_text("nonsense")
    server.send_signal(signal.SIGHUP)
    server.log.wait_for("the old certificates stay in force: .*there is no private key in the file")
    assert fingerprint(server, files) == before
    files.key.write_text(good)
    files.write(lifetime=-60)
    server.send_signal(signal.SIGHUP)
    server.log.wait_for("the old certificates stay in force: .*has expired")
    assert fingerprint(server, files) == before
    files.write()
    server.send_signal(signal.SIGHUP)
    server.log.wait_for("new certificates are in force")
    eventually(lambda: fingerprint(server, files) == der(files), "the new certificate")
    # Who was connected has noticed nothing.
    assert ask(kept).endswith(b"hello")
    kept.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_session_is_resumed_after_a_reload_and_by_the_successor(
    live: StartLive, files: Files, version: ssl.TLSVersion
) -> None:
    server = start(live, files, "--workers", "1")
    server.ready_workers(1)
    context = context_for(files)
    context.minimum_version = context.maximum_version = version
    with connect(server.addresses[0], context) as client:
        ask(client)
        session = client.session
        assert not client.session_reused
    with connect(server.addresses[0], context, session=session) as client:
        ask(client)
        assert client.session_reused
        assert client.version() == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
    files.write()
    server.send_signal(signal.SIGHUP)
    server.log.wait_for("new certificates are in force")
    with connect(server.addresses[0], context, session=session) as client:
        ask(client)
        assert client.session_reused
    server.send_signal(signal.SIGUSR2)
    assert server.process.wait(30) == 0
    with connect(server.addresses[0], context, session=session) as client:
        ask(client)
        assert client.session_reused
    server.send_signal(signal.SIGTERM)


def seconds_of_fronts() -> float:
    """Processor time of all event loops in this process."""
    spent = 0
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            if (thread / "comm").read_text() == "pelton-front\n":
                spent += int((thread / "schedstat").read_text().split()[0])
    return spent / 1e9


def test_a_client_that_stays_after_the_end_costs_nothing(serve: Serve, files: Files) -> None:
    """Its socket is kept for two seconds, so that it reads why; the event loop must not be busy with it."""
    server = serve(
        answer(b"hello"), scheme="https://", certfile=[str(files.certificate)], keyfile=[str(files.key)]
    )
    context = context_for(files)
    context.set_alpn_protocols(["h2"])
    with connect(str(server.address), context) as client:
        # Data that belong to no stream.
        settings, data = bytes([0, 0, 0, 4, *[0] * 5]), bytes([0, 0, 1, *[0] * 7])
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + data)
        while client.recv(65536):
            pass
        before = seconds_of_fronts()
        server.wait_for_counter("connections_open", 0)
        spent = seconds_of_fronts() - before
    assert before > 0
    assert spent < 0.5


def test_private_keys_are_used_beside_the_event_loop(serve: Serve, files: Files) -> None:
    server = serve(
        answer(b"hello"), scheme="https://", certfile=[str(files.certificate)], keyfile=[str(files.key)]
    )
    address = str(server.address)
    for _ in range(3):
        with connect(address, context_for(files)) as client:
            assert ask(client).endswith(b"hello")
    assert (server.counter("handshakes_done"), server.counter("handshakes_beside")) == (3, 3)
    # What begins in pieces, or together with what follows, is put together all the same.
    context = ssl.create_default_context(cafile=str(files.certificate))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    host, _, port = address.removeprefix("https://").rpartition(":")
    with socket.create_connection((host, int(port)), DEADLINE) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    plain.sendall(bytes([byte]))
                incoming.write(plain.recv(65536))
        session.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        plain.sendall(outgoing.read())
        got = b""
        while not got.endswith(b"hello"):
            incoming.write(plain.recv(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                got += session.read(65536)
    # A client that leaves while its key is being used is nobody's business any more.
    hello = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        hello.do_handshake()
    wire = outgoing.read()
    for _ in range(20):
        with socket.create_connection((host, int(port)), DEADLINE) as plain:
            plain.sendall(wire)
    server.wait_until_idle()


def test_a_late_handshake_is_closed(live: StartLive, files: Files) -> None:
    server = start(live, files, "--handshake-timeout", "300ms")
    host, _, port = server.addresses[0].removeprefix("https://").rpartition(":")
    with socket.create_connection((host, int(port)), DEADLINE) as silent:
        assert silent.recv(100) == b""


def test_handshakes_have_limits(live: StartLive, files: Files) -> None:
    server = start(live, files, "--max-handshakes", "2")
    host, _, port = server.addresses[0].removeprefix("https://").rpartition(":")
    waiting = [socket.create_connection((host, int(port)), DEADLINE) for _ in range(2)]
    with socket.create_connection((host, int(port)), DEADLINE) as third:
        assert third.recv(1) == b""
    for one in waiting:
        one.close()
    eventually(lambda: can_connect(server, files), "a place is free again")


def can_connect(server: Live, files: Files) -> bool:
    try:
        with connect(server.addresses[0], context_for(files)) as client:
            return ask(client).endswith(b"hello")
    except OSError:
        return False


PROXY_2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes([192, 0, 2, 7, 192, 0, 2, 1, 19, 136, 1, 187])


@pytest.mark.parametrize("header", [b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\n", PROXY_2], ids=["1", "2"])
@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_proxy_protocol_comes_before_the_handshake(
    live: StartLive, files: Files, header: bytes, protocol: str
) -> None:
    server = start(live, files, "--proxy-protocol", "--trusted-proxies", "127.0.0.1")
    host, _, port = server.addresses[0].removeprefix("https://").rpartition(":")
    for pieces in ([header], [header[:9], header[9:]], [bytes([byte]) for byte in header]):
        plain = socket.create_connection((host, int(port)), DEADLINE)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            plain.sendall(piece)
        context = context_for(files)
        context.set_alpn_protocols([protocol])
        with context.wrap_socket(plain, server_hostname="localhost") as client:
            assert client.selected_alpn_protocol() == protocol
            if protocol == "h2":
                told = asked_over_http2(client)
            else:
                head = "GET /environ HTTP/1.1\r\nHost: localhost\r\n\r\n"
                told = json.loads(ask(client, head).partition(b"\r\n\r\n")[2])
        assert (told["REMOTE_ADDR"], told["wsgi.url_scheme"]) == ("192.0.2.7", "https")
    # Who says nothing of where he comes from is not let in.
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect(server.addresses[0], context_for(files))


def asked_over_http2(client: ssl.SSLSocket) -> dict[str, str]:
    session = h2.connection.H2Connection()
    session.initiate_connection()
    fields = ((":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/environ"))
    session.send_headers(1, fields, end_stream=True)
    client.sendall(session.data_to_send())
    body = b""
    while True:
        for event in session.receive_data(client.recv(65536)):
            if isinstance(event, h2.events.DataReceived):
                body += event.data
            if isinstance(event, h2.events.StreamEnded):
                found: dict[str, str] = json.loads(body)
                return found


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_one_version_only(live: StartLive, files: Files, version: str) -> None:
    server = start(live, files, "--tls-versions", version)
    names = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
    for other, number in names.items():
        context = context_for(files)
        context.minimum_version = context.maximum_version = number
        if other == version:
            with connect(server.addresses[0], context) as client:
                assert ask(client).endswith(b"hello")
        else:
            with pytest.raises(ssl.SSLError, match=r"(?i)version"):
                connect(server.addresses[0], context)


def test_gunicorns_hook(live: StartLive, files: Files, tmp_path: Path) -> None:
    config = tmp_path / "gunicorn.conf.py"
    write_hook(config, files)
    server = live(APP, "-c", str(config))
    with connect(server.addresses[0], context_for(files)) as client:
        assert (client.version(), ask(client)[-5:]) == ("TLSv1.3", b"hello")
    context = context_for(files)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        connect(server.addresses[0], context)


def test_adhoc(live: StartLive) -> None:
    server = live(APP, "--certfile", "adhoc")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with connect(server.addresses[0], context) as client:
        assert ask(client).endswith(b"hello")
