"""The text of a configuration of nginx as a tree of directives. Pure but for ``include``; any thread."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pelton.exceptions import ConfigError

_MOST_DEPTH = 20
_PIECE = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    |(?P<mark>[{};])
    |"(?P<double>(?:[^"\\]|\\.)*)"
    |'(?P<single>(?:[^'\\]|\\.)*)'
    |(?P<word>(?:\\.|\$\{[^}]*\}|[^\s{};"'\\])(?:\\.|\$\{[^}]*\}|[^\s{};\\])*)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Directive:
    """One line: its words, and the lines in its braces."""

    name: str
    words: tuple[str, ...]
    line: int
    inner: tuple[Directive, ...] = field(default=())

    def find(self, name: str) -> Directive | None:
        """The first inner directive of this name."""
        return next((one for one in self.inner if one.name == name), None)

    def __str__(self) -> str:
        return " ".join((self.name, *self.words))


@dataclass(frozen=True)
class _Piece:
    text: str
    line: int
    is_mark: bool


def read(path: str) -> tuple[Directive, ...]:
    """The directives of a file, those of the files that it includes among them. Raises ConfigError."""
    return _read(Path(path), 0)


def parse(text: str, place: str = "nginx.conf") -> tuple[Directive, ...]:
    """The directives of a text; includes stay as they are. Raises ConfigError."""
    pieces = _pieces(text, place)
    return tuple(_block(pieces, place, 0, is_inner=False))


def _read(path: Path, depth: int) -> tuple[Directive, ...]:
    if depth > _MOST_DEPTH:
        raise ConfigError(f"{path}: files include each other without end.")
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    return tuple(_included(parse(text, str(path)), path.parent, depth))


def _included(found: tuple[Directive, ...], folder: Path, depth: int) -> Iterator[Directive]:
    for one in found:
        if one.name == "include" and len(one.words) == 1:
            pattern = Path(one.words[0])
            files = sorted(
                Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))
                if pattern.is_absolute()
                else folder.glob(str(pattern))
            )
            if not files:
                yield one
            for file in files:
                yield from _read(file, depth + 1)
        else:
            yield Directive(one.name, one.words, one.line, tuple(_included(one.inner, folder, depth)))


# Before anything else nginx keeps the backslash, so that patterns need no second one.
_ESCAPED = re.compile(r"""\\(["'\\])""")


def _pieces(text: str, place: str) -> Iterator[_Piece]:
    at, line = 0, 1
    while at < len(text):
        found = _PIECE.match(text, at)
        if found is None:
            raise ConfigError(f"{place}, line {line}: a quote does not end.")
        kind = found.lastgroup
        if kind != "space":
            piece = found[kind] if kind is not None else ""
            yield _Piece(_ESCAPED.sub(r"\1", piece), line, kind == "mark")
        line += found[0].count("\n")
        at = found.end()


def _block(pieces: Iterator[_Piece], place: str, depth: int, *, is_inner: bool) -> Iterator[Directive]:
    words: list[_Piece] = []
    for piece in pieces:
        if not piece.is_mark:
            words.append(piece)
            continue
        if piece.text == "}":
            if words or not is_inner:
                raise ConfigError(f"{place}, line {piece.line}: a brace closes nothing.")
            return
        if not words or depth > _MOST_DEPTH:
            raise ConfigError(f"{place}, line {piece.line}: {piece.text!r} stands where a directive should.")
        inner: tuple[Directive, ...] = ()
        if piece.text == "{":
            inner = tuple(_block(pieces, place, depth + 1, is_inner=True))
        yield Directive(words[0].text, tuple(word.text for word in words[1:]), words[0].line, inner)
        words = []
    if words or is_inner:
        raise ConfigError(f"{place}: the file ends in the middle of a directive.")
