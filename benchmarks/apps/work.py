"""What the bare and the Flask application do in common, so that a row compares servers and frameworks, not
two pieces of work."""

import time
from typing import Protocol

HELLO = b"Hello, World!\n"
MEBIBYTE = b"x" * (1024 * 1024)
READ_SIZE = 64 * 1024

# About a millisecond of pure Python on a 2020s core: long against the cost of a request, short against a
# switch interval of 5 ms, so threads that fight for the GIL show it.
SPIN_STEPS = 20_000


class Input(Protocol):
    """The part of wsgi.input that the upload needs."""

    def read(self, size: int, /) -> bytes: ...


def spin() -> int:
    total = 0
    for number in range(SPIN_STEPS):
        total += number * number & 0xFF
    return total


def nap() -> None:
    time.sleep(0.010)


def count_bytes(body: Input, length: int) -> int:
    """Read the body to its end; `length` bounds the reads because PEP 3333 does not promise an end of
    file."""
    received = 0
    while received < length:
        piece = body.read(min(READ_SIZE, length - received))
        if not piece:
            break
        received += len(piece)
    return received
