"""Clients that ask all the time while a test does something to the server; each response must be perfect."""

from __future__ import annotations

import itertools
import ssl
import threading
from types import TracebackType
from typing import Self

from support.client import Client, CutOffError, Response, request
from support.waiting import DEADLINE, eventually


class Load:
    """As a context manager: threads with a keep-alive connection each ask from its begin to its end.

    ``target`` with ``{}`` in it is given a different number for each request. A connection may be closed
    between two requests if the response before announced it, never otherwise; `failures` tells what
    went wrong, and at the end of the block there must be none, unless ``forgiving``. `responses` are the good
    ones, in the order of their ends. With ``tls`` the connections are encrypted.
    """

    def __init__(
        self,
        address: str,
        target: str = "/",
        clients: int = 4,
        *,
        forgiving: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.responses: list[Response] = []
        self.failures: list[str] = []
        self._address = address
        self._target = target
        self._tls = tls
        self._forgiving = forgiving
        self._numbers = itertools.count()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, name=f"load-{number}", daemon=True)
            for number in range(clients)
        ]

    def wait_for(self, count: int) -> None:
        """Wait until ``count`` more requests have been answered."""
        wanted = len(self.responses) + count
        eventually(lambda: len(self.responses) >= wanted or bool(self.failures), f"{wanted} responses")
        assert not self.failures, self.failures

    def bodies(self) -> set[str]:
        """All the different texts that were answered."""
        return {response.text for response in list(self.responses)}

    def wait_for_body(self, text: str) -> None:
        """Wait until a response has this body."""
        eventually(lambda: text in self.bodies() or bool(self.failures), f"a response {text!r}")
        assert not self.failures, self.failures

    def _ask(self) -> None:
        client: Client | None = None
        try:
            while not self._over.is_set():
                if client is None:
                    client = Client(self._address, tls=self._tls)
                response = client.ask(request(target=self._target.format(next(self._numbers))))
                if response.status != 200:
                    self.failures.append(f"{response.status} {response.text!r}")
                    return
                self.responses.append(response)
                if not response.keeps_connection:
                    client.close()
                    client = None
        except (OSError, CutOffError, AssertionError) as error:
            self.failures.append(repr(error))
        finally:
            if client is not None:
                client.close()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(DEADLINE)
        if kind is None:
            assert not any(thread.is_alive() for thread in self._threads), "a request is never answered"
            assert self._forgiving or not self.failures, self.failures
