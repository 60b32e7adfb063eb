"""A client of HTTP/2 over a plain socket that does what it is told, right or wrong."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections import defaultdict
from typing import NamedTuple, Self

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from support.waiting import DEADLINE


class Frame(NamedTuple):
    """One of the server's."""

    kind: int
    flags: int
    stream: int
    payload: bytes


class Http2Client:
    """One connection. Use as a context manager; ``settings`` are those that the server is told.

    With ``tls`` it is encrypted.
    """

    def __init__(
        self,
        port: int,
        settings: dict[h2.settings.SettingCodes, int] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        config = h2.config.H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=False
        )
        self.h2 = h2.connection.H2Connection(config)
        own = h2.settings.Settings(client=True, initial_values=dict(settings or {}))
        self.h2.local_settings = own
        self.h2.max_inbound_frame_size = own.max_frame_size
        self.h2.initiate_connection()
        # Responses are taken as they come, unless a test says otherwise.
        self.takes = True
        self.status: dict[int, str] = {}
        self.fields: dict[int, dict[str, str]] = {}
        self.interim: dict[int, list[str]] = defaultdict(list)
        self.body: dict[int, bytearray] = defaultdict(bytearray)
        self.ended: set[int] = set()
        self.reset: dict[int, int] = {}
        self.goaway: list[tuple[int, int]] = []
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def flush(self) -> None:
        """Send what is to be sent; a server that has gone is no error."""
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(self.h2.data_to_send())

    def send_raw(self, data: bytes) -> None:
        """Bytes that the client's own state knows nothing of."""
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(data)

    def ask(
        self, path: str, *, method: str = "GET", fields: tuple[tuple[str, str], ...] = (), ends: bool = True
    ) -> int:
        """Begin a request; gives the stream."""
        stream = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "http"), (":authority", "a.example"), (":path", path)]
        self.h2.send_headers(stream, [*head, *fields], end_stream=ends)
        self.flush()
        return stream

    def send(self, stream: int, data: bytes, *, ends: bool = False) -> None:
        """A body, as far as the windows are open, and whatever opens them."""
        while True:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            piece, data = data[:room], data[room:]
            self.h2.send_data(stream, piece, end_stream=ends and not data)
            self.flush()
            if not data:
                return
            while not self.h2.local_flow_control_window(stream):
                self.receive()

    def receive(self) -> bool:
        """Take what comes; False at the end of the connection."""
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            return False
        if not data:
            return False
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            # The library takes the first GOAWAY for the end, and what may follow it for a fault.
            if "in state ConnectionState.CLOSED" not in str(error):
                raise
            return False
        for event in events:
            self._note(event)
        self.flush()
        return True

    def _note(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived(stream_id=stream, headers=headers):
                fields = {str(name): str(value) for name, value in headers}
                self.status[stream] = fields[":status"]
                self.fields[stream] = fields
            case h2.events.InformationalResponseReceived(stream_id=stream, headers=headers):
                self.interim[stream].append(str(headers[0][1]))
            case h2.events.DataReceived(stream_id=stream, data=data, flow_controlled_length=length):
                self.body[stream] += data
                if self.takes and length:
                    self.h2.acknowledge_received_data(length, stream)
            case h2.events.StreamEnded(stream_id=stream):
                self.ended.add(stream)
            case h2.events.StreamReset(stream_id=stream, error_code=code):
                self.reset[stream] = int(code)
            case h2.events.ConnectionTerminated(error_code=code, last_stream_id=last):
                self.goaway.append((int(code or 0), last or 0))
            case _:
                pass

    def wait_for(self, *streams: int) -> None:
        """Until these streams have ended or are reset."""
        while not all(stream in self.ended or stream in self.reset for stream in streams):
            assert self.receive(), f"the connection has ended: {self.goaway}"

    def wait_for_end(self) -> None:
        """Until the connection has ended."""
        while self.receive():
            pass

    def frames_until_end(self) -> list[Frame]:
        """What still comes, for a client that has broken its own state."""
        data = bytearray()
        with contextlib.suppress(ConnectionError):
            while piece := self.socket.recv(65536):
                data += piece
        found = []
        while len(data) >= 9:
            length = int.from_bytes(data[:3], "big")
            stream = int.from_bytes(data[5:9], "big")
            found.append(Frame(data[3], data[4], stream, bytes(data[9 : 9 + length])))
            del data[: 9 + length]
        return found

    def text(self, stream: int) -> str:
        """What the body of a response was."""
        return self.body[stream].decode()
