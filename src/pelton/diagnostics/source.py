"""Which statement a frame stands in, as far as it has to do with locks.

Owns what is read from the source code: the ``with`` statements and method calls of a function, with their
places. Must not know threads. Called from any thread; what was read of a function is kept.
"""

from __future__ import annotations

import ast
import dis
import linecache
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from types import CodeType, FrameType
from typing import Final

# A longer file is not parsed as a whole, which would hold up every thread for too long.
_MOST_LINES: Final = 5000
# Functions that are remembered.
_MOST_FUNCTIONS: Final = 512
# Expressions are shown up to this length.
_MOST_TEXT: Final = 100

# Python 3.11 to 3.13 enter a `with` by this instruction. Later ones have none for it, but its place is exact.
_ENTER: Final = dis.opmap.get("BEFORE_WITH")


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of source: (line, column) of its beginning and of its end."""

    first: tuple[int, int]
    last: tuple[int, int]

    def covers(self, other: Span) -> bool:
        """Whether ``other`` lies in it; by lines where columns are unknown (``-X no_debug_ranges``)."""
        if other.first[1] < 0:
            return self.first[0] <= other.first[0] <= self.last[0]
        return self.first <= other.first and other.last <= self.last


@dataclass(frozen=True, slots=True)
class With:
    """One item of a ``with`` statement."""

    expression: ast.expr
    text: str
    number: int
    statement: Span
    header: Span
    body: Span

    @property
    def how(self) -> str:
        """As a person would quote it."""
        return f"with {self.text}"


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a method of something that has a name; ``expression`` is that something."""

    expression: ast.expr
    text: str
    method: str
    span: Span
    branches: tuple[Span, ...]
    """The blocks around it that do not run in every case, from the outermost."""

    @property
    def how(self) -> str:
        """As a person would quote it."""
        return f"{self.text}.{self.method}()"


@dataclass(frozen=True, slots=True)
class Uses:
    """What one function does that may have to do with locks, in the source's order."""

    withs: tuple[With, ...] = ()
    calls: tuple[Call, ...] = ()
    other_calls: tuple[Span, ...] = ()


def uses_in(frame: FrameType) -> Uses:
    """The uses in the function of ``frame``; none where there is no source."""
    code = frame.f_code
    if not may_lock(code):
        return Uses()
    # Source in an archive can be had through the module's loader only.
    linecache.lazycache(code.co_filename, frame.f_globals)
    return _uses_of(code, code.co_filename)


def may_lock(code: CodeType) -> bool:
    """A quick look at the instructions: False when reading the source could bring nothing."""
    return _ENTER is None or _ENTER in code.co_code[::2] or any(one in code.co_names for one in _METHODS)


def place(frame: FrameType) -> Span | None:
    """What of the source ``frame`` is executing."""
    if frame.f_lasti < 0:
        return None
    return _span_at(frame.f_code, frame.f_lasti)


def current_use(frame: FrameType) -> With | Call | None:
    """The ``with`` item that is being entered, or the named object's method that is being called."""
    here = place(frame)
    if here is None:
        return None
    uses = uses_in(frame)
    code = frame.f_code
    if _ENTER is None or code.co_code[frame.f_lasti] == _ENTER:
        entered = _entered(code, frame.f_lasti, here, uses)
        if entered is not None or _ENTER is not None:
            return entered
    calls = [one for one in uses.calls if one.span.covers(here)]
    if not calls:
        return None
    innermost = max(calls, key=lambda one: (one.span.first, (-one.span.last[0], -one.span.last[1])))
    # `lock_for(key).acquire()` stands in `lock_for(key)` perhaps. By lines only, that cannot be known.
    if here.first[1] < 0:
        return innermost if len(calls) == 1 else None
    if any(one.covers(here) and innermost.span.covers(one) for one in uses.other_calls):
        return None
    return innermost


def held_withs(frame: FrameType) -> Iterator[With]:
    """The ``with`` items whose body ``frame`` stands in, from the outermost; entered, not yet left."""
    here = place(frame)
    if here is None:
        return
    entered = None
    uses = uses_in(frame)
    if _ENTER is None or frame.f_code.co_code[frame.f_lasti] == _ENTER:
        entered = _entered(frame.f_code, frame.f_lasti, here, uses)
    for one in uses.withs:
        if one.body.covers(here):
            # By lines only, `with a: call()` may still be entering.
            inside = here.first[1] >= 0 or not one.header.covers(here)
        else:
            inside = (
                entered is not None and entered.statement == one.statement and one.number < entered.number
            )
        if inside:
            yield one


def _entered(code: CodeType, instruction: int, here: Span, uses: Uses) -> With | None:
    # From Python 3.13 on, the item's expression is the place.
    for one in uses.withs:
        if one.header == here and one.statement != here:
            return one
    # Before, the whole statement is; its items are entered by its first instructions of that kind.
    items = [
        one
        for one in uses.withs
        if one.statement == here or (here.first[1] < 0 and one.statement.first[0] == here.first[0])
    ]
    if len(items) == 1 or _ENTER is None:
        return items[0] if len(items) == 1 else None
    enters = [
        offset
        for offset in range(0, len(code.co_code), 2)
        if code.co_code[offset] == _ENTER and _span_at(code, offset) == here
    ]
    number = enters.index(instruction)
    return next((one for one in items if one.number == number), None)


def _span_at(code: CodeType, instruction: int) -> Span | None:
    line, last_line, column, last_column = next(
        islice(code.co_positions(), instruction // 2, None), (None, None, None, None)
    )
    if line is None:
        return None
    if last_line is None or column is None or last_column is None:
        return Span((line, -1), (line, -1))
    return Span((line, column), (last_line, last_column))


_METHODS: Final = frozenset(
    {"acquire", "release", "wait", "wait_for", "get", "put", "join", "result", "__enter__"}
)


@lru_cache(_MOST_FUNCTIONS)
def _uses_of(code: CodeType, filename: str) -> Uses:
    # The name of the file is there for the cache: equal code in two files is equal.
    lines = linecache.getlines(filename)
    found = _Finder()
    function = _parsed(code, lines)
    if function is not None:
        found.read(function)
    return Uses(tuple(found.withs), tuple(found.calls), tuple(found.other_calls))


_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.Module


def _parsed(code: CodeType, lines: list[str]) -> _Function | None:
    if not 0 < code.co_firstlineno <= len(lines):
        return None
    if code.co_name == "<module>":
        return ast.parse("".join(lines)) if len(lines) <= _MOST_LINES else None
    # Only the function's own lines, which is quick; the whole file where they make no sense alone.
    end = max((last or 0 for _, last, _, _ in code.co_positions()), default=0)
    if end:
        text = "".join(lines[code.co_firstlineno - 1 : end])
        # Below a line of its own the indentation, and so every column, can stay as it is.
        indented = text[:1].isspace()
        try:
            tree = ast.parse(f"if 1:\n{text}" if indented else text)
        except (SyntaxError, ValueError):
            pass
        else:
            ast.increment_lineno(tree, code.co_firstlineno - (2 if indented else 1))
            if (function := _function_in(tree, code)) is not None:
                return function
    if len(lines) > _MOST_LINES:
        return None
    try:
        return _function_in(ast.parse("".join(lines)), code)
    except (SyntaxError, ValueError):
        return None


def _function_in(tree: ast.Module, code: CodeType) -> _Function | None:
    found: list[_Function] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            if (first, node.name) == (code.co_firstlineno, code.co_name):
                found.append(node)
        elif isinstance(node, ast.Lambda) and (node.lineno, "<lambda>") == (
            code.co_firstlineno,
            code.co_name,
        ):
            found.append(node)
    # Two lambdas in one line cannot be distinguished.
    return found[0] if len(found) == 1 else None


class _Finder:
    """Walks through one function, not into the functions and classes in it."""

    def __init__(self) -> None:
        self.withs: list[With] = []
        self.calls: list[Call] = []
        self.other_calls: list[Span] = []

    def read(self, function: _Function) -> None:
        body = function.body if isinstance(function.body, list) else [function.body]
        for node in body:
            self._walk(node, ())

    def _walk(self, node: ast.AST, branches: tuple[Span, ...]) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            return
        if isinstance(node, ast.With):
            self._with(node)
        # A call comes after those in its arguments and before it.
        for name, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    self._walk(child, _inside(node, name, value, branches))
        if isinstance(node, ast.Call):
            self._call(node, branches)

    def _with(self, node: ast.With) -> None:
        body = Span(_span(node.body[0]).first, _span(node.body[-1]).last)
        for number, item in enumerate(node.items):
            expression = item.context_expr
            if _is_plain(expression):
                header = _span(expression)
                self.withs.append(With(expression, _text(expression), number, _span(node), header, body))

    def _call(self, node: ast.Call, branches: tuple[Span, ...]) -> None:
        if isinstance(node.func, ast.Attribute) and _is_plain(node.func.value):
            receiver = node.func.value
            self.calls.append(Call(receiver, _text(receiver), node.func.attr, _span(node), branches))
        else:
            self.other_calls.append(_span(node))


def _inside(node: ast.AST, name: str, value: object, branches: tuple[Span, ...]) -> tuple[Span, ...]:
    conditional = isinstance(node, ast.If | ast.For | ast.While | ast.ExceptHandler | ast.match_case)
    if (
        not isinstance(value, list)
        or not value
        or not (
            (conditional and name in ("body", "orelse")) or (isinstance(node, ast.Try) and name == "orelse")
        )
    ):
        return branches
    return (*branches, Span(_span(value[0]).first, _span(value[-1]).last))


def _is_plain(expression: ast.expr) -> bool:
    match expression:
        case ast.Name():
            return True
        case ast.Attribute(value=inner):
            return _is_plain(inner)
        case ast.Subscript(value=inner, slice=index):
            return _is_plain(inner) and (isinstance(index, ast.Constant) or _is_plain(index))
    return False


def _span(node: ast.stmt | ast.expr) -> Span:
    last_line = node.lineno if node.end_lineno is None else node.end_lineno
    last_column = node.col_offset if node.end_col_offset is None else node.end_col_offset
    return Span((node.lineno, node.col_offset), (last_line, last_column))


def _text(expression: ast.expr) -> str:
    text = ast.unparse(expression)
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"
