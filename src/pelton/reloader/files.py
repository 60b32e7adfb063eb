"""Which files the application consists of.

Owns the choice, which is that of Werkzeug's reloader: the files of all imported modules, all Python files
below the directories in which modules are looked for, and what the user names. The standard library never
changes, and installed packages are watched only where they were imported. Must not know how files are
watched. Any thread.
"""

# All files of a project at every look: strings are several times quicker than `Path`.
# ruff: noqa: PTH100, PTH110, PTH112, PTH113, PTH118, PTH120

from __future__ import annotations

import fnmatch
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# Their content follows from other files, or is no code of the application.
_IGNORED_DIRECTORIES = frozenset(
    {
        "__pycache__", "node_modules", "site-packages", "dist-packages",
        ".git", ".hg", ".tox", ".nox", ".venv", ".pytest_cache", ".mypy_cache", ".ruff_cache",
    }
)  # fmt: skip
# Whoever starts in the root directory or at home does not mean to have everything there watched.
_MOST_DIRECTORIES = 2_000
_CODE = (".py", ".pyc")


def _standard_library() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple({os.path.realpath(paths[name]) + os.sep for name in ("stdlib", "platstdlib")})


_STANDARD = _standard_library()
_PACKAGES = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)


def is_installed(path: str) -> bool:
    """Whether it lies where packages are installed, so that people rarely change it."""
    return any(one in path for one in _PACKAGES)


def _is_standard(path: str) -> bool:
    return path.startswith(_STANDARD) and not is_installed(path)


def module_files() -> set[str]:
    """The files of everything that is imported now, without the standard library."""
    found: set[str] = set()
    # A copy: other threads may be importing.
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        if isinstance(name, str):
            found.update(_files_of(os.path.abspath(name)))
    return {one for one in found if not _is_standard(one)}


def _files_of(name: str) -> Iterator[str]:
    # Of a module in a zip file the name goes on after the file's.
    path = name
    while not os.path.isfile(path):
        parent = os.path.dirname(path)
        if parent == path:
            return
        path = parent
    yield path
    if path.endswith(".pyc"):
        # Imported without its source, which may come back.
        yield path[:-1]


def search_roots() -> list[str]:
    """Where modules are looked for, without the standard library and installed packages."""
    roots = [os.path.abspath(one) for one in sys.path]
    real = [(one, os.path.realpath(one) + os.sep) for one in roots]
    prefixes = [os.path.realpath(sys.prefix) + os.sep] if sys.prefix != sys.base_prefix else []
    return [
        one
        for one, path in dict(real).items()
        if not path.startswith((*_STANDARD, *prefixes)) and not is_installed(path)
    ]


def code_below(roots: Iterable[str]) -> set[str]:
    """All Python files below ``roots``; one that is a file itself stands for itself.

    A directory without any, in one without any, is not looked into further.
    """
    found: set[str] = set()
    visited = 0
    for root in roots:
        if os.path.isfile(root):
            found.add(root)
            continue
        has_code = {os.path.dirname(root): True}
        for directory, below, names in os.walk(root):
            visited += 1
            below[:] = [one for one in below if not _is_ignored(directory, one)]
            code = [os.path.join(directory, name) for name in names if name.endswith(_CODE)]
            found.update(code)
            has_code[directory] = bool(code)
            if visited > _MOST_DIRECTORIES or not (code or has_code[os.path.dirname(directory)]):
                below.clear()
    return found


def _is_ignored(directory: str, name: str) -> bool:
    # Also a virtual environment of whatever name.
    return name in _IGNORED_DIRECTORIES or os.path.exists(os.path.join(directory, name, "pyvenv.cfg"))


@dataclass(frozen=True)
class Choice:
    """The files to be watched. ``extra_files`` and ``exclude_patterns`` as in `ReloaderOptions`."""

    extra_files: tuple[str, ...] = ()
    exclude_patterns: tuple[str, ...] = ()

    def of_this_process(self) -> set[str]:
        """Those of what is imported here, now, and of what could be."""
        return self.of(module_files(), search_roots())

    def of(self, files: Iterable[str], roots: Iterable[str]) -> set[str]:
        """Those of a process that has imported ``files`` and looked for modules in ``roots``."""
        found = {*files, *code_below(roots), *self._extra()}
        for pattern in self.exclude_patterns:
            found.difference_update(fnmatch.filter(found, pattern))
        return found

    def _extra(self) -> Iterator[str]:
        for name in self.extra_files:
            path = os.path.abspath(name)
            if os.path.isdir(path):
                yield from code_below([path])
            else:
                # Also one that is not there yet.
                yield path


def directories_of(files: Iterable[str]) -> set[str]:
    """The directories in which something happens when one of ``files`` changes, as far as they are there."""
    return {one for one in map(os.path.dirname, files) if os.path.isdir(one)}
