"""An application that forks while it runs a request, in every way that there is; loaded by the command.

``/HOW/TOKEN`` forks (or not) in the way HOW, waits for the child, and answers ``TOKEN CODE``, where CODE is
what the child ended with. What a child would answer, if it could, begins with "child". Stands alone.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

WRONG = b"child"


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    _, how, token = environ["PATH_INFO"].split("/", 2)
    return WAYS[how](environ, start_response, token)


def answer(start_response: StartResponse, text: str) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]


def plain(environ: WSGIEnvironment, start_response: StartResponse, token: str) -> Iterable[bytes]:
    return answer(start_response, token)


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


Way = Callable[[WSGIEnvironment, StartResponse, str], Iterable[bytes]]


def forked(child: Callable[[WSGIEnvironment, StartResponse], Any]) -> Way:
    """The child returns from the view what ``child`` gives."""

    def view(environ: WSGIEnvironment, start_response: StartResponse, token: str) -> Iterable[bytes]:
        pid = os.fork()
        if pid == 0:
            result: Iterable[bytes] = child(environ, start_response)
            return result
        return answer(start_response, f"{token} {ended(pid)}")

    return view


def returns(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [WRONG]


def raises(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    raise RuntimeError("of a child")


def exits(environ: WSGIEnvironment, start_response: StartResponse) -> None:
    sys.exit(7)


def executes(environ: WSGIEnvironment, start_response: StartResponse) -> None:
    os.execvp("/there/is/no/such/program", ["x"])


def executes_well(environ: WSGIEnvironment, start_response: StartResponse) -> None:
    os.execvp(sys.executable, [sys.executable, "-c", "raise SystemExit(5)"])


def leaves(environ: WSGIEnvironment, start_response: StartResponse) -> None:
    os._exit(3)


def writes(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [])(WRONG)
    return [WRONG]


def yields(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [])
    for _ in range(10):
        yield WRONG


def is_terminated(environ: WSGIEnvironment, start_response: StartResponse) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    # It is pelton's own handler that would keep it alive.
    time.sleep(20)


def later(environ: WSGIEnvironment, start_response: StartResponse, token: str) -> Iterator[bytes]:
    """Forks in the middle of its response."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield token.encode()
    pid = os.fork()
    yield WRONG if pid == 0 else f" {ended(pid)}".encode()


def in_close(environ: WSGIEnvironment, start_response: StartResponse, token: str) -> Iterable[bytes]:
    class Closes(list[bytes]):
        def close(self) -> None:
            pid = os.fork()
            if pid != 0:
                ended(pid)

    return Closes(answer(start_response, token))


def executed(environ: WSGIEnvironment, start_response: StartResponse, token: str) -> Iterable[bytes]:
    code = subprocess.run([sys.executable, "-c", "raise SystemExit(4)"], check=False).returncode
    return answer(start_response, f"{token} {code}")


def through_preexec(environ: WSGIEnvironment, start_response: StartResponse, token: str) -> Iterable[bytes]:
    command = [sys.executable, "-c", "raise SystemExit(4)"]
    code = subprocess.run(command, check=False, preexec_fn=os.getpid).returncode
    return answer(start_response, f"{token} {code}")


def by_multiprocessing(method: str) -> Way:
    def view(environ: WSGIEnvironment, start_response: StartResponse, token: str) -> Iterable[bytes]:
        context: Any = multiprocessing.get_context(method)
        process = context.Process(target=os._exit, args=(6,))
        process.start()
        process.join()
        return answer(start_response, f"{token} {process.exitcode}")

    return view


def terminated(environ: WSGIEnvironment, start_response: StartResponse, token: str) -> Iterable[bytes]:
    """A child of multiprocessing that is asked to end."""
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(20,))
    process.start()
    process.terminate()
    process.join()
    return answer(start_response, f"{token} {process.exitcode}")


def daemon(environ: WSGIEnvironment, start_response: StartResponse, token: str) -> Iterable[bytes]:
    """As daemons are made: forked twice. It lives on, and says where it may be found."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.write(writer, str(os.getpid()).encode())
        time.sleep(600)
        os._exit(0)
    ended(pid)
    with os.fdopen(reader) as file:
        os.close(writer)
        # It has the other end of the pipe, too.
        found = os.read(file.fileno(), 20).decode()
    return answer(start_response, f"{token} {found}")


def hang(environ: WSGIEnvironment, start_response: StartResponse, token: str) -> Iterable[bytes]:
    """A child that never comes back."""
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
        os._exit(0)
    return answer(start_response, f"{token} {pid}")


def body(environ: WSGIEnvironment, start_response: StartResponse, token: str) -> Iterable[bytes]:
    """The child reads the body, and ends with 0 for the right one, 9 where it is told that it cannot."""
    pid = os.fork()
    if pid == 0:
        try:
            data = environ["wsgi.input"].read()
        except RuntimeError:
            os._exit(9)
        os._exit(0 if data == b"x" * int(environ["CONTENT_LENGTH"]) else 8)
    return answer(start_response, f"{token} {ended(pid)}")


def quickly(environ: WSGIEnvironment, start_response: StartResponse, token: str) -> Iterable[bytes]:
    """Does not wait for its child, which comes back while others are served."""
    if os.fork() == 0:
        return answer(start_response, "child")
    return answer(start_response, token)


def descriptors(environ: WSGIEnvironment, start_response: StartResponse, token: str) -> Iterable[bytes]:
    """What a child has open: sockets with a name, and how many eventfds and epoll instances."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        found = []
        for entry in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                found.append(str(entry.readlink()))
        os.write(writer, "\n".join(sorted(found)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    ended(pid)
    return answer(start_response, f"{token}\n{text}")


WAYS: dict[str, Way] = {
    "plain": plain,
    "returns": forked(returns),
    "raises": forked(raises),
    "exits": forked(exits),
    "executes": forked(executes),
    "executes-well": forked(executes_well),
    "leaves": forked(leaves),
    "writes": forked(writes),
    "yields": forked(yields),
    "is-terminated": forked(is_terminated),
    "later": later,
    "in-close": in_close,
    "subprocess": executed,
    "preexec": through_preexec,
    "multiprocessing-fork": by_multiprocessing("fork"),
    "multiprocessing-spawn": by_multiprocessing("spawn"),
    "multiprocessing-forkserver": by_multiprocessing("forkserver"),
    "terminated": terminated,
    "daemon": daemon,
    "hang": hang,
    "body": body,
    "quickly": quickly,
    "descriptors": descriptors,
}
