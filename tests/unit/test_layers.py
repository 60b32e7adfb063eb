"""Files import only what is below them: a circle of imports would let every file of it call every other.

Looked at in the front, where functions take all of its state and nothing else keeps the rooms apart, and in
Python, where a circle also fails or not by which module is imported first.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FRONT = ROOT / "crates" / "front" / "src"
PYTHON = ROOT / "src"

Graph = dict[str, set[str]]

# Simulation and tests use everything, and nothing uses them.
_ABOVE_ALL = ("simulation", "tests")


def circles(graph: Graph) -> list[list[str]]:
    """The sets of files that reach each other (Tarjan's algorithm, without recursion)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found: list[list[str]] = []
    for root in graph:
        work: list[tuple[str, Iterator[str]]] = []
        if root not in number:
            number[root] = lowest[root] = len(number)
            path.append(root)
            work.append((root, iter(sorted(graph[root]))))
        while work:
            here, rest = work[-1]
            for other in rest:
                if other not in number:
                    number[other] = lowest[other] = len(number)
                    path.append(other)
                    work.append((other, iter(sorted(graph[other]))))
                    break
                if other in path:
                    lowest[here] = min(lowest[here], number[other])
            else:
                work.pop()
                if work:
                    above = work[-1][0]
                    lowest[above] = min(lowest[above], lowest[here])
                if lowest[here] == number[here]:
                    at = path.index(here)
                    if len(path) - at > 1:
                        found.append(sorted(path[at:]))
                    del path[at:]
    return found


def _each(text: str) -> Iterator[str]:
    """``a::{b, c::d}`` as ``a::b`` and ``a::c::d``."""
    brace = text.find("{")
    if brace < 0:
        yield text.split(" as ")[0].strip()
        return
    depth, start = 0, brace + 1
    for at in range(brace, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == (0 if text[at] == "}" else 1) and text[at] in ",}":
            part = text[start:at].strip()
            start = at + 1
            if part:
                yield from _each(text[:brace] + part)


def rust_paths(text: str) -> Iterator[str]:
    """All paths of the crate that a file names, in ``use`` and in code; not in comments and unit tests."""
    code = re.sub(r"//[^\n]*", "", text.split("#[cfg(test)]\nmod tests")[0])
    for found in re.finditer(r"\buse ((?:crate|self|super)::[^;]+);", code):
        yield from _each(" ".join(found[1].split()))
    yield from re.findall(r"\b(?:crate|super)(?:::\w+)+(?!\w|::)", code)


def rust_graph(source: Path) -> Graph:
    """Which files of a crate use which."""
    files = {}
    for file in source.rglob("*.rs"):
        parts = file.relative_to(source).with_suffix("").parts
        if parts[0] not in _ABOVE_ALL and parts != ("lib",):
            files[parts[:-1] if parts[-1] == "mod" else parts] = file
    graph: Graph = {}
    for own, file in files.items():
        used = graph.setdefault("/".join(own), set())
        for path in rust_paths(file.read_text(encoding="utf-8")):
            parts = tuple(part for part in path.split("::") if part)
            base: tuple[str, ...] = ()
            if parts[0] == "self":
                base, parts = own, parts[1:]
            while parts and parts[0] == "super":
                base, parts = (base or own)[:-1], parts[1:]
            whole = base + (parts[1:] if parts and parts[0] == "crate" else parts)
            used |= _nearest(whole, own, files)
    return graph


def _nearest(path: tuple[str, ...], own: tuple[str, ...], files: Iterable[tuple[str, ...]]) -> set[str]:
    """The file in which an item stands; none for the one that asks."""
    while path and path not in files:
        path = path[:-1]
    return {"/".join(path)} if path and path != own else set()


def python_graph(source: Path) -> Graph:
    """Which modules import which when they are imported themselves."""
    files = {}
    for file in source.rglob("*.py"):
        parts = file.relative_to(source).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    graph: Graph = {}
    for own, file in files.items():
        used = graph.setdefault(own, set())
        for name in _imported(ast.parse(file.read_text(encoding="utf-8")).body):
            while name and name not in files:
                name = name.rpartition(".")[0]
            if name and name != own:
                used.add(name)
    return graph


def _imported(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        match statement:
            case ast.Import():
                yield from (one.name for one in statement.names)
            case ast.ImportFrom(module=str(module), level=0):
                yield from (f"{module}.{one.name}" for one in statement.names)
            case ast.If() if "TYPE_CHECKING" not in ast.dump(statement.test):
                yield from _imported(statement.body)
                yield from _imported(statement.orelse)
            case ast.Try():
                yield from _imported(statement.body)


def test_no_circle_in_the_front() -> None:
    graph = rust_graph(FRONT)
    assert len(graph) > 100, "the files are not where this test looks for them"
    assert "front" in graph["event_loop"], "imports are not seen"
    assert circles(graph) == []


def test_what_the_front_owns_knows_none_of_its_rooms() -> None:
    below, todo = set(), ["front"]
    graph = rust_graph(FRONT)
    while todo:
        here = todo.pop()
        if here not in below:
            below.add(here)
            todo.extend(graph[here])
    rooms = ("requests/", "handlers/", "event_loop")
    assert sorted(one for one in below if one.startswith(rooms)) == []


def test_no_circle_in_python() -> None:
    graph = python_graph(PYTHON)
    assert len(graph) > 200, "the modules are not where this test looks for them"
    assert circles(graph) == []


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == [["b", "c"]]
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_paths_are_seen() -> None:
    text = "use crate::a::{self, B, c::{D, E as F}};\n// crate::comment\nfn f() { crate::g::h(); super::i() }"
    assert set(rust_paths(text)) == {
        *("crate::a::self", "crate::a::B", "crate::a::c::D", "crate::a::c::E", "crate::g::h", "super::i"),
    }
