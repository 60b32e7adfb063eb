"""What is equal while a value is equal. Any thread.

Owns how deep and how far a value is looked at. Of what is not understood only the identity is known: no code
of the application or of a library runs here, for a look must change nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from types import FunctionType, MemberDescriptorType
from typing import Any, Final, TypeVar

from pelton.audit.modules import LOCKS, is_own

# Of each container, in which depth, and of one name all in all; a change beyond is not seen.
_MOST_ITEMS: Final = 300
_DEPTH: Final = 4
MOST_VALUES: Final = 5000
# Of an array; a picture of each of them is made four times a request.
_MOST_BYTES: Final = 1 << 20
PLAIN: Final = (str, bytes, int, float, complex, bool, type(None))
_PLAIN_TYPES: Final = frozenset(PLAIN)
_SEQUENCES: Final = (list, tuple, deque, set, frozenset)
# How often a look begins again at a container that a thread of the application changes meanwhile.
_ATTEMPTS: Final = 5

T = TypeVar("T")


def fingerprint(value: Any, most: int = MOST_VALUES) -> Hashable:
    """What is equal while the value is; of what is not understood only which object it is."""
    return _Look(most).of(value, _DEPTH)


def size_of(value: Any) -> int:
    """How many values a look at it takes."""
    look = _Look(MOST_VALUES)
    look.of(value, _DEPTH)
    return MOST_VALUES - look.left


def bound_for(sizes: Iterable[int], most: int) -> int:
    """How many values of each may be looked at, that all together are not more: large ones are cut first."""
    left, ordered = most, sorted(sizes)
    for at, size in enumerate(ordered):
        share = left // (len(ordered) - at)
        if size > share:
            return max(1, share)
        left -= size
    return MOST_VALUES


def has_grown(before: Any, after: Any) -> bool:
    """Whether dicts in it have got more, or objects more attributes, and the rest is as it was."""
    if before == after:
        return True
    if not (isinstance(before, tuple) and isinstance(after, tuple) and len(before) == len(after)):
        return False
    match before, after:
        case (name, one, int(), keys, values), (other, two, int(), more_keys, more_values):
            is_same = (name, one) == (other, two)
            return is_same and _goes_on(keys, more_keys) and _goes_on(values, more_values)
        case (name, one, tuple() as names, inner), (other, two, tuple() as more, more_inner):
            is_same = (name, one, names) == (other, two, more[: len(names)])
            return is_same and _goes_on(inner, more_inner)
        case (*head, inner), (*other_head, more_inner) if head == other_head and len(head) > 1:
            return _length(inner) == _length(more_inner) and _goes_on(inner, more_inner)
    return False


def _goes_on(before: Any, after: Any) -> bool:
    """Whether what `_of_all` has made begins as it was."""
    if not isinstance(before, tuple) or not isinstance(after, tuple):
        return False
    return _length(before) <= _length(after) and all(map(has_grown, _each(before), _each(after)))


def _each(inner: Any) -> list[Any]:
    """One fingerprint for each value."""
    if _is_plain(inner):
        return [(kind.__name__, value) for kind, value in zip(*inner, strict=True)]
    return list(inner)


def _length(inner: Any) -> int:
    return len(inner[0]) if _is_plain(inner) else len(inner) if isinstance(inner, tuple) else 0


def _is_plain(inner: Any) -> bool:
    """Whether it is types and values, and no fingerprints."""
    return isinstance(inner, _Plain)


class _Plain(tuple[tuple[type, ...], tuple[Any, ...]]):
    """Of values that are plain: their types, and they themselves."""

    __slots__ = ()


class _Look:
    """One look at one value. ``left``: how many values within it are still looked at."""

    def __init__(self, most: int) -> None:
        self.left = most

    def of(self, value: Any, depth: int) -> Hashable:
        kind = type(value)
        # By the type, not by isinstance: a proxy of Flask's asks what it stands for.
        if issubclass(kind, PLAIN):
            return (kind.__name__, value)
        if depth == 0 or self.left <= 0:
            return (kind.__name__, id(value))
        if issubclass(kind, dict):
            return self._of_dict(kind, value, depth)
        if issubclass(kind, _SEQUENCES):
            held = _first(lambda: value)
            is_named = () if issubclass(kind, (tuple, frozenset)) else (id(value),)
            return (kind.__name__, *is_named, len(value), self._of_all(held, depth))
        if issubclass(kind, bytearray) or kind.__module__ in ("array", "numpy"):
            return (kind.__name__, id(value), _bytes_of(value))
        if kind is itertools.count:
            return repr(value)
        if is_of_the_application(kind) and not issubclass(kind, (threading.local, *LOCKS)):
            pairs = list(itertools.islice(_attributes(value), _MOST_ITEMS))
            names = tuple(name for name, _ in pairs)
            return (kind.__name__, id(value), names, self._of_all([one for _, one in pairs], depth))
        return (kind.__name__, id(value))

    def _of_dict(self, kind: type, value: Any, depth: int) -> Hashable:
        # By dict's own: a class that is one may answer otherwise, and do something while it does.
        pairs = _first(lambda: dict.items(value))
        keys, values = [key for key, _ in pairs], [held for _, held in pairs]
        return (
            kind.__name__,
            id(value),
            dict.__len__(value),
            self._of_all(keys, depth),
            self._of_all(values, depth),
        )

    def _of_all(self, values: list[Any], depth: int) -> Hashable:
        self.left -= len(values)
        # Most containers have only such; and to make one tuple is much quicker than one for each.
        kinds = tuple(map(type, values))
        if _PLAIN_TYPES.issuperset(kinds):
            return _Plain((kinds, tuple(values)))
        return tuple(self.of(one, depth - 1) for one in values)


def _first(get: Callable[[], Iterable[T]]) -> list[T]:
    """The first items, of a container that may be large and that other threads may change."""
    for _ in range(_ATTEMPTS):
        try:
            return list(itertools.islice(get(), _MOST_ITEMS))
        except RuntimeError:
            continue
    return []


def _bytes_of(value: Any) -> Hashable:
    """Of a bytearray, an array or numpy's: a hash of what it holds."""
    try:
        whole = memoryview(value)
        return (whole.nbytes, hash(bytes(whole.cast("B")[:_MOST_BYTES])))
    except (TypeError, ValueError, BufferError):
        # Its parts do not lie beside each other, or it holds objects.
        return None


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """Of an instance of the application's classes: those in its dict, and in slots."""
    # Not getattr: a class of the application's may answer that itself.
    with contextlib.suppress(AttributeError):
        yield from list(object.__getattribute__(value, "__dict__").items())
    for kind in type(value).__mro__:
        for name, slot in list(vars(kind).items()):
            if isinstance(slot, MemberDescriptorType) and is_of_the_application(kind):
                try:
                    yield name, slot.__get__(value)
                except AttributeError:
                    continue


def is_of_the_application(kind: type) -> bool:
    """Whether the application has written this class. One made of Flask is Flask's: it changes by itself."""
    module = sys.modules.get(kind.__module__)
    return module is not None and is_own(getattr(module, "__file__", None)) and not is_flask(kind)


def is_flask(kind: type) -> bool:
    """Whether its instances are applications of Flask's."""
    return any(base.__module__ in ("flask.app", "flask.sansio.app") for base in kind.__mro__)


def locks_within(value: Any, depth: int = _DEPTH) -> Iterator[Any]:
    """The locks that a value is, or holds somewhere: what guards it may be its own attribute."""
    kind = type(value)
    if issubclass(kind, LOCKS):
        yield value
    elif depth == 0 or issubclass(kind, (*PLAIN, FunctionType, type)):
        return
    elif kind is threading.Condition or issubclass(kind, threading.Semaphore):
        yield from locks_within(vars(value).get("_lock") or vars(value).get("_cond"), depth - 1)
    elif issubclass(kind, dict):
        for _, held in _first(lambda: dict.items(value)):
            yield from locks_within(held, depth - 1)
    elif issubclass(kind, _SEQUENCES):
        for held in _first(lambda: value):
            yield from locks_within(held, depth - 1)
    elif is_of_the_application(kind):
        for _, held in itertools.islice(_attributes(value), _MOST_ITEMS):
            yield from locks_within(held, depth - 1)
