"""A WebSocket over one stream of a connection of HTTP/2 (RFC 8441)."""

from __future__ import annotations

from typing import Any

from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, TextMessage

from support.http2 import Http2Client

ASKING = ((":protocol", "websocket"), ("sec-websocket-version", "13"))


class Http2WebSocket:
    """Asked for at once; `status` waits for the response."""

    def __init__(self, client: Http2Client, path: str, *fields: tuple[str, str]) -> None:
        self.client = client
        self.stream = client.ask(path, method="CONNECT", fields=(*ASKING, *fields), ends=False)
        self._frames = Connection(ConnectionType.CLIENT)

    @property
    def status(self) -> str:
        """What the server has responded."""
        while self.stream not in self.client.status:
            assert self.client.receive(), "the connection has ended"
        return self.client.status[self.stream]

    def send(self, data: str | bytes) -> None:
        """One message."""
        message: Event = TextMessage(data) if isinstance(data, str) else BytesMessage(data)
        self.client.send(self.stream, self._frames.send(message))

    def recv(self) -> str | bytes:
        """The next message; an empty one at the end."""
        assert self.status == "200"
        whole: list[Any] = []
        while True:
            for event in self._frames.events():
                if isinstance(event, CloseConnection):
                    return ""
                assert isinstance(event, TextMessage | BytesMessage), event
                whole.append(event.data)
                if event.message_finished:
                    empty: Any = event.data[:0]
                    joined: str | bytes = empty.join(whole)
                    return joined
            body = self.client.body[self.stream]
            if body:
                self._frames.receive_data(bytes(body))
                body.clear()
            elif self.is_over or not self.client.receive():
                return ""

    @property
    def is_over(self) -> bool:
        """Whether the server has ended or reset the stream."""
        return self.stream in self.client.ended or self.stream in self.client.reset

    def end(self) -> None:
        """Close this side of the stream, without a word of the WebSocket's."""
        self.client.h2.end_stream(self.stream)
        self.client.flush()
