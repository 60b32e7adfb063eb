"""Server-sent events and streamed responses in every way to serve them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from support.ways import STREAMING, Served, Way, parameters


@pytest.fixture(scope="module", params=parameters(STREAMING))
def board(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    way: Way = request.param
    scratch = tmp_path_factory.mktemp("board")
    with Served(STREAMING, way, scratch, {"NOTICES": str(scratch / "notices.txt")}) as served:
        yield served


class Listener:
    """Reads events as a browser does, one at a time."""

    def __init__(self, session: requests.Session, address: str, last: int | None = None) -> None:
        headers = {} if last is None else {"Last-Event-ID": str(last)}
        self._answer = session.get(f"{address}/events", headers=headers, stream=True, timeout=20)
        assert self._answer.headers["Content-Type"].startswith("text/event-stream")
        # By bytes: with any larger piece the client itself would wait for more than what has come.
        self._lines = self._answer.iter_lines(chunk_size=1)

    def welcome(self) -> None:
        """Wait until the stream has begun."""
        assert next(self._lines) == b": welcome"

    def next(self) -> dict[str, str]:
        """The next event; comments are passed over."""
        fields: dict[str, str] = {}
        for line in self._lines:
            if not line and fields:
                return fields
            name, _, value = line.decode().partition(": ")
            if name:
                fields[name] = value
        raise AssertionError("the stream has ended")

    def close(self) -> None:
        self._answer.close()


def put_up(client: requests.Session, board: Served, text: str) -> None:
    assert client.post(f"{board.address}/notices", data={"text": text}, timeout=20).status_code == 204


def test_each_event_arrives_before_the_next_is_made(board: Served) -> None:
    with board.session() as reading, board.session() as late, board.session() as writing:
        put_up(writing, board, "before")
        listener = Listener(reading, board.address)
        listener.welcome()
        event: dict[str, Any] = {}
        while event.get("data") != "before":
            event = listener.next()
        first = int(event["id"])
        for number in range(1, 4):
            put_up(writing, board, f"notice {number} → ü")
            assert listener.next() == {"id": str(first + number), "data": f"notice {number} → ü"}
        # Whoever comes back gets what it has missed.
        again = Listener(late, board.address, first + 1)
        again.welcome()
        assert again.next()["data"] == "notice 2 → ü"
        again.close()
        listener.close()


def test_pages_while_many_listen(board: Served) -> None:
    with board.session() as reading, board.session() as writing:
        listeners = [Listener(reading, board.address) for _ in range(5)]
        for one in listeners:
            one.welcome()
        put_up(writing, board, "for all")
        for one in listeners:
            while one.next()["data"] != "for all":
                pass
            one.close()


def test_a_table_that_is_made_while_it_is_sent(board: Served) -> None:
    with board.session() as client:
        response = client.get(f"{board.address}/table?rows=20000&name=K%C3%A4se", timeout=30)
        lines = response.content.decode().splitlines()
        assert len(lines) == 20_000
        assert lines[-1] == f"19999,{19_999**2},Käse"
        assert "Content-Length" not in response.headers
        # A client that leaves in the middle costs nobody anything.
        with client.get(f"{board.address}/table?rows=2000000", stream=True, timeout=20) as cut:
            assert next(cut.iter_lines(chunk_size=64)) == b"0,0,"
        assert client.get(f"{board.address}/table?rows=1", timeout=20).text == "0,0,\r\n"
