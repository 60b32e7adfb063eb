"""``pelton dump`` for people: stacks with what they wait for. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def dump_text(dump: dict[str, Any], *, everything: bool = False) -> str:
    """All of it. Without ``everything``, threads that are in nobody's code but pelton's are counted only."""
    return "\n".join(_lines(dump, everything))


def _lines(dump: dict[str, Any], everything: bool) -> Iterator[str]:
    for worker in dump["workers"]:
        yield f"worker {worker['number']} (pid {worker['pid']})"
        if "error" in worker:
            yield f"  cannot be asked: {worker['error']}"
            continue
        idle = 0
        for thread in worker["threads"]:
            if not everything and thread["idle"] and "request" not in thread:
                idle += 1
                continue
            yield from _thread(thread)
        for one in worker.get("greenlets", ()):
            yield f"  greenlet {one['request']['greenlet']}{_request(one['request'])}"
            yield from (f"    {line}" for line in one["stack_text"].splitlines())
        if idle:
            yield f"  {idle} other thread{'' if idle == 1 else 's'} in no code of the application"
        yield ""


def request_text(dump: dict[str, Any], worker: int, slot: int, path: str) -> str:
    """The stack of one request, in a dump of all."""
    for one in dump["workers"]:
        if one["number"] != worker:
            continue
        for thread in one.get("threads", ()):
            request = thread.get("request")
            if request is not None and (request["slot"], request["path"]) == (slot, path):
                return "\n".join(_thread(thread))
        for green in one.get("greenlets", ()):
            if (green["request"]["slot"], green["request"]["path"]) == (slot, path):
                head = f"  greenlet {green['request']['greenlet']}{_request(green['request'])}"
                return "\n".join([head, *map(plain, green["stack_text"].splitlines())])
    return "  It has ended."


def _request(request: dict[str, Any] | None) -> str:
    if request is None:
        return ""
    return (
        f": {plain(request['method'])} {plain(request['path'])} "
        f"from {plain(request['client'] or 'a unix socket')}, for {request['age_seconds']:.1f} s"
    )


def _thread(thread: dict[str, Any]) -> Iterator[str]:
    yield f'  thread "{plain(thread["name"])}"{_request(thread.get("request"))}'
    for frame in thread["stack"]:
        yield f'    File "{plain(frame["file"])}", line {frame["line"]}, in {plain(frame["function"])}'
        if frame["code"]:
            yield f"      {plain(frame['code'])}"
    wait = thread.get("waits")
    if wait is not None:
        what = "the lock" if wait["lock"] else "another thread:"
        yield f"    waits in `{plain(wait['how'])}` for {what} `{plain(wait['for'])}` {plain(wait['object'])}"
        for holder in wait["held_by"]:
            how = f" (`{holder['how']}` in {holder['function']}, {holder['file']}:{holder['line']})"
            yield f'    held by thread "{plain(holder["name"])}"{plain(how) if holder["how"] else ""}'
    if thread.get("deadlock"):
        yield "    DEADLOCK: it waits, from holder to holder, for itself"


def plain(text: str) -> str:
    """Without what could drive a terminal."""
    # Paths are what clients send: they must not drive a terminal.
    return "".join(c if c.isprintable() else "?" for c in text)
