"""The application of the suites with several processes, loaded by the command itself in its workers.

Some paths do to their worker whatever can be done to one. The test steers it by pipes with a name in the
directory that PELTON_TEST_GATES names: ``/hold/NAME`` says "NAME is held by PID" in the log and waits
until the test opens the pipe NAME. Imports nothing of the suites: it stands alone in a foreign process.
"""

from __future__ import annotations

import ctypes
import hashlib
import io
import json
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

FOREVER = 1_000_000
PIECE = 64 * 1024

FIRST = threading.Lock()
SECOND = threading.Lock()
_BOTH_HAVE_ONE = threading.Barrier(2)


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    name, _, rest = environ["PATH_INFO"].removeprefix("/").partition("/")
    return ROUTES.get(name, who)(environ, start_response, rest)


def answer(start_response: StartResponse, body: bytes | str, *fields: tuple[str, str]) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Worker", str(os.getpid())), *fields])
    return [body.encode() if isinstance(body, str) else body]


def say(environ: WSGIEnvironment, text: str) -> None:
    print(text, file=environ["wsgi.errors"], flush=True)


def wait_at(name: str) -> None:
    _wait_for_writer(Path(os.environ["PELTON_TEST_GATES"], name))


def _wait_for_writer(path: Path) -> None:
    # Opening it in the usual way would stop the thread; of greenlets, all that run on it.
    with io.FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK)) as pipe:
        # Readable at the end: when somebody has opened it for writing and closed it.
        select.select([pipe], [], [])


# Answers


def who(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """The pid, whatever the path."""
    return answer(start_response, str(os.getpid()))


def told(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """What a worker knows of itself and of the request."""
    facts = {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "thread": threading.current_thread().name,
        "environ": {key: value for key, value in environ.items() if isinstance(value, str)},
        "multiprocess": environ["wsgi.multiprocess"],
        "multithread": environ["wsgi.multithread"],
        "random": random.random(),
        "descriptors": sorted(_descriptors()),
    }
    return answer(start_response, json.dumps(facts))


def _descriptors() -> Iterator[str]:
    for entry in Path("/proc/self/fd").iterdir():
        try:
            yield str(entry.readlink())
        except FileNotFoundError:
            continue


def echo(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """The request's body; the digest of it as a field."""
    body = environ["wsgi.input"].read()
    return answer(start_response, body, ("X-Digest", hashlib.sha256(body).hexdigest()))


def digest(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """Length and digest of the body, read in pieces."""
    seen = hashlib.sha256()
    length = 0
    while piece := environ["wsgi.input"].read(PIECE):
        seen.update(piece)
        length += len(piece)
    return answer(start_response, f"{length} {seen.hexdigest()} {environ['CONTENT_LENGTH']}")


def pattern(size: int) -> bytes:
    block = bytes(range(251))
    return (block * (size // len(block) + 1))[:size]


def large(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """So many bytes in one piece."""
    return answer(start_response, pattern(int(rest)))


def stream(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterator[bytes]:
    """So many pieces of 1000 bytes."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    for number in range(int(rest)):
        yield b"%999d\n" % number


def file(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """This very file, by the file wrapper."""
    path = Path(__file__)
    fields = [("Content-Type", "text/plain"), ("Content-Length", str(path.stat().st_size))]
    start_response("200 OK", fields)
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](path.open("rb"))
    return wrapped


def gated_stream(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterator[bytes]:
    """A first piece, then the gate, then a second one."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"first"
    say(environ, f"{rest} is held by {os.getpid()}")
    wait_at(rest)
    yield b"second"


def hold(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """The pid, when the gate was opened."""
    say(environ, f"{rest} is held by {os.getpid()}")
    wait_at(rest)
    return answer(start_response, str(os.getpid()))


def nap(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """So many seconds in short sleeps, so that an exception can get in at any of them."""
    end = time.monotonic() + float(rest)
    while time.monotonic() < end:
        time.sleep(0.001)
    return answer(start_response, str(os.getpid()))


def fail(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    raise RuntimeError("intended failure")


# Harm


def segfault(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    ctypes.string_at(0)
    raise AssertionError


def leave(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    os._exit(int(rest))


def kill(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """What the kernel does to a process when the memory has run out."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def abort(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """What many a native library does when it gets no memory."""
    os.abort()


def allocate(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    return answer(start_response, str(len(bytearray(int(rest)))))


_kept: list[bytearray] = []


def grow(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """Keeps so many bytes, and touches them all."""
    _kept.append(bytearray(b"x") * int(rest))
    return answer(start_response, str(os.getpid()))


def spin(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    say(environ, f"spins in {os.getpid()}")
    while True:
        pass


def swallow(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """Catches whatever is raised, and goes on."""
    while True:
        try:
            while True:
                time.sleep(0.001)
        except BaseException as error:
            say(environ, f"swallowed {type(error).__name__}")


def clean_up(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """An application that knows the exception and uses it."""
    from pelton import RequestTimeout

    try:
        while True:
            time.sleep(0.001)
    except RequestTimeout:
        say(environ, "cleaned up")
        raise


def sleep(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    say(environ, f"sleeps in {os.getpid()}")
    time.sleep(1e6)
    raise AssertionError


def native(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """A call into C that gives up the interpreter's lock and never returns."""
    say(environ, f"is native in {os.getpid()}")
    pause(ctypes.CDLL(None))
    raise AssertionError


def native_with_lock(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """A call into C that keeps the interpreter's lock and never returns."""
    say(environ, f"keeps the lock in {os.getpid()}")
    pause(ctypes.PyDLL(None))
    raise AssertionError


def pause(library: Any) -> None:
    # A signal ends this sleep early; C code that hangs does not care.
    while True:
        library.sleep(FOREVER)


def deadlock(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """Two of these, ``/deadlock/there`` and ``/deadlock/back``, never end."""
    if rest == "there":
        with FIRST:
            _BOTH_HAVE_ONE.wait()
            with SECOND:
                pass
    else:
        with SECOND:
            _BOTH_HAVE_ONE.wait()
            with FIRST:
                pass
    return answer(start_response, "free")


def orphan(environ: WSGIEnvironment, start_response: StartResponse, rest: str) -> Iterable[bytes]:
    """Starts a process whose parent ends at once; it waits at the gate. Answers its pid, as this process
    sees it."""
    code = (
        "import os, sys\n"
        "pid = os.fork()\n"
        "if pid: print(pid, flush=True); os._exit(0)\n"
        "os.close(1)\n"
        "open(sys.argv[1]).read()\n"
    )
    gate = str(Path(os.environ["PELTON_TEST_GATES"], rest))
    done = subprocess.run(
        [sys.executable, "-c", code, gate], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
    )
    return answer(start_response, done.stdout)


Route = Callable[[WSGIEnvironment, StartResponse, str], Iterable[bytes]]

ROUTES: dict[str, Route] = {
    "who": who,
    "told": told,
    "echo": echo,
    "digest": digest,
    "large": large,
    "stream": stream,
    "file": file,
    "gated-stream": gated_stream,
    "hold": hold,
    "nap": nap,
    "fail": fail,
    "segfault": segfault,
    "leave": leave,
    "kill": kill,
    "abort": abort,
    "allocate": allocate,
    "grow": grow,
    "spin": spin,
    "swallow": swallow,
    "clean-up": clean_up,
    "sleep": sleep,
    "native": native,
    "native-with-lock": native_with_lock,
    "deadlock": deadlock,
    "orphan": orphan,
}
