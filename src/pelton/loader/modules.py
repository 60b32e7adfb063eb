"""Imports the module of a target.

Owns the difference between "there is no such module" and "the module is there, but something in it failed",
and what to suggest for either.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from pelton.exceptions import ApplicationError
from pelton.loader.appearance import defines_application
from pelton.loader.target import Target
from pelton.loader.tracebacks import ran_users_code, users_traceback

_MOST_FILES = 50
_MOST_SUGGESTIONS = 5
_READ_CHARACTERS = 64 * 1024


def import_target(target: Target, directory: Path) -> ModuleType:
    """The module, imported. Raises ApplicationError."""
    if target.is_path:
        file = (directory / target.module).absolute()
        root, name = _module_of(file, target, directory)
        if str(root) not in sys.path:
            sys.path.insert(0, str(root))
        module = _import(name, target, directory)
        _check_file(module, file)
        return module
    return _import(target.module, target, directory)


def _module_of(file: Path, target: Target, directory: Path) -> tuple[Path, str]:
    """The directory to import from, above all packages around the file, and the name seen from there."""
    if file.is_dir():
        if not (file / "__init__.py").is_file():
            raise ApplicationError(
                f"{target.module} is a directory, not a Python file or package.",
                *_suggestions(file, directory),
            )
        parts = [file.name]
    elif file.is_file():
        parts = [] if file.name == "__init__.py" else [file.name.removesuffix(".py")]
    else:
        raise ApplicationError(
            f"There is no file {target.module}.",
            f"Looked for {file}.",
            *_close_files(file, directory),
            *_suggestions(file.parent if file.parent.is_dir() else directory, directory),
        )
    root = file.parent
    while (root / "__init__.py").is_file():
        parts.insert(0, root.name)
        root = root.parent
    return root, ".".join(parts)


def _import(name: str, target: Target, directory: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        # The module itself, or a package on the way to it. The same name can also be missing *inside* it
        # (app.py with "import app.models"), but then its code ran.
        if (name == missing or name.startswith(f"{missing}.")) and not ran_users_code(error.__traceback__):
            raise _not_found(name, missing, directory) from None
        raise _failed(name, error, *_about_missing(missing)) from error
    except KeyboardInterrupt:
        raise
    except SystemExit as error:
        raise _failed(
            name,
            error,
            f"It called sys.exit({error.code!r}) while it was imported.",
            'Put what should run only as a script under: if __name__ == "__main__":',
        ) from error
    except BaseException as error:
        raise _failed(name, error, f"{type(error).__name__}: {error}".rstrip(": ")) from error


def _failed(name: str, error: BaseException, *lines: str) -> ApplicationError:
    return ApplicationError(
        f'The module "{name}" was found, but importing it failed.', *lines, traceback=users_traceback(error)
    )


def _about_missing(missing: str) -> list[str]:
    return [
        f'It imports "{missing}", which is not installed here (Python of {sys.prefix}).',
        "Install the package that provides it, or run pelton from the application's virtual environment.",
    ]


def _not_found(name: str, missing: str, directory: Path) -> ApplicationError:
    parent, _, leaf = missing.rpartition(".")
    if parent:
        where = [Path(one) for one in getattr(sys.modules.get(parent), "__path__", ())]
        looked = [f"Looked in {' and '.join(map(str, where))}."] if where else [f'"{parent}" is no package.']
    else:
        where = [directory]
        others = len([one for one in sys.path if one != str(directory)])
        looked = [f"Looked in {directory} and the {others} other directories of sys.path."]
    there = {one for place in where for one in _module_names(place)}
    rest = name.removeprefix(missing)
    close = [
        f"pelton {parent}.{one}{rest}" if parent else f"pelton {one}{rest}"
        for one in difflib.get_close_matches(leaf, there, n=3)
    ]
    return ApplicationError(
        f'There is no module "{missing}".',
        *looked,
        *([f"Did you mean: {' or '.join(close)}"] if close else []),
        *(line for place in where for line in _suggestions(place, directory)),
    )


def _close_files(file: Path, directory: Path) -> list[str]:
    if not file.parent.is_dir():
        return [f"There is no directory {file.parent}."]
    close = difflib.get_close_matches(file.name, [one.name for one in _python_files(file.parent)], n=3)
    return [f"Did you mean: pelton {_shown(file.parent / one, directory)}" for one in close]


def suggested_modules(module: ModuleType) -> list[str]:
    """Modules of a package that look like an application, by their whole names."""
    places = [Path(one) for one in getattr(module, "__path__", ())]
    files = [one for place in places for one in _python_files(place) if _looks_like_one(one)]
    return [f"{module.__name__}.{one.stem}" for one in files if one.stem != "__init__"][:_MOST_SUGGESTIONS]


def _suggestions(place: Path, directory: Path) -> list[str]:
    """Lines that name the files in ``place`` which look like an application."""
    files = [one for one in _python_files(place) if _looks_like_one(one)][:_MOST_SUGGESTIONS]
    return [
        f"{_shown(one, directory)} looks like an application: pelton {_shown(one, directory)}"
        for one in files
    ]


def _looks_like_one(file: Path) -> bool:
    try:
        with file.open(encoding="utf-8", errors="replace") as text:
            return defines_application(text.read(_READ_CHARACTERS))
    except OSError:
        return False


def _python_files(place: Path) -> list[Path]:
    try:
        return sorted(one for one in place.iterdir() if one.suffix == ".py" and one.is_file())[:_MOST_FILES]
    except OSError:
        return []


def _module_names(place: Path) -> Iterable[str]:
    yield from (one.stem for one in _python_files(place))
    try:
        yield from (one.name for one in place.iterdir() if (one / "__init__.py").is_file())
    except OSError:
        return


def _shown(file: Path, directory: Path) -> str:
    return str(file.relative_to(directory)) if file.is_relative_to(directory) else str(file)


def _check_file(module: ModuleType, file: Path) -> None:
    """A file called like an installed or built-in module would silently give that one."""
    found = Path(module.__file__) if module.__file__ else None
    expected = file / "__init__.py" if file.is_dir() else file
    if found is None or not found.exists() or not found.samefile(expected):
        raise ApplicationError(
            f'{file} cannot be imported: the name "{module.__name__}" already belongs to another module.',
            f"That one is {found or 'built into Python'}. Give the file another name.",
        )
