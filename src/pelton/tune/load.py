"""What is sent: the different requests, how often each, and what was left out. Pure."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pelton.exceptions import ConfigError
from pelton.requests.reading import MOST_DIFFERENT
from pelton.requests.request import Request, parse_field
from pelton.tune.subject import FIELD

# So many requests in the order of the load; then it begins again.
_LENGTH: Final = 2_000


@dataclass(frozen=True)
class Load:
    """``weights`` belong to ``requests``, and sum up to 1. ``skipped``: reasons, and how many."""

    requests: tuple[Request, ...]
    weights: tuple[float, ...]
    skipped: dict[str, int]
    headers: tuple[tuple[str, str], ...] = ()

    def order(self) -> list[int]:
        """Numbers of requests, each as often as its weight says, mixed always in the same way."""
        found = [at for at, weight in enumerate(self.weights) for _ in range(max(1, round(weight * _LENGTH)))]
        random.Random(0).shuffle(found)
        return found

    def encoded(self, *, memory: bool = False) -> list[dict[str, Any]]:
        """As the generator takes them."""
        return [
            {"method": one.method, "data": self._bytes(at, one, memory=memory)}
            for at, one in enumerate(self.requests)
        ]

    def _bytes(self, at: int, request: Request, *, memory: bool) -> str:
        body = request.body.encode()
        fields = [("Host", "localhost"), ("User-Agent", "pelton-tune"), *self.headers]
        fields.append((FIELD, f"{at} memory" if memory else str(at)))
        if body or request.method in ("POST", "PUT", "PATCH"):
            fields.append(("Content-Length", str(len(body))))
        if body:
            fields.append(("Content-Type", request.content_type))
        head = "".join(f"{name}: {value}\r\n" for name, value in fields)
        return f"{request.method} {request.path} HTTP/1.1\r\n{head}\r\n" + body.decode("latin-1")


def load_of(requests: Sequence[Request], *, unsafe: bool, headers: Iterable[str] = ()) -> Load:
    """Of what a file says. ``unsafe``: also methods that change something. Raises ConfigError."""
    skipped: Counter[str] = Counter()
    wanted: Counter[Request] = Counter()
    for one in requests:
        if unsafe or one.is_safe:
            wanted[one] += 1
        else:
            skipped["unsafe method"] += 1
    if not wanted:
        raise ConfigError(
            "Nothing is left to send: all methods change something.",
            "--unsafe-methods sends them, again and again: use a database for tests.",
        )
    chosen = wanted.most_common(MOST_DIFFERENT)
    if rest := wanted.total() - sum(count for _, count in chosen):
        skipped["rarer than others"] = rest
    total = sum(count for _, count in chosen)
    return Load(
        tuple(one for one, _ in chosen),
        tuple(count / total for _, count in chosen),
        dict(skipped),
        tuple(map(parse_field, headers)),
    )
